import Foundation

/// Whole files or none: a temporary file in the same folder, fsync, rename, fsync of the folder.
///
/// Whatever fails, the file that was there before stays as it was, and the temporary is removed.
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
      let descriptor = try SystemCalls.openFile(temporary, O_WRONLY, doing: "write")
      defer { close(descriptor) }
      try body(Sink(descriptor: descriptor, path: path, writer: writer))
    }
  }

  // MARK: - Writers that want a path

  /// Calls `body` with the path of an empty temporary file and moves it to `path` afterwards.
  ///
  /// For libraries that open files by name. `body` must close the file before it returns.
  public static func withTemporary<Result>(
    for path: String, _ body: (String) throws -> Result
  ) throws -> Result {
    // A link stays a link: what it points to is replaced.
    let target = (try? FileManager.default.destinationOfSymbolicLink(atPath: path)).map {
      $0.hasPrefix("/") ? $0 : SystemCalls.parentFolder(of: path) + "/" + $0
    }
    let final = target ?? path
    let folder = SystemCalls.parentFolder(of: final)
    try SystemCalls.makeDirectories(folder)
    let temporary = try createTemporary(beside: final, in: folder, path: path)
    do {
      let result = try body(temporary)
      let descriptor = try SystemCalls.openFile(temporary, O_RDONLY, doing: "write")
      defer { close(descriptor) }
      try SystemCalls.sync(descriptor, path: path)
      if rename(temporary, final) != 0 { throw StorageError.system(errno, "replace", at: path) }
      try SystemCalls.syncDirectory(folder)
      return result
    } catch {
      unlink(temporary)
      throw error
    }
  }

  /// An empty file `.name.<process>-<number>.tmp` that nobody else has.
  private static func createTemporary(
    beside final: String, in folder: String, path: String
  ) throws -> String {
    let name = (final as NSString).lastPathComponent.prefix(100)
    var number = 0
    while true {
      let temporary = "\(folder)/.\(name).\(getpid())-\(number).tmp"
      let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if descriptor >= 0 {
        close(descriptor)
        return temporary
      }
      let code = errno
      switch code {
      case EEXIST: number += 1
      case EINTR: continue
      default: throw StorageError.system(code, "write", at: path)
      }
    }
  }
}
