// SPDX-License-Identifier: Apache-2.0

import Lab
import Foundation
import LinearAlgebra
import Storage

/// Tables of Figs 2a and 5b.
enum ImageTable {
  /// The panel that an arm is drawn in: a network, CifarNet's arms in two.
  private static func panel(_ arm: String, _ network: String) -> String {
    let isAdaptive = ["ema", "quantile", "muon"].contains { arm.hasSuffix("-\($0)") }
    return isAdaptive ? "\(network): adaptive thresholds, Muon" : network
  }

  /// Curves of accuracy, losses and distance from the exact clip by epoch; final accuracies, milliseconds of
  /// clip and of the whole in an undisturbed step (`RunStatistics`); at full width the authors' curves.
  static func table(of set: RecordSet) throws -> Table {
    func parts(_ arm: String) throws -> [String] {
      let parts = try set.title(of: arm).components(separatedBy: ": ")
      return parts.count == 2 ? parts : ["", parts.first ?? arm]
    }
    var table = try set.curveTable(
      axis: RecordSet.epochs,
      series: [
        .init("val_accuracy", .mean), .init("train_loss", .geometricMean),
        .init("val_loss", .geometricMean), .init("clip_error", .mean, values: meanClipError),
      ],
      finals: [.init("final_val_accuracy", .mean), .init("final_augmented_accuracy", .mean)],
      group: { panel($0, (try? parts($0)[0]) ?? "") }, title: { try parts($0)[1] },
      more: { finals, records in
        let times = try records.map(milliseconds)
        finals.add("clip_ms", times.map(\.clip))
        finals.add("step_ms", times.map(\.step))
      })
    let config = try CIFAR10ResNet18.config(of: set).settings
    // Beside narrow networks they would be another experiment's.
    if config.widthDivisor == 1 {
      for (arm, column) in [
        ("none", "no_clip"), ("norm", "norm_clip"), ("spectral", "spectral_const"),
      ] {
        try table.add(
          authors: "cifar10_val_acc.csv", x: "epoch", y: column, for: "cifarnet-\(arm)",
          columns: ("epoch", "val_accuracy"), upTo: Double(config.epochs), transform: { $0 + 1 })
      }
    }
    return table
  }

  /// At each point, the mean over the convolutions.
  private static func meanClipError(_ record: Record) throws -> [Double] {
    try record.checkLengths(of: ["step", "clip_error"])
    let (values, shape) = try record.doubles("clip_error", axes: 2)
    let layers = shape[1]
    return (0..<shape[0]).map { Statistics.mean(values[($0 * layers)..<(($0 + 1) * layers)]) }
  }

  /// Milliseconds of an undisturbed step, in the clip alone and whole; NaN if all diverged.
  static func milliseconds(_ records: [Record]) throws -> (clip: Double, step: Double) {
    try (
      1000 * RunStatistics.clipSecondsPerStep(records), 1000 * RunStatistics.secondsPerStep(records)
    )
  }

  /// The numbers of a caption.
  static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let finals = try set.ends("final_val_accuracy") { method, accuracy in
      let times = try milliseconds(set.records(of: method))
      return String(
        format: "%.1f %% (clip %.2g of %.3g ms a step)", 100 * accuracy, times.clip, times.step)
    }
    let parameters = try ImageNetwork.allCases.compactMap { network -> String? in
      let own = try set.records.first {
        try $0.string(attribute: "network") == network.rawValue
      }
      return try own.map { "\(network.title) \(try $0.int(attribute: "parameters"))" }
    }
    return [
      ("finals", finals),
      (
        "spread",
        set.seeds.count > 1
          ? "mean over n = \(set.seeds.count) seeds with 95 % Student's t bands" : "one seed"
      ),
      ("parameters", parameters.joined(separator: ", ")),
      ("steps", "\(try set.records[0].ints("step").last ?? 0)"),
    ]
  }
}

extension CurveExperiment where Task == ImageTask {
  package static func table(of set: RecordSet) throws -> Table { try ImageTable.table(of: set) }
  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    try ImageTable.captionValues(of: set)
  }
}
