// SPDX-License-Identifier: Apache-2.0

import Lab
import LinearAlgebra
import Storage

// The claims of Figs 2c, 3 and 6.

/// What the language models are compared by.
private enum LanguageMeasure {
  static let training = Measure(
    "training loss", note: "mini-batches since the point before", final: "final_train_loss",
    series: "train_loss", limit: LanguageTask.lossLimit)
  static let validation = Measure(
    "validation loss", final: "final_val_loss", series: "val_loss",
    limit: LanguageTask.lossLimit)
  static let both = [training, validation]
}

/// A step with spectral clipping over one with norm clipping in the authors' runs (an A100; their plots over time).
private let authorsCostRatio = 2.15

private func comparisonClaims(
  _ figure: String, _ item: String, _ optimizer: (name: String, title: String), prefix: String
) -> [Claim] {
  let (spectral, norm) = (
    "\(prefix)\(optimizer.name)-spectral", "\(prefix)\(optimizer.name)-norm"
  )
  let id = "\(figure)-\(optimizer.name)"
  func claim(
    _ name: String, _ statement: String, over other: String? = nil, by measures: [Measure],
    at moment: Comparison.Moment
  ) -> Claim {
    Claim(
      "\(id)-\(name)", item, "\(optimizer.title): \(statement)", family: id,
      Comparison([spectral], over: [other ?? norm], by: measures, at: moment))
  }
  return [
    claim(
      "steps", "spectral clipping ends below norm clipping after equal steps.",
      by: LanguageMeasure.both, at: .end),
    claim(
      "fair", "the same, clipping the same parameters.",
      over: norm + "-same-set", by: LanguageMeasure.both, at: .end),
    claim(
      "time", "spectral clipping is below norm clipping after equal time.",
      by: LanguageMeasure.both, at: .equalTime),
    claim(
      "authors-cost",
      "spectral clipping is below norm clipping at the authors' ratio of costs.",
      by: LanguageMeasure.both, at: .equalCost(ratio: authorsCostRatio)),
    claim(
      "crossing", "by the clock, spectral clipping comes and stays below norm clipping.",
      by: [LanguageMeasure.validation], at: .crossing(before: 0.9)),
  ]
}

/// A row of the summary figure for each optimizer.
private func summaryRows(
  _ model: String, _ optimizers: [(name: String, title: String)], prefix: String, table: Int
) -> [SummaryRow] {
  optimizers.map { optimizer in
    let arm = "\(prefix)\(optimizer.name)"
    return SummaryRow(
      "\(model), \(optimizer.title)", by: LanguageMeasure.validation,
      tuning: "searched, Table \(table)",
      [
        .norm: "\(arm)-norm", .sameSet: "\(arm)-norm-same-set",
        .spectralConstant: "\(arm)-spectral", .spectralEMA: "\(arm)-ema",
        .spectralQuantile: "\(arm)-quantile",
      ])
  }
}

extension CurveExperiment where Task == LanguageTask {
  package static func table(of set: RecordSet) throws -> Table {
    try LanguageTable.table(of: set)
  }
  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    try LanguageTable.captionValues(of: set)
  }
}

/// At equal step length: the arms of profile equal-step, whose rates are the spectral arm's.
private func equalStepClaims() -> [Claim] {
  [("", "sgdm-norm", ""), ("same-set-", "sgdm-norm-same-set", ", clipping the same parameters")]
    .flatMap {
      name, other, which in
      LanguageMeasure.both.map { measure in
        Claim(
          "fig6a-equal-step-\(name)\(measure.name.prefix { $0 != " " })",
          "§6.2, Fig 6a (our control)",
          "Spectral SGDM ends with the lower \(measure.name) at equal step length\(which).",
          profile: "equal-step", family: "fig6a-equal-step",
          Comparison(["sgdm-spectral"], over: [other], by: [measure], needed: 5))
      }
    }
}

extension NanoGPT {
  private static let readmeLoss = Bound.within(1.80, 1.95)

  package static let summary = summaryRows(
    "nanoGPT", [("sgdm", "SGDM"), ("muon", "Muon")], prefix: "", table: 3)

  package static let claims: [Claim] =
    comparisonClaims("fig6a", "§6.2, Figs 2c, 6a", ("sgdm", "SGDM"), prefix: "")
    + equalStepClaims()
    + comparisonClaims("fig6b", "§6.2, Fig 6b", ("muon", "Muon"), prefix: "")
    + [
      Claim(
        "fig6a-micro", "beyond the paper",
        "SGDM: spectral clipping of micro-batches before accumulation ends below that of the batch.",
        profile: "micro",
        Comparison(["sgdm-spectral-micro"], over: ["sgdm-spectral"], by: LanguageMeasure.both)),
      Claim(
        id: "nanogpt-readme", item: "a check of ours", profile: "readme",
        statement:
          "nanoGPT's recipe for a CPU ends near the validation loss of 1.88 in its README.",
        criterion: "the final validation loss of every seed lies \(readmeLoss.words)",
        isInvariant: true
      ) { set in
        let evidence = try Comparison.judge(set, arms: ["adamw-readme"], acting: []) {
          [
            .range(
              "final validation loss", try set.values("final_val_loss", of: "adamw-readme"),
              readmeLoss, needed: 1)
          ]
        }
        return evidence.obstacle == .standIn
          ? Evidence(obstacle: .noRecords("runs on Shakespeare's own text")) : evidence
      },
    ]
}

extension GPT2FineWeb {
  package static let summary = summaryRows(
    "GPT-2", [("sgdm", "SGDM"), ("adam", "Adam"), ("muon", "Muon")], prefix: "gpt2-", table: 4)

  package static let claims: [Claim] =
    comparisonClaims("fig3", "§6.3, Figs 3, 6c", ("sgdm", "SGDM"), prefix: "gpt2-")
    + comparisonClaims("fig3", "§6.3, Fig 3", ("adam", "Adam"), prefix: "gpt2-")
    + comparisonClaims("fig3", "§6.3, Fig 3", ("muon", "Muon"), prefix: "gpt2-")
}
