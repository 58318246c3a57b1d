// SPDX-License-Identifier: Apache-2.0

import Foundation

#if _endian(big)
  #error("the file formats here are little-endian and so must be the host")
#endif

/// Thin throwing forms of the POSIX calls that the module needs.
enum SystemCalls {
  /// Writes bytes to a descriptor: the number written, or -1 with `errno` set, as write(2).
  /// An argument wherever something is written, so that tests can fill the disk.
  typealias Writer = (Int32, UnsafeRawPointer, Int) -> Int

  static func systemWriter(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    write(descriptor, bytes, count)
  }

  /// Opens a file; never waits for the other end of a pipe.
  /// An error names `shown`, where that is not the path.
  static func openFile(
    _ path: String, _ flags: Int32, doing: String, at shown: String? = nil, mode: mode_t = 0o666
  ) throws -> Int32 {
    while true {
      let descriptor = open(
        path, flags | O_CLOEXEC | (flags & O_ACCMODE == O_RDONLY ? O_NONBLOCK : 0), mode)
      if descriptor >= 0 { return descriptor }
      let code = errno
      if code != EINTR { throw StorageError.system(code, doing, at: shown ?? path) }
    }
  }

  /// Writes all of `bytes`, however many calls it takes.
  static func writeAll(
    _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, path: String, writer: Writer
  ) throws {
    guard let base = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      let written = writer(descriptor, base + done, bytes.count - done)
      if written < 0 {
        let code = errno
        if code == EINTR { continue }
        throw StorageError.system(code, "write", at: path)
      }
      if written == 0 { throw StorageError.system(ENOSPC, "write", at: path) }
      done += written
    }
  }

  static func sync(_ descriptor: Int32, path: String) throws {
    while fsync(descriptor) != 0 {
      let code = errno
      if code == EINTR { continue }
      // Pipes, devices and some network file systems have nothing to sync.
      if code == EINVAL || code == ENOTSUP { return }
      throw StorageError.system(code, "write", at: path)
    }
  }

  /// Makes a rename or a new file in `folder` survive a power cut.
  static func syncDirectory(_ folder: String) throws {
    let descriptor = try openFile(folder, O_RDONLY | O_DIRECTORY, doing: "open the folder")
    defer { close(descriptor) }
    try sync(descriptor, path: folder)
  }

  static func makeDirectories(_ folder: String) throws {
    var status = stat()
    if stat(folder, &status) == 0 {
      if status.st_mode & S_IFMT == S_IFDIR { return }
      throw StorageError.system(ENOTDIR, "create the folder", at: folder)
    }
    let parent = parentFolder(of: folder)
    if parent != folder { try makeDirectories(parent) }
    if mkdir(folder, 0o777) != 0 {
      let code = errno
      // Another process may have made it in the meantime.
      if code != EEXIST { throw StorageError.system(code, "create the folder", at: folder) }
    }
  }

  /// Throws what `makeDirectories` would, or the writing of a file in the folder, by what is there of its path.
  static func checkThatFoldersCanBeMade(_ folder: String) throws {
    var status = stat()
    guard stat(folder, &status) == 0 else {
      let (code, parent) = (errno, parentFolder(of: folder))
      guard code == ENOENT, parent != folder else {
        throw StorageError.system(code, "create the folder", at: folder)
      }
      return try checkThatFoldersCanBeMade(parent)
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw StorageError.system(ENOTDIR, "create the folder", at: folder)
    }
    if access(folder, W_OK | X_OK) != 0 { throw StorageError.system(errno, "write", at: folder) }
  }

  /// `a/b` for `a/b/c`, `.` for `c`, `/` for `/c`.
  static func parentFolder(of path: String) -> String {
    var bytes = path.utf8[...]
    func drop(_ isSlash: Bool) {
      while let last = bytes.last, (last == UInt8(ascii: "/")) == isSlash { bytes.removeLast() }
    }
    let root = bytes.first == UInt8(ascii: "/") ? "/" : "."
    drop(true)
    drop(false)
    drop(true)
    return bytes.isEmpty ? root : String(decoding: bytes, as: UTF8.self)
  }

  /// Whether the path is that of something that a process has open, however the folder of its descriptors is spelled.
  static func isStream(_ path: String) -> Bool {
    guard let folder = realpath(parentFolder(of: path), nil) else { return false }
    defer { free(folder) }
    let name = String(cString: folder)
    return name.hasPrefix("/proc/") && name.hasSuffix("/fd")
  }

  /// The path that a chain of symbolic links leads to, whether something is there or not; `path` itself if it is no link.
  static func endOfLinks(_ path: String) throws -> String {
    var path = path
    for _ in 0..<40 {
      // What a process has open, by number: no link to a name.
      if isStream(path) { return path }
      var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
      let count = readlink(path, &buffer, buffer.count)
      guard count > 0 else { return path }
      let target = String(
        decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
      path = target.utf8.first == UInt8(ascii: "/") ? target : "\(parentFolder(of: path))/\(target)"
    }
    throw StorageError.system(ELOOP, "follow the links", at: path)
  }

  /// The size of the regular file behind an open descriptor.
  static func fileSize(_ descriptor: Int32, path: String) throws -> Int {
    var status = stat()
    if fstat(descriptor, &status) != 0 { throw StorageError.system(errno, "read", at: path) }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return Int(status.st_size)
    case S_IFDIR: throw StorageError.system(EISDIR, "read", at: path)
    default:
      throw StorageError("not a regular file", at: path, hint: "name a file on a disk")
    }
  }

  /// Calls `body` with the file's bytes from the present offset on, piece by piece.
  static func readPieces(
    _ descriptor: Int32, path: String, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    let size = 1 << 20
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count = read(descriptor, buffer.baseAddress, size)
      if count < 0 {
        let code = errno
        if code == EINTR { continue }
        throw StorageError.system(code, "read", at: path)
      }
      if count == 0 { return }
      try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
  }
}
