// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Whole files as bytes, for the readers of formats that live outside this module.
public enum FileBytes {
  /// Whether a folder lies at `path`, at the end of its links; nil where nothing does.
  public static func isFolder(_ path: String) -> Bool? {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
      ? isFolder.boolValue : nil
  }

  /// The content of the regular file at `path`.
  ///
  /// Throws a `StorageError` that says why it cannot be read.
  public static func read(_ path: String) throws -> Data {
    let file = try FileReader(path)
    // `Data` traps where there is no memory, and a system that promises too much kills the process later.
    guard UInt64(file.size) <= ProcessInfo.processInfo.physicalMemory,
      let memory = malloc(max(1, file.size))
    else {
      throw StorageError(
        "its \(file.size) bytes do not fit into the memory", at: path, hint: "name a smaller file")
    }
    do {
      try file.read(
        at: 0, into: UnsafeMutableRawBufferPointer(start: memory, count: file.size))
      try file.checkThatItEnds()
    } catch {
      free(memory)
      throw error
    }
    // Only now: a small `Data` copies what is there, and frees it.
    return Data(bytesNoCopy: memory, count: file.size, deallocator: .free)
  }

  /// The text of the regular file at `path`; nil where there is none, or what it holds is not UTF-8.
  public static func text(_ path: String) -> String? {
    (try? read(path)).flatMap { String(data: $0, encoding: .utf8) }
  }
}
