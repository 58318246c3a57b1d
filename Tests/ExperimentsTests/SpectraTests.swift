// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Datasets
import Foundation
import LinearAlgebra
import Models
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// bad-token-spectra at toy size, on a small model of random weights and random tokens.
@Suite struct SpectraTests {
  init() { _ = BLASEnvironment.pinned() }

  // MARK: - Tokens

  @Test func definitionsHaveNames() throws {
    for good in TokenDefinition.Good.allCases {
      for bad in TokenDefinition.Bad.allCases {
        let definition = try TokenDefinition(name: "\(good.rawValue)-\(bad.rawValue)")
        #expect(definition.good == good && definition.bad == bad)
      }
    }
    for name in ["", "argmax", "argmax-", "lowest-argmax", "argmax-lowest-random", "best-lowest"] {
      let text = message { _ = try TokenDefinition(name: name) }
      #expect(text.contains("'\(name)'") && text.contains("argmax or confident"), "\(text)")
    }
    var config = BadTokenSpectra.Config()
    (config.confidence, config.lowestFraction) = (0.25, 0.02)
    #expect(
      try TokenDefinition(name: "confident-lowest").title(config)
        == "good: the text's token, p ≥ 0.25; bad: from the 2 % least likely")
  }

  /// p(token | context) by another way: all logits of a batch of one.
  private func probabilities(_ model: GPT, _ context: [Int32]) -> [Double] {
    let tape = Tape(isTraining: false)
    let tokens = tape.indices([1, context.count])
    let logits = model.logits(tape, tokens)
    tokens.assign(context)
    tape.forward()
    let last = logits.value.base + (context.count - 1) * logits.columns
    let scores = (0..<logits.columns).map { Double(last[$0]) }
    let top = scores.max() ?? 0
    let total = scores.reduce(0) { $0 + exp($1 - top) }
    return scores.map { exp($0 - top) / total }
  }

  @Test(arguments: TokenDefinition.Good.allCases, TokenDefinition.Bad.allCases)
  func samplesAreWhatTheDefinitionSays(
    _ good: TokenDefinition.Good, _ bad: TokenDefinition.Bad
  ) throws {
    let scratch = Scratch()
    let fixture = try SpectraFixture(scratch.path)
    let name = "\(good.rawValue)-\(bad.rawValue)"
    let (model, samples) = try fixture.draw(name, 30)
    let text = model.data.validation.map { Int32($0) }
    #expect(samples.count == 30)
    #expect(bad != .permuted || Set(samples.map(\.good)).count > 1)
    var ranks: Set<Int> = []
    for (i, sample) in samples.enumerated() {
      let p = probabilities(model.gpt, sample.context)
      let (own, other) = (p[Int(sample.good)], p[Int(sample.bad)])
      // Logits of about 10 in two ways: 1e-6 of them at most.
      #expect(abs(sample.goodProbability - own) <= 2e-5 * own, "sample \(i)")
      switch good {
      case .argmax: #expect(own >= (p.max() ?? 1) * (1 - 2e-5), "sample \(i)")
      case .confident:
        #expect(sample.goodProbability >= 0.05, "sample \(i)")
        let follows = (0..<(text.count - 6)).contains {
          text[$0 + 6] == sample.good && text[$0..<($0 + 6)].elementsEqual(sample.context)
        }
        #expect(follows, "sample \(i): \(sample.good) does not follow its context")
      }
      switch bad {
      case .lowest:
        // As unlikely as the tenth of the vocabulary at the most.
        let share = Int(0.1 * Double(p.count))
        #expect(share > 1 && other <= p.sorted()[share - 1] * (1 + 2e-5), "sample \(i)")
        #expect(abs(sample.badProbability - other) <= 2e-5 * other, "sample \(i)")
        ranks.insert(p.count { $0 < other * (1 - 2e-5) })
      case .random:
        #expect(sample.bad != sample.good && sample.bad >= 0 && Int(sample.bad) < p.count)
        #expect(abs(sample.badProbability - other) <= 2e-5 * other, "sample \(i)")
        ranks.insert(Int(sample.bad))
      case .permuted:
        let next = (1..<30).map { samples[(i + $0) % 30].good }.first { $0 != sample.good }
        #expect(sample.bad == next && sample.badProbability.isNaN, "sample \(i)")
      }
    }
    // 30 draws from at least three tokens: all are the same with odds of 3^-29.
    #expect(bad == .permuted || ranks.count > 1)
  }

  @Test func contextsDoNotRepeatAndTheSeedDecides() throws {
    let scratch = Scratch()
    let fixture = try SpectraFixture(scratch.path)
    // All places there are; contexts of 6 tokens may come twice in the text, but no more often than that.
    let text = try TrainedModel(fixture.config, fixture.folder).data.validation.map { Int32($0) }
    let places = text.count - 6
    let count = places
    let samples = try fixture.draw("argmax-random", count).samples
    func occurrences(_ contexts: [[Int32]]) -> [[Int32]: Int] {
      contexts.reduce(into: [:]) { $0[$1, default: 0] += 1 }
    }
    let there = occurrences((0..<places).map { Array(text[$0..<($0 + 6)]) })
    for (context, times) in occurrences(samples.map(\.context)) {
      #expect(times <= there[context] ?? 0, "\(context) was drawn \(times) times")
    }
    #expect(try fixture.draw("argmax-random", count).samples == samples)
    #expect(try fixture.draw("argmax-random", 50).samples == Array(samples.prefix(50)))
    let other = try fixture.draw("argmax-random", count, seed: 2).samples
    #expect(other.map(\.context) != samples.map(\.context))
    // Another definition of bad tokens looks at the same contexts.
    let lowest = try fixture.draw("argmax-lowest", 50).samples
    #expect(lowest.map(\.context) == samples.prefix(50).map(\.context))
  }

  @Test func whatCannotBeDrawnIsOneClearLine() throws {
    let scratch = Scratch()
    let fixture = try SpectraFixture(scratch.path)
    let places = try TrainedModel(fixture.config, fixture.folder).data.validation.count - 6
    let many = message { _ = try fixture.draw("argmax-lowest", places + 1) }
    #expect(
      many.contains("\(places + 1) samples") && many.contains("\(places) contexts"), "\(many)")
    let sure = message { _ = try fixture.draw("confident-lowest", 20) { $0.confidence = 1 } }
    #expect(sure.contains("'confidence'") && sure.contains("argmax"), "\(sure)")
    let long = message { _ = try fixture.draw("argmax-lowest", 2) { $0.context = 9 } }
    #expect(
      long.contains("'context'") && long.contains("9 tokens") && long.contains("8"), "\(long)")
    let other = try SpectraFixture(scratch.path + "/other", vocabulary: 10)
    let mismatch = message { _ = try other.draw("argmax-lowest", 2) }
    #expect(mismatch.contains("tokens") && mismatch.contains(" 10;"), "\(mismatch)")
    let heads = message { _ = try fixture.draw("argmax-lowest", 2) { $0.heads = 3 } }
    #expect(heads.contains("3 heads"), "\(heads)")
    let missing = message { _ = try fixture.complete { $0.weights = "nowhere.safetensors" } }
    #expect(missing.contains("nowhere.safetensors") && missing.contains("'weights'"), "\(missing)")
    for (source, hint) in [
      (TrainedModel.Source.gpt2, "make data-gpt2"), (.gpt2Basic, "run make data"),
      (.trained, "--keep-weights"),
    ] {
      let text = message { _ = try fixture.complete { $0.model = source } }
      #expect(text.contains(hint), "\(text)")
    }
  }

  @Test(arguments: [
    ("context=0", "context"), ("batches=0", "batches"), ("top=0", "top"),
    ("calibrationBatches=0", "calibrationBatches"), ("batchSizes=[]", "batchSizes"),
    ("batchSizes=[8, 8]", "batchSizes"), ("detailBatchSize=5", "detailBatchSize"),
    ("confidence=1.5", "confidence"), ("quantile=-0.1", "quantile"),
    ("lowestFraction=0", "lowestFraction"), ("merges=50001", "merges"), ("model=file", "weights"),
    ("model=gpt3", "model"), ("methods=[argmax-worst]", "argmax-worst"),
  ])
  func badSettingsAreRefused(_ override: String, _ mention: String) {
    let text = message {
      _ = try BadTokenSpectra.defaults.overlaid(yaml: "", file: "test.yaml", overrides: [override])
    }
    #expect(text.contains(mention), "\(override): \(text)")
  }

  // MARK: - Gradients

  @Test func theSweepIsTheBatchsGradient() throws {
    let scratch = Scratch()
    let fixture = try SpectraFixture(scratch.path, head: .untiedWithBias)
    let (model, samples) = try fixture.draw("argmax-lowest", 5)
    let sweep = ReplacementSweep(
      model.gpt, context: 6, top: 100, pool: WorkerPool(threads: 2))
    let result = try sweep.measure(samples, thresholds: nil, keepingSpectra: false)
    let width = result.sigma.count / (6 * sweep.names.count)
    let tape = Tape()
    let (tokens, targets) = (tape.indices([5, 6]), tape.indices([5]))
    let loss = model.gpt.nextLoss(tape, tokens, targets)
    tokens.assign(samples.flatMap(\.context))
    var largest: [Double] = Array(repeating: 0, count: sweep.names.count)
    for count in 0...5 {
      targets.assign(samples.enumerated().map { $0 < count ? $1.bad : $1.good })
      tape.forward()
      tape.backward(from: loss)
      for (layer, name) in sweep.names.enumerated() {
        let parameter = try #require(model.gpt.parameters.first { $0.name == name })
        let g = Matrix(
          rows: parameter.shape[0], columns: parameter.shape[1],
          elements: Array(
            UnsafeBufferPointer(start: parameter.gradient.materialized.base, count: parameter.count)
          ))
        let want = try singularValues(g.converted(to: Double.self))
        largest[layer] = max(largest[layer], want[0])
        let start = (count * sweep.names.count + layer) * width
        for (i, value) in want.enumerated() {
          let got = Double(result.sigma[start + i])
          // At most fifteen gradients of one sample are added up, each within 1e-6 of its norm, which is at
          // most about B √rank times the largest value of a mean; what is left out is below 1e-6.
          let limit = 15e-6 * 5 * largest[layer]
          #expect(abs(got - value) <= limit, "b = \(count), \(name), σ_\(i + 1): \(got), \(value)")
        }
        #expect(
          abs(Double(result.norm[count * sweep.names.count + layer]) - g.frobeniusNorm)
            <= 75e-6 * largest[layer])
      }
    }
  }

  // MARK: - Runs

  @Test func threadsJobsAndKillsDoNotChangeABit() throws {
    let scratch = Scratch()
    let fixture = try SpectraFixture(scratch.path)
    let config = try fixture.complete { $0.methods = ["confident-lowest", "argmax-permuted"] }
    let (place, data) = (scratch.path + "/results", fixture.folder)
    let one = try run(BadTokenSpectra.self, config, place + "/1", data: data)
    #expect(one.records.count == 2)
    expectEqual(
      one, try run(BadTokenSpectra.self, config, place + "/2", jobs: 2, threads: 2, data: data),
      "2 threads")
    expectEqual(
      one, try run(BadTokenSpectra.self, config, place + "/3", threads: 3, data: data), "3 threads")
    for step in [1, 3] {
      let place = place + "/killed\(step)"
      #expect(throws: Killed.self) {
        try run(BadTokenSpectra.self, config, place, data: data, checkpointSeconds: 0) { _, k in
          if k == step { throw Killed() }
        }
      }
      let resumed = try run(BadTokenSpectra.self, config, place, data: data)
      expectEqual(one, resumed, "killed before mini-batch \(step)")
      #expect(resumed.records[0].telemetry.attributes["resumed"] == .int(1))
    }
    var other = config
    other.seeds = [2]
    let second = try run(BadTokenSpectra.self, other, place + "/seed", data: data)
    #expect(
      try second.records[0].doubles("sigma", axes: 4).values
        != one.records[0].doubles("sigma", axes: 4).values)
  }

  @Test func tablesCaptionsAndClaimsComeFromTheRecords() throws {
    let scratch = Scratch()
    let fixture = try SpectraFixture(scratch.path)
    let config = try fixture.complete {
      $0.methods = ["argmax-lowest", "argmax-permuted"]
      $0.seeds = [1, 2]
    }
    let set = try run(
      BadTokenSpectra.self, config, scratch.path + "/results", data: fixture.folder)
    #expect(set.methods == config.methods && set.seeds == [1, 2])
    let record = set.records[0]
    let names = try record.strings("layer")
    #expect(names.count == 4)
    #expect(try record.ints("batch_size") == [2, 2, 2, 3, 3, 3, 3])
    #expect(try record.ints("bad_count") == [0, 1, 2, 0, 1, 2, 3])
    #expect(try record.dataSet("sigma").shape == [7, 2, 4, 4])
    #expect(try record.ints("spectrum_count") == [0, 1, 3])
    #expect(try record.dataSet("removed_bad").shape == [3, 2, 4, 3])

    let table = try BadTokenSpectra.table(of: set)
    // Four matrices, two sizes; their spectra; two definitions; the rules.
    #expect(table.blocks.count == 8 + 4 + 2 + 1)
    #expect((0..<8).map { table.blocks[$0].rows } == [3, 4, 3, 4, 3, 4, 3, 4])
    // σ_1 of the second matrix at B = 3, b = 2 (cell 5): both seeds' mini-batches.
    let tops = try set.records(of: "argmax-lowest").flatMap { record in
      let sigma = try record.doubles("sigma", axes: 4).values
      return [sigma[(10 * 4 + 1) * 4], sigma[(11 * 4 + 1) * 4]]
    }
    let boxes = try #require(table[block: "boxes:2:3"])
    #expect(tops.count == 4 && boxes.numbers("bad")[2] == 2)
    #expect(abs(boxes.numbers("largest")[2] - Statistics.median(tops)) <= 1e-6 * tops[0])
    let definitions = try (1...2).map { try #require(table[block: "definition:\($0)"]) }
    #expect(definitions.allSatisfy { $0.rows == 4 })
    let shares = definitions.map { $0.numbers("bad_fraction") }
    #expect(shares[0] != shares[1])
    #expect(shares[0][0] == 0 && abs(shares[0][3] - 1) < 1e-5)

    let values = try BadTokenSpectra.captionValues(of: set)
    func value(_ name: String) -> String? { values.first { $0.0 == name }?.1 }
    #expect(value("batches") == "4" && value("matrices") == "4" && value("top") == "4")
    #expect(value("bad") != value("good") && value("detail") == "3")
    for claim in BadTokenSpectra.claims {
      let evidence = try claim.evaluate(set)
      // Wrong labels decide the claims about noise; neither is the definition in the paper's words, which decides all others.
      let isNoise = claim.id.hasSuffix("-noise")
      let all = evidence.findings + evidence.others
      #expect(evidence.findings.count == (isNoise ? 1 : 0), "\(claim.id)")
      #expect(isNoise || evidence.verdict == .inconclusive, "\(claim.id)")
      #expect(all.count == 2 && all.allSatisfy { $0.count == 4 && $0.unit == "mini-batch" })
      let noise = try #require(isNoise ? evidence.findings.first : evidence.others.last)
      #expect(noise.statistic.contains("argmax-permuted"), "\(claim.id)")
    }
  }

  /// The published weights and text, against PyTorch in float64: the loss of the text's first contexts. (All of its
  /// fifty contexts have 4.13 nats a token, a uniform guess 8.32.)
  @Test(.enabled(if: GPT2BasicFiles.folder != nil)) func gpt2BasicKnowsItsText() throws {
    let folder = try #require(GPT2BasicFiles.folder) + "/gpt2-basic-463k"
    let model = try GPT(gpt2Basic: folder)
    #expect(model.parameterCount == 463_168 && model.matrixNames.count == 12)
    let vocabulary = try LongestMatchVocabulary(path: folder + "/VOCAB.BIN")
    let text = Array(
      try String(contentsOfFile: folder + "/gold_curriculum_v4.txt", encoding: .utf8).utf8)
    let tape = Tape(pool: WorkerPool(threads: 2), isTraining: false)
    let (tokens, targets) = (tape.indices([1, 192]), tape.indices([1, 192]))
    let loss = model.loss(tape, tokens, targets)
    // Tokens have 16 bytes at most.
    let start = vocabulary.encode(String(decoding: text.prefix(16 * 577), as: UTF8.self))
    for (i, want) in [3.34399, 3.07142, 3.11201].enumerated() {
      let piece = start[(192 * i)..<(192 * i + 193)].map { Int32($0) }
      tokens.assign(piece.dropLast())
      targets.assign(piece.dropFirst())
      tape.forward()
      // Five decimals, and GPTTests' 1e-6.
      #expect(abs(Double(loss.scalar) - want) <= 1e-5 + 1e-6 * want, "context \(i): \(loss.scalar)")
    }
  }
}

/// GPT2-BASIC's files, below DATA_DIR, else below data/ in the package.
private enum GPT2BasicFiles {
  static let folder: String? = {
    let root = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return [ProcessInfo.processInfo.environment["DATA_DIR"], root.path + "/data"]
      .compactMap { $0 }.first {
        FileManager.default.fileExists(atPath: "\($0)/gpt2-basic-463k/GPT2WT.BIN")
      }
  }()
}
