// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A failure of the world (a file, a disk, a foreign format): what, where and what to do next.
public struct StorageError: Error, Equatable, Sendable {
  /// What is wrong, without the path: `not an HDF5 file (first bytes 89 50 4e 47)`.
  public let what: String
  /// The file or folder concerned.
  public let path: String
  /// What to do next: `delete it and run again`.
  public let hint: String

  /// An error about `path`; line breaks and control characters in any part become spaces.
  public init(_ what: String, at path: String, hint: String) {
    self.what = oneLine(what)
    self.path = oneLine(path)
    self.hint = oneLine(hint)
  }
}

extension StorageError: CustomStringConvertible, LocalizedError {
  /// The whole error in one line: `results/a.h5: not an HDF5 file; delete it and run again`.
  public var description: String { "\(path): \(what); \(hint)" }

  /// The same line, so that `localizedDescription` says it too.
  public var errorDescription: String? { description }
}

extension StorageError {
  /// The error for a failed system call: `cannot write: disk full; free some space …`.
  static func system(_ code: Int32, _ doing: String, at path: String) -> StorageError {
    let (reason, hint): (String, String) =
      switch code {
      case ENOSPC: ("disk full", "free some space or choose another folder, then run again")
      case EDQUOT: ("disk quota used up", "free some space or choose another folder")
      case EFBIG: ("file size limit reached", "raise the limit (ulimit -f)")
      case EACCES, EPERM: ("permission denied", "check who may read and write there")
      case EROFS: ("read-only file system", "choose a folder that can be written")
      case ENOENT: ("no such file or folder", "check the path")
      case ENOTDIR: ("a part of the path is a file, not a folder", "check the path")
      case EISDIR: ("it is a folder", "name a file")
      case ENAMETOOLONG: ("name too long", "choose a shorter name")
      case EMFILE, ENFILE: ("too many open files", "raise the limit (ulimit -n)")
      case EIO: ("input/output error", "check the disk")
      default: (String(cString: strerror(code)), "check the path and the disk")
      }
    return StorageError("cannot \(doing): \(reason)", at: path, hint: hint)
  }
}

/// Up to `count` leading bytes in hexadecimal, for messages about a wrong magic number.
func firstBytes(_ data: Data, count: Int = 8) -> String {
  data.prefix(count)
    .map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
    .joined(separator: " ")
}
