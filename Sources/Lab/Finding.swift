// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage

/// What the records say of a claim.
package enum Verdict: String, Sendable, CaseIterable {
  /// The pre-declared criterion holds.
  case reproduced
  /// It fails, beyond the noise.
  case notReproduced = "not reproduced"
  /// The records cannot tell.
  case inconclusive
  /// There are no records that could tell.
  case needsRecords = "needs records"
}

/// What the number of a finding is held against.
package enum Bound: Sendable, Equatable {
  /// The whole interval lies above it.
  case above(Double)
  /// The whole interval lies below it.
  case below(Double)
  /// The whole interval lies between the two margins.
  case within(Double, Double)
  /// Not the whole interval lies above it: of inequalities that were proved, and which only a measurement beyond its
  /// noise refutes.
  case notAbove(Double)

  /// In one word or two, as a table has it.
  package var direction: String {
    switch self {
    case .above: "above"
    case .below: "below"
    case .within: "within"
    case .notAbove: "not above"
    }
  }

  /// The number, or both margins.
  var numbers: [Double] {
    switch self {
    case .above(let x), .below(let x), .notAbove(let x): [x]
    case .within(let a, let b): [a, b]
    }
  }

  /// The number, or both margins, in words.
  package var number: String {
    numbers.map { String(format: "%g", $0) }.joined(separator: " to ")
  }

  /// As a sentence goes on: "below 1", "within 0.8 to 1.25".
  package var words: String { "\(direction) \(number)" }

  /// The verdict on an interval. An end that is not known (NaN) lies on no side.
  package func verdict(low: Double, high: Double) -> Verdict {
    let (holds, fails) =
      switch self {
      case .above(let x): (low > x, high <= x)
      case .below(let x): (high < x, low >= x)
      case .within(let a, let b): (low > a && high < b, high <= a || low >= b)
      case .notAbove(let x): (low <= x, low > x)
      }
    return holds ? .reproduced : fails ? .notReproduced : .inconclusive
  }

  /// How far an interval lies from failing, in units of its own width (of one where it has none); negative beyond a
  /// bound.
  func margin(low: Double, high: Double) -> Double {
    let distance =
      switch self {
      case .above(let x): low - x
      case .below(let x): x - high
      case .within(let a, let b): min(low - a, b - high)
      case .notAbove(let x): x - low
      }
    return distance.isNaN ? -.infinity : distance / (high > low ? high - low : 1)
  }
}

/// One number that the records give, with its interval and what it is held against. Verdict and words follow from it.
package struct Finding: Sendable, Equatable {
  /// Which part of its claim it is; empty where the claim has only one.
  package var part = ""
  /// What the number is: "final training loss, a over b".
  package let statistic: String
  /// The number.
  package let estimate: Double
  /// The lower end of its interval, NaN where there is none.
  package let low: Double
  /// The upper end of its interval, NaN where there is none.
  package let high: Double
  /// What it is held against.
  package let bound: Bound
  /// How many independent values are behind it.
  package let count: Int
  /// What they are values of.
  package var unit = "seed"
  /// With fewer of them nothing is decided.
  package var needed = 2
  /// Where in the records it is from, and the like.
  package var detail = ""
  /// The values behind it, one a unit, on the scale on which they are averaged; nil where it is not a mean of values.
  private var units: Sample?

  private struct Sample: Sendable, Equatable {
    /// That of `bound`, its logarithm, or Fisher's z, its inverse hyperbolic tangent.
    enum Scale {
      case plain, logarithm, fisher

      func place(of value: Double) -> Double {
        switch self {
        case .plain: value
        case .logarithm: log(value)
        case .fisher: atanh(value)
        }
      }

      func value(at place: Double) -> Double {
        switch self {
        case .plain: place
        case .logarithm: exp(place)
        case .fisher: tanh(place)
        }
      }
    }
    var values: [Double]
    var scale: Scale
  }

  /// A number with an interval from elsewhere.
  package init(
    part: String = "", _ statistic: String, estimate: Double, low: Double, high: Double,
    _ bound: Bound, count: Int, unit: String = "seed", needed: Int = 2, detail: String = ""
  ) {
    (self.part, self.statistic, self.bound) = (part, statistic, bound)
    (self.estimate, self.low, self.high) = (estimate, low, high)
    (self.count, self.unit, self.needed, self.detail) = (count, unit, needed, detail)
  }

  /// The geometric mean of positive values, one a unit, with the interval of their logarithms
  /// (`RunStatistics.interval`). Zeros count as 1e-40, far below rounding.
  package static func ratios(
    part: String = "", _ statistic: String, _ values: [Double], _ bound: Bound,
    unit: String = "seed", needed: Int = 2
  ) -> Finding {
    let positive = values.map { $0.isNaN ? .nan : max($0, 1e-40) }
    return averaged(part, statistic, positive, .logarithm, bound, unit, needed)
  }

  /// The mean of values, one a unit, with its interval.
  package static func mean(
    part: String = "", _ statistic: String, _ values: [Double], _ bound: Bound,
    unit: String = "seed", needed: Int = 2
  ) -> Finding {
    averaged(part, statistic, values, .plain, bound, unit, needed)
  }

  /// The mean of correlation coefficients, one a unit, with its interval, both on Fisher's z = artanh r, on which they are
  /// nearly normal; coefficients count as at most 1 - 1e-12 in size.
  package static func correlations(
    part: String = "", _ statistic: String, _ values: [Double], _ bound: Bound,
    unit: String = "seed", needed: Int = 2
  ) -> Finding {
    let inside = values.map { max(-1 + 1e-12, min(1 - 1e-12, $0)) }
    return averaged(part, statistic, inside, .fisher, bound, unit, needed)
  }

  private static func averaged(
    _ part: String, _ statistic: String, _ values: [Double], _ scale: Sample.Scale, _ bound: Bound,
    _ unit: String, _ needed: Int
  ) -> Finding {
    let places = values.map(scale.place)
    let interval = RunStatistics.interval(places)
    var finding = Finding(
      part: part, statistic, estimate: scale.value(at: interval.estimate),
      low: scale.value(at: interval.lower), high: scale.value(at: interval.upper), bound,
      count: values.count, unit: unit, needed: needed)
    finding.units = Sample(values: places, scale: scale)
    return finding
  }

  /// The (lower) median of values, one a unit, with the smallest and the largest: every one of them must hold.
  package static func range(
    part: String = "", _ statistic: String, _ values: [Double], _ bound: Bound,
    unit: String = "seed", needed: Int = 2
  ) -> Finding {
    // Of two middle values the smaller one: the mean of two infinite ones is no number.
    let sorted = values.contains(where: \.isNaN) || values.isEmpty ? [.nan] : values.sorted()
    return Finding(
      part: part, statistic, estimate: sorted[(sorted.count - 1) / 2], low: sorted[0],
      high: sorted[sorted.count - 1], bound, count: values.count, unit: unit, needed: needed)
  }

  /// A count or a measurement that has no interval of its own.
  package static func exact(
    part: String = "", _ statistic: String, _ value: Double, _ bound: Bound, count: Int,
    unit: String = "seed"
  ) -> Finding {
    Finding(
      part: part, statistic, estimate: value, low: value, high: value, bound, count: count,
      unit: unit, needed: 0)
  }

  /// The values behind it, one a unit, on the scale of `bound`; nil where it is not a mean of values.
  package var values: [Double]? {
    units.map { $0.values.map($0.scale.value) }
  }

  /// Twice the probability of values at least as far on the right side of the bound as these if the truth lay on it
  /// (Student's t), so that with fewer than 15 values it is below 0.05 exactly where the 95 % interval lies on the right side
  /// (the interval of more is a bootstrap's); with two margins the larger of both. Nil where the finding is no mean of values
  /// that differ.
  package var pValue: Double? { probability(ofRightSide: true) }

  /// The same for the wrong side; with two margins the smaller of both.
  package var failureValue: Double? { probability(ofRightSide: false) }

  private func probability(ofRightSide isRight: Bool) -> Double? {
    switch bound {
    case .above(let x): return tail(of: x, above: isRight)
    case .below(let x): return tail(of: x, above: !isRight)
    case .within(let a, let b):
      guard let low = tail(of: a, above: isRight), let high = tail(of: b, above: !isRight) else {
        return nil
      }
      return isRight ? max(low, high) : min(low, high)
    case .notAbove: return nil
    }
  }

  private func tail(of bound: Double, above: Bool) -> Double? {
    guard let sample = units, sample.values.count >= 2,
      sample.values.allSatisfy(\.isFinite)
    else { return nil }
    let distance = Statistics.mean(sample.values) - sample.scale.place(of: bound)
    let error =
      Statistics.sampleStandardDeviation(sample.values)
      / Double(sample.values.count).squareRoot()
    guard error > 0 else { return nil }
    let law = StudentT(degreesOfFreedom: Double(sample.values.count - 1))
    return min(1, 2 * law.upperTail((above ? distance : -distance) / error))
  }

  /// About how many values would decide what these leave open: the smallest number with which the 95 % interval about their
  /// mean, at their spread, leaves out every bound. Nil where they decide, where they are no mean of values that differ, and
  /// beyond ten thousand.
  package var decidingCount: Int? {
    guard verdict == .inconclusive, let sample = units, sample.values.count >= 2,
      sample.values.allSatisfy(\.isFinite)
    else { return nil }
    let mean = Statistics.mean(sample.values)
    let distance = bound.numbers.map { abs(mean - sample.scale.place(of: $0)) }.min() ?? 0
    let spread = Statistics.sampleStandardDeviation(sample.values)
    func decides(_ n: Int) -> Bool {
      let t = StudentT(degreesOfFreedom: Double(n - 1)).quantile(upperTail: 0.025)
      return t * spread / Double(n).squareRoot() < distance
    }
    var (few, many) = (max(2, needed) - 1, 10_000)
    guard decides(many) else { return nil }
    while many - few > 1 {
      let middle = (few + many) / 2
      if middle > 1, decides(middle) { many = middle } else { few = middle }
    }
    return many
  }

  /// The one rule from numbers to a verdict.
  package var verdict: Verdict {
    count < needed || estimate.isNaN ? .inconclusive : bound.verdict(low: low, high: high)
  }

  /// The number with its interval: "0.92 [0.79, 1.1]".
  package var effect: String {
    let (number, interval) = withInterval(estimate, low, high)
    return interval.isEmpty ? number : "\(number) \(interval)"
  }

  /// "5 seeds".
  package var sample: String {
    "\(count) \(unit)\(count == 1 ? "" : unit.hasSuffix("h") ? "es" : "s")"
  }

  /// The whole finding in words, from its numbers alone.
  package var words: String {
    "\(statistic): \(effect), \(bound.words)? \(verdict.rawValue) (n = \(sample)"
      + (decidingCount.map { "; about \($0) would decide)" } ?? ")")
      + (detail.isEmpty ? "" : "; \(detail)")
  }
}

/// A number and its interval ("0.92", "[0.79, 1.1]"), with so many digits that the interval's width shows in the last one; without
/// an interval three digits and "".
func withInterval(_ value: Double, _ low: Double, _ high: Double) -> (String, String) {
  guard !low.isNaN, !high.isNaN, low != high else { return (significant(value, 3), "") }
  let wanted = log10(max(abs(value), abs(low), abs(high)) / (high - low)).rounded(.up)
  let digits = wanted.isFinite ? min(6, max(2, 1 + Int(wanted))) : 2
  return (significant(value, digits), "[\(significant(low, digits)), \(significant(high, digits))]")
}

/// A number with `digits` significant digits, without an exponent where it is of a usual size.
package func significant(_ value: Double, _ digits: Int) -> String {
  guard value.isFinite else { return value.isNaN ? "—" : value < 0 ? "-∞" : "∞" }
  guard value != 0 else { return "0" }
  let exponent = Int(log10(abs(value)).rounded(.down))
  guard (-4...5).contains(exponent) else { return String(format: "%.\(digits - 1)e", value) }
  return String(format: "%.\(max(0, digits - 1 - exponent))f", value)
}

/// Two significant digits.
package func short(_ value: Double) -> String { String(format: "%.2g", value) }

// MARK: - Evidence

/// All that a set of records says of one claim: every finding must hold.
package struct Evidence: Sendable {
  /// Why the findings, whatever they are, decide nothing.
  package enum Obstacle: Sendable, Equatable {
    /// Records of these are missing.
    case noRecords(String)
    /// The rule of this arm never clipped anything, so that the arm says nothing of it.
    case neverActed(String)
    /// Two arms are one run to the last bit: what differs between them never made a difference.
    case sameRuns
    /// The data are generated ones, which stand for the real ones.
    case standIn

    /// As a remark.
    var words: String {
      switch self {
      case .noRecords(let what): "no records of \(what)"
      case .neverActed(let arm): "the rule of \(arm) never acted"
      case .sameRuns: "the arms are the same runs to the last bit"
      case .standIn: "on generated data"
      }
    }
  }

  /// The parts of the claim.
  package private(set) var findings: [Finding]
  /// What is reported beside them and decides nothing.
  package private(set) var others: [Finding]
  /// What else there is to say.
  package private(set) var remarks: [String]
  /// What keeps the findings from deciding.
  package private(set) var obstacle: Obstacle?
  /// The seeds it rests on, nil for all of the records.
  package private(set) var seeds: Set<Int>?
  /// The arms it rests on, nil for all of them.
  package private(set) var arms: Set<String>?

  /// Findings with what there is to say of them.
  package init(
    _ findings: [Finding] = [], others: [Finding] = [], remarks: [String] = [],
    obstacle: Obstacle? = nil, seeds: Set<Int>? = nil, arms: Set<String>? = nil
  ) {
    (self.findings, self.others, self.remarks) = (findings, others, remarks)
    (self.obstacle, self.seeds, self.arms) = (obstacle, seeds, arms)
  }

  /// Whether `record` is of an arm and a seed that it rests on.
  func restsOn(_ record: Record) throws -> Bool {
    try seeds?.contains(record.int(attribute: "seed")) ?? true
      && arms?.contains(record.string(attribute: "method")) ?? true
  }

  /// The same where `obstacle`, unless there was one already, keeps it from deciding.
  func kept(from obstacle: Obstacle) -> Evidence {
    var kept = self
    kept.obstacle = self.obstacle ?? obstacle
    return kept
  }

  /// The same with `others` reported beside it.
  package func beside(_ others: [Finding]) -> Evidence {
    var evidence = self
    evidence.others = others
    return evidence
  }

  /// The one rule for a conjunction: reproduced if every part is (which needs no correction: all of them must hold at once),
  /// not reproduced if one is not, also when it is counted that the worst of so many parts was looked for (Holm's first step),
  /// else inconclusive.
  package var verdict: Verdict {
    if case .noRecords? = obstacle { return .needsRecords }
    guard obstacle == nil, !findings.isEmpty else { return .inconclusive }
    if findings.allSatisfy({ $0.verdict == .reproduced }) { return .reproduced }
    let fails = findings.contains {
      $0.verdict == .notReproduced
        && (findings.count == 1
          || ($0.failureValue ?? 0) * Double(findings.count) <= Self.significance)
    }
    return fails ? .notReproduced : .inconclusive
  }

  /// The error that a verdict may have, over a whole family of tests.
  package static let significance = 0.05

  /// That of the part that is least sure, nil where one has none.
  package var pValue: Double? {
    let values = findings.compactMap(\.pValue)
    return values.count == findings.count ? values.max() : nil
  }

  /// The part that decides: among those of the worst verdict the one with the smallest margin.
  package var deciding: Finding? {
    func rank(_ finding: Finding) -> Int {
      switch finding.verdict {
      case .notReproduced: 0
      case .inconclusive, .needsRecords: 1
      case .reproduced: 2
      }
    }
    func margin(_ finding: Finding) -> Double {
      finding.low.isNaN || finding.high.isNaN
        ? finding.bound.margin(low: finding.estimate, high: finding.estimate)
        : finding.bound.margin(low: finding.low, high: finding.high)
    }
    return findings.min { (rank($0), margin($0)) < (rank($1), margin($1)) }
  }

  /// The smallest n of its parts.
  package var count: Int { findings.map(\.count).min() ?? 0 }

  /// The same in words: a number of seeds, or "21 mini-batches"; empty without findings.
  package var sample: String {
    guard let smallest = findings.min(by: { $0.count < $1.count }) else { return "" }
    return smallest.unit == "seed" ? "\(smallest.count)" : smallest.sample
  }

  /// Everything in words, one line a part or remark.
  package var lines: [String] {
    findings.map(\.words) + others.map { "(not decisive) \($0.words)" } + remarks
      + (obstacle.map { [$0.words] } ?? [])
  }
}
