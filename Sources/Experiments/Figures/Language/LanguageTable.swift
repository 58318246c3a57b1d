// SPDX-License-Identifier: Apache-2.0

import Foundation
import Lab
import LinearAlgebra
import Storage

/// Figs 2c, 3 and 6: tables of language-model records and the numbers of their captions.
enum LanguageTable {
  /// Curves of training and validation loss by step and by the clock (`RunStatistics`), final validation losses.
  static func table(of set: RecordSet) throws -> Table {
    func parts(_ arm: String) throws -> [String] {
      let parts = try set.title(of: arm).split(separator: ", ", maxSplits: 1).map(String.init)
      return parts.count == 2 ? parts : ["", parts.first ?? arm]
    }
    var table = try set.curveTable(
      axis: ("step", { try $0.ints("step").map(Double.init) }),
      series: [.init("train_loss", .geometricMean), .init("val_loss", .geometricMean)],
      finals: [.init("final_val_loss", .geometricMean, diverged: LanguageTask.lossLimit)],
      group: { (try? parts($0)[0]) ?? "" }, title: { try parts($0)[1] },
      seconds: RunStatistics.undisturbedSeconds)
    // At the paper's size the figures show its training loss, beside the authors' curves.
    let isPaper = set.profile == "paper"
    table.set("main", .text(isPaper ? "train_loss" : "val_loss"))
    table.set("thin", .text(isPaper ? "val_loss" : "train_loss"))
    guard isPaper, set.methods.contains("sgdm-norm") else { return table }
    for optimizer in ["sgd", "muon"] {
      for rule in ["norm", "spectral"] {
        let arm = "\(optimizer == "sgd" ? "sgdm" : optimizer)-\(rule)"
        try table.add(
          authors: "nanogpt_trainloss_\(optimizer)_\(rule).csv", for: arm,
          columns: ("step", "loss"))
      }
    }
    for rule in ["norm", "spectral"] {
      try table.add(
        authors: "nanogpt_sgd_testloss_hours_\(rule).csv", for: "sgdm-\(rule)",
        as: "clock:sgdm-\(rule)", columns: ("seconds", "loss"), transform: { 3600 * $0 })
    }
    return table
  }

  /// The numbers of a caption.
  static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let record = set.records[0]
    let steps = try record.ints("step").last ?? 0
    let ranking = try set.ends("final_val_loss", limit: LanguageTask.lossLimit) { method, loss in
      let time = try 1000 * RunStatistics.secondsPerStep(set.records(of: method))
      return "\(threeDigits(loss)) (\(threeDigits(time)) ms a step)"
    }
    let sample = try set.records(of: set.methods[0])[0].string(attribute: "sample")
    func telemetry(_ name: String) -> Int {
      if case .int(let value)? = record.telemetry.attributes[name] { return value }
      return 0
    }
    let (jobs, threads) = (telemetry("jobs"), telemetry("threads"))
    let peak = set.records.map { record -> Int in
      if case .int(let bytes)? = record.telemetry.attributes["peak_memory_bytes"] { return bytes }
      return 0
    }
    return [
      ("memory", String(format: "%.1f GB", Double(peak.max() ?? 0) / 1e9)),
      (
        "running",
        "\(jobs) run\(jobs == 1 ? "" : "s") side by side on \(telemetry("cores")) cores, "
          + "\(threads) thread\(threads == 1 ? "" : "s") each"
      ),
      ("steps", "\(steps)"),
      ("parameters", "\(try record.int(attribute: "parameters"))"),
      ("vocabulary", "\(try record.int(attribute: "vocabulary"))"),
      ("ranking", ranking),
      ("sample", sample.split(separator: "\n").map { "> \($0)" }.joined(separator: "\n")),
    ]
  }
}
