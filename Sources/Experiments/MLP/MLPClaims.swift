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
