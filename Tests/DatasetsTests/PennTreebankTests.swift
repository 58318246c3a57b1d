// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Datasets

/// Word-level text and the columns that recurrent models read.
@Suite struct PennTreebankTests {
  private let folder = NSTemporaryDirectory() + "treebank-\(UUID().uuidString)"

  private func write(_ texts: [String: String]) throws {
    try FileManager.default.createDirectory(
      atPath: folder + "/ptb", withIntermediateDirectories: true)
    for (name, text) in texts {
      try text.write(toFile: "\(folder)/ptb/\(name)", atomically: true, encoding: .utf8)
    }
  }

  @Test func wordsAreNumberedByFirstOccurrenceAndLinesEnd() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try write(["ptb.train.txt": " a b a \n c <unk> \n", "ptb.valid.txt": " b new \n a"])
    let data = try LanguageData.load(.pennTreebank, folder: folder, block: 3)
    #expect(data.name == "Penn Treebank" && !data.isStandIn && data.vocabulary == 5)
    // a b <eos> c <unk>
    #expect(data.training == [0, 1, 0, 2, 3, 4, 2])
    #expect(data.validation == [1, 4, 2, 0, 2])
    #expect(data.decode([0, 1, 2, 3]) == "a b\nc")
  }

  @Test func aMissingPartIsAnErrorAndNoneAStandIn() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let standIn = try LanguageData.load(.pennTreebank, folder: folder, block: 70)
    #expect(standIn.isStandIn && standIn.name == "generated stand-in for Penn Treebank")
    #expect(standIn.vocabulary > 1000 && standIn.vocabulary <= 10_000)
    #expect(
      (standIn.training + standIn.validation).allSatisfy { Int($0) < standIn.vocabulary })
    try write(["ptb.train.txt": "a b\n"])
    #expect(throws: StorageError.self) {
      try LanguageData.load(.pennTreebank, folder: folder, block: 1)
    }
  }

  @Test func rareWordsBecomeUnknown() {
    var vocabulary = WordVocabulary(of: ["x", "a", "b", "a", "c", "b", "a"], keeping: 3)
    #expect(vocabulary.words == ["a", "b", "<unk>"])
    #expect(vocabulary.encode(["c", "b", "a", "x"]) == [2, 1, 0, 2])
  }

  @Test func randomWindowsFollowOneAnotherAndBeginAnew() {
    let stream = RandomStream(seed: 4, name: "windows")
    let windows = TokenWindow.random(steps: 4000, rows: 400, around: 40, stream)
    var (start, epochs) = (0, 0)
    for window in windows {
      if window.start == 0 {
        // At most a token and its target were left.
        #expect(start == 0 || start >= 398)
        (start, epochs) = (0, epochs + 1)
      }
      #expect(window.start == start && window.drawn >= 5)
      #expect(window.length == min(window.drawn, 399 - start))
      start += window.drawn
    }
    #expect(epochs > 300)
    // 19 of 20 around 40, the others around 20; both cut down by half on average, with a deviation of 5.
    let long = windows.map(\.drawn).filter { $0 > 30 },
      short = windows.map(\.drawn).filter { $0 <= 30 }
    #expect(abs(long.count - 3709) <= 120, "\(long.count)")  // 3800, less P(normal < -1.8) of them
    let mean = Double(short.reduce(0, +)) / Double(short.count)
    #expect(mean > 22 && mean < 27, "\(mean)")
    let middle = Double(long.reduce(0, +)) / Double(long.count)
    #expect(abs(middle - 39.9) < 0.6, "\(middle)")
    #expect(windows.prefix(50) == TokenWindow.random(steps: 50, rows: 400, around: 40, stream)[...])
    #expect(
      TokenWindow.random(steps: 50, rows: 400, around: 7, stream).allSatisfy { $0.drawn >= 5 })
  }

  @Test func columnsAreContiguousAndWindowsFollowOneAnother() {
    // 23 tokens in 2 columns of 11: 0 … 10 and 11 … 21.
    let columns = TokenColumns((0..<23).map { UInt16($0) }, count: 2, length: 3)
    #expect(columns.windows == 3)
    var (inputs, targets) = ([Int32](repeating: 0, count: 6), [Int32](repeating: 0, count: 6))
    for k in 0..<3 {
      columns.fill(window: k, inputs: &inputs, targets: &targets)
      let first = Int32(3 * k)
      #expect(
        inputs == [first, first + 11, first + 1, first + 12, first + 2, first + 13])
      #expect(targets == inputs.map { $0 + 1 })
    }
    #expect(TokenColumns.windows(in: 6, columns: 2, length: 3) == 0)
    #expect(TokenColumns.windows(in: 8, columns: 2, length: 3) == 1)
  }
}
