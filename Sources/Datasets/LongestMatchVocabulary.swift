// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// A vocabulary of byte strings that encodes text by longest match, as GPT2-BASIC's `VOCAB.BIN` holds it.
///
/// Little-endian: a count, then for each token its length, 16 bytes of text (zero padded) and its id.
public struct LongestMatchVocabulary: Sendable {
  /// Ids are 0 ..< count.
  public let count: Int
  private let strings: [[UInt8]]
  private let ids: [[UInt8]: Int]
  private let longest: Int

  /// Reads `path`; throws a `StorageError` for a file that is cut short or whose entries are not such tokens,
  /// among them all 256 single bytes.
  public init(path: String) throws {
    let data = try FileBytes.read(path)
    let hint = "get the file anew"
    func word(_ offset: Int) -> Int {
      Int(
        data.withUnsafeBytes {
          UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        })
    }
    guard data.count >= 4 else { throw StorageError("no count", at: path, hint: hint) }
    let count = word(0)
    guard count >= 256, data.count >= 4 + 24 * count else {
      throw StorageError(
        "\(data.count) bytes cannot hold \(count) tokens of 24 bytes", at: path, hint: hint)
    }
    var strings = [[UInt8]](repeating: [], count: count)
    var ids: [[UInt8]: Int] = [:]
    for entry in 0..<count {
      let offset = 4 + 24 * entry
      let (length, id) = (word(offset), word(offset + 20))
      guard (1...16).contains(length), id < count, strings[id].isEmpty else {
        throw StorageError(
          "token \(entry) has the length \(length) and the id \(id)", at: path, hint: hint)
      }
      let start = data.startIndex + offset + 4
      strings[id] = Array(data[start..<(start + length)])
      // The names of special tokens are no text.
      if !strings[id].starts(with: Array("<|".utf8)) || length <= 2 { ids[strings[id]] = id }
    }
    for byte in UInt8.min...UInt8.max where ids[[byte]] == nil {
      throw StorageError("no token for the byte \(byte)", at: path, hint: hint)
    }
    (self.count, self.strings, self.ids) = (count, strings, ids)
    longest = strings.map(\.count).max() ?? 1
  }

  /// The ids of `text`: at every place the longest token that fits.
  public func encode(_ text: String) -> [Int] {
    let bytes = Array(text.utf8)
    var tokens: [Int] = []
    var place = 0
    while place < bytes.count {
      var length = min(longest, bytes.count - place)
      while length > 1, ids[Array(bytes[place..<(place + length)])] == nil { length -= 1 }
      tokens.append(ids[Array(bytes[place..<(place + length)])] ?? 0)
      place += length
    }
    return tokens
  }

  /// The text of `tokens`; bytes that are no UTF-8 become U+FFFD.
  ///
  /// Throws a `VocabularyError` for an id outside 0 ..< count.
  public func decode(_ tokens: [Int]) throws -> String {
    var bytes: [UInt8] = []
    for (position, id) in tokens.enumerated() {
      guard strings.indices.contains(id) else {
        throw VocabularyError.unknownToken(id, position: position, size: count)
      }
      bytes += strings[id]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
