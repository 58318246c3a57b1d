// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Datasets

@Suite struct TokenBatchesTests {
  private let tokens = (0..<1000).map { UInt16($0) }
  private let stream = RandomStream(seed: 1, name: "batches")

  @Test func targetsAreTheNextTokens() {
    let batches = TokenBatches(tokens, length: 5, size: 2, order: .windows, stream: stream)
    var (inputs, targets) = ([Int32](repeating: 0, count: 10), [Int32](repeating: 0, count: 10))
    inputs.withUnsafeMutableBufferPointer { inputs in
      targets.withUnsafeMutableBufferPointer { targets in
        batches.fill([7, 994], inputs: inputs.baseAddress!, targets: targets.baseAddress!)
      }
    }
    #expect(inputs == [7, 8, 9, 10, 11, 994, 995, 996, 997, 998])
    #expect(targets == inputs.map { $0 + 1 })
  }

  @Test func windowsAreUniformAndAFunctionOfTheStep() {
    var batches = TokenBatches(tokens, length: 10, size: 4, order: .windows, stream: stream)
    var seen: [Int] = []
    for step in 0..<2000 { seen += batches.starts(step: step) }
    #expect(seen.allSatisfy { $0 >= 0 && $0 + 10 < 1000 })
    #expect(Set(seen).count == 990)
    // Mean 494.5 with deviation 286/√8000, four standard errors.
    let mean = Double(seen.reduce(0, +)) / Double(seen.count)
    #expect(abs(mean - 494.5) <= 4 * 286 / 8000.0.squareRoot(), "\(mean)")
    #expect(batches.starts(step: 7) == Array(seen[28..<32]))
  }

  @Test func chunksComeOnceAnEpoch() {
    var batches = TokenBatches(tokens, length: 10, size: 9, order: .chunks, stream: stream)
    let epochs = (0..<2).map { epoch in
      (0..<11).flatMap { batches.starts(step: epoch * 11 + $0) }
    }
    for epoch in epochs { #expect(epoch.sorted() == (0..<99).map { $0 * 10 }) }
    #expect(epochs[0] != epochs[1])
    #expect(batches.starts(step: 3) == Array(epochs[0][27..<36]))
  }

  @Test func evaluationSequencesDoNotOverlap() {
    let batches = TokenBatches(tokens, length: 10, size: 1, order: .windows, stream: stream)
    for count in [1, 7, 99, 500] {
      let starts = batches.evenStarts(count)
      #expect(starts.count == min(count, 99))
      #expect(zip(starts, starts.dropFirst()).allSatisfy { $1 - $0 >= 10 })
      #expect(starts.last! + 10 < 1000)
    }
  }
}

@Suite struct LanguageDataTests {
  private let folder = NSTemporaryDirectory() + "language-data-\(UUID().uuidString)"

  @Test func theStandInIsSplitNineToOneByCharacters() throws {
    let data = try LanguageData.load(.shakespeare, folder: folder, block: 64)
    #expect(data.isStandIn && data.name.contains("stand-in"))
    let total = data.training.count + data.validation.count
    #expect(data.training.count == Int(0.9 * Double(total)))
    #expect((data.training + data.validation).allSatisfy { Int($0) < data.vocabulary })
    let corpus = try TextCorpus.load(.standIn, folder: folder)
    #expect(data.decode(data.training.prefix(200).map { Int($0) }) == corpus.text.prefix(200))
    #expect(throws: StorageError.self) {
      try LanguageData.load(.standIn, folder: folder, block: data.validation.count)
    }
  }

  @Test func documentsArePackedBehindAnEndOfText() {
    #expect(LanguageData.pack([[1, 2], [], [3]], endOfText: 9) == [9, 1, 2, 9, 9, 3])
    let text = " \n = A = \n \n = = B = = \n x\n = C = \ny"
    #expect(
      LanguageData.articles(of: text) == [" \n", " = A = \n \n = = B = = \n x\n", " = C = \ny\n"])
    let windows = text.replacingOccurrences(of: "\n", with: "\r\n")
    #expect(LanguageData.articles(of: windows) == LanguageData.articles(of: text))
  }

  @Test func nanoGPTsTokenFilesAreReadAndChecked() throws {
    let place = folder + "/bin"
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try TokenFile.write([3, 1, 4, 1, 5], to: place + "/train.bin", as: .plain)
    try TokenFile.write([2, 0, 5], to: place + "/val.bin", as: .plain)
    let data = try LanguageData.load(.binary, folder: folder, block: 2)
    #expect(data.training == [3, 1, 4, 1, 5] && data.validation == [2, 0, 5])
    #expect(data.vocabulary == 6)
    // The largest token may be in the validation part.
    try TokenFile.write([2, 8, 5], to: place + "/val.bin", as: .plain)
    #expect(try LanguageData.load(.binary, folder: folder, block: 2).vocabulary == 9)
  }

  @Test func shardsAreReadInOrderAndChecked() throws {
    let place = folder + "/fineweb10B"
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func write(_ tokens: [UInt16], _ name: String) throws {
      try TokenFile.write(tokens, to: "\(place)/\(name)", as: .shard)
    }
    func message() -> String {
      do {
        let data = try LanguageData.load(.fineWeb, folder: folder, block: 2)
        return "\(data.training) \(data.validation)"
      } catch { return "\(error)" }
    }
    try write([7, 8, 9], "fineweb_val_000000.bin")
    #expect(message().contains("make data-fineweb"))
    try write([4, 5], "fineweb_train_000002.bin")
    try write([1, 2, 3], "fineweb_train_000001.bin")
    #expect(message() == "[1, 2, 3, 4, 5] [7, 8, 9]")
    try write([1, 50_257], "fineweb_train_000003.bin")
    #expect(message().contains("50257"))
    let cut = try Data(contentsOf: URL(fileURLWithPath: "\(place)/fineweb_val_000000.bin"))
    try cut.dropLast(2).write(to: URL(fileURLWithPath: "\(place)/fineweb_train_000003.bin"))
    #expect(message().contains("fineweb_train_000003.bin"))
  }
}
