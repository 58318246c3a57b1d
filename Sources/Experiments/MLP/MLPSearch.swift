import Datasets
import Foundation
import LinearAlgebra
import Storage
import Training

/// Table 1: hyper-parameters of every method of the MLP experiment by quasi-random search over the
/// authors' ranges, with equal budgets and the same points of the unit cube for every method.
public enum MLPSearch: SearchExperiment {
  /// Settings; the defaults are quick's.
  public struct Config: MLPConfig, SearchConfig {
    /// d, the dimension of x.
    public var inputs = 100
    /// Widths of the hidden layers.
    public var hidden = [100, 100, 100]
    /// Samples drawn.
    public var samples = 10_000
    /// Share of them that is trained on.
    public var trainingShare = 0.8
    /// Mini-batch size.
    public var batchSize = 32
    /// Whether every epoch has the same batches.
    public var order = BatchOrder.replayed
    /// Probability of noise in a step.
    public var noiseProbability = 0.1
    /// Tail exponent α of the noise.
    public var noiseAlpha = 1.1
    /// Smallest size of the noise.
    public var noiseScale = 5.0
    /// Training steps of a trial.
    public var steps = 7_500
    /// Trials a method.
    public var trials = 40
    /// The methods to search for.
    public var methods = MLPMethod.all.map(\.name)
    /// Seeds of data, weights and noise (not those of the curves).
    public var seeds: [UInt64] = [1000]

    /// The defaults.
    public init() {}

    var stepsPerTrial: Int { steps }

    /// Throws a `ConfigError` for a value outside its range.
    public func validate() throws {
      try validateProblem()
      try validateTrials()
      for method in methods { _ = try MLPMethod.named(method, place: "setting 'methods'") }
    }
  }

  /// See `Experiment`.
  public static let name = "mlp-search"
  /// See `Experiment`.
  public static let abstract =
    "Hyper-parameters of the MLP's methods by scrambled Halton search with equal budgets (Table 1)."
  static let command = "mlp-heavy-tails search"
  static let objective = "final_train_loss"
  static let stream = "mlp/search"

  static func objectiveMeaning(_ config: Config) -> String {
    "mean loss of the last \(MLPTraining.window) mini-batches, NaN after divergence"
  }

  /// See `Experiment`.
  public static func secondsPerStep(
    _ config: Config, _ context: RunContext
  ) throws -> Double {
    try timePerStep {
      let data = config.problem.data(seed: 0)
      for name in config.methods {
        let method = try MLPMethod.named(name, place: "method")
        _ = train(
          try MLPTraining(config.problem, method, values(method, at: 0), seed: 0, data: data),
          steps: 40)
      }
      return 40 * config.methods.count
    }
  }

  /// See `Experiment`.
  public static func dataName(_ config: Config) -> String { config.dataDescription }

  private static func train(_ training: MLPTraining, steps: Int) -> (loss: Double, divergedAt: Int?)
  {
    while training.step < steps && training.divergedAt == nil { training.advance() }
    return (training.meanLoss(last: MLPTraining.window), training.divergedAt)
  }

  static func trial(
    of method: MLPMethod, seed: UInt64, _ config: Config, _ context: RunContext
  ) throws -> @Sendable (MLPMethod.Values) throws -> (loss: Double, divergedAt: Int?) {
    let data = config.problem.data(seed: seed)
    return { values in
      train(
        try MLPTraining(config.problem, method, values, seed: seed, data: data),
        steps: config.steps)
    }
  }
}
