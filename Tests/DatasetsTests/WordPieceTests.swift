// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

@testable import Datasets

/// The uncased tokenizer against Hugging Face's (Goldens/make_wordpiece.py).
@Suite struct WordPieceTests {
  private struct Row: Decodable {
    let text: String
    let ids: [Int]
  }

  private static func path(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Goldens/\(name)").path
  }

  @Test func everyTextIsCutAsByHuggingFace() throws {
    let tokenizer = try WordPieceTokenizer(file: Self.path("wordpiece-vocab.txt"))
    let data = try Data(contentsOf: URL(fileURLWithPath: Self.path("wordpiece-tokens.json")))
    let rows = try JSONDecoder().decode([Row].self, from: data)
    #expect(rows.count > 100)
    for row in rows {
      let got = tokenizer.encode(row.text)
      #expect(
        got == row.ids,
        "\(row.text.unicodeScalars.map { String($0.value, radix: 16) }): \(got.map { tokenizer.pieces[$0] }), not \(row.ids.map { tokenizer.pieces[$0] })"
      )
    }
  }

  @Test func longTextsEndWithTheSeparator() throws {
    let tokenizer = try WordPieceTokenizer(
      pieces: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b", "ab", "##c"])
    #expect(tokenizer.encode("ABC a x") == [2, 6, 7, 4, 1, 3])
    #expect(tokenizer.encode("abc a x", limit: 4) == [2, 6, 7, 3])
    #expect(tokenizer.encode("", limit: 2) == [2, 3])
    // A word with one part that is unknown is unknown whole.
    #expect(tokenizer.tokens("abx") == [1])
  }

  /// Two marks that changed places since Unicode 8, whose tables Hugging Face's tokenizer has: U+1734 was nonspacing there, and
  /// goes; U+A9BD was spacing, and stays. A mark that never changed goes, too.
  @Test func marksAreThoseOfUnicode8() throws {
    let tokenizer = try WordPieceTokenizer(
      pieces: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b", "##\u{A9BD}", "##\u{1734}"])
    #expect(tokenizer.tokens("a\u{1734}b") == [4, 5])
    #expect(tokenizer.tokens("a\u{A9BD}b") == [4, 6, 5])
    #expect(tokenizer.tokens("a\u{0301}b") == [4, 5])
  }

  @Test(arguments: [
    (["[PAD]", "[UNK]", "[CLS]"], "[SEP]"),
    (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "a"], "line 6"),
    ([], "[PAD]"),
  ])
  func otherListsAreRefused(_ pieces: [String], _ word: String) {
    let error = #expect(throws: VocabularyError.self) { try WordPieceTokenizer(pieces: pieces) }
    #expect(error?.description.contains(word) ?? false)
  }

  @Test func filesThatAreNoVocabularyAreRefused() throws {
    let path = NSTemporaryDirectory() + "vocab-\(UUID().uuidString).txt"
    defer { try? FileManager.default.removeItem(atPath: path) }
    for (bytes, word) in [(Data([0x61, 0xFF, 0x0A]), "UTF-8"), (Data(), "[PAD]")] {
      try bytes.write(to: URL(fileURLWithPath: path))
      let error = #expect(throws: StorageError.self) { try WordPieceTokenizer(file: path) }
      #expect("\(String(describing: error))".contains(word))
    }
    #expect(throws: StorageError.self) { try WordPieceTokenizer(file: path + ".missing") }
  }
}
