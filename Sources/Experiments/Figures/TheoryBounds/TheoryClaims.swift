// SPDX-License-Identifier: Apache-2.0

import Lab
import Foundation
import LinearAlgebra
import Storage
import Theory

// The claims of the theory.

extension TheoryBounds {
  /// The first seed's record of one kind of check.
  static func record(_ set: RecordSet, _ method: String) throws -> Record {
    try checked(set.records(of: method)[0], method)
  }

  /// A record whose data sets all have its cases along the first axis, but for those of `acceleration`.
  private static func checked(_ record: Record, _ method: String) throws -> Record {
    let names = record.root.dataSets.map(\.name)
    let groups =
      method == "acceleration"
      ? [
        [
          "function", "start", "clipped", "normalised", "fixed", "clipped_bound", "fixed_bound",
          "minimax_lower_bound",
        ],
        [
          "moment", "per_sample_error", "per_sample_bound", "descent_squared_norm",
          "descent_bound",
        ],
      ] : [names]
    for group in groups { try record.checkLengths(of: group.filter(names.contains)) }
    return record
  }

  /// The runs of one case of a data set [case, run].
  static func runs(_ record: Record, _ name: String) throws -> [[Double]] {
    let (values, shape) = try record.doubles(name, axes: 2)
    guard shape[1] > 0 else {
      throw StorageError(
        "\(name) has no runs", at: record.source ?? "a record", hint: "compute the record anew")
    }
    let count = shape[1]
    return stride(from: 0, to: values.count, by: count).map { Array(values[$0..<($0 + count)]) }
  }

  /// An average over K steps is mostly its start until ηLK is well above one; from 8 on, e^(-16) of the start's
  /// share is still to come.
  static let forgottenStart = 8.0

  /// The slope of log potential against log K for one α, with a bootstrap interval over the runs (each run's streams
  /// are its own at every K), over the K whose τ is the theorem's schedule and whose start is forgotten; nil where
  /// fewer than two are left.
  static func slope(_ record: Record, alpha: Double) throws -> ConfidenceInterval? {
    let (alphas, steps) = (try record.doubles("alpha"), try record.ints("steps"))
    let scheduled = try record.ints("scheduled")
    let potentials = try runs(record, "potential_spectral")
    let problems = try record.strings("problem")
    let taus = try record.doubles("tau")
    let cases = alphas.indices.filter {
      // η = τ^(-α)/(4L)
      problems[$0] == "quadratic" && alphas[$0] == alpha && scheduled[$0] == 1
        && 0.25 * pow(taus[$0], -alpha) * Double(steps[$0]) >= forgottenStart
    }
    guard cases.count >= 2 else { return nil }
    let x = cases.map { log(Double(steps[$0])) }
    let indices = Array(potentials[cases[0]].indices)
    var generator = RandomStream(seed: 0, name: "claims/theory").cursor()
    return Statistics.bootstrapInterval(indices, resamples: 2000, using: &generator) { drawn in
      let y = cases.map { index in
        log(drawn.reduce(0) { $0 + potentials[index][$1] } / Double(drawn.count))
      }
      let (mx, my) = (Statistics.mean(x), Statistics.mean(y))
      let products = zip(x, y).reduce(0) { $0 + ($1.0 - mx) * ($1.1 - my) }
      return products / x.reduce(0) { $0 + ($1 - mx) * ($1 - mx) }
    }
  }

  /// Every α that has cases, ascending; at least one.
  static func alphas(_ record: Record) throws -> [Double] {
    let all = try record.doubles("alpha")
    guard !all.isEmpty, all.allSatisfy(\.isFinite) else {
      throw StorageError(
        "alpha has no values, or one that is not finite", at: record.source ?? "a record",
        hint: "compute the record anew")
    }
    return Set(all).sorted()
  }

  private static let noViolations = Bound.below(1)

  /// A claim that no instance of a record violates its statement.
  private static func noViolation(
    id: String, item: String, _ statement: String, method: String, only: String? = nil
  ) -> Claim {
    Claim(
      id: id, item: item, statement: statement,
      criterion: method.hasPrefix("theorem") || method == "acceleration"
        ? "no case's mean over runs lies above the bound by its one-sided 99.9 % lower limit, Bonferroni "
          + "over the cases"
        : "no instance has lhs - rhs > 16·max(m, n)·ε·(|lhs| + |rhs| + carrier); exact expectations, "
          + "constants of ours, least slack relative to what was rounded", isInvariant: true
    ) { set in
      let records = try set.records(of: method).map { try checked($0, method) }
      guard records.allSatisfy({ $0["statement"] != nil }) else {
        func total(_ name: String) throws -> Int {
          try records.reduce(0) { try $0 + $1.int(attribute: name) }
        }
        return Evidence([
          .exact(
            "violations", Double(try total("violations_total")), noViolations,
            count: try total("instances_total"), unit: "case")
        ])
      }
      let rows = try records.flatMap { record in
        let (names, slack) = (
          try record.strings("statement"), try record.doubles("smallest_relative_slack")
        )
        let (instances, violations) = (
          try record.ints("instances"), try record.ints("violations")
        )
        return names.indices.map {
          (name: names[$0], tried: instances[$0], violated: violations[$0], slack: slack[$0])
        }
      }.filter { only == nil || $0.name.hasPrefix(only ?? "") }
      guard !rows.isEmpty else { return Evidence(obstacle: .noRecords(only ?? method)) }
      return Evidence(
        [
          .exact(
            "violations", Double(rows.reduce(0) { $0 + $1.violated }), noViolations,
            count: rows.reduce(0) { $0 + $1.tried }, unit: "instance")
        ],
        remarks: rows.map {
          "\($0.name): \($0.tried) tried, \($0.violated) violated, least slack \(short($0.slack))"
        })
    }
  }

  package static let claims: [Claim] = [
    noViolation(
      id: "theory-inequalities", item: "§3, App. B, C; 1905.11881, 2404.08624, 2605.02701",
      "Every assumption, lemma, proof step and theorem holds on random instances.",
      method: "inequalities"),
    noViolation(
      id: "theory-adversary", item: "§3, App. B, C",
      "An adversarial search over matrices, laws and thresholds breaks none of them.",
      method: "adversarial"),
    noViolation(
      id: "theory-section-2.3", item: "§2.3",
      "On n×1 and 1×n matrices spectral clipping is norm clipping.", method: "inequalities",
      only: "section 2.3"),
    noViolation(
      id: "theory-theorem-3.3", item: "Theorem 3.3",
      "The mean squared gradient of clipped SGD stays below optimisation error + noise + squared bias.",
      method: "theorem33"),
    noViolation(
      id: "theory-theorem-3.4", item: "Theorem 3.4",
      "With the theorem's τ and η the averaged potential stays below its bound.",
      method: "theorem34"),
    noViolation(
      id: "theory-bias", item: "Theorem 3.4, proof",
      "The bias of the clipped gradient is at most 2^(α-1) σ^α τ^(1-α).", method: "bias"),
    noViolation(
      id: "theory-per-sample", item: "2605.02701",
      "Per-sample clipped descent on log cosh stays below 2LΔ/T + bias² + variance.",
      method: "acceleration"),
    Claim(
      id: "theory-rate", item: "Theorem 3.4",
      statement: "The averaged potential decays at least as fast as K^((2-2α)/(3α-2)).",
      criterion:
        "for every α, the slope of log potential on log K, with its bootstrap interval over the runs, lies not "
        + "above the exponent; an upper bound, so faster is fine. Over the K where τ = K^(1/(3α-2)) and ηLK >= "
        + "\(significant(forgottenStart, 1)); an α with fewer than two such K is out of reach and left out",
      changed: "an average over fewer steps, which is mostly its start, was left out"
    ) { set in
      let record = try record(set, "theorem34")
      let all = try alphas(record)
      let slopes = try all.map { try slope(record, alpha: $0) }
      let findings = zip(all, slopes).compactMap { alpha, slope in
        slope.map {
          Finding(
            part: "alpha-\(alpha)", "slope at α = \(alpha)", estimate: $0.estimate, low: $0.lower,
            high: $0.upper, .notAbove(Theorem34.rate(alpha: alpha)), count: $0.count, unit: "run")
        }
      }
      let unreachable = zip(all, slopes).filter { $0.1 == nil }.map { "\($0.0)" }
      return Evidence(
        findings,
        remarks: unreachable.isEmpty
          ? [] : ["out of reach: α = \(unreachable.joined(separator: ", "))"],
        obstacle: findings.isEmpty ? .noRecords("an α within reach") : nil)
    },
    Claim(
      id: "theory-clipping-needed", item: "§3 (our question)",
      statement:
        "Under heavy tails the theorem's step size needs the clip.",
      criterion:
        "for α < 2, at the largest K, the averaged potential without clipping over that with it, paired by run, lies \(larger.words) "
        + "with its whole interval"
    ) { set in
      let record = try record(set, "theorem34")
      let (own, steps) = (try record.doubles("alpha"), try record.ints("steps"))
      let (clipped, plain) = (
        try runs(record, "potential_spectral"), try runs(record, "potential_none")
      )
      let last = steps.max() ?? 0
      return Evidence(
        own.indices.filter { own[$0] < 2 && steps[$0] == last }.map { i in
          .ratios(
            part: "case\(i)-alpha-\(own[i])",
            "potential without clipping over that with it, α = \(own[i])",
            zip(plain[i], clipped[i]).map { min($0, 1e30) / $1 }, larger, unit: "run")
        })
    },
    Claim(
      id: "theory-acceleration", item: "1905.11881",
      statement: "Clipped descent's advantage over fixed-step descent grows without limit with the "
        + "starting gradient.",
      criterion:
        "for each function the ratio of iteration counts from one start to the next larger one lies \(larger.words) "
        + "everywhere, and the last ratio of fixed-step to clipped counts \(advantage.words)"
    ) { set in
      let record = try record(set, "acceleration")
      let names = try record.strings("function")
      let (clipped, fixed) = (try record.ints("clipped"), try record.ints("fixed"))
      return Evidence(
        ["x^4", "cosh"].flatMap { name -> [Finding] in
          let ratios = names.indices.filter { names[$0] == name }
            .map { Double(fixed[$0]) / Double(max(1, clipped[$0])) }
          return [
            .exact(
              part: "\(name)-grows",
              "least growth of the ratio of iteration counts from start to start, \(name)",
              zip(ratios, ratios.dropFirst()).map { $1 / $0 }.min() ?? .nan, larger,
              count: ratios.count - 1, unit: "start"),
            .exact(
              part: "\(name)-last",
              "iterations of fixed-step over clipped descent at the largest start, \(name)",
              ratios.last ?? .nan, advantage, count: ratios.count, unit: "start"),
          ]
        })
    },
  ]

  private static let larger = Bound.above(1)
  private static let advantage = Bound.above(50)
}
