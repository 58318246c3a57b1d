// SPDX-License-Identifier: Apache-2.0

import Clipping
import Datasets
import Foundation
import LinearAlgebra
import Models
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab

/// The language-model experiments at toy size, on generated text.
@Suite struct LanguageTests {
  init() { _ = BLASEnvironment.pinned() }

  private func config(_ methods: [String], steps: Int = 12) throws -> NanoGPT.Config {
    var config = NanoGPT.defaults
    (config.layers, config.heads, config.width, config.contextLength) = (1, 2, 8, 9)
    (config.batchSize, config.steps, config.recordEvery) = (4, steps, 5)
    (config.dropout, config.corpus) = (0.1, .standIn)
    (config.evaluationSequences, config.finalSequences) = (5, 7)
    config.methods = methods
    config.seeds = [1]
    for name in methods { config.hyperparameters[name] = values(name) }
    return config
  }

  private func values(_ name: String) -> Hyperparameters {
    if name.hasSuffix("-ema") { return ["learningRate": 0.01] }
    if name.hasSuffix("-quantile") { return ["learningRate": 0.01, "level": 0.5] }
    return name.contains("norm")
      ? ["learningRate": 0.01, "maximumNorm": 0.5] : ["learningRate": 0.01, "tau": 0.05]
  }

  /// The generated text, whose symbols take a debug build most of a second.
  private static let text = Result {
    try LanguageData.load(.standIn, folder: "nowhere", block: 9)
  }

  private let folders = RunFolders(
    folder: "nowhere", profile: "test", data: "nowhere", results: "nowhere")

  /// Also with sketches that go on from the step before, and in bfloat16 where the CPU has it.
  @Test(arguments: [SketchStart.normal, .lastBasis])
  func threadsJobsAndKillsDoNotChangeABit(_ start: SketchStart) throws {
    var config = try config(["sgdm-spectral", "muon-norm", "sgdm-norm-micro"])
    if start == .lastBasis {
      config.methods = ["sgdm-spectral"]
      (config.sketchStart, config.precision) = (start, BFloat16.isSupported ? .bf16 : .fp32)
    }
    let scratch = Scratch()
    let one = try run(NanoGPT.self, config, scratch.path + "/1")
    try expectEqual(
      one, run(NanoGPT.self, config, scratch.path + "/2", jobs: 2, threads: 2), "2 threads")
    try expectEqual(one, run(NanoGPT.self, config, scratch.path + "/3", threads: 3), "3 threads")
    for step in start == .normal ? [1, 5, 11] : [5] {
      let place = scratch.path + "/killed\(step)"
      #expect(throws: Killed.self) {
        try run(NanoGPT.self, config, place, checkpointSeconds: 0) { _, k in
          if k == step { throw Killed() }
        }
      }
      try expectEqual(one, run(NanoGPT.self, config, place), "killed before step \(step)")
    }
  }

  @Test func bfloat16IsRefusedWhereTheCPULacksIt() throws {
    var settings = LanguageSettings.nanoGPT
    try settings.checkPrecision(isSupported: false)
    settings.precision = .bf16
    try settings.checkPrecision(isSupported: true)
    let error = #expect(throws: ConfigError.self) {
      try settings.checkPrecision(isSupported: false)
    }
    #expect(error?.description.contains("AVX512_BF16") ?? false)
    #expect(!(error?.description.contains("\n") ?? true))
  }

  @Test func theRecordSaysWhatHappened() throws {
    let scratch = Scratch()
    let set = try run(
      NanoGPT.self, NanoGPT.resolve(config(["sgdm-spectral"]), folders), scratch.path)
    let record = set.records[0]
    #expect(try record.ints("step") == [1, 5, 10, 12])
    let losses = try record.doubles("train_loss")
    #expect(losses.allSatisfy { $0 > 0 && $0 < 5 } && losses[0] > losses[3])
    // The first loss is that of a model that knows nothing: log of the vocabulary, within the scatter of
    // 0.02-normal weights.
    let vocabulary = try record.int(attribute: "vocabulary")
    #expect(abs(losses[0] - log(Double(vocabulary))) <= 0.05)
    let twin = try TrainingRun<LanguageTask>(
      config(["sgdm-spectral"]).settings, NanoGPT.arms.named("sgdm-spectral", place: "test"),
      values("sgdm-spectral"), Self.text.get(), seed: 1)
    let each = try (0..<12).map { _ in try twin.advance().loss }
    let sinceLastPoint = [each[..<1], each[1..<5], each[5..<10], each[10...]]
    #expect(losses == sinceLastPoint.map { Statistics.mean($0) })
    #expect(try record.double(attribute: "final_train_loss") == losses[3])
    #expect(try record.string(attribute: "data").contains("stand-in"))
    let (layers, tau) = (6, try record.doubles("tau", axes: 2).values)
    #expect(tau.count == 4 * layers && tau.allSatisfy { abs($0 - 0.05) < 1e-7 })
    let sigma = try record.doubles("sigma_max", axes: 2).values
    #expect(sigma.count == 4 * layers && sigma.allSatisfy { $0 > 0 })
    let seconds = try #require(try RunStatistics.modelSeconds(record))
    #expect(zip(seconds, seconds.dropFirst()).allSatisfy { $0 < $1 })
    #expect(try record.string(attribute: "sample").count > 100)
    let table = try NanoGPT.table(of: set)
    #expect(table.blocks.count == 2 && table.blocks[0].rows == 4 && table.blocks[1].rows == 1)
    for (mean, loss) in zip(table.blocks[0].numbers("train_loss.mean"), losses) {
      let rounding = 4e-16 * loss * (1 + abs(log(loss)))  // of exp(log(x))
      #expect(abs(mean - loss) <= rounding)
    }
  }

  /// A step of a batch is the same to the last bit however the pieces are called up; pieces of another
  /// size only round differently.
  @Test func microBatchesAddUpToTheBatch() throws {
    var config = try config(["sgdm-norm"], steps: 4)
    config.dropout = 0
    let data = try Self.text.get()
    func losses(_ parts: Int) throws -> [Double] {
      var settings = config.settings
      settings.microBatches = parts
      let run = try TrainingRun<LanguageTask>(
        settings, NanoGPT.arms.named("sgdm-norm", place: "test"),
        ["learningRate": 0.05, "maximumNorm": 0.5], data, seed: 1)
      return try (0..<4).map { _ in try run.advance().loss }
    }
    let whole = try losses(1)
    for parts in [2, 4] {
      for (a, b) in zip(whole, try losses(parts)) { #expect(abs(a - b) <= 2e-6 * a) }
    }
    #expect(throws: ConfigError.self) { try losses(3) }
  }

  @Test func fairMeansTheSameSetInBothArms() throws {
    #expect(
      ClippedSetVariant.matched.methods(["sgdm-norm", "sgdm-spectral", "sgdm-norm-same-set"])
        == ["sgdm-norm-same-set", "sgdm-spectral"])
    #expect(ClippedSetVariant.authors.methods(["sgdm-norm"]) == ["sgdm-norm"])
    for methods in [LanguageArms.nanoGPT, LanguageArms.gpt2] {
      for method in methods where method.name.hasSuffix("-same-set") {
        let spectral = method.name.replacingOccurrences(of: "norm-same-set", with: "spectral")
        let other = try #require(methods.first { $0.name == spectral })
        #expect(method.clippedSet == other.clippedSet)
        let all = try #require(
          methods.first { $0.name == String(method.name.dropLast("-same-set".count)) })
        #expect(all.clippedSet == .all)
      }
    }
  }

  @Test func aRunThatDivergesIsRecordedAsSuch() throws {
    var config = try config(["sgdm-norm"])
    config.hyperparameters["sgdm-norm"] = ["learningRate": 1e30, "maximumNorm": 1e30]
    let scratch = Scratch()
    let record = try run(NanoGPT.self, config, scratch.path).records[0]
    #expect((1...3).contains(try record.int(attribute: "diverged_at")))
    #expect(try record.double(attribute: "final_val_loss").isNaN)
    #expect(try record.doubles("train_loss").count == 4)
  }

  @Test func allArmsOfGPT2TrainAndCompare() throws {
    var config = GPT2FineWeb.defaults
    (config.layers, config.heads, config.width, config.contextLength) = (1, 2, 8, 8)
    (config.batchSize, config.microBatches, config.steps, config.warmup) = (4, 2, 10, 2)
    (config.recordEvery, config.rank) = (5, 2)
    (config.evaluationSequences, config.finalSequences) = (4, 6)
    (config.corpus, config.seeds) = (.standIn, [1])
    config.methods = GPT2FineWeb.arms.map(\.name)
    for name in config.methods { config.hyperparameters[name] = values(name) }
    let scratch = Scratch()
    let set = try run(GPT2FineWeb.self, config, scratch.path, jobs: 2)
    #expect(set.methods == config.methods && set.records.count == config.methods.count)
    for claim in GPT2FineWeb.claims {
      let finding = try claim.evaluate(set)
      // A seed of generated text decides nothing.
      #expect([.inconclusive, .needsRecords].contains(finding.verdict), "\(claim.id)")
    }
    #expect(try GPT2FineWeb.captionValues(of: set).contains { $0.0 == "ranking" })
  }

  @Test func theSearchWritesWhatTheExperimentReads() throws {
    var config = NanoGPTSearch.defaults
    (config.layers, config.heads, config.width, config.contextLength) = (1, 2, 8, 8)
    (config.batchSize, config.steps, config.evaluationSequences) = (4, 3, 4)
    (config.candidates, config.rounds) = (3, 1)
    config.corpus = .standIn
    config.methods = ["sgdm-norm", "muon-spectral"]
    let scratch = Scratch()
    let set = try run(NanoGPTSearch.self, config, scratch.path + "/results", threads: 2)
    try FileManager.default.createDirectory(
      atPath: scratch.path + "/nanogpt-shakespeare", withIntermediateDirectories: true)
    // A trial of the confirmation is no point of the picture: it has another seed.
    let trials = try set.records(of: "sgdm-norm")[0].ints("round")
    let shown = try #require(try NanoGPTSearch.table(of: set)[block: "sgdm-norm"])
    let searched = trials.filter { $0 >= 0 }
    let losses = shown.numbers("loss").filter(\.isFinite)
    #expect(shown.rows == searched.count && shown.rows < trials.count)
    #expect(losses.count == shown.rows)
    try expectDecidedOnHeldOutText(config, set.records(of: "sgdm-norm")[0])
    let companion = try #require(try NanoGPTSearch.sideFiles(of: set).first)
    try companion.text.write(
      toFile: scratch.path + "/nanogpt-shakespeare/tuned.yaml", atomically: true, encoding: .utf8)
    var curves = try self.config([])
    curves.methods = ["sgdm-norm", "muon-spectral"]
    let complete = try NanoGPT.resolve(
      curves,
      RunFolders(
        folder: scratch.path + "/nanogpt-shakespeare", profile: "quick", data: "nowhere",
        results: "nowhere"))
    #expect(
      complete.hyperparameters.names.count == 2 && complete.dataDigest.hasSuffix("characters"))
    let found = try set.records(of: "muon-spectral")[0]
    #expect(
      complete.hyperparameters["muon-spectral"] == [
        "learningRate": try found.double(attribute: "best_learningRate"),
        "tau": try found.double(attribute: "best_tau"),
      ])
  }

  /// A trial of full length has the loss on held-out training text, not the one that is reported.
  private func expectDecidedOnHeldOutText(_ config: NanoGPTSearch.Config, _ record: Record) throws {
    let steps = try record.ints("steps")
    let row = try #require(steps.firstIndex(of: config.steps))
    let values: Hyperparameters = [
      "learningRate": try record.doubles("learningRate")[row],
      "maximumNorm": try record.doubles("maximumNorm")[row],
    ]
    let seed = try UInt64(record.ints("seed")[row])
    func objective(_ data: LanguageData) throws -> Double {
      let run = try TrainingRun<LanguageTask>(
        config.settings, NanoGPT.arms.named("sgdm-norm", place: "test"), values, data, seed: seed)
      try run.finish()
      return run.objective()
    }
    let data = try Self.text.get()
    let recorded = try record.doubles(NanoGPTSearch.objective)[row]
    #expect(try objective(data.holdingOut()) == recorded)
    #expect(try objective(data) != recorded)
  }

  @Test func wrongSettingsAreOneClearLine() throws {
    func message(_ change: (inout NanoGPT.Config) -> Void) -> String {
      var config = NanoGPT.defaults
      change(&config)
      do {
        _ = try config.checked()
        try NanoGPT.checkMethods(config)
        return ""
      } catch { return "\(error)" }
    }
    #expect(message { _ in } == "")
    #expect(message { $0.heads = 5 }.contains("'width'"))
    #expect(message { $0.microBatches = 7 }.contains("micro-batches"))
    #expect(message { $0.methods = ["sgdm-nrom"] }.contains("did you mean 'sgdm-norm'"))
    #expect(message { $0.methods = ["gpt2-sgdm-norm"] }.contains("unknown method"))
    #expect(message { $0.dropout = 1 }.contains("'dropout'"))
    #expect(message { $0.rank = 0 }.contains("'rank'"))
    var long = try config(["sgdm-norm"])
    long.contextLength = 2_000_000
    #expect(throws: StorageError.self) {
      try LanguageTask.load(long.settings, folder: "nowhere")
    }
    #expect(throws: StorageError.self) {
      try LanguageData.load(.fineWeb, folder: "nowhere", block: 8)
    }
  }
}
