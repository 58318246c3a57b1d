// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// The tokenizer of uncased BERT models, as Hugging Face's BertTokenizer: text is cleaned, accents are stripped, letters are made small, words are cut
/// at white space, punctuation and CJK characters, and each word into the longest pieces of the vocabulary from its beginning.
public struct WordPieceTokenizer: Sendable {
  /// The pieces by number: line i of vocab.txt.
  public let pieces: [String]
  /// The numbers of [CLS], [SEP], [PAD] and [UNK].
  public let classToken: Int, separator: Int, padding: Int, unknown: Int
  private let ids: [[UInt32]: Int]
  /// Tokens that are looked for in the raw text, whatever stands around them.
  private let special: [(text: [Unicode.Scalar], id: Int)]
  private let longest: Int

  /// Words of more characters than this are unknown.
  private static let longestWord = 100

  /// The vocabulary of these pieces, one each a line of a vocab.txt.
  ///
  /// Throws a `VocabularyError` where one of [PAD], [UNK], [CLS], [SEP] is missing, or a piece is there twice.
  public init(pieces: [String]) throws {
    self.pieces = pieces
    var ids: [[UInt32]: Int] = [:]
    for (id, piece) in pieces.enumerated() {
      guard ids.updateValue(id, forKey: piece.unicodeScalars.map(\.value)) == nil else {
        throw VocabularyError.notAVocabulary(
          "the piece '\(piece)' is there twice, last in line \(id + 1)")
      }
    }
    func find(_ name: String) throws -> Int {
      guard let id = ids[name.unicodeScalars.map(\.value)] else {
        throw VocabularyError.notAVocabulary("the vocabulary has no piece \(name)")
      }
      return id
    }
    (padding, unknown) = (try find("[PAD]"), try find("[UNK]"))
    (classToken, separator) = (try find("[CLS]"), try find("[SEP]"))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].compactMap { name in
      ids[name.unicodeScalars.map(\.value)].map { (Array(name.unicodeScalars), $0) }
    }
    self.ids = ids
    longest = ids.keys.map(\.count).max() ?? 0
  }

  /// The vocabulary in a vocab.txt.
  ///
  /// Throws a `StorageError` for a file that cannot be read, is not UTF-8 or is no such vocabulary.
  public init(file path: String) throws {
    guard let text = String(data: try FileBytes.read(path), encoding: .utf8) else {
      throw StorageError("is not UTF-8", at: path, hint: "get the vocabulary again")
    }
    var lines = text.unicodeScalars.split(
      separator: "\n", omittingEmptySubsequences: false
    ).map { String(String.UnicodeScalarView($0.last == "\r" ? $0.dropLast() : $0)) }
    if lines.last?.isEmpty ?? false { lines.removeLast() }
    do { try self.init(pieces: lines) } catch let error as VocabularyError {
      throw StorageError(error.description, at: path, hint: "is it the vocab.txt of a BERT?")
    }
  }

  /// A vocabulary of the words of `texts`, whole, frequent ones first, for models that were not trained with one.
  public init(wordsOf texts: [String]) throws {
    var times: [String: Int] = [:]
    for text in texts {
      for word in Self.words(of: Array(text.unicodeScalars)[...])
      where word.count <= Self.longestWord {
        var scalars = String.UnicodeScalarView()
        scalars.append(contentsOf: word.compactMap(Unicode.Scalar.init))
        times[String(scalars), default: 0] += 1
      }
    }
    let words = times.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key)
    try self.init(pieces: ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + words)
  }

  // MARK: - Encoding

  /// [CLS], the pieces of `text`, [SEP]: at most `limit` >= 2 in all, pieces beyond it left out.
  public func encode(_ text: String, limit: Int = .max) -> [Int] {
    precondition(limit >= 2, "\(limit) tokens do not hold [CLS] and [SEP]")
    return [classToken] + tokens(text).prefix(limit - 2) + [separator]
  }

  /// The pieces of `text` alone.
  public func tokens(_ text: String) -> [Int] {
    let scalars = Array(text.unicodeScalars)
    var result: [Int] = []
    var (start, place) = (0, 0)
    while place < scalars.count {
      let match =
        scalars[place] == "["
        ? special.first { scalars[place...].starts(with: $0.text) } : nil
      guard let match else {
        place += 1
        continue
      }
      appendPlain(scalars[start..<place], to: &result)
      result.append(match.id)
      place += match.text.count
      start = place
    }
    appendPlain(scalars[start...], to: &result)
    return result
  }

  private func appendPlain(_ text: ArraySlice<Unicode.Scalar>, to result: inout [Int]) {
    for word in Self.words(of: text) { result += pieces(of: word) }
  }

  /// The words of a text, each punctuation mark a word of its own.
  private static func words(of text: ArraySlice<Unicode.Scalar>) -> [[UInt32]] {
    var (words, word) = ([[UInt32]](), [UInt32]())
    func finish() {
      if !word.isEmpty { words.append(word) }
      word.removeAll(keepingCapacity: true)
    }
    for scalar in normalized(text) {
      if scalar.properties.isWhitespace {
        finish()
      } else if isPunctuation(scalar) {
        finish()
        words.append([scalar.value])
      } else {
        word.append(scalar.value)
      }
    }
    finish()
    return words
  }

  /// The longest pieces from the beginning; [UNK] for a word that has none, or is too long.
  private func pieces(of word: [UInt32]) -> [Int] {
    guard word.count <= Self.longestWord else { return [unknown] }
    var (result, start) = ([Int](), 0)
    while start < word.count {
      let prefix: [UInt32] = start == 0 ? [] : [0x23, 0x23]  // ##
      var end = min(word.count, start + longest)
      var found: Int?
      while found == nil && end > start {
        found = ids[prefix + word[start..<end]]
        if found == nil { end -= 1 }
      }
      guard let found else { return [unknown] }
      result.append(found)
      start = end
    }
    return result
  }

  // MARK: - Normalization

  /// Cleaned, CJK characters apart, decomposed without nonspacing marks, small.
  private static func normalized(_ text: ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar] {
    var cleaned = String.UnicodeScalarView()
    for scalar in text {
      let isBreak = scalar == "\t" || scalar == "\n" || scalar == "\r"
      if scalar.value == 0 || scalar.value == 0xFFFD || !isBreak && isControl(scalar) { continue }
      if isBreak || scalar.properties.isWhitespace {
        cleaned.append(" ")
      } else if isCJK(scalar) {
        cleaned.append(contentsOf: [" ", scalar, " "])
      } else {
        cleaned.append(scalar)
      }
    }
    var result: [Unicode.Scalar] = []
    for scalar in String(cleaned).decomposedStringWithCanonicalMapping.unicodeScalars
    where category(scalar) != .nonspacingMark {
      result += scalar.properties.lowercaseMapping.unicodeScalars
    }
    return result
  }

  /// The general category in Unicode 8, whose tables Hugging Face's tokenizer has: what is younger has none, and of the older ones these
  /// have changed since.
  private static func category(_ scalar: Unicode.Scalar) -> Unicode.GeneralCategory {
    switch scalar.value {
    case 0x166D, 0x111C9: .otherPunctuation
    case 0x1734: .nonspacingMark
    case 0x1885, 0x1886: .otherLetter
    case 0xA9BD: .spacingMark
    default:
      (scalar.properties.age?.major ?? 99) <= 8
        ? scalar.properties.generalCategory : .unassigned
    }
  }

  /// Unassigned characters are kept.
  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch category(scalar) {
    case .control, .format, .privateUse: true
    default: false
    }
  }

  private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 33...47, 58...64, 91...96, 123...126: return true  // ASCII's, symbols included
    default: break
    }
    switch category(scalar) {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
      .initialPunctuation, .finalPunctuation, .otherPunctuation:
      return true
    default: return false
    }
  }

  /// The blocks of CJK ideographs that BERT knows.
  private static func isCJK(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
      0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }
}
