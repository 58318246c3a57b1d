// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// Records made by hand, just enough of each for its experiment's claims. Everything that these tests know of records' and
/// claims' form is here.
enum ClaimFixtures {
  /// Every claim of the suite, by id.
  static let all: [String: Claim] = Dictionary(
    uniqueKeysWithValues: Suite.clipping.experiments.flatMap { $0.claims }.map { ($0.id, $0) })

  static func verdict(_ id: String, _ records: [Record]) throws -> Verdict {
    try #require(all[id], "no claim \(id)")
      .evaluate(RecordSet(folder: "memory", records: records)).verdict
  }

  static func criterion(_ id: String) throws -> String { try #require(all[id]).criterion }

  /// A record with the attributes that every one has.
  static func record(
    _ method: String, seed: Int, _ attributes: [(String, Double)] = [],
    integers: [(String, Int)] = [], series: [(String, [Double])] = [],
    counts: [(String, [Int])] = []
  ) -> Record {
    var record = Record(attributes: [
      "method": .string(method), "seed": .int(seed), "title": .string(method),
      "profile": .string("test"), "data": .string("memory"), "config": .string("steps: 4\n"),
      "data_is_stand_in": .int(0),
    ])
    for (name, value) in attributes { record.attributes[name] = .double(value) }
    for (name, value) in integers { record.attributes[name] = .int(value) }
    for (name, values) in series { add(name, values, shape: nil, to: &record) }
    for (name, values) in counts {
      record.add(.init(name, .int64(values.map { Int64($0) }), longName: name, units: "1"))
    }
    return record
  }

  static func add(_ name: String, _ values: [Double], shape: [Int]?, to record: inout Record) {
    if let shape {
      record.add(.init(name, .double(values), shape: shape, longName: name, units: "1"))
    } else {
      record.add(.init(name, .double(values), longName: name, units: "1"))
    }
  }

  /// Records of three seeds, all alike, so that an interval is a point and a verdict flips at the bound itself.
  static func alike(_ make: (Int) -> Record) -> [Record] { (1...3).map(make) }

  // MARK: - The experiments

  /// Final losses of MLP arms.
  static func mlp(_ finals: [(String, Double)]) -> [Record] {
    finals.flatMap { name, loss in
      alike { record(name, seed: $0, [("final_train_loss", loss)]) }
    }
  }

  /// A heat map of 2 × 4 cells of one arm, all seeds alike: those that count, 2 to 4.
  static func heatMap(_ arm: String, losses: [Double], updateNorms: [Double]) -> [Record] {
    (2...4).map { seed in
      var map = record(
        arm, seed: seed,
        series: [("learning_rate", [0.01, 0.1]), ("tau", [0.1, 1, 10, 100])])
      map.attributes["axis"] = .string("tau")
      add("final_train_loss", losses, shape: [2, 4], to: &map)
      add("median_update_norm", updateNorms, shape: [2, 4], to: &map)
      return map
    }
  }

  /// A language model's run of 100 steps of a second each.
  static func language(
    _ arm: String, train: Double = 2, final: Double = 2, training: ((Int) -> Double)? = nil,
    validation: (Int) -> Double = { _ in 2 }
  ) -> [Record] {
    alike { seed in
      var run = record(
        arm, seed: seed, [("final_train_loss", train), ("final_val_loss", final)],
        series: [
          ("train_loss", (1...100).map { training?($0) ?? train }),
          ("val_loss", (1...100).map(validation)),
        ], counts: [("step", Array(1...100))])
      for (name, value) in [("clipped_fraction", 0.5), ("tau", 1)] {
        add(name, [value], shape: [1, 1], to: &run)
      }
      run.telemetry.add(
        .init("model_seconds", .double((1...100).map(Double.init)), longName: "time", units: "s"))
      return run
    }
  }

  /// An image network's run of four epochs of five steps, with the errors among a thousand test images after each.
  static func images(_ arm: String, errors: [Double]) -> [Record] {
    alike { seed in
      var run = record(
        arm, seed: seed, [("final_val_accuracy", 1 - (errors.last ?? 0))],
        integers: [("test_images", 1000), ("steps_per_epoch", 5)],
        series: [("val_accuracy", errors.map { 1 - $0 })],
        counts: [("step", [5, 10, 15, 20])])
      add("clipped_fraction", [0.5], shape: [1, 1], to: &run)
      return run
    }
  }

  /// Bias of trace regression: over the last tenth, and the running mean at the end.
  static func trace(_ method: String, tail: Double, mean: Double = 1) -> [Record] {
    alike { seed in
      record(
        method, seed: seed,
        [
          ("tail_bias_sq_exact", tail), ("initial_grad_norm_sq", 1),
        ], series: [("bias_sq_monte_carlo_mean", [mean])])
    }
  }

  /// Times of clips: (rows, columns, rank, seconds).
  static func costs(_ method: String, _ rows: [(Int, Int, Int, Double)]) -> [Record] {
    alike { seed in
      var record = record(
        method, seed: seed, series: [("relative_error", rows.map { _ in 0 })],
        counts: [
          ("rows", rows.map(\.0)), ("columns", rows.map(\.1)), ("rank", rows.map(\.2)),
        ])
      record.telemetry.add(
        .init("seconds_median", .double(rows.map(\.3)), longName: "time", units: "s"))
      return record
    }
  }

  /// Spectra at B = 4, of one matrix and three mini-batches: σ_1 and the median value for b = 0, …, 4, and what the rules
  /// take of the bad and of the other gradients at b = 1.
  static func spectra(
    method: String = "confident-lowest", sigma: [Double] = [1, 1, 1, 1, 1],
    median: [Double] = [1, 1, 1, 1, 1], norm: [Double] = [1, 1, 1, 1, 1],
    wide: [[Double]]? = nil, removedBad: Double = 0.5, removedRest: Double = 0.1
  ) -> [Record] {
    var record = record(
      method, seed: 1,
      counts: [("batch_size", [4, 4, 4, 4, 4]), ("bad_count", [0, 1, 2, 3, 4])])
    record.add(.init("layer", .string(["a"]), longName: "layer"))
    func cells(_ values: [Double]) -> [Double] { values.flatMap { [$0, $0, $0] } }
    // The largest ones, one a cell, or several: of b = 0, of b = 1 and of all others.
    let rows = (0..<5).map { wide?[min($0, 1)] ?? [sigma[$0]] }
    add(
      "sigma", rows.flatMap { $0 + $0 + $0 }, shape: [5, 3, 1, rows[0].count], to: &record)
    add("sigma_median", cells(median), shape: [5, 3, 1], to: &record)
    add("norm", cells(norm), shape: [5, 3, 1], to: &record)
    for name in ["effective_rank", "bad_fraction", "left_alignment", "right_alignment"] {
      add(name, cells([1, 1, 1, 1, 1]), shape: [5, 3, 1], to: &record)
    }
    let rules = LayerThresholds.Rule.allCases.count
    for (name, value) in [("removed_bad", removedBad), ("removed_rest", removedRest)] {
      add(
        name, [Double](repeating: value, count: 4 * 3 * rules), shape: [4, 3, 1, rules],
        to: &record)
    }
    record.add(.init("spectrum_count", .int64([0, 1]), longName: "b", units: "1"))
    add("spectrum", [1, 1], shape: [2, 1, 1], to: &record)
    return [record]
  }

  /// Iterations of clipped and of fixed-step descent for two functions and three starts.
  static func acceleration(clipped: [Int], fixed: [Int]) -> [Record] {
    var record = record(
      "acceleration", seed: 1, counts: [("clipped", clipped), ("fixed", fixed)])
    record.add(
      .init(
        "function", .string(["x^4", "x^4", "x^4", "cosh", "cosh", "cosh"]), longName: "function"))
    return [record]
  }
}
