import Lab
import Datasets
import Foundation
import LinearAlgebra
import Storage
import Training

/// Fig 4: final loss of the MLP over step size and threshold, for norm and spectral clipping with SGDM,
/// and over step size and quantile level for the quantile rule (beyond the paper).
package enum MLPHeatMap: Experiment {
  /// Settings; the defaults are the paper's grid.
  package struct Config: MLPConfig {
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
    /// Training steps of a cell.
    package var steps = 30_000
    /// Smallest and largest step size, and how many, evenly in the logarithm.
    package var learningRates = [1e-4, 1e-1]
    /// Number of step sizes.
    package var learningRateCount = 19
    /// Smallest and largest threshold.
    package var thresholds = [1e-2, 1e1]
    /// Number of thresholds, evenly in the logarithm.
    package var thresholdCount = 25
    /// Smallest and largest quantile level.
    package var levels = [0.5, 0.99]
    /// Number of quantile levels, evenly.
    package var levelCount = 8
    /// Steps between two samples of the update norm, whose median is recorded.
    package var updateNormEvery = 50
    /// norm, spectral, quantile.
    package var methods = ["norm", "spectral", "quantile"]
    /// One map a method and seed.
    package var seeds: [UInt64] = [1]

    /// The paper's settings.
    package init() {}

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
      try validateProblem()
      for (key, range) in [("learningRates", learningRates), ("thresholds", thresholds)] {
        guard range.count == 2, range[0] > 0, range[1] > range[0], range[1].isFinite else {
          throw ConfigError.value(key, range, "a smallest and a largest value > 0")
        }
      }
      guard levels.count == 2, levels[0] >= 0, levels[1] > levels[0], levels[1] <= 1 else {
        throw ConfigError.value("levels", levels, "a smallest and a largest value in [0, 1]")
      }
      for (key, count) in [
        ("learningRateCount", learningRateCount), ("thresholdCount", thresholdCount),
        ("levelCount", levelCount), ("updateNormEvery", updateNormEvery),
      ] where count < 1 { throw ConfigError.value(key, count, "a whole number >= 1") }
      for method in methods { _ = try axis(of: method) }
    }

    /// Step sizes, ascending.
    var rates: [Double] { logarithmic(learningRates, learningRateCount) }

    /// What the second axis of `method` counts.
    func axis(of method: String) throws -> (name: String, method: MLPMethod, values: [Double]) {
      switch method {
      case "norm":
        let found = try MLPMethod.named("sgdm-norm", place: "method")
        return ("maximumNorm", found, logarithmic(thresholds, thresholdCount))
      case "spectral":
        let found = try MLPMethod.named("sgdm-spectral-const", place: "method")
        return ("tau", found, logarithmic(thresholds, thresholdCount))
      case "quantile":
        let found = try MLPMethod.named("sgdm-spectral-quantile", place: "method")
        let step = (levels[1] - levels[0]) / Double(max(1, levelCount - 1))
        return ("level", found, (0..<levelCount).map { levels[0] + Double($0) * step })
      default:
        throw ConfigError("method '\(method)'", "unknown", hint: "use norm, spectral or quantile")
      }
    }

    private func logarithmic(_ range: [Double], _ count: Int) -> [Double] {
      (0..<count).map { i in
        i == count - 1 && count > 1
          ? range[1] : range[0] * pow(range[1] / range[0], Double(i) / Double(max(1, count - 1)))
      }
    }
  }

  package static let name = "mlp-heatmap"
  package static let abstract =
    "Final loss of the MLP over step size and clipping threshold (Fig 4)."
  package static let version = 1
  /// Cells run side by side.
  package static let parallelWithinJob = true

  package static func work(of unit: Job, _ config: Config) -> Int {
    let columns = (try? config.axis(of: unit.methods[0]).values.count) ?? 0
    return columns * config.rates.count * config.steps
  }

  package static func secondsPerStep(
    _ config: Config, _ context: RunContext
  ) throws -> Double {
    try timePerStep {
      let data = config.problem.data(seed: 0)
      for name in config.methods {
        let axis = try config.axis(of: name)
        let values = [
          "learningRate": config.rates[config.rates.count / 2],
          axis.name: axis.values[axis.values.count / 2],
        ]
        _ = cell(
          try MLPTraining(config.problem, axis.method, values, seed: 0, data: data), steps: 100,
          updateNormEvery: 50)
      }
      return 100 * config.methods.count
    }
  }

  package static func dataName(_ config: Config) -> String { config.dataDescription }

  struct Cell: Codable, Sendable {
    var loss: Double
    var divergedAt: Int
    var updateNorm: Double
    var seconds: Double
  }

  private static func cell(
    _ training: MLPTraining, steps: Int, updateNormEvery: Int
  ) -> Cell {
    let watch = Stopwatch()
    var norms: [Double] = []
    while training.step < steps && training.divergedAt == nil {
      let report = training.advance(
        measuringUpdate: training.step % updateNormEvery == updateNormEvery - 1)
      if let norm = report.updateNorm { norms.append(norm) }
    }
    return Cell(
      loss: training.meanLoss(last: MLPTraining.window), divergedAt: training.divergedAt ?? -1,
      updateNorm: norms.isEmpty ? .nan : Statistics.median(norms), seconds: watch.seconds)
  }

  package static func run(
    _ unit: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let axis = try config.axis(of: unit.methods[0])
    let (rates, columns) = (config.rates, axis.values)
    let data = config.problem.data(seed: unit.seed)
    let cells = try context.parallelMap(rates.count * columns.count, progress: config.steps) {
      index in
      let values = [
        "learningRate": rates[index / columns.count], axis.name: columns[index % columns.count],
      ]
      return cell(
        try MLPTraining(config.problem, axis.method, values, seed: unit.seed, data: data),
        steps: config.steps, updateNormEvery: config.updateNormEvery)
    }
    let shape = [rates.count, columns.count]
    var record = Record(attributes: [
      "axis": .string(axis.name),
      "diverged_cells": .int(cells.count { $0.divergedAt >= 0 }),
      "best_loss": .double(cells.map(\.loss).filter(\.isFinite).min() ?? .nan),
    ])
    record.add(.init("learning_rate", .double(rates), longName: "step size", units: "1"))
    record.add(
      .init(
        axis.name, .double(columns),
        longName: axis.name == "level" ? "quantile level q" : "clipping threshold", units: "1"))
    let dimensions = ["learning_rate", axis.name]
    record.add(
      .init(
        "final_train_loss", .double(cells.map(\.loss)), shape: shape,
        longName: "mean loss of the last \(MLPTraining.window) mini-batches, NaN after divergence",
        units: "1", dimensions: dimensions))
    record.add(
      .init(
        "diverged_at", .int64(cells.map { Int64($0.divergedAt) }), shape: shape,
        longName: "step of divergence, -1 for none", units: "1", dimensions: dimensions))
    record.add(
      .init(
        "median_update_norm", .double(cells.map(\.updateNorm)), shape: shape,
        longName: "median norm of a step's change of all parameters", units: "1",
        dimensions: dimensions))
    record.telemetry.add(
      .init(
        "cell_seconds", .double(cells.map(\.seconds)), shape: shape, longName: "time of each cell",
        units: "s"))
    return [record]
  }
}
