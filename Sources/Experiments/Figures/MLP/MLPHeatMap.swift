// SPDX-License-Identifier: Apache-2.0

import Lab
import Datasets
import Foundation
import LinearAlgebra
import Storage
import Training

/// Fig 4: final loss of the MLP over step size and threshold, for norm and spectral clipping with SGDM,
/// and over step size and quantile level for the quantile rule (beyond the paper).
package enum MLPHeatMap: Experiment {
  /// The settings.
  package typealias Config = ComposedConfig<MLPSettings, Grid>

  /// What the map adds to the MLP's settings; the defaults are the paper's grid.
  package struct Grid: ExperimentConfig {
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

    package static let limits: [String: ClosedRange<Int>] = [
      "learningRateCount": 1...10_000, "thresholdCount": 1...10_000, "levelCount": 1...10_000,
      "updateNormEvery": .positive,
    ]

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
      for (key, range) in [("learningRates", learningRates), ("thresholds", thresholds)] {
        guard range.count == 2, range[0] > 0, range[1] > range[0], range[1].isFinite else {
          throw ConfigError.value(key, range, "a smallest and a largest value > 0")
        }
      }
      guard levels.count == 2, levels[0] >= 0, levels[1] > levels[0], levels[1] <= 1 else {
        throw ConfigError.value("levels", levels, "a smallest and a largest value in [0, 1]")
      }
      for method in methods { _ = try axis(of: method) }
    }

    /// Step sizes, ascending.
    var rates: [Double] { logarithmic(learningRates, learningRateCount) }

    /// What the second axis of `method` counts.
    func axis(of method: String) throws -> (name: String, arm: Arm, values: [Double]) {
      switch method {
      case "norm":
        let found = try MLPArms.all.named("sgdm-norm", place: "method")
        return ("maximumNorm", found, logarithmic(thresholds, thresholdCount))
      case "spectral":
        let found = try MLPArms.all.named("sgdm-spectral-const", place: "method")
        return ("tau", found, logarithmic(thresholds, thresholdCount))
      case "quantile":
        let found = try MLPArms.all.named("sgdm-spectral-quantile", place: "method")
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

  package static let defaults = Config(MLPSettings(), Grid())
  package static let name = "mlp-heatmap"
  package static let abstract =
    "Final loss of the MLP over step size and clipping threshold (Fig 4)."
  package static let version = 1
  /// Cells run side by side.
  package static let parallelWithinJob = true

  package static func work(of job: Job, _ config: Config) -> Int {
    let columns = (try? config.own.axis(of: job.methods[0]).values.count) ?? 0
    return columns * config.own.rates.count * config.settings.steps
  }

  /// The cells of one step size stay together.
  package static func stages(of job: Job, _ config: Config) -> [Stage] {
    let columns = (try? config.own.axis(of: job.methods[0]).values.count) ?? 0
    return [
      Stage(
        results: columns * config.own.rates.count, block: max(1, columns),
        work: config.settings.steps)
    ]
  }

  package static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double? {
    var settings = config.settings
    settings.steps = min(100, settings.steps)
    let source = MLPTask.Source(settings)
    return try timePerStep {
      for method in config.methods {
        let axis = try config.own.axis(of: method)
        _ = try cell(
          axis.arm,
          [
            "learningRate": config.own.rates[config.own.rates.count / 2],
            axis.name: axis.values[axis.values.count / 2],
          ], settings, source.data(seed: 0), seed: 0, updateNormEvery: 50)
      }
      return settings.steps * config.methods.count
    }
  }

  package static func dataName(_ config: Config) -> String { MLPTask.Source(config.settings).name }

  struct Cell: Codable, Sendable {
    var loss: Double
    var divergedAt: Int
    var updateNorm: Double
    var seconds: Double
  }

  private static func cell(
    _ arm: Arm, _ values: Hyperparameters, _ settings: MLPSettings, _ data: ProductRegression,
    seed: UInt64, updateNormEvery: Int
  ) throws -> Cell {
    let watch = Stopwatch()
    let task = MLPTask(settings, arm, data, seed: seed, pool: .single)
    let run = try TrainingRun(task, arm, values, seed: seed, pool: .single)
    var norms: [Double] = []
    while run.trainer.step < settings.steps && !run.hasDiverged {
      try Interruption.check()
      let isMeasured = run.trainer.step % updateNormEvery == updateNormEvery - 1
      let report = try run.advance(measuring: isMeasured ? .update : [])
      if let norm = report.updateNorm { norms.append(norm) }
    }
    return Cell(
      loss: run.finalLoss(), divergedAt: run.trainer.divergedAt ?? -1,
      updateNorm: norms.isEmpty ? .nan : Statistics.median(norms), seconds: watch.seconds)
  }

  package static func run(
    _ job: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let axis = try config.own.axis(of: job.methods[0])
    let (rates, columns) = (config.own.rates, axis.values)
    let data = MLPTask.Source(config.settings).data(seed: job.seed)
    let cells = try context.parallelMap(
      rates.count * columns.count, progress: config.settings.steps
    ) { index in
      try cell(
        axis.arm,
        [
          "learningRate": rates[index / columns.count],
          axis.name: columns[index % columns.count],
        ], config.settings, data, seed: job.seed, updateNormEvery: config.updateNormEvery)
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
        longName: "mean loss of the last \(MLPTask.finalLosses) mini-batches, NaN after divergence",
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
