import Lab
import Foundation
import LinearAlgebra
import Storage

// What Fig 2b is read for: its table, the numbers of its caption, and its claims with their criteria.

/// A final loss as comparisons take it: a run that diverged counts as the limit beyond which a loss has diverged.
private func comparable(_ loss: Double) -> Double {
  RunStatistics.bounded(loss, limit: MLPTask.lossLimit)
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
      let summary = RunStatistics.geometricMean(finalLosses, limit: MLPTask.lossLimit)
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
      let summary = RunStatistics.geometricMean(losses, limit: MLPTask.lossLimit)
      ranking.append((title, summary.mean, summary.diverged))
    }
    let lines = ranking.sorted { $0.loss < $1.loss }.map { entry in
      entry.diverged > 0
        ? "\(entry.title): \(entry.diverged) of \(set.seeds.count) runs diverged"
        : "\(entry.title) \(short(entry.loss))"
    }
    return [("steps", "\(steps)"), ("ranking", lines.joined(separator: "; "))]
  }

  private static let loss = Measure(
    "training loss", note: "mean of the last \(MLPTask.finalLosses) mini-batches",
    final: "final_train_loss", series: "train_loss", limit: MLPTask.lossLimit)

  package static let claims: [Claim] = [
    Claim(
      "fig2b-spectral-below-norm", "§6.4, Fig 2b",
      "SGDM with a tuned constant spectral threshold ends below SGDM with norm clipping.",
      Comparison(["sgdm-spectral-const"], over: ["sgdm-norm"], by: [loss])),
    Claim(
      "fig2b-spectral-below-adam", "§6.4, Fig 2b",
      "SGDM with spectral clipping ends below Adam, clipped by norm or not.",
      Comparison(["sgdm-spectral-const"], over: ["adam-none", "adam-norm"], by: [loss])),
    Claim(
      "fig2b-quantile-best", "§6.4, Fig 2b",
      "The quantile threshold (Algorithm 3) is the best of the paper's methods.",
      Comparison(
        ["sgdm-spectral-quantile"],
        over: ["adam-none", "adam-norm", "sgdm-norm", "sgdm-spectral-const", "sgdm-spectral-ema"],
        by: [loss])),
    Claim(
      "fig2b-ema-on-par", "§6.4, Fig 2b",
      "The EMA threshold (Algorithm 1) is on a par with a tuned constant one.",
      Comparison(
        ["sgdm-spectral-ema"], over: ["sgdm-spectral-const"], by: [loss], .within(0.8, 1.25),
        acting: ["sgdm-spectral-ema", "sgdm-spectral-const"])),
  ]
}
