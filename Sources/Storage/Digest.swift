// SPDX-License-Identifier: Apache-2.0

import CCrypto
import Foundation

/// SHA-256 in lower-case hexadecimal, by libcrypto.
public enum Digest {
  /// The digest of `data`.
  public static func sha256(of data: Data) -> String {
    let hash = Hash()
    for region in data.regions { region.withUnsafeBytes { hash.update($0) } }
    return hash.finish()
  }

  /// The digest of the UTF-8 bytes of `text`.
  public static func sha256(of text: String) -> String { sha256(of: Data(text.utf8)) }

  /// The digest of the file at `path`, which is read piece by piece.
  ///
  /// Throws a `StorageError` for what is no regular file or cannot be read.
  public static func sha256(ofFile path: String) throws -> String {
    let descriptor = try SystemCalls.openFile(path, O_RDONLY, doing: "read")
    defer { close(descriptor) }
    _ = try SystemCalls.fileSize(descriptor, path: path)
    let hash = Hash()
    try SystemCalls.readPieces(descriptor, path: path) { hash.update($0) }
    return hash.finish()
  }
}

/// A hash on its way.
private final class Hash {
  private let context: OpaquePointer

  init() {
    guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
      preconditionFailure("libcrypto has no SHA-256, or there is no memory for it")
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  func update(_ bytes: UnsafeRawBufferPointer) {
    _ = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
  }

  func finish() -> String {
    var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var length: UInt32 = 0
    _ = EVP_DigestFinal_ex(context, &digest, &length)
    return digest.prefix(Int(length)).map { String(format: "%02x", $0) }.joined()
  }
}
