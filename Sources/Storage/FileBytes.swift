import Foundation

/// Whole files as bytes, for the readers of formats that live outside this module.
public enum FileBytes {
  /// The content of the regular file at `path`.
  ///
  /// Throws a `StorageError` that says why it cannot be read.
  public static func read(_ path: String) throws -> Data {
    let file = try FileReader(path)
    var data = Data(count: file.size)
    try data.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }
    return data
  }

  /// The text of the regular file at `path`; nil where there is none, or what it holds is not UTF-8.
  public static func text(_ path: String) -> String? {
    (try? read(path)).flatMap { String(data: $0, encoding: .utf8) }
  }
}
