// SPDX-License-Identifier: Apache-2.0

import Datasets
import Foundation
import LinearAlgebra
import Models
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab

/// AlexNet's experiment at toy size, on generated images.
@Suite struct AlexNetTaskTests {
  init() { _ = BLASEnvironment.pinned() }

  /// Three steps of eight images an epoch, two epochs.
  private func config(_ methods: [String]) throws -> PerSampleAlexNet.Config {
    var config = PerSampleAlexNet.defaults
    (config.images, config.trainingImages, config.testImages) = (.standIn, 26, 10)
    (config.widthDivisor, config.batchSize, config.epochs) = (32, 8, 2)
    (config.methods, config.seeds) = (methods, [1])
    for name in methods {
      var values = Hyperparameters()
      for parameter in try AlexNetArms.all.named(name, place: "test").hyperparameters {
        values[parameter.name] = parameter.value(at: 0.4)
      }
      config.hyperparameters[name] = values
    }
    return config
  }

  private func training(
    _ name: String, _ config: PerSampleAlexNet.Config
  ) throws -> TrainingRun<AlexNetTask> {
    try TrainingRun(
      config.settings, AlexNetArms.all.named(name, place: "test"),
      #require(config.hyperparameters[name]),
      AlexNetTask.load(config.settings, folder: "nowhere"), seed: 1)
  }

  @Test func threadsJobsAndKillsDoNotChangeABit() throws {
    var config = try config(["sgdm-per-sample", "sgdm-norm-before", "sgdm-spectral-quantile"])
    config.seeds = [1, 2]
    let scratch = Scratch()
    let one = try run(PerSampleAlexNet.self, config, scratch.path + "/1")
    try expectEqual(
      one, run(PerSampleAlexNet.self, config, scratch.path + "/2", jobs: 2, threads: 3), "threads")
    let losses = try one.records(of: "sgdm-per-sample").map { try $0.doubles("train_loss") }
    #expect(losses[0] != losses[1], "the seed matters")
    let place = scratch.path + "/killed"
    #expect(throws: Killed.self) {
      try run(PerSampleAlexNet.self, config, place, checkpointSeconds: 0) { _, step in
        if step == 4 { throw Killed() }
      }
    }
    try expectEqual(one, run(PerSampleAlexNet.self, config, place), "killed before step 4")
  }

  @Test func theRecordSaysWhatHappened() throws {
    let scratch = Scratch()
    let names = ["sgdm-none", "sgdm-norm", "sgdm-per-sample", "sgdm-norm-after"]
    var given = try config(names)
    for name in ["sgdm-norm", "sgdm-norm-after"] {
      given.hyperparameters[name] = ["learningRate": 1e-3, "maximumNorm": 1e-3]
    }
    given.hyperparameters["sgdm-per-sample"] = ["learningRate": 1e-3, "scale": 1e-3]
    let set = try run(
      PerSampleAlexNet.self,
      PerSampleAlexNet.resolve(
        given, RunFolders(folder: "nowhere", profile: "test", data: "nowhere", results: "nowhere")),
      scratch.path, jobs: 2)
    for record in set.records {
      #expect(try record.ints("step") == [1, 3, 6])
      for key in ["train_loss", "val_loss", "grad_norm_pre"] {
        let values = try record.doubles(key)
        #expect(values.count == 3 && values.allSatisfy { $0 > 0 && $0.isFinite }, "\(key)")
      }
      #expect(try record.int(attribute: "data_is_stand_in") == 1)
      #expect(try record.strings("layer").count == 16)
      #expect(
        try record.double(attribute: "final_val_accuracy") == record.doubles("val_accuracy").last)
    }
    for after in try set.records(of: "sgdm-norm")[0].doubles("grad_norm_post") {
      #expect(abs(after - 1e-3) <= 1e-8)
    }
    // Eight samples of norm at most √k/1000 each.
    let bound = (1...8).map { Double($0).squareRoot() }.reduce(0, +) * 1e-3 / 8
    let own = try set.records(of: "sgdm-per-sample")[0]
    #expect(try own.doubles("clipped_fraction", axes: 2).values.allSatisfy { $0 == 1 })
    for after in try own.doubles("grad_norm_post") { #expect(after > 0 && after <= bound) }
    let table = try PerSampleAlexNet.table(of: set)
    #expect(table.blocks.map(\.name) == names + ["final"])
    #expect(try PerSampleAlexNet.captionValues(of: set).contains { $0.0 == "ranking" })
    for claim in PerSampleAlexNet.claims {
      let decides = ["persample-loss", "persample-time", "persample-error"].contains(claim.id)
      #expect(try claim.evaluate(set).verdict == (decides ? .inconclusive : .needsRecords))
    }
  }

  /// Without dropout a batch and its parts have one gradient, so that clipping it after accumulation is the standard clip; before
  /// it is not.
  @Test func clippingAfterAccumulationIsTheStandardClip() throws {
    let names = ["sgdm-norm", "sgdm-norm-after", "sgdm-norm-before"]
    var given = try config(names)
    given.dropout = 0
    for name in names {
      given.hyperparameters[name] = ["learningRate": 0.1, "maximumNorm": 0.01]
    }
    let weights = try names.map { name in
      let run = try training(name, given)
      #expect(run.task.microBatches == (name == "sgdm-norm" ? 1 : 4))
      for _ in 0..<4 { try run.advance() }
      return run.task.parameters.flatMap { $0.tensor.array.map(Double.init) }
    }
    func distance(_ a: [Double], _ b: [Double]) -> Double {
      zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
    }
    // Four steps of at most 0.1 · 0.01 · (1 + …) each move the weights by some 1e-2.
    #expect(distance(weights[0], weights[1]) <= 1e-6)
    #expect(distance(weights[0], weights[2]) > 1e-5)
  }

  @Test func divergenceIsRecordedNotThrown() throws {
    var given = try config(["sgdm-none"])
    given.epochs = 40
    given.hyperparameters["sgdm-none"] = ["learningRate": 1e4]
    let scratch = Scratch()
    let record = try run(PerSampleAlexNet.self, given, scratch.path).records[0]
    #expect(try record.int(attribute: "diverged_at") > 0)
    #expect(try record.double(attribute: "final_val_accuracy").isNaN)
  }

  @Test(arguments: [
    ("batchSize=50001", "batchSize"), ("epochs=0", "epochs"), ("widthDivisor=3", "widthDivisor"),
    ("dropout=1", "dropout"), ("methods=[sgdm-per-smaple]", "sgdm-per-sample"),
    ("hyperparameters={sgdm-norm: {learningRate: 1}}", "maximumNorm"), ("images=cifar", "images"),
  ])
  func badSettingsAreRefused(_ override: String, _ mention: String) {
    do {
      try PerSampleAlexNet.checkMethods(
        PerSampleAlexNet.defaults.overlaid(yaml: "", file: "test.yaml", overrides: [override]))
      Issue.record("\(override) was accepted")
    } catch { #expect("\(error)".contains(mention), "\(error)") }
  }

  @Test func whatDoesNotFitIsRefused() throws {
    var settings = AlexNetSettings()
    settings.images = .grayStandIn
    var error = #expect(throws: ConfigError.self) {
      try AlexNetTask.load(settings, folder: "nowhere")
    }
    #expect(error.map { "\($0)".contains("28×28") } ?? false)
    var given = try config(["sgdm-norm-before"])
    given.batchSize = 9
    error = #expect(throws: ConfigError.self) { try training("sgdm-norm-before", given) }
    #expect(error.map { "\($0)".contains("4 micro-batches") } ?? false)
    // Without data the stand-in, by its name.
    settings.images = .cifar10
    #expect(try AlexNetTask.load(settings, folder: "nowhere").isStandIn)
    settings.images = .cifar100
    let hundred = try AlexNetTask.load(settings, folder: "nowhere")
    #expect(hundred.isStandIn && hundred.name.contains("stand-in for CIFAR-100"))
  }
}
