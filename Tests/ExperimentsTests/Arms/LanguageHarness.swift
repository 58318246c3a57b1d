// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Models
import Optimizers
import Storage
import Testing
import Training

@testable import Datasets
@testable import Experiments
@testable import Lab

/// The arms of the language-model experiments at toy size. Everything that these tests know of the language models'
/// training is here.
enum LanguageHarness {
  static let steps = 10
  private static let seed: UInt64 = 6
  private static let vocabulary = 11

  static var names: [String] { arms.map(\.name) }

  private static let arms = NanoGPT.arms + GPT2FineWeb.arms

  private static func isGPT2(_ arm: String) -> Bool {
    GPT2FineWeb.arms.contains { $0.name == arm }
  }

  private static func training(
    _ settings: LanguageSettings, _ arm: String, _ hyperparameters: [String: Double]
  ) throws -> TrainingRun<LanguageTask> {
    try TrainingRun(
      settings, arms.named(arm, place: "test"), Hyperparameters(hyperparameters), data, seed: seed)
  }

  /// The experiments' settings but for sizes, dropout (whose masks no other library draws) and horizon.
  private static func problem(gpt2: Bool) -> LanguageSettings {
    if gpt2 {
      var config = GPT2FineWeb.defaults.settings
      (config.layers, config.heads, config.width, config.contextLength) = (1, 2, 8, 6)
      (config.batchSize, config.microBatches, config.steps, config.warmup) = (4, 2, 12, 3)
      return config
    }
    var config = NanoGPT.defaults.settings
    (config.layers, config.heads, config.width, config.contextLength) = (1, 2, 8, 6)
    (config.batchSize, config.steps, config.dropout) = (4, 12, 0)
    return config
  }

  private static func order(_ settings: LanguageSettings) -> TokenBatches.Order {
    settings.form == .nanoGPT ? .windows : .chunks
  }

  private static var data: LanguageData {
    let tokens = ClosedForm.integers("tokens", 400, below: vocabulary).map { UInt16($0) }
    return LanguageData(
      name: "closed form", isStandIn: true, vocabulary: vocabulary, training: tokens,
      validation: Array(tokens.reversed()), digest: "", decode: { _ in "" })
  }

  /// `steps` steps of an arm from the closed-form weights.
  static func train(
    _ arm: String, _ hyperparameters: [String: Double], steps: Int
  ) throws -> ArmTrajectory {
    let training = try training(problem(gpt2: isGPT2(arm)), arm, hyperparameters)
    for parameter in training.task.model.parameters {
      parameter.tensor.assign(ClosedForm.weights(parameter.name, shape: parameter.shape))
    }
    var trajectory = ArmTrajectory()
    for _ in 0..<steps { trajectory.losses.append(try training.advance().loss) }
    trajectory.weights = training.task.parameters.map {
      ($0.name, withoutKeys($0.name, $0.tensor.array))
    }
    return trajectory
  }

  /// A bias of the keys shifts all scores of a query alike: its gradient is rounding, which Adam takes for a sign.
  private static func withoutKeys(_ name: String, _ values: [Float]) -> [Float] {
    if name.hasSuffix("to_k.bias") { return values.map { _ in 0 } }
    guard name.hasSuffix("c_attn.bias") else { return values }
    let third = values.count / 3
    return values[..<third] + Array(repeating: 0, count: third) + values[(2 * third)...]
  }

  /// The rate of a step in a run of `steps` steps at the experiment's own settings, over the arm's rate.
  static func rateFactor(_ arm: String, step: Int, of steps: Int) throws -> Double {
    // The schedule of the run itself, at the experiment's warm-up.
    var settings = problem(gpt2: isGPT2(arm))
    settings.steps = steps
    settings.warmup = (isGPT2(arm) ? GPT2FineWeb.defaults : NanoGPT.defaults).settings.warmup
    var values: [String: Double] = [:]
    for parameter in try arms.named(arm, place: "test").hyperparameters {
      values[parameter.name] = parameter.name == "learningRate" ? 1 : 0.5
    }
    let run = try training(settings, arm, values)
    return try #require(run.trainer.optimizer.groups[0].rate(step))
  }

  /// The probability of dropout of a model in training at nanoGPT's own settings.
  static var dropout: Double {
    var problem = problem(gpt2: false)
    problem.dropout = NanoGPT.defaults.settings.dropout
    let training = try? training(
      problem, "sgdm-norm", ["learningRate": 1, "maximumNorm": 1])
    return training?.task.model.dropout ?? .nan
  }

  /// Where the sequences of long runs begin, the text's length, and a sequence's.
  static func startsSeen(gpt2: Bool) -> (starts: Set<Int>, tokens: Int, length: Int) {
    let problem = problem(gpt2: gpt2)
    var batches = TokenBatches(
      data.training, length: problem.contextLength, size: problem.batchSize, order: order(problem),
      stream: RandomStream(seed: seed, name: "language").child("batches"))
    return (
      Set((0..<500).flatMap { batches.starts(step: $0) }), data.training.count,
      problem.contextLength
    )
  }

  /// The validation losses that a record reports (at its last point, at its end) of a run on `training` and `validation`,
  /// whose weights are left at the path.
  static func reported(
    training: [UInt16], validation: [UInt16], sequences: (Int, Int), block: Int,
    below folder: String
  ) throws -> (point: Double, end: Double, weights: String) {
    try FileManager.default.createDirectory(
      atPath: folder + "/bin", withIntermediateDirectories: true)
    try TokenFile.write(training, to: "\(folder)/bin/train.bin", as: .plain)
    try TokenFile.write(validation, to: "\(folder)/bin/val.bin", as: .plain)
    var config = NanoGPT.defaults
    (config.layers, config.heads, config.width, config.contextLength) = (1, 2, 8, block)
    (config.batchSize, config.steps, config.recordEvery) = (4, 6, 3)
    (config.dropout, config.corpus) = (0, .binary)
    (config.evaluationSequences, config.finalSequences) = sequences
    (config.methods, config.seeds) = (["sgdm-norm"], [1])
    config.hyperparameters["sgdm-norm"] = ["learningRate": 0.05, "maximumNorm": 0.5]
    let runner = Runner<NanoGPT>(
      config: config, profile: "test", results: folder, dataFolder: folder,
      telemetry: Telemetry(root: nil, threads: 1, jobs: 1), keepWeights: true)
    _ = try runner.run()
    let record = try RecordSet(folder: runner.folder).records[0]
    return (
      try record.doubles("val_loss").last ?? .nan, try record.double(attribute: "final_val_loss"),
      runner.weightsPath("sgdm-norm", 1)
    )
  }

  /// Settings that toy sizes replace, of nanoGPT and of GPT-2.
  static var defaults: [[String: Double]] {
    [NanoGPT.defaults.settings, GPT2FineWeb.defaults.settings].map { problem in
      let counts: [(String, Int)] = [
        ("layers", problem.layers), ("heads", problem.heads), ("width", problem.width),
        ("context", problem.contextLength), ("batch", problem.batchSize), ("steps", problem.steps),
        ("rank", problem.rank), ("oversampling", problem.oversampling),
        ("power iterations", problem.powerIterations),
        ("windows", order(problem) == .windows ? 1 : 0),
      ]
      var values = Dictionary(uniqueKeysWithValues: counts.map { ($0.0, Double($0.1)) })
      values["dropout"] = problem.dropout
      return values
    }
  }

  /// Where the sequences of the batches begin.
  static func inputs() throws -> [SafetensorsTensor] {
    [false, true].map { gpt2 in
      let problem = problem(gpt2: gpt2)
      var batches = TokenBatches(
        data.training, length: problem.contextLength, size: problem.batchSize,
        order: order(problem),
        stream: RandomStream(seed: seed, name: "language").child("batches"))
      return SafetensorsTensor(
        gpt2 ? "gpt2.starts" : "nanogpt.starts", shape: [steps, problem.batchSize],
        ints: (0..<steps).flatMap { batches.starts(step: $0) }, as: .i32)
    }
  }
}
