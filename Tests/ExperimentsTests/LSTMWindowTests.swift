// SPDX-License-Identifier: Apache-2.0

import Datasets
import Foundation
import LinearAlgebra
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab

/// The LSTM as the authors of arXiv 1905.11881 train it: windows of random lengths, rates in proportion, regularization.
@Suite struct LSTMWindowTests {
  init() { _ = BLASEnvironment.pinned() }

  private func config(_ windows: LSTMSettings.Windows) -> LSTMCurves.Config {
    var config = LSTMCurves.defaults
    (config.embedding, config.hidden, config.batchSize, config.length) = (3, 5, 8, 9)
    (config.steps, config.recordEvery, config.evaluationColumns) = (12, 4, 3)
    (config.evaluationWindows, config.windows) = (2, windows)
    (config.methods, config.seeds) = (["sgd-norm-large"], [1])
    config.hyperparameters["sgd-norm-large"] = ["learningRate": 2, "maximumNorm": 0.25]
    return config
  }

  private func training(_ config: LSTMCurves.Config) throws -> TrainingRun<LSTMTask> {
    try TrainingRun(
      config.settings, LSTMArms.all.named("sgd-norm-large", place: "test"),
      #require(config.hyperparameters["sgd-norm-large"]),
      LSTMTask.load(config.settings, folder: "nowhere"), seed: 1)
  }

  /// Two rows and eight steps: the vocabulary of thousands of words makes each slow in a debug build.
  @Test func killsDoNotChangeABit() throws {
    func short(_ windows: LSTMSettings.Windows) -> LSTMCurves.Config {
      var config = self.config(windows)
      (config.batchSize, config.steps, config.evaluationWindows) = (2, 8, 1)
      return config
    }
    let config = short(.random)
    let scratch = Scratch()
    let one = try run(LSTMCurves.self, config, scratch.path + "/1")
    try expectEqual(one, run(LSTMCurves.self, config, scratch.path + "/2", threads: 3), "threads")
    let place = scratch.path + "/killed"
    #expect(throws: Killed.self) {
      try run(LSTMCurves.self, config, place, checkpointSeconds: 0) { _, step in
        if step == 5 { throw Killed() }
      }
    }
    try expectEqual(one, run(LSTMCurves.self, config, place), "killed before step 5")
    let fixed = try run(LSTMCurves.self, short(.fixed), scratch.path + "/fixed")
    #expect(try fixed.records[0].doubles("train_loss") != one.records[0].doubles("train_loss"))
  }

  /// Windows of the training text as `TokenWindow.random` says them, the rate of each step in proportion.
  @Test func ratesGrowWithTheirWindows() throws {
    let config = config(.random)
    let run = try training(config)
    let data = try LSTMTask.load(config.settings, folder: "nowhere")
    let windows = TokenWindow.random(
      steps: 12, rows: data.training.count / 8, around: 9,
      RandomStream(seed: 1, name: "lstm").child("windows"))
    #expect(Set(windows.map(\.length)).count > 3)
    for (step, window) in windows.enumerated() {
      let rate = try #require(run.trainer.optimizer.groups[0].rate(step))
      #expect(abs(rate - 2 * Double(window.drawn) / 9) <= 1e-12, "step \(step)")
      let (_, loss) = run.task.load(step: step, microBatch: 0)
      #expect(loss.count == 1)
    }
    let plain = try training(self.config(.fixed))
    #expect(plain.trainer.optimizer.groups[0].rate(7) == 2)
  }

  /// A record's key does not know of the setting where it is what it was before there was one.
  @Test func fixedWindowsLeaveKeysAlone() throws {
    #expect(try !config(.fixed).lines.contains { $0.hasPrefix("windows") })
    #expect(try config(.random).lines.contains("windows = random"))
  }

  @Test func theAuthorsPenaltiesAreOffUnlessAskedFor() throws {
    let settings = LSTMSettings()
    #expect(settings.activationPenalty == 0 && settings.temporalPenalty == 0)
    #expect(settings.windows == .fixed)
    var penalized = config(.random)
    (penalized.activationPenalty, penalized.temporalPenalty) = (2, 1)
    let (with, without) = (try training(penalized), try training(config(.random)))
    #expect(try with.advance().loss > without.advance().loss)
  }
}
