import Lab
import Datasets
import Foundation
import LinearAlgebra
import Storage
import Training

/// Table 1: hyper-parameters of every method of the MLP experiment by quasi-random search over the
/// authors' ranges, with equal budgets and the same points of the unit cube for every method.
package enum MLPSearch: SearchExperiment {
  /// Settings; the defaults are quick's.
  package struct Config: MLPConfig, SearchConfig {
    /// d, the dimension of x.
    package var inputs = 100
    /// Widths of the hidden layers.
    package var hidden = [100, 100, 100]
    /// Samples drawn.
    package var samples = 10_000
    /// Share of them that is trained on.
    package var trainingShare = 0.8
    /// Mini-batch size.
    package var batchSize = 32
    /// Whether every epoch has the same batches.
    package var order = BatchOrder.replayed
    /// Probability of noise in a step.
    package var noiseProbability = 0.1
    /// Tail exponent α of the noise.
    package var noiseAlpha = 1.1
    /// Smallest size of the noise.
    package var noiseScale = 5.0
    /// Training steps of a trial.
    package var steps = 7_500
    /// Trials a method.
    package var trials = 40
    /// The methods to search for.
    package var methods = MLPMethod.all.map(\.name)
    /// Seeds of data, weights and noise (not those of the curves).
    package var seeds: [UInt64] = [1000]

    /// The defaults.
    package init() {}

    package var stepsPerTrial: Int { steps }

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
      try validateProblem()
      try validateTrials()
      for method in methods { _ = try MLPMethod.named(method, place: "setting 'methods'") }
    }
  }

  package static let name = "mlp-search"
  package static let abstract =
    "Hyper-parameters of the MLP's methods by scrambled Halton search with equal budgets (Table 1)."
  package static let command = "mlp-heavy-tails search"
  package static let objective = "final_train_loss"
  package static let stream = "mlp/search"

  package static func objectiveMeaning(_ config: Config) -> String {
    "mean loss of the last \(MLPTraining.window) mini-batches, NaN after divergence"
  }

  package static func secondsPerStep(
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

  package static func dataName(_ config: Config) -> String { config.dataDescription }

  private static func train(_ training: MLPTraining, steps: Int) -> (loss: Double, divergedAt: Int?)
  {
    while training.step < steps && training.divergedAt == nil { training.advance() }
    return (training.meanLoss(last: MLPTraining.window), training.divergedAt)
  }

  package static func trial(
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
