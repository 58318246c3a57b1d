// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Models
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab

/// The MLP experiments at toy size.
@Suite struct MLPTests {
  init() { _ = BLASEnvironment.pinned() }

  private func config(_ methods: [String], steps: Int = 60) throws -> MLPHeavyTails.Config {
    var config = MLPHeavyTails.defaults
    config.inputs = 6
    config.hidden = [8, 8]
    config.samples = 100
    config.batchSize = 5
    config.steps = steps
    config.recordEvery = 20
    config.methods = methods
    config.seeds = [1]
    for name in methods { config.hyperparameters[name] = try values(name, at: 0.4) }
    return config
  }

  /// An arm's hyper-parameters at a fraction of their ranges.
  private func values(_ name: String, at u: Double) throws -> Hyperparameters {
    var values = Hyperparameters()
    for parameter in try MLPArms.all.named(name, place: "test").hyperparameters {
      values[parameter.name] = parameter.value(at: u)
    }
    return values
  }

  private func training(
    _ name: String, _ values: Hyperparameters, _ settings: MLPSettings, seed: UInt64
  ) throws -> TrainingRun<MLPTask> {
    try TrainingRun(
      settings, MLPArms.all.named(name, place: "test"), values, MLPTask.Source(settings), seed: seed
    )
  }

  @Test func threadsAndJobsDoNotChangeABit() throws {
    var config = try config(["sgdm-spectral-const", "adam-norm", "sgdm-per-sample"])
    config.seeds = [1, 2]
    config.samples = 4000  // validation on 800 samples runs in several pieces
    let scratch = Scratch()
    let one = try run(MLPHeavyTails.self, config, scratch.path + "/1")
    try expectEqual(
      one, run(MLPHeavyTails.self, config, scratch.path + "/2", jobs: 2, threads: 2), "2 threads")
    config.seeds = [2, 1]
    try expectEqual(
      one, run(MLPHeavyTails.self, config, scratch.path + "/3", jobs: 3, threads: 3), "3 threads")
  }

  @Test func aStepTellsItsLossAndRate() throws {
    let config = try config(["adam-norm"], steps: 3)
    let said = Messages()
    var context = RunContext()
    context.progress = { units, status in if units > 0 { said.add(status()) } }
    let records = try MLPHeavyTails.run(
      Job(methods: ["adam-norm"], seed: 1), config, context)
    let rate = try #require(config.hyperparameters["adam-norm"]?["learningRate"])
    #expect(said.all.count == 3)
    for text in said.all {
      #expect(text.wholeMatch(of: /loss [-0-9.e+]+, rate [-0-9.e+]+/) != nil, "\(text)")
      #expect(text.hasSuffix(String(format: ", rate %.3g", rate)), "\(text)")
    }
    context.progress = { _, _ in }
    let silent = try MLPHeavyTails.run(Job(methods: ["adam-norm"], seed: 1), config, context)
    #expect(try #require(records.first).firstDifference(from: #require(silent.first)) == nil)
  }

  @Test(arguments: MLPArms.all.map(\.name))
  func aKilledRunGoesOnBitForBit(_ method: String) throws {
    let config = try config([method], steps: 90)
    let scratch = Scratch()
    let whole = try run(MLPHeavyTails.self, config, scratch.path + "/whole")
    for killAt in [41, 73] {
      let folder = scratch.path + "/\(killAt)"
      #expect(throws: Killed.self) {
        try run(MLPHeavyTails.self, config, folder, checkpointSeconds: 0) { _, step in
          if step == killAt { throw Killed() }
        }
      }
      let resumed = try run(MLPHeavyTails.self, config, folder)
      expectEqual(whole, resumed, "\(method) killed at \(killAt)")
      #expect(resumed.records[0].telemetry.attributes["resumed"] == .int(1))
    }
  }

  @Test func searchAndHeatMapSurviveAKillToo() throws {
    var search = MLPSearch.defaults
    (search.inputs, search.hidden, search.samples, search.batchSize) = (6, [8], 60, 5)
    (search.steps, search.candidates, search.rounds, search.rungs) = (20, 6, 2, 2)
    search.methods = ["sgdm-norm", "sgdm-spectral-ema"]
    let scratch = Scratch()
    let whole = try run(MLPSearch.self, search, scratch.path + "/a")
    #expect(throws: Killed.self) {
      try run(MLPSearch.self, search, scratch.path + "/b", checkpointSeconds: 0) { _, done in
        // in the second round, whose candidates the first one decided
        if done == 10 { throw Killed() }
      }
    }
    try expectEqual(whole, run(MLPSearch.self, search, scratch.path + "/b"), "search")
    try expectEqual(whole, run(MLPSearch.self, search, scratch.path + "/c", threads: 3), "threads")

    var map = MLPHeatMap.defaults
    (map.settings.inputs, map.settings.hidden, map.settings.samples) = (6, [8], 60)
    (map.settings.batchSize, map.settings.steps) = (5, 20)
    (map.learningRateCount, map.thresholdCount, map.levelCount) = (2, 3, 2)
    map.updateNormEvery = 5
    let wholeMap = try run(MLPHeatMap.self, map, scratch.path + "/d")
    #expect(throws: Killed.self) {
      try run(MLPHeatMap.self, map, scratch.path + "/e", checkpointSeconds: 0) { _, done in
        if done == 3 { throw Killed() }
      }
    }
    try expectEqual(wholeMap, run(MLPHeatMap.self, map, scratch.path + "/e", threads: 2), "map")
    #expect(try wholeMap.records[0].doubles("final_train_loss", axes: 2).shape == [2, 3])
  }

  @Test func trainingLearnsAndTheSeedMatters() throws {
    var settings = MLPSettings()
    (settings.inputs, settings.hidden, settings.samples) = (3, [24, 24], 400)
    (settings.batchSize, settings.noiseProbability) = (16, 0)
    func losses(_ seed: UInt64) throws -> [Double] {
      let run = try training("adam-none", ["learningRate": 0.01], settings, seed: seed)
      return try (0..<400).map { _ in try run.advance().loss }
    }
    let one = try losses(1)
    #expect(one == (try losses(1)))
    #expect(one != (try losses(2)))
    let (start, end) = (one.prefix(40).reduce(0, +), one.suffix(40).reduce(0, +))
    #expect(end < 0.4 * start, "loss \(start / 40) to \(end / 40)")
  }

  /// Points record the mean of the last 25 losses, a run that of its last 250.
  @Test(arguments: [60, 260]) func recordedLossesAreMeansOfTheLastOnes(_ steps: Int) throws {
    let given = try config(["sgdm-norm"], steps: steps)
    let scratch = Scratch()
    let record = try run(MLPHeavyTails.self, given, scratch.path).records[0]
    let twin = try training(
      "sgdm-norm", #require(given.hyperparameters["sgdm-norm"]), given.settings, seed: 1)
    let losses = try (0..<steps).map { _ in try twin.advance().loss }
    let points = [1] + Array(stride(from: 20, through: steps, by: 20))
    #expect(try record.ints("step") == points)
    let means = points.map { Statistics.mean(losses[max(0, $0 - 25)..<$0]) }
    #expect(try record.doubles("train_loss") == means)
    let final = Statistics.mean(losses.suffix(250))
    #expect(try record.double(attribute: "final_train_loss") == final)
  }

  @Test func measuringChangesNothing() throws {
    for name in ["sgdm-spectral-const", "sgdm-spectral-quantile", "sgdm-norm"] {
      var settings = MLPSettings()
      (settings.inputs, settings.hidden, settings.samples) = (9, [12, 10], 80)
      settings.batchSize = 4
      let (plain, measured) = (
        try training(name, values(name, at: 0.3), settings, seed: 3),
        try training(name, values(name, at: 0.3), settings, seed: 3)
      )
      for _ in 0..<40 {
        try plain.advance()
        let report = try measured.advance(measuring: [.clip, .update, .truncation])
        let clip = try #require(report.clip)
        #expect(clip.layers.count == 3 && clip.normAfter <= clip.normBefore * 1.001)
        for layer in clip.layers {
          let sigma = try #require(layer.statistics.sigmaMax, "\(name), \(layer.name)")
          #expect(sigma <= clip.normBefore * 1.001)
        }
      }
      #expect(plain.task.model.values == measured.task.model.values, "\(name)")
    }
  }

  @Test func noiseIsRareLargeAndTheSameForAllMethods() throws {
    var settings = MLPSettings()
    (settings.inputs, settings.hidden, settings.samples, settings.batchSize) = (6, [8], 60, 5)
    func norms(_ name: String) throws -> [Double] {
      var tiny = Hyperparameters()
      for parameter in try MLPArms.all.named(name, place: "test").hyperparameters {
        tiny[parameter.name] = 1e-9
      }
      let run = try training(name, tiny, settings, seed: 4)
      return try (0..<300).map { _ in
        try run.advance(measuring: .clip).clip?.normBefore ?? .nan
      }
    }
    let one = try norms("sgdm-norm")
    let other = try norms("sgdm-coordinate")
    let large = one.indices.filter { one[$0] > 6 }
    // 300 coins of 0.1: 30 ± 5.2; sizes are at least 5 on each of two layers.
    #expect(large.count > 10 && large.count < 55, "\(large.count) noisy steps")
    for k in one.indices { #expect(abs(one[k] - other[k]) <= 1e-3 * one[k]) }
  }

  @Test func divergenceIsRecordedNotThrown() throws {
    var config = try config(["sgdm-none"])
    config.hyperparameters["sgdm-none"] = ["learningRate": 100]
    let scratch = Scratch()
    let record = try run(MLPHeavyTails.self, config, scratch.path).records[0]
    #expect(try record.int(attribute: "diverged_at") >= 0)
    #expect(try record.double(attribute: "final_train_loss").isNaN)
    #expect(try record.doubles("train_loss").count == record.ints("step").count)
  }

  @Test func tunedHyperparametersAreChecked() throws {
    let scratch = Scratch()
    try FileManager.default.createDirectory(
      atPath: scratch.path + "/mlp-heavy-tails", withIntermediateDirectories: true)
    let file = scratch.path + "/mlp-heavy-tails/tuned.yaml"
    func message(_ text: String, methods: [String] = ["sgdm-norm"]) -> String {
      try? text.write(toFile: file, atomically: true, encoding: .utf8)
      var config = MLPHeavyTails.defaults
      config.methods = methods
      do {
        _ = try MLPHeavyTails.resolve(
          config,
          RunFolders(
            folder: scratch.path + "/mlp-heavy-tails", profile: "quick", data: "data",
            results: "results"))
        return ""
      } catch { return "\(error)" }
    }
    let good = "methods:\n  sgdm-norm:\n    learningRate: 0.01\n    maximumNorm: 2\n"
    #expect(message(good) == "")
    #expect(message(good, methods: ["adam-none"]).contains("has no method 'adam-none'"))
    #expect(message("methods:\n  sgdm-nrom:\n    learningRate: 1\n").contains("'sgdm-norm'"))
    #expect(message("methods:\n  sgdm-norm:\n    learningRate: 1\n").contains("maximumNorm"))
    #expect(
      message("methods:\n  sgdm-norm: {learningRate: 1, maximumNorm: 1, tau: 2}\n").contains("tau"))
    #expect(message("methods:\n  sgdm-norm: {learningRate: -1, maximumNorm: 1}\n").contains("> 0"))
    #expect(message("other: 1\n").contains("no mapping 'methods'"))
    // A search's own file reads back.
    var search = MLPSearch.defaults
    (search.inputs, search.hidden, search.samples, search.batchSize) = (6, [8], 60, 5)
    (search.steps, search.candidates, search.methods) = (10, 3, ["sgdm-norm", "adam-none"])
    let set = try run(MLPSearch.self, search, scratch.path)
    #expect(
      message(try MLPSearch.sideFiles(of: set)[0].text, methods: ["sgdm-norm", "adam-none"]) == "")
  }

  @Test(arguments: [
    ("batchSize=9000", "batchSize"), ("steps=0", "steps"), ("methods=[sgdm-nrom]", "sgdm-norm"),
    ("noiseProbability=2", "noiseProbability"), ("inputs=2", "inputs"), ("hidden=[]", "hidden"),
    ("hyperparameters={sgdm-norm: {learningRate: x}}", "learningRate"),
    ("hyperparameters={sgdm-norm: {learningRate: 1}}", "maximumNorm"),
    ("hyperparameters={sgdm-norm: {learningRate: 1, maximumNorm: .nan}}", "maximumNorm"),
    ("noiseAlpha=0", "noiseAlpha"),
  ])
  func badSettingsAreRefused(_ override: String, _ mention: String) {
    do {
      try MLPHeavyTails.checkMethods(
        MLPHeavyTails.defaults.overlaid(yaml: "", file: "test.yaml", overrides: [override]))
      Issue.record("\(override) was accepted")
    } catch { #expect("\(error)".contains(mention), "\(error)") }
  }

  @Test func aCheckpointOfOtherSettingsIsRefused() throws {
    let config = try config(["sgdm-norm"], steps: 230)
    let scratch = Scratch()
    #expect(throws: Killed.self) {
      try run(MLPHeavyTails.self, config, scratch.path, checkpointSeconds: 0) { _, step in
        if step == 150 { throw Killed() }
      }
    }
    var other = config
    other.noiseScale = 7
    do {
      _ = try run(MLPHeavyTails.self, other, scratch.path)
      Issue.record("the checkpoint was taken")
    } catch { #expect("\(error)".contains("noiseScale"), "\(error)") }
  }

  @Test func tablesCaptionsAndClaimsComeFromTheRecords() throws {
    let scratch = Scratch()
    var config = try config([
      "adam-none", "adam-norm", "sgdm-norm", "sgdm-spectral-const", "sgdm-spectral-ema",
      "sgdm-spectral-quantile",
    ])
    config.seeds = [1, 2, 3]
    let curves = try run(MLPHeavyTails.self, config, scratch.path)
    let table = try MLPHeavyTails.table(of: curves)
    #expect(table.blocks.filter { !$0.name.hasPrefix("authors:") }.count == 7)
    let block = try #require(table[block: "adam-none"])
    func row(_ name: String) -> Double { block.numbers("train_loss.\(name)")[1] }
    let losses = try curves.records(of: "adam-none").map { try $0.doubles("train_loss")[1] }
    #expect((1...3).map { row("seed\($0)") } == losses)
    let mean = exp(losses.map { log($0) }.reduce(0, +) / 3)
    #expect(abs(row("mean") - mean) <= 1e-12 * mean && row("low") < mean && row("high") > mean)
    for claim in MLPHeavyTails.claims {
      let evidence = try claim.evaluate(curves)
      #expect(evidence.count == 3, "\(claim.id)")
      #expect(evidence.lines[0].contains("final training loss"), "\(claim.id)")
    }
    #expect(try MLPHeavyTails.captionValues(of: curves).contains { $0.0 == "ranking" })
    // Numbers in decimal, as the settings have them: 5e-2 in YAML.
    var settings = MLPHeavyTails.defaults
    (settings.noiseScale, settings.hidden) = (0.05, [64, 32])
    let words = try settings.captionValues
    #expect(words.contains { $0 == ("noiseScale", "0.05") })
    #expect(words.contains { $0 == ("hidden", "64 and 32") })
  }

  @Test func heatMapStatistics() throws {
    func record(_ losses: [Double], _ norms: [Double]) throws -> MLPHeatMap.Map {
      var record = Record(attributes: ["axis": .string("tau")])
      record.add(.init("learning_rate", .double([1, 2])))
      record.add(.init("tau", .double([1, 2, 3])))
      record.add(.init("final_train_loss", .double(losses), shape: [2, 3]))
      record.add(.init("median_update_norm", .double(norms), shape: [2, 3]))
      return try MLPHeatMap.Map(record)
    }
    let a = try record([0.01, 0.02, 0.5, .nan, 0.05, 0.3], [1, 1.1, 1.2, 9, 30, 31])
    let b = try record([0.2, 0.2, 0.5, .nan, 0.05, 0.3], [1, 1.1, 1.2, 9, 30, 31])
    #expect(a.share(below: 0.1) == 0.5 && b.share(below: 0.1) == 1.0 / 6)
    let bins = MLPHeatMap.bestByUpdateNorm(a, b)
    #expect(bins.count == 1 && bins[0].a == 0.01 && bins[0].b == 0.2)
    #expect(abs(MLPHeatMap.shareDifference(a, b) - 1.0 / 3) < 1e-12)
    #expect(abs(MLPHeatMap.equalUpdateRatio(a, b) - 0.05) < 1e-12)
    let both = MLPHeatMap.bestByUpdateNorm([(spectral: a, norm: b), (spectral: b, norm: b)])
    #expect(both.count == 1 && both[0].norm == bins[0].norm && both[0].clippedByNorm == 0.2)
    #expect(abs(both[0].spectral - (0.01 * 0.2).squareRoot()) < 1e-12)
  }
}
