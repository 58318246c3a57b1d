// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A regular file open for reading at any place.
///
/// Nothing is mapped: a file that someone cuts short meanwhile is an error here, not a signal.
final class FileReader: Sendable {
  let path: String
  /// The size when the file was opened.
  let size: Int
  private let descriptor: Int32

  init(_ path: String) throws {
    self.path = path
    descriptor = try SystemCalls.openFile(path, O_RDONLY, doing: "read")
    do {
      size = try SystemCalls.fileSize(descriptor, path: path)
    } catch {
      close(descriptor)
      throw error
    }
  }

  deinit { close(descriptor) }

  /// Fills `buffer` with the bytes from `offset` on.
  func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
    guard let base = buffer.baseAddress else { return }
    var done = 0
    while done < buffer.count {
      let count = pread(descriptor, base + done, buffer.count - done, off_t(offset + done))
      if count < 0 {
        let code = errno
        if code == EINTR { continue }
        throw StorageError.system(code, "read", at: path)
      }
      if count == 0 {
        throw StorageError(
          "ends at byte \(offset + done), it had \(size) bytes when it was opened", at: path,
          hint: "wait until nothing writes the file, then run again")
      }
      done += count
    }
  }

  /// Throws a `StorageError` for a file of the system that has no size and goes on all the same.
  func checkThatItEnds() throws {
    var byte: UInt8 = 0
    guard size == 0, pread(descriptor, &byte, 1, 0) != 0 else { return }
    throw StorageError("has no size of its own", at: path, hint: "name a file on a disk")
  }

  /// `count` elements from their bytes at `offset`; they need not be aligned in the file.
  func elements<Element: BitwiseCopyable>(at offset: Int, count: Int) throws -> [Element] {
    try [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
      let bytes = UnsafeMutableRawBufferPointer(
        start: buffer.baseAddress, count: count * MemoryLayout<Element>.stride)
      try read(at: offset, into: bytes)
      initialized = count
    }
  }

  /// Calls `body` with the bytes of `range`, piece by piece.
  func pieces(of range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    let size = 1 << 20
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: min(size, max(range.count, 1)), alignment: 16)
    defer { buffer.deallocate() }
    for offset in stride(from: range.lowerBound, to: range.upperBound, by: size) {
      let piece = UnsafeMutableRawBufferPointer(
        rebasing: buffer[..<min(size, range.upperBound - offset)])
      try read(at: offset, into: piece)
      try body(UnsafeRawBufferPointer(piece))
    }
  }
}
