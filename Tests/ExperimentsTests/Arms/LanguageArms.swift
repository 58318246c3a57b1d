import Foundation
import LinearAlgebra
import Models
import Optimizers
import Storage
import Training

@testable import Datasets
@testable import Experiments

/// The arms of the language-model experiments at toy size. Everything that these tests know of the language models'
/// training is here.
enum LanguageArms {
  static let steps = 10
  private static let seed: UInt64 = 6
  private static let vocabulary = 11

  static var names: [String] { LanguageMethod.all.map(\.name) }

  private static func isGPT2(_ arm: String) -> Bool {
    LanguageMethod.gpt2.contains { $0.name == arm }
  }

  /// The experiments' settings but for sizes, dropout (whose masks no other library draws) and horizon.
  private static func problem(gpt2: Bool) -> LanguageProblem {
    if gpt2 {
      var config = GPT2FineWeb.Config()
      (config.layers, config.heads, config.width, config.block) = (1, 2, 8, 6)
      (config.batchSize, config.microBatches, config.steps, config.warmup) = (4, 2, 12, 3)
      return config.problem
    }
    var config = NanoGPT.Config()
    (config.layers, config.heads, config.width, config.block) = (1, 2, 8, 6)
    (config.batchSize, config.steps, config.dropout) = (4, 12, 0)
    return config.problem
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
    let training = try LanguageTraining(
      problem(gpt2: isGPT2(arm)), .named(arm, place: "test"), hyperparameters, data: data,
      seed: seed)
    for parameter in training.model.parameters {
      parameter.tensor.assign(ClosedForm.weights(parameter.name, shape: parameter.shape))
    }
    var trajectory = ArmTrajectory()
    for _ in 0..<steps { trajectory.losses.append(try training.advance().loss) }
    trajectory.weights = training.model.parameters.map {
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
    let shared =
      isGPT2(arm) ? GPT2FineWeb.Config().problem.schedule : NanoGPT.Config().problem.schedule
    let method = try LanguageMethod.named(arm, place: "test")
    return (method.schedule ?? shared).factor(step: step, of: steps)
  }

  /// The probability of dropout of a model in training at nanoGPT's own settings.
  static var dropout: Double {
    var problem = problem(gpt2: false)
    problem.dropout = NanoGPT.Config().dropout
    let training = try? LanguageTraining(
      problem, .named("sgdm-norm", place: "test"), ["learningRate": 1, "maximumNorm": 1],
      data: data, seed: seed)
    return training?.model.dropout ?? .nan
  }

  /// Where the sequences of long runs begin, the text's length, and a sequence's.
  static func startsSeen(gpt2: Bool) -> (starts: Set<Int>, tokens: Int, length: Int) {
    let problem = problem(gpt2: gpt2)
    var batches = TokenBatches(
      data.training, length: problem.block, size: problem.batchSize, order: problem.order,
      stream: RandomStream(seed: seed, name: "language").child("batches"))
    return (
      Set((0..<500).flatMap { batches.starts(step: $0) }), data.training.count, problem.block
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
    var config = NanoGPT.Config()
    (config.layers, config.heads, config.width, config.block) = (1, 2, 8, block)
    (config.batchSize, config.steps, config.recordEvery) = (4, 6, 3)
    (config.dropout, config.corpus) = (0, .binary)
    (config.evaluationSequences, config.finalSequences) = sequences
    (config.methods, config.seeds) = (["sgdm-norm"], [1])
    config.settings = ["sgdm-norm learningRate=0.05 maximumNorm=0.5"]
    let runner = ExperimentRunner<NanoGPT>(
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
    [NanoGPT.Config().problem, GPT2FineWeb.Config().problem].map { problem in
      let counts: [(String, Int)] = [
        ("layers", problem.layers), ("heads", problem.heads), ("width", problem.width),
        ("context", problem.block), ("batch", problem.batchSize), ("steps", problem.steps),
        ("rank", problem.sketch.rank), ("oversampling", problem.sketch.oversampling),
        ("power iterations", problem.sketch.powerIterations),
        ("windows", problem.order == .windows ? 1 : 0),
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
        data.training, length: problem.block, size: problem.batchSize, order: problem.order,
        stream: RandomStream(seed: seed, name: "language").child("batches"))
      return SafetensorsTensor(
        gpt2 ? "gpt2.starts" : "nanogpt.starts", shape: [steps, problem.batchSize],
        ints: (0..<steps).flatMap { batches.starts(step: $0) }, as: .i32)
    }
  }
}
