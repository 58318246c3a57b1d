// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// A file of tokens of 16 bits, little-endian: nanoGPT's `train.bin` or a shard of llm.c.
public struct TokenFile: Sendable {
  /// What stands before the tokens.
  public enum Format: Sendable, CaseIterable {
    /// Nothing (nanoGPT's `train.bin` and `val.bin`).
    case plain
    /// 256 little-endian int32: the magic number 20240520, version 1, the number of tokens, zeros
    /// (llm.c's `.bin` shards).
    case shard
  }

  private static let magic: Int32 = 20_240_520
  private static let version: Int32 = 1
  /// llm.c's shards for Llama 3.
  private static let wideMagic: Int32 = 20_240_801
  private static let headerCount = 256
  private static let headerSize = 4 * headerCount

  /// Where the file lies.
  public let path: String
  /// The format that was recognised.
  public let format: Format
  /// The tokens [count].
  public let tokens: [UInt16]

  /// Reads the file at `path`, a shard if it begins with the magic number (whose tokens, 55432 and 308,
  /// are no beginning of a plain file in GPT-2's vocabulary).
  ///
  /// Throws a `StorageError` if it cannot be read, is empty or of odd size, or if a shard's version is
  /// unknown or its size disagrees with its header.
  public init(path: String) throws {
    let data = try FileBytes.read(path)
    self.path = path
    if data.count >= 8, Self.header(data, 0) == Self.wideMagic {
      throw StorageError(
        "a shard of 32-bit tokens (magic number \(Self.wideMagic), of Llama's vocabulary)",
        at: path,
        hint: "write it again with GPT-2's tokenizer, 16-bit tokens")
    }
    if data.count >= 4, Self.header(data, 0) == Self.magic {
      format = .shard
      try Self.checkShard(data, at: path)
      tokens = Self.load(data.dropFirst(Self.headerSize))
    } else {
      format = .plain
      guard data.count > 0, data.count % 2 == 0 else {
        throw StorageError(
          data.isEmpty
            ? "empty, no tokens" : "\(data.count) bytes are not a whole number of 2-byte tokens",
          at: path, hint: "get the file again, or check that it holds uint16 tokens")
      }
      tokens = Self.load(data)
    }
  }

  /// Throws a `StorageError` that names the first token outside 0..<vocabularySize and its position.
  public func check(vocabularySize: Int) throws {
    guard let position = tokens.firstIndex(where: { Int($0) >= vocabularySize }) else { return }
    throw StorageError(
      "token \(tokens[position]) at position \(position) is outside the vocabulary "
        + "0..<\(vocabularySize)",
      at: path, hint: "choose the vocabulary that the file was made with")
  }

  /// Replaces the file at `path` by `tokens`: whole or, if a `StorageError` is thrown, not at all.
  public static func write(_ tokens: [UInt16], to path: String, as format: Format) throws {
    try AtomicFile.write(to: path) { sink in
      if format == .shard {
        guard let count = Int32(exactly: tokens.count) else {
          throw StorageError(
            "\(tokens.count) tokens are more than a shard can count", at: path,
            hint: "write several shards")
        }
        var header = [Int32](repeating: 0, count: headerCount)
        header.replaceSubrange(0..<3, with: [magic, version, count])
        try header.withUnsafeBytes { try sink.write($0) }
      }
      try tokens.withUnsafeBytes { try sink.write($0) }
    }
  }

  private static func checkShard(_ data: Data, at path: String) throws {
    guard data.count >= headerSize else {
      throw StorageError(
        "a token shard of \(data.count) bytes, but its header alone has \(headerSize)", at: path,
        hint: "get it again, the download may have been interrupted")
    }
    guard header(data, 1) == version else {
      throw StorageError(
        "a token shard of version \(header(data, 1)), only version \(version) is known", at: path,
        hint: "write it again as version \(version), uint16 tokens after 256 int32")
    }
    let (size, count) = (data.count - headerSize, header(data, 2))
    guard Int(count) * 2 == size else {
      throw StorageError(
        "the header counts \(count) tokens, \(Int(count) * 2) bytes, but \(size) bytes follow it",
        at: path, hint: "get it again, the download may have been interrupted")
    }
  }

  private static func header(_ data: Data, _ index: Int) -> Int32 {
    data.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 4 * index, as: Int32.self) }
  }

  private static func load(_ data: Data) -> [UInt16] {
    [UInt16](unsafeUninitializedCapacity: data.count / 2) { buffer, initialized in
      initialized = data.copyBytes(to: buffer) / 2
    }
  }
}
