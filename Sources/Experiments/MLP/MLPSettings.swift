import Lab
import Datasets
import Foundation

/// Settings that name the data, model and noise of an MLP experiment.
protocol MLPConfig: ExperimentConfig {
  var inputs: Int { get }
  var hidden: [Int] { get }
  var samples: Int { get }
  var trainingShare: Double { get }
  var batchSize: Int { get }
  var order: BatchOrder { get }
  var noiseProbability: Double { get }
  var noiseAlpha: Double { get }
  var noiseScale: Double { get }
  var steps: Int { get }
}

extension MLPConfig {
  /// The problem they describe.
  var problem: MLPProblem {
    MLPProblem(
      inputs: inputs, hidden: hidden, samples: samples, trainingShare: trainingShare,
      batchSize: batchSize, order: order, noiseProbability: noiseProbability,
      noiseAlpha: noiseAlpha, noiseScale: noiseScale)
  }

  /// What figures say of the data.
  var dataDescription: String { "synthetic data, batches \(order.rawValue)" }

  func validateProblem() throws {
    try problem.validate()
    guard steps >= 1 else { throw ConfigError.value("steps", steps, "a whole number >= 1") }
  }
}
