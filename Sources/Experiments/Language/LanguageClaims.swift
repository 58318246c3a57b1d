import Lab
import Foundation
import LinearAlgebra
import Storage
import Yams

// What Figs 2c, 3 and 6 are read for.

/// A loss as comparisons take it: a run that diverged counts as the limit beyond which a loss has diverged.
private func comparable(_ loss: Double) -> Double {
  RunStatistics.bounded(loss, limit: LanguageTask.lossLimit)
}

/// Tables of language-model records.
enum LanguageTable {
  /// One block a method: step; geometric mean, low, high (95 % Student's t over the seeds) and each seed of the
  /// training loss, then of the validation loss; then the seconds since the start (`RunStatistics.undisturbedSeconds`).
  /// A last block: final validation losses, best first.
  static func text(of set: RecordSet) throws -> String {
    var text = ""
    var finals: [(title: String, row: String, rank: Double)] = []
    /// As many columns for every method, also where one has fewer seeds.
    func padded(_ values: [Double]) -> [Double] {
      values + Array(repeating: .nan, count: set.seeds.count - values.count)
    }
    for method in set.methods {
      let records = try set.records(of: method)
      let steps = try records[0].ints("step")
      let series = try ["train_loss", "val_loss"].map { name in
        try records.map { try $0.doubles(name) }
      }
      let seconds = try RunStatistics.undisturbedSeconds(records)
      text += "# \(method)\n"
      for (row, step) in steps.enumerated() {
        text += "\(step)"
        for quantity in series {
          let values = quantity.map { $0[row] }
          text += (RunStatistics.geometricMean(values).columns + padded(values)).map {
            "\t" + number($0)
          }.joined()
        }
        text += "\t" + number(seconds[row]) + "\n"
      }
      text += "\n\n"
      let losses = try set.values("final_val_loss", of: method)
      let summary = RunStatistics.geometricMean(losses, limit: LanguageTask.lossLimit)
      let row = (summary.columns + padded(losses.map(comparable))).map { "\t" + number($0) }
      finals.append((try set.title(of: method), row.joined(), summary.mean))
    }
    text +=
      "# final validation loss, best first: position, geometric mean, low, high, seeds, method\n"
    for (position, entry) in finals.sorted(by: { $0.rank < $1.rank }).enumerated() {
      text += "\(position + 1)\(entry.row)\t\(entry.title)\n"
    }
    return text
  }

  /// The numbers of a caption.
  static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let record = set.records[0]
    let steps = try record.ints("step").last ?? 0
    var lines: [(loss: Double, text: String)] = []
    for method in set.methods {
      let finals = try set.values("final_val_loss", of: method)
      let records = try set.records(of: method)
      let title = try set.title(of: method)
      let summary = RunStatistics.geometricMean(finals, limit: LanguageTask.lossLimit)
      let (mean, diverged) = (summary.mean, summary.diverged)
      let perStep = try 1000 * RunStatistics.secondsPerStep(records)
      lines.append(
        (
          mean,
          diverged > 0
            ? "\(title): \(diverged) of \(finals.count) runs diverged"
            : "\(title) \(threeDigits(mean)) (\(threeDigits(perStep)) ms a step)"
        ))
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
    let settings = try compose(yaml: record.string(attribute: "config"))?.mapping
    let sketch = ["rank", "oversampling", "powerIterations"].map { name in
      (name, settings?[name]?.int.map(String.init) ?? "?")
    }
    return sketch + [
      ("memory", String(format: "%.1f GB", Double(peak.max() ?? 0) / 1e9)),
      (
        "running",
        "\(jobs) run\(jobs == 1 ? "" : "s") side by side on \(telemetry("cores")) cores, "
          + "\(threads) thread\(threads == 1 ? "" : "s") each"
      ),
      ("steps", "\(steps)"), ("data", try record.string(attribute: "data")),
      ("parameters", "\(try record.int(attribute: "parameters"))"),
      ("vocabulary", "\(try record.int(attribute: "vocabulary"))"),
      ("ranking", lines.sorted { $0.loss < $1.loss }.map(\.text).joined(separator: "; ")),
      ("sample", sample.split(separator: "\n").map { "> \($0)" }.joined(separator: "\n")),
    ]
  }
}

// MARK: - Claims

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

private func comparisonClaims(
  _ figure: String, _ item: String, _ optimizer: (name: String, title: String), prefix: String
) -> [Claim] {
  let (spectral, norm) = (
    "\(prefix)\(optimizer.name)-spectral", "\(prefix)\(optimizer.name)-norm"
  )
  let id = "\(figure)-\(optimizer.name)"
  func claim(
    _ name: String, _ statement: String, over other: String? = nil, by measures: [Measure],
    at moment: Comparison.Moment, changed: String? = nil
  ) -> Claim {
    Claim(
      "\(id)-\(name)", item, "\(optimizer.title): \(statement)", changed: changed,
      Comparison([spectral], over: [other ?? norm], by: measures, at: moment))
  }
  return [
    claim(
      "steps", "spectral clipping ends below norm clipping after equal steps.",
      by: LanguageMeasure.both, at: .end),
    claim(
      "fair", "the same where norm clipping sees what spectral clipping sees.",
      over: norm + "-fair", by: LanguageMeasure.both, at: .end),
    claim(
      "time", "spectral clipping is below norm clipping after equal time.",
      by: LanguageMeasure.both, at: .equalTime,
      changed: "a step's time was its median at first, which other work on the machine had moved"),
    claim(
      "crossing", "by the clock, spectral clipping falls below norm clipping and stays there.",
      by: [LanguageMeasure.validation], at: .crossing(before: 0.9),
      changed: "the latest time was set while records were written"),
  ]
}

extension CurveExperiment where Task == LanguageTask {
  package static func table(of set: RecordSet) throws -> String { try LanguageTable.text(of: set) }
  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    try LanguageTable.captionValues(of: set)
  }
}

/// At equal step length: the arms of profile equal-step, whose rates are the spectral arm's.
private func equalStepClaims() -> [Claim] {
  [("", "sgdm-norm", ""), ("same-set-", "sgdm-norm-fair", " of the same parameters")].flatMap {
    name, other, which in
    LanguageMeasure.both.map { measure in
      Claim(
        "fig6a-equal-step-\(name)\(measure.name.prefix { $0 != " " })",
        "§6.2, Fig 6a (our control)",
        "At equal step length: the \(measure.name) of spectral SGDM ends below that of norm clipping\(which).",
        profile: "equal-step", family: "fig6a-equal-step",
        Comparison(["sgdm-spectral"], over: [other], by: [measure], needed: 5))
    }
  }
}

extension NanoGPT {
  private static let readmeLoss = Bound.within(1.80, 1.95)

  package static let claims: [Claim] =
    comparisonClaims("fig6a", "§6.2, Figs 2c, 6a", ("sgdm", "SGDM"), prefix: "")
    + equalStepClaims()
    + comparisonClaims("fig6b", "§6.2, Fig 6b", ("muon", "Muon"), prefix: "")
    + [
      Claim(
        "fig6a-micro", "beyond the paper",
        "SGDM with spectral clipping: clipping micro-batches before accumulation ends below clipping the batch.",
        profile: "micro",
        Comparison(["sgdm-spectral-micro"], over: ["sgdm-spectral"], by: LanguageMeasure.both)),
      Claim(
        id: "nanogpt-readme", item: "a check of ours", profile: "readme",
        statement:
          "nanoGPT's own recipe at its CPU size ends near the validation loss of 1.88 in its README.",
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
  package static let claims: [Claim] =
    comparisonClaims("fig3", "§6.3, Figs 3, 6c", ("sgdm", "SGDM"), prefix: "gpt2-")
    + comparisonClaims("fig3", "§6.3, Fig 3", ("adam", "Adam"), prefix: "gpt2-")
    + comparisonClaims("fig3", "§6.3, Fig 3", ("muon", "Muon"), prefix: "gpt2-")
}
