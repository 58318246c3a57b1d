// SPDX-License-Identifier: Apache-2.0

import Foundation

/// An append-only text file of one-line events that survives a kill at any moment.
///
/// A line counts once its line break is in the file; what follows the last line break is the
/// work of an interrupted writer and is cut off when the journal is opened again.
public final class Journal: @unchecked Sendable {
  /// Where the journal lies.
  public let path: String

  // `descriptor` and `end` change only under `lock`.
  private let lock = NSLock()
  private let descriptor: Int32
  private var end: Int
  private let writer: SystemCalls.Writer

  // MARK: - Opening

  /// Opens the journal at `path`, creates it if it is missing, and returns its whole lines.
  ///
  /// A cut-off last line, and anything from the first line on that is not text (what a power cut
  /// can leave behind), is removed from the file.
  public static func open(resuming path: String) throws -> (journal: Journal, lines: [String]) {
    try open(resuming: path, writer: SystemCalls.systemWriter)
  }

  static func open(
    resuming path: String, writer: @escaping SystemCalls.Writer
  ) throws -> (journal: Journal, lines: [String]) {
    let folder = SystemCalls.parentFolder(of: path)
    try SystemCalls.makeDirectories(folder)
    let descriptor = try SystemCalls.openFile(path, O_RDWR | O_CREAT, doing: "open the journal")
    do {
      try takeLock(descriptor, path: path)
      _ = try SystemCalls.fileSize(descriptor, path: path)
      var content = Data()
      try SystemCalls.readPieces(descriptor, path: path) { content.append(contentsOf: $0) }
      let (lines, length) = wholeLines(of: content)
      let journal = Journal(path: path, descriptor: descriptor, end: length, writer: writer)
      if length < content.count { try journal.truncate(to: length) }
      try SystemCalls.syncDirectory(folder)
      return (journal, lines)
    } catch {
      close(descriptor)
      throw error
    }
  }

  private init(
    path: String, descriptor: Int32, end: Int, writer: @escaping SystemCalls.Writer
  ) {
    self.path = path
    self.descriptor = descriptor
    self.end = end
    self.writer = writer
  }

  deinit { close(descriptor) }

  // MARK: - Writing

  /// The length of the file in bytes: what a checkpoint stores and `truncate(to:)` takes.
  public var length: Int { lock.withLock { end } }

  /// Appends one line. Nothing of it stays in the file if the disk is full.
  public func append(_ line: String) throws {
    precondition(
      !line.utf8.contains(where: { $0 == 0x0a || $0 == 0 }),
      "a journal line holds no line break and no NUL: \(line.debugDescription)")
    var bytes = Array(line.utf8)
    bytes.append(0x0a)
    try lock.withLock {
      do {
        try seek(to: end)
        try bytes.withUnsafeBytes {
          try SystemCalls.writeAll($0, to: descriptor, path: path, writer: writer)
        }
      } catch {
        // Best effort: what stays of the line has no line break and goes at the next opening.
        _ = ftruncate(descriptor, off_t(end))
        throw error
      }
      end += bytes.count
    }
  }

  /// Returns when every line appended so far is on the disk.
  public func sync() throws {
    try lock.withLock { try SystemCalls.sync(descriptor, path: path) }
  }

  /// Cuts the file back to `length` bytes, a value that `length` had after some earlier line.
  public func truncate(to length: Int) throws {
    try lock.withLock {
      guard length >= 0, length <= currentSize() else {
        throw StorageError(
          "the journal has \(currentSize()) bytes, the checkpoint expects \(length)", at: path,
          hint: "delete the journal and its checkpoint and run again")
      }
      if ftruncate(descriptor, off_t(length)) != 0 {
        throw StorageError.system(errno, "shorten the journal", at: path)
      }
      end = length
      try SystemCalls.sync(descriptor, path: path)
    }
  }

  /// Lets the next writer in; nothing may be appended afterwards.
  ///
  /// Letting go of the last reference does the same, but only once every thread has.
  public func release() { flock(descriptor, LOCK_UN) }

  // MARK: - Looking on

  /// Keeps whoever writes the journal at `path` out as long as it lives, and lets others like it in.
  public final class Share: Sendable {
    private let descriptor: Int32

    /// Creates the journal if it is missing. Throws a `StorageError` where somebody writes it.
    public init(of path: String) throws {
      try SystemCalls.makeDirectories(SystemCalls.parentFolder(of: path))
      descriptor = try SystemCalls.openFile(path, O_RDWR | O_CREAT, doing: "open the journal")
      do { try Journal.takeLock(descriptor, path: path, shared: true) } catch {
        close(descriptor)
        throw error
      }
    }

    deinit { close(descriptor) }
  }

  /// The whole lines of the journal at `path`, none where there is none, and whether a process writes it now; changes
  /// nothing.
  public static func glance(at path: String) throws -> (lines: [String], isWritten: Bool) {
    guard FileManager.default.fileExists(atPath: path) else { return ([], false) }
    let descriptor = try SystemCalls.openFile(path, O_RDONLY, doing: "read the journal")
    defer { close(descriptor) }
    let isWritten = flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
    return (wholeLines(of: try FileBytes.read(path)).lines, isWritten)
  }

  // MARK: - Helpers

  private func currentSize() -> Int {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? Int(status.st_size) : 0
  }

  private func seek(to offset: Int) throws {
    if lseek(descriptor, off_t(offset), SEEK_SET) < 0 {
      throw StorageError.system(errno, "write", at: path)
    }
  }

  private static func takeLock(
    _ descriptor: Int32, path: String, shared: Bool = false
  ) throws {
    while flock(descriptor, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0 {
      switch errno {
      case EINTR: continue
      case EWOULDBLOCK:
        throw StorageError(
          "another run is writing this journal", at: path,
          hint: "wait for it to end, or give another results folder")
      default: return  // a file system without locks
      }
    }
  }

  /// The leading lines that are whole and text, and the number of bytes they take.
  private static func wholeLines(of content: Data) -> (lines: [String], length: Int) {
    var lines: [String] = []
    var start = content.startIndex
    while let end = content[start...].firstIndex(of: 0x0a) {
      let bytes = content[start..<end]
      guard !bytes.contains(0), let line = String(validating: bytes, as: UTF8.self) else { break }
      lines.append(line)
      start = end + 1
    }
    return (lines, start - content.startIndex)
  }
}
