import Foundation

/// Whole files as bytes, for the readers of formats that live outside this module.
public enum FileBytes {
  /// The content of the regular file at `path`, mapped where the system allows it.
  ///
  /// Throws a `StorageError` that says why it cannot be read.
  public static func read(_ path: String) throws -> Data { try SystemCalls.mapFile(path) }
}
