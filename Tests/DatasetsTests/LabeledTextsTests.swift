// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

@testable import Datasets

/// Emotion's reader, its stand-in, and texts as padded batches of tokens.
@Suite struct LabeledTextsTests {
  private let folder = NSTemporaryDirectory() + "labeled-texts-\(UUID().uuidString)"

  private func write(_ text: String, _ name: String) throws {
    try FileManager.default.createDirectory(
      atPath: folder + "/emotion", withIntermediateDirectories: true)
    try AtomicFile.write(text, to: "\(folder)/emotion/\(name).txt")
  }

  private func message<Value>(_ body: () throws -> Value) -> String {
    do {
      _ = try body()
      return ""
    } catch { return "\(error)" }
  }

  @Test func readsTheThreeParts() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try write("i am glad;joy\na; b;fear\r\n", "train")
    try write("so sad;sadness\r\nvery;love\r\n", "val")
    try write("oh;surprise", "test")
    let data = try EmotionTexts.load(.emotion, folder: folder)
    #expect(data.training.texts == ["i am glad", "a; b"] && data.training.labels == [1, 4])
    #expect(
      data.validation.texts == ["so sad", "very"] && data.validation.labels == [0, 2]
        && data.test.labels == [5])
    #expect(!data.isStandIn && data.name == "Emotion" && data.digest.count == 3 * 64 + 2)
    #expect(data.training.first(1).texts == ["i am glad"] && data.training.first(9).count == 2)
  }

  @Test func damagedFilesAreNamedByLine() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for name in ["val", "test"] { try write("a;joy\n", name) }
    func load() -> String { message { try EmotionTexts.load(.emotion, folder: folder) } }
    #expect(load().contains("train.txt") && load().contains("is missing"))
    for (text, words) in [
      ("a;joy\nb;hope\n", ["line 2", "'hope'", "sadness, joy"]),
      ("a;joy\nb\n", ["line 2", "no label"]),
      ("", ["is empty"]), ("a;joy\n\nb;joy\n", ["line 2", "no label"]),
    ] {
      try write(text, "train")
      for word in words { #expect(load().contains(word), "\(word): \(load())") }
    }
    try AtomicFile.write(Data([0xFF, 0xFE, 0x3B]), to: folder + "/emotion/train.txt")
    #expect(load().contains("UTF-8"))
  }

  @Test func theStandInIsSaidAndCanBeLearned() throws {
    let data = try EmotionTexts.load(.emotion, folder: "nowhere")
    #expect(data.isStandIn && data.name.contains("stand-in") && data.training.count == 2000)
    let again = try EmotionTexts.load(.standIn, folder: "nowhere")
    #expect(again.training == data.training && again.test.texts != data.training.first(500).texts)
    // The eight words of a label are in its texts and in no other.
    var holders: [Substring: Set<Int>] = [:]
    for (text, label) in zip(data.training.texts, data.training.labels) {
      for word in text.split(separator: " ") { holders[word, default: []].insert(label) }
    }
    #expect(holders.values.count { $0.count == 1 } >= 48)
    #expect(Set(data.training.labels) == Set(0..<6))
  }

  @Test func batchesArePaddedAndMasked() throws {
    let tokenizer = try WordPieceTokenizer(wordsOf: ["b a b", "c b"])
    #expect(tokenizer.pieces == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "b", "a", "c"])
    let texts = LabeledTexts(place: "here", texts: ["a b", "C x b a a a", "c"], labels: [3, 1, 0])
    let data = try TokenizedTexts(texts, tokenizer, limit: 6)
    #expect(data.tokens == [[2, 5, 4, 3], [2, 6, 1, 4, 5, 3], [2, 6, 3]])
    #expect(data.cut == 1 && data.byLength == [2, 0, 1])
    #expect(data.paddedLength([0, 1]) == 8)
    var (ids, mask, labels) = (
      [Int32](repeating: 9, count: 10), [Int32](repeating: 9, count: 10),
      [Int32](repeating: 9, count: 2)
    )
    data.fill([2, 0], length: 5, tokens: &ids, mask: &mask, labels: &labels)
    #expect(ids == [2, 6, 3, 0, 0, 2, 5, 4, 3, 0] && mask == [1, 1, 1, 0, 0, 1, 1, 1, 1, 0])
    #expect(labels == [0, 3])
    var other = data
    other.renumber { 10 * $0 }
    #expect(other.tokens[2] == [20, 60, 30])
  }

  @Test func aTextWithoutATokenIsNamed() throws {
    let tokenizer = try WordPieceTokenizer(wordsOf: ["a"])
    for text in ["", " \u{200B}\t "] {
      let texts = LabeledTexts(place: "texts.txt", texts: ["a", text], labels: [0, 0])
      let said = message { try TokenizedTexts(texts, tokenizer, limit: 8) }
      #expect(
        said.contains("texts.txt") && said.contains("line 2") && said.contains("no token"),
        "\(said)")
    }
  }
}
