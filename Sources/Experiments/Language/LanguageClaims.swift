import Lab
import Foundation
import LinearAlgebra
import Storage
import Yams

// What Figs 2c, 3 and 6 are read for.

/// A loss as comparisons take it: a run that diverged counts as the limit beyond which a loss has diverged.
private func comparable(_ loss: Double) -> Double {
  RunStatistics.bounded(loss, limit: LanguageTraining.lossLimit)
}

/// Comparisons of two arms, paired by seed.
enum LanguageComparison {
  /// Final losses of `method` over those of `other`: training (what the paper plots) and validation.
  static func final(_ set: RecordSet, _ method: String, over other: String) throws -> Finding {
    try compared(set, method, other) {
      try [("training", "final_train_loss"), ("validation", "final_val_loss")].map { name, key in
        Finding.precise(
          "final \(name) loss of \(method) over \(other)",
          try set.ratios(method, over: other) { comparable(try $0.double(attribute: key)) })
      }
    }
  }

  /// Losses of `method` over those of `other` at the time when the faster of the two has finished.
  static func atEqualTime(
    _ set: RecordSet, _ method: String, over other: String
  ) throws -> Finding {
    try compared(set, method, other) {
      let pair = try Pair(set, method, other)
      return try [("training", "train_loss"), ("validation", "val_loss")].map { name, key in
        .precise(
          "\(name) loss of \(method) over \(other) after \(threeDigits(pair.end)) s of training",
          try pair.losses(key, at: pair.end).map { $0 / $1 })
      }
    }
  }

  /// The crossing must have happened by this share of the common time.
  static let latestCrossing = 0.9

  /// From which share of the common time on the validation loss of `method` stays below that of `other`.
  static func crossing(_ set: RecordSet, _ method: String, below other: String) throws -> Finding {
    try compared(set, method, other) {
      let pair = try Pair(set, method, other)
      let points = pair.times[0].filter { $0 <= pair.end }
      let below = try points.map { try pair.losses("val_loss", at: $0).map { $0 < $1 } }
      let shares = below.first.map { first in
        first.indices.map { seed in
          let from = below.lastIndex { !$0[seed] }.map { $0 + 1 } ?? 0
          return from < points.count ? points[from] / pair.end : Double.infinity
        }
      }
      let crossings = shares ?? []
      let inTime = crossings.count { $0 <= latestCrossing }
      let words = crossings.map { $0.isFinite ? "\(threeDigits(100 * $0)) %" : "never" }
      return [
        Finding(
          evidence: "\(method) stays below \(other) from this share of the common time on: "
            + words.joined(separator: ", "), count: crossings.count,
          verdict: inTime == crossings.count && crossings.count >= 2
            ? .reproduced : inTime == 0 ? .notReproduced : .inconclusive),
        .precise(
          "validation loss of \(method) over \(other) at the end of it",
          try pair.losses("val_loss", at: pair.end).map { $0 / $1 }),
      ]
    }
  }

  /// Two arms on one axis of time.
  private struct Pair {
    let runs: [(Record, Record)]
    /// Seconds since the start, of an undisturbed run.
    let times: [[Double]]
    /// When the faster arm has finished.
    let end: Double

    init(_ set: RecordSet, _ method: String, _ other: String) throws {
      runs = try set.pairs(method, other)
      times = try [runs.map(\.0), runs.map(\.1)].map(RunStatistics.undisturbedSeconds)
      end = times.compactMap { $0.last(where: \.isFinite) }.min() ?? .nan
    }

    /// The losses of both arms at time t, seed by seed; a run that has diverged has the largest.
    func losses(_ key: String, at t: Double) throws -> [(Double, Double)] {
      try runs.map { a, b in
        (
          comparable(value(try a.doubles(key), times[0], t)),
          comparable(value(try b.doubles(key), times[1], t))
        )
      }
    }

    /// The value of a series at time t, between two points linearly.
    private func value(_ series: [Double], _ times: [Double], _ t: Double) -> Double {
      guard let after = times.firstIndex(where: { $0 >= t }) else { return series.last ?? .nan }
      guard after > 0 else { return series[0] }
      let share = (t - times[after - 1]) / (times[after] - times[after - 1])
      return series[after - 1] + share * (series[after] - series[after - 1])
    }
  }

  /// All findings together, if both methods have records, and how often the rules acted. On generated text
  /// nothing can be said of the real one, nor of a rule that never acted.
  private static func compared(
    _ set: RecordSet, _ method: String, _ other: String, _ findings: () throws -> [Finding]
  ) throws -> Finding {
    guard set.methods.contains(method), set.methods.contains(other) else {
      return Finding(
        evidence: "no records of \(method) and \(other)", count: 0, verdict: .needsPaper)
    }
    let finding = Finding.all(try findings())
    let shares = try [method, other].map { try meanClippedShare(set, $0) }
    var evidence =
      finding.evidence
      + "; share of singular values clipped \(short(shares[0])), of steps or values "
      + "in the other arm \(short(shares[1]))"
    var verdict = finding.verdict
    if shares[0] == 0 {
      evidence += "; the rule never acted"
      verdict = .inconclusive
    }
    if (try? set.records[0].int(attribute: "data_is_stand_in")) == 1 {
      evidence += " (on generated text)"
      verdict = .inconclusive
    }
    return Finding(evidence: evidence, count: finding.count, verdict: verdict)
  }

  /// The mean over the recorded points, clipped matrices and seeds.
  private static func meanClippedShare(_ set: RecordSet, _ method: String) throws -> Double {
    let shares = try set.records(of: method).flatMap { record in
      try zip(record.doubles("clipped_share"), record.doubles("tau"))
        .filter { $0.0.isFinite && $0.1.isFinite }.map(\.0)
    }
    return shares.isEmpty ? .nan : Statistics.mean(shares)
  }
}

extension Finding {
  /// Tests "ratio < 1" with four digits, for losses that differ by a few percent; see `logTest`.
  static func precise(_ name: String, _ ratios: [Double]) -> Finding {
    .logTest(name, ratios, below: 1, significantDigits: 4)
  }
}

private func comparisonClaims(
  _ figure: String, _ item: String, _ optimizer: (name: String, title: String), prefix: String
) -> [Claim] {
  let (spectral, norm) = (
    "\(prefix)\(optimizer.name)-spectral", "\(prefix)\(optimizer.name)-norm"
  )
  let id = "\(figure)-\(optimizer.name)"
  return [
    Claim(
      id: "\(id)-steps", item: item,
      statement:
        "\(optimizer.title): spectral clipping ends below norm clipping after equal steps.",
      criterion:
        "the ratios of the final training losses (mini-batches since the point before) and of "
        + "the final validation losses, paired by seed, both lie below 1 with "
        + "their whole intervals"
    ) { try LanguageComparison.final($0, spectral, over: norm) },
    Claim(
      id: "\(id)-fair", item: item,
      statement:
        "\(optimizer.title): the same where norm clipping sees what spectral clipping sees.",
      criterion: "the same against the norm arm on the same set of parameters"
    ) { try LanguageComparison.final($0, spectral, over: norm + "-fair") },
    Claim(
      id: "\(id)-time", item: item,
      statement: "\(optimizer.title): spectral clipping is below norm clipping after equal time.",
      criterion:
        "the ratios of training and validation losses at the time when the faster arm has finished, "
        + "paired by seed, both lie below 1 with their whole intervals; a step's time is the tenth "
        + "percentile over all recorded intervals and seeds (other work ran beside some of them: the "
        + "median, taken at first, told more of that than of the method)"
    ) { try LanguageComparison.atEqualTime($0, spectral, over: norm) },
    Claim(
      id: "\(id)-crossing", item: item,
      statement:
        "\(optimizer.title): by the clock, spectral clipping falls below norm clipping and stays there.",
      criterion:
        "in every seed its validation loss is the smaller one at all recorded times from some time on, "
        + "at most \(LanguageComparison.latestCrossing) of the time after which the faster arm has "
        + "finished, and the ratio then, paired by seed, lies below 1 with its whole interval"
    ) { try LanguageComparison.crossing($0, spectral, below: norm) },
  ]
}

extension NanoGPT {
  package static let claims: [Claim] =
    comparisonClaims("fig6a", "§6.2, Figs 2c, 6a", ("sgdm", "SGDM"), prefix: "")
    + comparisonClaims("fig6b", "§6.2, Fig 6b", ("muon", "Muon"), prefix: "")
    + [
      Claim(
        id: "fig6a-micro", item: "beyond the paper", profile: "micro",
        statement:
          "SGDM with spectral clipping: clipping micro-batches before accumulation ends below clipping "
          + "the batch.",
        criterion: "the ratios of the final losses both lie below 1 with their whole intervals"
      ) { try LanguageComparison.final($0, "sgdm-spectral-micro", over: "sgdm-spectral") },
      Claim(
        id: "nanogpt-readme", item: "a check of ours", profile: "readme",
        statement:
          "With nanoGPT's own recipe at its CPU size the model ends near the validation loss of 1.88 that "
          + "its README reports.",
        criterion: "the final validation loss lies within [1.80, 1.95]", isInvariant: true
      ) { set in
        let losses = try set.values("final_val_loss", of: "adamw-readme")
        let isStandIn = try set.records[0].int(attribute: "data_is_stand_in") == 1
        return Finding(
          evidence: "final validation loss " + losses.map(threeDigits).joined(separator: ", "),
          count: losses.count,
          verdict: isStandIn
            ? .needsPaper
            : losses.allSatisfy { $0 >= 1.80 && $0 <= 1.95 } ? .reproduced : .notReproduced)
      },
    ]
}

extension GPT2FineWeb {
  package static let claims: [Claim] =
    comparisonClaims("fig3", "§6.3, Figs 3, 6c", ("sgdm", "SGDM"), prefix: "gpt2-")
    + comparisonClaims("fig3", "§6.3, Fig 3", ("adam", "Adam"), prefix: "gpt2-")
    + comparisonClaims("fig3", "§6.3, Fig 3", ("muon", "Muon"), prefix: "gpt2-")
}
