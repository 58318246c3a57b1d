import Foundation
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
