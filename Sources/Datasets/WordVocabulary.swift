// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// One token a word, as word-level language models count them: what spaces and line breaks separate, and `<eos>` at the end
/// of every line. Ids are given by first occurrence.
struct WordVocabulary {
  /// The words in the order of their ids.
  private(set) var words: [String] = []
  private var ids: [String: UInt16] = [:]

  /// What stands for a word that is not in the vocabulary.
  static let unknown = "<unk>"
  /// The end of a line.
  static let endOfLine = "<eos>"
  /// Ids have sixteen bits.
  static let limit = 1 << 16

  /// Lines of words, `<eos>` after each.
  static func tokens(of text: String) -> [String] {
    var lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    var tokens: [String] = []
    tokens.reserveCapacity(text.utf8.count / 5)
    for line in lines {
      for word in line.split(whereSeparator: { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }
      ) {
        tokens.append(String(Substring(word)))
      }
      tokens.append(endOfLine)
    }
    return tokens
  }

  /// The vocabulary of `tokens`: all of them, or the `count` most frequent (of equally frequent ones the first), `<unk>`
  /// among them for the rest.
  init(of tokens: [String], keeping count: Int = WordVocabulary.limit) {
    var order: [String: (first: Int, times: Int)] = [:]
    for token in tokens {
      let seen = order[token] ?? (order.count, 0)
      order[token] = (seen.first, seen.times + 1)
    }
    var chosen = Array(order)
    if chosen.count > count {
      chosen.sort { ($1.value.times, $0.value.first) < ($0.value.times, $1.value.first) }
      chosen = Array(chosen.filter { $0.key != Self.unknown }.prefix(count - 1))
      chosen.append((Self.unknown, order[Self.unknown] ?? (order.count, 0)))
    }
    for (word, _) in chosen.sorted(by: { $0.value.first < $1.value.first }) { add(word) }
  }

  private mutating func add(_ word: String) {
    ids[word] = UInt16(words.count)
    words.append(word)
  }

  /// The ids of `tokens`; what is not in the vocabulary becomes `<unk>`, which is added to it if need be.
  mutating func encode(_ tokens: [String]) -> [UInt16] {
    tokens.map { token in
      if let id = ids[token] { return id }
      if ids[Self.unknown] == nil { add(Self.unknown) }
      return ids[Self.unknown] ?? 0
    }
  }
}

extension LanguageData {
  /// The most words of a generated stand-in, and of Penn Treebank.
  private static let treebankWords = 10_000

  /// Penn Treebank by words (Mikolov's version): training and validation files, lines joined by `<eos>`.
  static func pennTreebank(_ folder: String) throws -> LanguageData {
    let corpora = try TextCorpus.parts(["ptb/ptb.train.txt", "ptb/ptb.valid.txt"], folder: folder)
    return corpora.map { words($0, name: "Penn Treebank", isStandIn: false) } ?? standInTreebank
  }

  /// The stand-in, nine lines in ten to train on, made once a process.
  private static let standInTreebank: LanguageData = {
    let lines = StandInText.text.split(separator: "\n", omittingEmptySubsequences: true)
    let cut = lines.count - lines.count / 10
    let parts = [lines[..<cut], lines[cut...]].map { $0.joined(separator: "\n") + "\n" }
    return words(parts, name: "generated stand-in for Penn Treebank", isStandIn: true)
  }()

  /// A training and a validation text by words; the vocabulary is the training text's.
  static func words(_ texts: [String], name: String, isStandIn: Bool) -> LanguageData {
    let tokens = texts.map(WordVocabulary.tokens)
    var vocabulary = WordVocabulary(
      of: tokens[0], keeping: isStandIn ? treebankWords : WordVocabulary.limit)
    let encoded = tokens.map { vocabulary.encode($0) }
    let words = vocabulary.words
    return LanguageData(
      name: name, isStandIn: isStandIn, vocabulary: words.count, training: encoded[0],
      validation: encoded[1],
      digest: texts.map { Digest.sha256(of: $0) }.joined(separator: " ") + " words",
      decode: { ids in
        ids.map { words.indices.contains($0) ? words[$0] : WordVocabulary.unknown }
          .joined(separator: " ").replacingOccurrences(of: " <eos> ", with: "\n")
      })
  }
}
