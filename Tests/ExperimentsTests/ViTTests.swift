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

/// The vision transformer's experiment at toy size, on generated images.
@Suite struct ViTTests {
  init() { _ = BLASEnvironment.pinned() }

  /// Three steps of eight images an epoch, two epochs.
  private func config(_ methods: [String]) throws -> DeltaGClipViT.Config {
    var config = DeltaGClipViT.defaults
    (config.images, config.trainingImages, config.testImages) = (.standIn, 26, 10)
    (config.imageSide, config.width, config.layers, config.heads) = (32, 6, 1, 2)
    (config.batchSize, config.epochs) = (8, 2)
    (config.methods, config.seeds) = (methods, [1])
    for name in methods {
      var values = Hyperparameters()
      for parameter in try ViTArms.all.named(name, place: "test").hyperparameters {
        values[parameter.name] = parameter.value(at: 0.4)
      }
      config.hyperparameters[name] = values
    }
    return config
  }

  @Test func threadsJobsAndKillsDoNotChangeABit() throws {
    var config = try config(["adam", "spectral-quantile"])
    config.seeds = [1, 2]
    let scratch = Scratch()
    let one = try run(DeltaGClipViT.self, config, scratch.path + "/1")
    try expectEqual(
      one, run(DeltaGClipViT.self, config, scratch.path + "/2", jobs: 2, threads: 3), "3 threads")
    let losses = try one.records(of: "adam").map { try $0.doubles("train_loss") }
    #expect(losses[0] != losses[1], "the seed matters")
    let place = scratch.path + "/killed"
    #expect(throws: Killed.self) {
      try run(DeltaGClipViT.self, config, place, checkpointSeconds: 0) { _, step in
        if step == 4 { throw Killed() }
      }
    }
    try expectEqual(one, run(DeltaGClipViT.self, config, place), "killed before step 4")
  }

  @Test func theRecordSaysWhatHappened() throws {
    let scratch = Scratch()
    let names = ["sgd", "gclip"] + ViTArms.exponents.map(DeltaGClipArms.deltaName)
    var given = try config(names)
    for name in names {
      given.hyperparameters[name]?["learningRate"] = 0.01
      if name != "sgd" { given.hyperparameters[name]?["maximumNorm"] = 0.05 }
    }
    given.hyperparameters["delta-gclip-1e-2"]?["minimumFactor"] = 0.25
    let set = try run(
      DeltaGClipViT.self,
      DeltaGClipViT.resolve(
        given, RunFolders(folder: "nowhere", profile: "test", data: "nowhere", results: "nowhere")),
      scratch.path, jobs: 2)
    for record in set.records {
      #expect(try record.ints("step") == [1, 3, 6])
      #expect(try record.doubles("epoch") == [1 / 3.0, 1, 2])
      let (accuracies, errors) = try (
        record.doubles("val_accuracy"), record.doubles("val_error")
      )
      for (accuracy, error) in zip(accuracies, errors) {
        #expect(accuracy >= 0 && accuracy <= 1 && abs(error - max(1 - accuracy, 0.05)) <= 1e-12)
      }
      #expect(try record.double(attribute: "final_val_error") == errors.last)
      #expect(try record.int(attribute: "data_is_stand_in") == 1)
    }
    // The joint norm is what GClip leaves; δ-GClip leaves a quarter of what is far above.
    let gclip = try set.records(of: "gclip")[0]
    for (before, after) in try zip(
      gclip.doubles("grad_norm_pre"), gclip.doubles("grad_norm_post"))
    {
      #expect(before > 0.2 && abs(after - 0.05) <= 1e-6)
    }
    let delta = try set.records(of: "delta-gclip-1e-2")[0]
    for (before, after) in try zip(
      delta.doubles("grad_norm_pre"), delta.doubles("grad_norm_post"))
    {
      #expect(abs(after - before / 4) <= 1e-5 * before)
    }
    let table = try DeltaGClipViT.table(of: set)
    #expect(
      table.blocks.map(\.name).filter { !$0.hasPrefix("authors:") } == names + ["final"])
    #expect(table.blocks.contains { $0.name == "authors:delta-gclip-1e-6" })
    #expect(try DeltaGClipViT.captionValues(of: set).contains { $0.0 == "finals" })
    for claim in DeltaGClipViT.claims {
      let verdict = try claim.evaluate(set).verdict
      let hasArms = ["deltagclip-vit-gclip", "deltagclip-vit-ablation"].contains(claim.id)
      #expect(verdict == (hasArms ? .inconclusive : .needsRecords), "\(claim.id)")
    }
  }

  @Test func trainingLearns() throws {
    var given = try config(["adam"])
    (given.trainingImages, given.testImages, given.epochs) = (16, 10, 60)
    (given.width, given.smallestCrop) = (24, 1)
    given.hyperparameters["adam"] = ["learningRate": 0.01]
    let run = try TrainingRun<ViTTask>(
      given.settings, ViTArms.all.named("adam", place: "test"),
      #require(given.hyperparameters["adam"]),
      ViTTask.load(given.settings, folder: "nowhere"), seed: 1)
    let first = try run.advance().loss
    while run.trainer.step < run.task.steps - 2 { try run.advance() }
    let last = try (0..<2).map { _ in try run.advance().loss }
    #expect(last[0] + last[1] < 1.6 * first, "\(first) to \(last)")
  }

  @Test(arguments: [
    ("batchSize=60001", "batchSize"), ("epochs=0", "epochs"), ("heads=5", "divisor of the width"),
    ("imageSide=40", "imageSide"), ("imageSide=16", "imageSide"),
    ("smallestCrop=0", "smallestCrop"),
    ("positions=none", "positions"), ("methods=[delta-gclip]", "delta-gclip-1e-3"),
  ])
  func badSettingsAreRefused(_ override: String, _ mention: String) {
    do {
      try DeltaGClipViT.checkMethods(
        DeltaGClipViT.defaults.overlaid(yaml: "", file: "test.yaml", overrides: [override]))
      Issue.record("\(override) was accepted")
    } catch { #expect("\(error)".contains(mention), "\(error)") }
  }

  @Test func imagesOfOneChannelAreRefused() {
    var settings = ViTSettings()
    settings.images = .grayStandIn
    let error = #expect(throws: ConfigError.self) {
      try ViTTask.load(settings, folder: "nowhere")
    }
    #expect(error.map { "\($0)".contains("three channels") } ?? false)
  }
}
