// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Whole files or none: a temporary file in the same folder, fsync, rename, fsync of the folder.
///
/// Whatever fails, the file that was there before stays as it was, and the temporary is removed. Symbolic links are followed
/// to their end, and a file that is replaced hands its mode on. A device or a pipe is written to and never replaced.
/// A killed process can leave a temporary behind; its name begins with `.` and ends in `.tmp`.
public enum AtomicFile {
  /// Where the content of a file being written goes.
  public struct Sink {
    let descriptor: Int32
    let path: String
    let writer: SystemCalls.Writer

    /// Appends raw bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
      try SystemCalls.writeAll(bytes, to: descriptor, path: path, writer: writer)
    }

    /// Appends bytes.
    public func write(_ data: Data) throws {
      for region in data.regions { try region.withUnsafeBytes { try write($0) } }
    }
  }

  /// Ends the process by `number`, as if nobody had listened, but without leaving a temporary; may be called by a signal
  /// handler.
  public static func die(of number: Int32) {
    Temporaries.all.removeAll()
    signal(number, SIG_DFL)
    raise(number)
  }

  // MARK: - Whole contents

  /// Replaces the file at `path` by `data`; missing folders are created.
  public static func write(_ data: Data, to path: String) throws {
    try write(to: path) { try $0.write(data) }
  }

  /// Replaces the file at `path` by `text` in UTF-8; missing folders are created.
  public static func write(_ text: String, to path: String) throws {
    try write(Data(text.utf8), to: path)
  }

  /// Replaces the file at `path` by what `body` writes, without holding it all in memory.
  public static func write(to path: String, _ body: (Sink) throws -> Void) throws {
    try write(to: path, writer: SystemCalls.systemWriter, body)
  }

  static func write(
    to path: String, writer: @escaping SystemCalls.Writer, _ body: (Sink) throws -> Void
  ) throws {
    try withTemporary(for: path) { temporary in
      let descriptor = try SystemCalls.openFile(temporary, O_WRONLY, doing: "write", at: path)
      defer { close(descriptor) }
      try body(Sink(descriptor: descriptor, path: path, writer: writer))
    }
  }

  // MARK: - Places

  /// Throws what writing to `path` would throw in the end, where that can be told before there is anything to write: for programs
  /// that compute for long before they write.
  public static func checkPlace(_ path: String) throws {
    let (final, status) = try place(of: path)
    // A file is replaced by a new one, a device or a pipe is written to.
    if status.map({ $0.st_mode & S_IFMT == S_IFREG }) ?? true {
      try SystemCalls.checkThatFoldersCanBeMade(SystemCalls.parentFolder(of: final))
    }
  }

  /// The end of the links at `path`, and what is there already: a file that may be replaced, a device or a pipe.
  private static func place(of path: String) throws -> (final: String, status: stat?) {
    let final = try SystemCalls.endOfLinks(path)
    if final.isEmpty { throw StorageError.system(ENOENT, "write", at: "''") }
    var status = stat()
    guard stat(final, &status) == 0 else {
      let code = errno
      if code != ENOENT { throw StorageError.system(code, "write", at: path) }
      if final.utf8.last == UInt8(ascii: "/") {
        throw StorageError.system(EISDIR, "write", at: path)
      }
      return (final, nil)
    }
    if status.st_mode & S_IFMT == S_IFDIR { throw StorageError.system(EISDIR, "write", at: path) }
    guard status.st_mode & S_IFMT == S_IFREG else { return (final, status) }
    // What this process's output goes to: to replace that would take it from whoever writes there.
    let isOutput = [STDOUT_FILENO, STDERR_FILENO].contains { stream in
      var own = stat()
      return fstat(stream, &own) == 0 && own.st_dev == status.st_dev && own.st_ino == status.st_ino
    }
    if isOutput || SystemCalls.isStream(final) {
      throw StorageError(
        "is what the output of this process goes to", at: path, hint: "name another file")
    }
    return (final, status)
  }

  // MARK: - Writers that want a path

  /// Calls `body` with the path of an empty temporary file and moves it to `path` afterwards.
  ///
  /// For libraries that open files by name. `body` must close the file before it returns.
  public static func withTemporary<Result>(
    for path: String, _ body: (String) throws -> Result
  ) throws -> Result {
    let (final, status) = try place(of: path)
    if let status, status.st_mode & S_IFMT != S_IFREG { return try withCopy(to: final, body) }
    let folder = SystemCalls.parentFolder(of: final)
    try SystemCalls.makeDirectories(folder)
    let (temporary, number) = try createTemporary(beside: final, in: folder, path: path)
    defer { Temporaries.all.remove(number) }
    do {
      let result = try body(temporary)
      let descriptor = try SystemCalls.openFile(temporary, O_RDONLY, doing: "write", at: path)
      defer { close(descriptor) }
      if let status { fchmod(descriptor, status.st_mode & 0o7777) }
      try SystemCalls.sync(descriptor, path: path)
      if rename(temporary, final) != 0 { throw StorageError.system(errno, "replace", at: path) }
      try SystemCalls.syncDirectory(folder)
      return result
    } catch {
      unlink(temporary)
      throw error
    }
  }

  /// For a device or a pipe: the whole content first, then its bytes into what is there.
  private static func withCopy<Result>(
    to final: String, _ body: (String) throws -> Result
  ) throws -> Result {
    let folder = NSTemporaryDirectory()
    let (temporary, number) = try createTemporary(beside: final, in: folder, path: folder)
    defer { Temporaries.all.remove(number) }
    defer { unlink(temporary) }
    let result = try body(temporary)
    let source = try SystemCalls.openFile(temporary, O_RDONLY, doing: "read")
    defer { close(source) }
    let target = try SystemCalls.openFile(final, O_WRONLY, doing: "write")
    defer { close(target) }
    try SystemCalls.readPieces(source, path: temporary) {
      try SystemCalls.writeAll($0, to: target, path: final, writer: SystemCalls.systemWriter)
    }
    return result
  }

  /// An empty file `.name.<process>-<number>.tmp` that nobody else has, and its number among the temporaries.
  private static func createTemporary(
    beside final: String, in folder: String, path: String
  ) throws -> (path: String, number: Int?) {
    let name = shortName(of: final)
    var number = 0
    while true {
      let temporary = "\(folder)/.\(name).\(getpid())-\(number).tmp"
      let place = Temporaries.all.insert(temporary)
      let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      let code = errno
      if descriptor >= 0 {
        close(descriptor)
        return (temporary, place)
      }
      Temporaries.all.remove(place)
      switch code {
      case EEXIST: number += 1
      case EINTR: continue
      default: throw StorageError.system(code, "write", at: path)
      }
    }
  }

  /// Of the path's last part as many whole characters as fit into a hundred bytes.
  private static func shortName(of path: String) -> String {
    let last = path.utf8.split(separator: UInt8(ascii: "/")).last.map(Array.init) ?? []
    var name = String.UnicodeScalarView()
    var bytes = 0
    for scalar in String(decoding: last, as: UTF8.self).unicodeScalars {
      bytes += scalar.utf8.count
      if bytes > 100 { break }
      name.append(scalar)
    }
    return String(name)
  }
}
