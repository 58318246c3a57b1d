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
