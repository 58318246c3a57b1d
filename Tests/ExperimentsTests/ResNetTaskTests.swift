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

/// The residual network's experiment at toy size, on generated images.
@Suite struct ResNetTaskTests {
  init() { _ = BLASEnvironment.pinned() }

  /// Two steps of four images an epoch, three epochs: a debug build's convolutions take their time.
  private func config(_ methods: [String]) throws -> DeltaGClipResNet18.Config {
    var config = DeltaGClipResNet18.defaults
    (config.images, config.trainingImages, config.testImages) = (.standIn, 9, 4)
    (config.widthDivisor, config.batchSize) = (64, 4)
    (config.epochs, config.decayEpochs) = (3, [1, 2])
    (config.methods, config.seeds) = (methods, [1])
    for name in methods {
      var values = Hyperparameters()
      for parameter in try ResNetArms.all.named(name, place: "test").hyperparameters {
        values[parameter.name] = parameter.value(at: 0.4)
      }
      config.hyperparameters[name] = values
    }
    return config
  }

  private func training(
    _ name: String, _ config: DeltaGClipResNet18.Config
  ) throws -> TrainingRun<ResNetTask> {
    try TrainingRun(
      config.settings, ResNetArms.all.named(name, place: "test"),
      #require(config.hyperparameters[name]),
      ResNetTask.load(config.settings, folder: "nowhere"), seed: 1)
  }

  /// CIFAR-10's images by the authors' constants; generated ones by their own.
  @Test func imagesAreNormalizedAsTheAuthorsDo() throws {
    let scratch = Scratch()
    for name in (1...5).map({ "data_batch_\($0)" }) + ["test_batch"] {
      let image = [UInt8](repeating: 3, count: 3073)
      try AtomicFile.write(
        Data(image), to: "\(scratch.path)/cifar10-lossless-subset/\(name).bin")
    }
    var settings = ResNetSettings()
    (settings.images, settings.batchSize) = (.cifar10Subset, 2)
    let data = try ResNetTask.load(settings, folder: scratch.path).data
    #expect(data.normalization == .cifar10ByImage && !data.isStandIn && data.training.count == 5)
    settings.images = .standIn
    #expect(
      try ResNetTask.load(settings, folder: scratch.path).data.normalization != .cifar10ByImage)
  }

  /// Running statistics are part of what a checkpoint holds.
  @Test func threadsJobsAndKillsDoNotChangeABit() throws {
    let config = try config(["adam", "spectral-quantile"])
    let scratch = Scratch()
    let one = try run(DeltaGClipResNet18.self, config, scratch.path + "/1")
    try expectEqual(
      one, run(DeltaGClipResNet18.self, config, scratch.path + "/2", jobs: 2, threads: 3),
      "3 threads")
    let place = scratch.path + "/killed"
    #expect(throws: Killed.self) {
      try run(DeltaGClipResNet18.self, config, place, checkpointSeconds: 0) { _, step in
        if step == 3 { throw Killed() }
      }
    }
    try expectEqual(one, run(DeltaGClipResNet18.self, config, place), "killed before step 3")
  }

  @Test func theRecordSaysWhatHappened() throws {
    let scratch = Scratch()
    let names = ["gclip", "delta-gclip-1e-3", "delta-gclip-1e-8"]
    var given = try config(names)
    for name in names {
      given.hyperparameters[name]?["learningRate"] = 0.01
      given.hyperparameters[name]?["maximumNorm"] = 0.05
    }
    given.hyperparameters["delta-gclip-1e-3"]?["minimumFactor"] = 0.25
    given.hyperparameters["delta-gclip-1e-8"]?["minimumFactor"] = 0.5
    let set = try run(
      DeltaGClipResNet18.self,
      DeltaGClipResNet18.resolve(
        given, RunFolders(folder: "nowhere", profile: "test", data: "nowhere", results: "nowhere")),
      scratch.path, jobs: 2)
    for record in set.records {
      #expect(try record.ints("step") == [1, 2, 4, 6])
      #expect(try record.doubles("epoch") == [0.5, 1, 2, 3])
      #expect(try record.string(attribute: "network") == "resnet18")
      let (accuracies, errors) = try (
        record.doubles("val_accuracy"), record.doubles("val_error")
      )
      for (accuracy, error) in zip(accuracies, errors) {
        #expect(accuracy >= 0 && accuracy <= 1 && abs(error - max(1 - accuracy, 0.125)) <= 1e-12)
      }
      #expect(try record.double(attribute: "final_val_error") == errors.last)
      #expect(try record.int(attribute: "data_is_stand_in") == 1)
    }
    // What is left of a norm far above the limit: the limit, or the share that δ says.
    for (name, share) in [
      ("gclip", 0.0), ("delta-gclip-1e-3", 0.25), ("delta-gclip-1e-8", 0.5),
    ] {
      let record = try set.records(of: name)[0]
      for (before, after) in try zip(
        record.doubles("grad_norm_pre"), record.doubles("grad_norm_post"))
      {
        #expect(before > 0.2 && abs(after - max(0.05, share * before)) <= 1e-5 * before, "\(name)")
      }
    }
    let table = try DeltaGClipResNet18.table(of: set)
    #expect(table.blocks.map(\.name) == names + ["final"])
    let values = try DeltaGClipResNet18.captionValues(of: set)
    let settings = try DeltaGClipResNet18.config(of: set).captionValues
    #expect(settings.contains { $0 == ("decayEpochs", "1 and 2") })
    #expect(settings.contains { $0.0 == "trainingImages" && Int($0.1) != nil })
    #expect(values.contains { $0 == ("idle", "δ made a difference in some run") })
    for claim in DeltaGClipResNet18.claims {
      let hasArms = ["deltagclip-resnet18-gclip", "deltagclip-resnet18-ablation"]
        .contains(claim.id)
      #expect(
        try claim.evaluate(set).verdict == (hasArms ? .inconclusive : .needsRecords), "\(claim.id)")
    }
  }

  /// In every arm, Adam's too, as in the authors' notebook.
  @Test(arguments: ["adam", "sgd", "delta-gclip-1e-8", "spectral-const"])
  func ratesAreATenthTwice(_ name: String) throws {
    let given = try config([name])
    let run = try training(name, given)
    let rate = try #require(given.hyperparameters[name]?["learningRate"])
    let rates = (0..<6).map { run.trainer.optimizer.groups[0].rate($0) }
    for (step, got) in rates.enumerated() {
      let want = rate * [1, 0.1, 0.01][step / 2]
      #expect(abs((got ?? .nan) - want) <= 1e-12 * rate, "step \(step)")
    }
    #expect(given.settings.lasting(2.0 / 3).decayEpochs == [1, 1])
    var long = ResNetSettings()
    long = long.lasting(0.1)
    #expect(long.epochs == 20 && long.decayEpochs == [10, 15])
  }

  @Test func trainingLearns() throws {
    var given = try config(["adam"])
    (given.trainingImages, given.epochs, given.decayEpochs) = (4, 14, [])
    given.widthDivisor = 16
    given.hyperparameters["adam"] = ["learningRate": 0.01]
    let run = try training("adam", given)
    let first = try run.advance().loss
    while run.trainer.step < run.task.steps - 2 { try run.advance() }
    let last = try (0..<2).map { _ in try run.advance().loss }
    #expect(last[0] + last[1] < 1.2 * first, "\(first) to \(last)")
  }

  /// Real images are normalized by the authors' constants, generated ones by their own.
  @Test func theNetworkAndItsImagesAreThoseAskedFor() throws {
    var given = try config(["sgd"])
    #expect(try training("sgd", given).task.model.depth == .eighteen)
    (given.network, given.widthDivisor) = (.resNet20, 4)
    let twenty = try training("sgd", given).task
    #expect(twenty.model.depth == .twenty && twenty.parameters[0].shape == [4, 3, 3, 3])
    let data = try ResNetTask.load(given.settings, folder: "nowhere").data
    #expect(data.isStandIn && data.normalization != .cifar10ByImage)
  }

  @Test(arguments: [
    ("batchSize=60001", "batchSize"), ("epochs=0", "epochs"), ("widthDivisor=3", "widthDivisor"),
    ("decayEpochs=[-1]", "decayEpochs"), ("network=resnet50", "network"),
    ("methods=[delta-gclip]", "delta-gclip-1e-3"),
  ])
  func badSettingsAreRefused(_ override: String, _ mention: String) {
    do {
      try DeltaGClipResNet18.checkMethods(
        DeltaGClipResNet18.defaults.overlaid(
          yaml: "", file: "test.yaml", overrides: [override]))
      Issue.record("\(override) was accepted")
    } catch { #expect("\(error)".contains(mention), "\(error)") }
  }

  @Test func imagesOfOneChannelAreRefused() {
    var settings = ResNetSettings()
    settings.images = .grayStandIn
    let error = #expect(throws: ConfigError.self) {
      try ResNetTask.load(settings, folder: "nowhere")
    }
    #expect(error.map { "\($0)".contains("in color") } ?? false)
  }
}
