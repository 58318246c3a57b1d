import Lab
import Foundation
import LinearAlgebra
import Storage

// What Fig 2b is read for: its table, the numbers of its caption, and its claims with their criteria.

/// A final loss as comparisons take it: a run that diverged counts as the limit beyond which a loss has diverged.
private func comparable(_ loss: Double) -> Double {
  RunStatistics.bounded(loss, limit: MLPTraining.lossLimit)
}

extension MLPHeavyTails {
  /// One block a method (step; geometric mean, low, high and each seed of the training
  /// loss, then of the validation loss), and a last block with every method's final losses.
  package static func table(of set: RecordSet) throws -> String {
    var text = ""
    var finals: [(title: String, row: String, rank: Double)] = []
    for method in set.methods {
      let records = try set.records(of: method)
      let steps = try records[0].ints("step")
      let series = try ["train_loss", "val_loss"].map { name in
        try records.map { try $0.doubles(name) }
      }
      text += "# \(method)\n"
      for (row, step) in steps.enumerated() {
        text += "\(step)"
        for quantity in series {
          let values = quantity.map { $0[row] }
          text += (RunStatistics.geometricMean(values).columns + values)
            .map { "\t" + number($0) }.joined()
        }
        text += "\n"
      }
      text += "\n\n"
      let finalLosses = try set.values("final_train_loss", of: method)
      let summary = RunStatistics.geometricMean(finalLosses, limit: MLPTraining.lossLimit)
      let row = (summary.columns + finalLosses.map(comparable)).map { "\t" + number($0) }
      finals.append((try records[0].string(attribute: "title"), row.joined(), summary.mean))
    }
    text +=
      "# final training loss, best first: position, geometric mean, low, high, seeds, method\n"
    for (position, entry) in finals.sorted(by: { $0.rank < $1.rank }).enumerated() {
      text += "\(position + 1)\(entry.row)\t\(entry.title)\n"
    }
    return text
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let steps = try set.records[0].ints("step").last ?? 0
    var ranking: [(title: String, loss: Double, diverged: Int)] = []
    for method in set.methods {
      let losses = try set.values("final_train_loss", of: method)
      let title = try set.records(of: method)[0].string(attribute: "title")
      let summary = RunStatistics.geometricMean(losses, limit: MLPTraining.lossLimit)
      ranking.append((title, summary.mean, summary.diverged))
    }
    let lines = ranking.sorted { $0.loss < $1.loss }.map { entry in
      entry.diverged > 0
        ? "\(entry.title): \(entry.diverged) of \(set.seeds.count) runs diverged"
        : "\(entry.title) \(short(entry.loss))"
    }
    return [("steps", "\(steps)"), ("ranking", lines.joined(separator: "; "))]
  }

  /// Final training loss of one method over that of another, seed by seed.
  private static func ratio(
    _ set: RecordSet, _ method: String, over other: String, below: Double? = nil,
    above: Double? = nil
  ) throws -> Finding {
    return .logTest(
      "final loss of \(method) over \(other)",
      try set.ratios(method, over: other) {
        comparable(try $0.double(attribute: "final_train_loss"))
      }, below: below, above: above)
  }

  package static let claims: [Claim] = [
    Claim(
      id: "fig2b-spectral-below-norm", item: "§6.4, Fig 2b",
      statement:
        "SGDM with a tuned constant spectral threshold ends below SGDM with norm clipping.",
      criterion: "the ratio of the final training losses (mean of the last "
        + "\(MLPTraining.window) mini-batches), paired by seed, lies below 1 with its whole interval"
    ) { try ratio($0, "sgdm-spectral-const", over: "sgdm-norm", below: 1) },
    Claim(
      id: "fig2b-spectral-below-adam", item: "§6.4, Fig 2b",
      statement: "SGDM with spectral clipping ends below Adam, clipped by norm or not.",
      criterion: "the same for the constant threshold against adam-none and against adam-norm"
    ) { set in
      .all(
        try ["adam-none", "adam-norm"].map {
          try ratio(set, "sgdm-spectral-const", over: $0, below: 1)
        })
    },
    Claim(
      id: "fig2b-quantile-best", item: "§6.4, Fig 2b",
      statement: "The quantile threshold (Algorithm 3) is the best of the paper's methods.",
      criterion: "the same for the quantile threshold against each of the other five"
    ) { set in
      .all(
        try [
          "adam-none", "adam-norm", "sgdm-norm", "sgdm-spectral-const", "sgdm-spectral-ema",
        ].map { try ratio(set, "sgdm-spectral-quantile", over: $0, below: 1) })
    },
    Claim(
      id: "fig2b-ema-on-par", item: "§6.4, Fig 2b",
      statement: "The EMA threshold (Algorithm 1) is on a par with a tuned constant one.",
      criterion:
        "the ratio of their final training losses, paired by seed, lies within [0.8, 1.25] "
        + "with its whole interval"
    ) { try ratio($0, "sgdm-spectral-ema", over: "sgdm-spectral-const", below: 1.25, above: 0.8) },
  ]
}
