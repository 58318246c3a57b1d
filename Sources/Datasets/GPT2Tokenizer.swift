// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// GPT-2's byte-level byte-pair encoding, equal to tiktoken's `gpt2` on any text in UTF-8.
///
/// Equal too with a vocabulary cut to the first merges. Letters, numbers and white space are those of
/// Unicode 16 as in tiktoken 0.14, whatever the Swift library knows; one that is older than Unicode 16
/// may cut words with the newest scalars differently.
public struct GPT2Tokenizer: Sendable {
  /// The id of `<|endoftext|>`: the last one, 50256 when uncut.
  public let endOfText: Int
  private let byteIDs: [Int32]
  /// The merged token of a pair, which is its rank too. Looking up pairs is what tiktoken's looking up
  /// of merged bytes comes to, because the bytes of every token of GPT-2 merge to this token.
  private let merges: [Pair: Int32]
  /// All tokens' bytes one after the other, and where each begins; the last entry is the end.
  private let tokenBytes: [UInt8]
  private let tokenStarts: [Int]

  /// The number of tokens, `<|endoftext|>` included: 50257 when uncut.
  public var vocabularySize: Int { endOfText + 1 }

  /// Two tokens side by side.
  private struct Pair: Hashable {
    let left: Int32
    let right: Int32
  }

  // MARK: - Encoding

  /// The tokens of `text`; special tokens in it are ordinary text.
  public func encode(_ text: some StringProtocol) -> [Int] {
    var text = String(text)
    return text.withUTF8 { encode($0) }
  }

  /// The tokens of a text in UTF-8, whose bytes `decodeBytes` gives back even where they are not UTF-8.
  public func encode(_ bytes: [UInt8]) -> [Int] { bytes.withUnsafeBufferPointer { encode($0) } }

  private func encode(_ bytes: UnsafeBufferPointer<UInt8>) -> [Int] {
    var tokens: [Int] = []
    tokens.reserveCapacity(bytes.count / 3)
    // Words come again: where a word of the same hash was last met, and where its tokens are.
    var slots = 64
    while slots < bytes.count / 16, slots < 1 << 16 { slots *= 2 }
    var met = [(word: Range<Int>, tokens: Range<Int>)](repeating: (0..<0, 0..<0), count: slots)
    for word in GPT2Words(bytes) {
      var hash: UInt64 = 0xcbf2_9ce4_8422_2325
      for index in word { hash = (hash ^ UInt64(bytes[index])) &* 0x100_0000_01b3 }
      let slot = Int(truncatingIfNeeded: hash ^ (hash >> 32)) & (slots - 1)
      let start = tokens.count
      if bytes[met[slot].word].elementsEqual(bytes[word]) {
        for index in met[slot].tokens { tokens.append(tokens[index]) }
      } else {
        tokens += merge(bytes[word])
        met[slot].word = word
      }
      met[slot].tokens = start..<tokens.count
    }
    return tokens
  }

  /// The tokens of one word: the pair of the lowest rank is merged, the leftmost of equals, as long as
  /// there is one. Takes n log n steps for n bytes.
  func merge(_ word: some Collection<UInt8>) -> [Int] {
    var ids = word.map { byteIDs[Int($0)] }
    guard ids.count > 1 else { return ids.map { Int($0) } }
    // A list of the tokens; one that was swallowed by its left neighbour has the id -1.
    var next = Array(1...ids.count)
    var previous = Array(-1..<ids.count - 1)
    var queue = MinimumHeap()
    func propose(_ left: Int) {
      guard left >= 0, next[left] < ids.count,
        let merged = merges[Pair(left: ids[left], right: ids[next[left]])]
      else { return }
      queue.push(UInt64(merged) << 32 | UInt64(left))
    }
    for index in ids.indices { propose(index) }
    while let candidate = queue.pop() {
      let (merged, left) = (Int32(candidate >> 32), Int(candidate & 0xffff_ffff))
      let right = next[left]
      // Out of date if one of the two has been merged in the meantime.
      guard right < ids.count, merges[Pair(left: ids[left], right: ids[right])] == merged else {
        continue
      }
      (ids[left], ids[right]) = (merged, -1)
      next[left] = next[right]
      if next[left] < ids.count { previous[next[left]] = left }
      propose(previous[left])
      propose(left)
    }
    return ids.filter { $0 >= 0 }.map { Int($0) }
  }

  // MARK: - Decoding

  /// The text of `tokens`, what is not UTF-8 replaced by U+FFFD; errors as `decodeBytes`.
  public func decode(_ tokens: [Int]) throws -> String {
    String(decoding: try decodeBytes(tokens), as: UTF8.self)
  }

  /// The bytes of `tokens`; throws a `VocabularyError` for an id outside 0..<vocabularySize.
  public func decodeBytes(_ tokens: [Int]) throws -> [UInt8] {
    var bytes: [UInt8] = []
    for (position, id) in tokens.enumerated() {
      guard id >= 0, id < vocabularySize else {
        throw VocabularyError.unknownToken(id, position: position, size: vocabularySize)
      }
      bytes += tokenBytes[tokenStarts[id]..<tokenStarts[id + 1]]
    }
    return bytes
  }
}

// MARK: - Reading the vocabulary

extension GPT2Tokenizer {
  private static let special = "<|endoftext|>"

  /// The characters that stand for the bytes in the files: printable ones for themselves, the others
  /// for U+0100 and following.
  private static let byteCharacters: [String] = {
    var others: UInt32 = 0x100
    return (UInt32(0)..<256).map { byte in
      switch byte {
      case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: return String(UnicodeScalar(UInt8(byte)))
      default:
        defer { others += 1 }
        return UnicodeScalar(others).map { String($0) } ?? ""
      }
    }
  }()

  /// Reads GPT-2's `encoder.json` (path `encoder`) and `vocab.bpe` (path `merges`).
  ///
  /// With a `limit`, the vocabulary is cut to the first merges for small models: the ids are those of the
  /// 256 bytes, of that many merges, and 256 + limit for `<|endoftext|>`. Throws a `StorageError` if a
  /// file cannot be read or is of another format, if the two do not match, or if there are fewer merges
  /// than the limit.
  public init(encoder: String, merges: String, limit: Int? = nil) throws {
    let ids = try Self.readEncoder(encoder)
    let list = try Self.readMerges(merges)
    let hint = "take encoder.json and vocab.bpe from the same release of GPT-2"
    guard ids.count == 256 + list.count + (ids[Self.special] == nil ? 0 : 1) else {
      throw StorageError(
        "\(list.count) merges do not match the \(ids.count) tokens of \(encoder)", at: merges,
        hint: hint)
    }
    let count = limit ?? list.count
    guard count >= 0, count <= list.count else {
      throw StorageError(
        "the first \(count) merges of \(list.count) are asked for", at: merges,
        hint: "choose a limit between 0 and \(list.count)")
    }
    var tokens = [[UInt8]](repeating: [], count: 256)
    byteIDs = try Self.byteCharacters.enumerated().map { byte, character in
      guard let id = ids[character], tokens.indices.contains(id), tokens[id].isEmpty else {
        throw StorageError(
          "no id of its own below 256 for the byte \(byte) ('\(character)')", at: encoder,
          hint: hint)
      }
      tokens[id] = [UInt8(byte)]
      return Int32(id)
    }
    var pairs: [Pair: Int32] = [:]
    pairs.reserveCapacity(count)
    for (left, right) in list.prefix(count) {
      let id = tokens.count
      guard ids[left + right] == id, let a = ids[left], let b = ids[right],
        tokens.indices.contains(a), tokens.indices.contains(b)
      else {
        throw StorageError(
          "merge \(id - 255), '\(left) \(right)', is not token \(id) of \(encoder)", at: merges,
          hint: hint)
      }
      pairs[Pair(left: Int32(a), right: Int32(b))] = Int32(id)
      tokens.append(tokens[a] + tokens[b])
    }
    self.merges = pairs
    endOfText = tokens.count
    tokens.append(Array(Self.special.utf8))
    tokenBytes = Array(tokens.joined())
    tokenStarts = tokens.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.count) }
  }

  private static func readEncoder(_ path: String) throws -> [String: Int] {
    let data = try FileBytes.read(path)
    do { return try JSONDecoder().decode([String: Int].self, from: data) } catch {
      throw StorageError(
        "not a JSON object of token ids", at: path, hint: "get GPT-2's encoder.json again")
    }
  }

  private static func readMerges(_ path: String) throws -> [(String, String)] {
    let text = String(decoding: try FileBytes.read(path), as: UTF8.self)
    let lines = text.utf8.split { $0 == 0x0a || $0 == 0x0d }
    return try lines.enumerated().compactMap { number, line in
      if number == 0, line.starts(with: "#version".utf8) { return nil }
      let parts = line.split(separator: 0x20)
      guard parts.count == 2 else {
        throw StorageError(
          "line \(number + 1), '\(Substring(line).prefix(40))', is not a pair of tokens", at: path,
          hint: "get GPT-2's vocab.bpe again")
      }
      return (String(Substring(parts[0])), String(Substring(parts[1])))
    }
  }
}

/// The smallest of some numbers, again and again: a binary heap.
private struct MinimumHeap {
  private var items: [UInt64] = []

  mutating func push(_ item: UInt64) {
    items.append(item)
    var child = items.count - 1
    while child > 0, items[child] < items[(child - 1) / 2] {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> UInt64? {
    guard let last = items.popLast() else { return nil }
    guard let smallest = items.first else { return last }
    items[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child + 1 < items.count, items[child + 1] < items[child] { child += 1 }
      guard child < items.count, items[child] < items[parent] else { return smallest }
      items.swapAt(child, parent)
      parent = child
    }
  }
}
