// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage

/// A quantity that runs are compared by; smaller is better.
package struct Measure: Sendable {
  /// Its name: "training loss".
  package let name: String
  /// What the value at the end is, for the criterion: "mean of the last 250 mini-batches".
  package let note: String
  /// The attribute that holds the value at the end.
  package let final: String
  /// The data set that holds its values along the steps.
  package let series: String
  /// What a run that diverged counts as.
  package let limit: Double
  /// The quantity from what is recorded.
  package let convert: @Sendable (Double, Record) throws -> Double

  /// A quantity of a family of records.
  package init(
    _ name: String, note: String = "", final: String, series: String, limit: Double,
    convert: @escaping @Sendable (Double, Record) throws -> Double = { value, _ in value }
  ) {
    (self.name, self.note, self.final, self.series) = (name, note, final, series)
    (self.limit, self.convert) = (limit, convert)
  }

  private func bounded(_ value: Double, _ record: Record) throws -> Double {
    RunStatistics.bounded(value.isFinite ? try convert(value, record) : .nan, limit: limit)
  }

  /// The value at the end.
  package func atEnd(_ record: Record) throws -> Double {
    try bounded(record.double(attribute: final), record)
  }

  /// The series, a value a recorded step.
  private func points(of record: Record) throws -> [Double] {
    try record.checkLengths(of: ["step", series])
    return try record.doubles(series)
  }

  /// The value after `epoch` epochs; NaN for a run that was shorter from the start.
  package func after(epoch: Int, _ record: Record) throws -> Double {
    let step = try epoch * record.int(attribute: "steps_per_epoch")
    guard let row = try record.ints("step").firstIndex(of: step) else { return .nan }
    return try bounded(points(of: record)[row], record)
  }

  /// The value at time `t`, between two of `times`, those of the recorded points, linearly.
  package func at(_ t: Double, times: [Double], _ record: Record) throws -> Double {
    let values = try points(of: record)
    guard times.count == values.count else { throw record.differs(in: "their recorded steps") }
    guard let after = times.firstIndex(where: { $0 >= t }) else {
      return try bounded(values.last ?? .nan, record)
    }
    guard after > 0 else { return try bounded(values[0], record) }
    let part = (t - times[after - 1]) / (times[after] - times[after - 1])
    return try bounded(
      values[after - 1] + part * (values[after] - values[after - 1]), record)
  }
}

/// A comparison of arms: which, by what, when, and what the ratio is held against.
///
/// One policy for every experiment. Runs are paired by seed, which is checked; the statistic is the geometric mean of
/// the ratios with `RunStatistics.interval`; a run that diverged counts as the limit of its measure. Arms without
/// records, an arm whose rule never acted, arms whose runs are the same and generated data decide nothing.
package struct Comparison: Sendable {
  /// When arms are compared.
  package enum Moment: Sendable, Equatable {
    /// After the last step.
    case end
    /// By the mean over these epochs.
    case epochs([Int])
    /// When the faster arm has finished, by undisturbed time.
    case equalTime
    /// From some time on, before this fraction of the time when the faster arm has finished; and then.
    case crossing(before: Double)
    /// When the faster arm has finished, if a step of `arms` costs so many times as much as one of `others`.
    case equalCost(ratio: Double)
  }

  let arms: [String]
  let others: [String]
  let measures: [Measure]
  let moment: Moment
  let bound: Bound
  let acting: [String]
  let needed: Int

  /// Each of `arms` over each of `others`; the rules of `acting` (unless told otherwise, of `arms`) must have acted.
  package init(
    _ arms: [String], over others: [String], by measures: [Measure], at moment: Moment = .end,
    _ bound: Bound = .below(1), acting: [String]? = nil, needed: Int = 3
  ) {
    (self.arms, self.others, self.measures) = (arms, others, measures)
    (self.moment, self.bound, self.acting) = (moment, bound, acting ?? arms)
    self.needed = needed
  }

  // MARK: - In words

  /// What must hold, as a sentence.
  package var criterion: String {
    func list(_ arms: [String]) -> String {
      (arms.count > 1 ? "each of " : "") + arms.map { "`\($0)`" }.joined(separator: ", ")
    }
    let quantities = measures.map { measure in
      measure.name + (moment == .end && !measure.note.isEmpty ? " (\(measure.note))" : "")
    }.joined(separator: " and of the ")
    let pair = "\(list(arms)) over \(list(others)), paired by seed,"
    let end = "when the faster arm has finished, by the time of undisturbed steps"
    let parts = arms.count * others.count * measures.count
    let text: String
    switch moment {
    case .end:
      text = "the ratio of the final \(quantities), \(pair)"
    case .epochs(let epochs):
      text =
        "the ratio of the \(quantities), its mean after the epochs "
        + "\(epochs.map(String.init).joined(separator: ", ")), \(pair)"
    case .equalTime:
      text = "the ratio of the \(quantities) \(end), \(pair)"
    case .equalCost(let cost):
      text =
        "the ratio of the \(quantities) when the faster arm has finished, a step of the first taken to cost "
        + "\(significant(cost, 3)) times as much as one of the second, \(pair)"
    case .crossing(let latest):
      text =
        "in every seed the \(quantities) of \(list(arms)) stays below that of \(list(others)) from a time on that is "
        + "below \(latest) of the time \(end); and the ratio then, paired by seed,"
    }
    return "\(text) lies \(bound.words) with its whole interval"
      + (parts > 1 ? ", every one of them" : "")
  }

  // MARK: - Held against records

  /// The evidence in `set`.
  package func evaluate(_ set: RecordSet) throws -> Evidence {
    let evidence = try Self.judge(set, arms: arms + others, acting: acting) {
      try arms.flatMap { arm in try others.flatMap { try findings(set, arm, $0) } }
    } remarks: {
      guard moment == .equalTime else { return [] }
      return try arms.flatMap { arm in try others.map { try survival(set, arm, $0) } }
    }
    // What differs between the arms never made a difference: every seed's ratio is one.
    let isSame = evidence.findings.allSatisfy { ($0.estimate, $0.low, $0.high) == (1, 1, 1) }
    return isSame && !evidence.findings.isEmpty ? evidence.kept(from: .sameRuns) : evidence
  }

  /// Findings about `arms`, with what may keep them from deciding; `findings` and `more` are called only if all have
  /// records.
  package static func judge(
    _ set: RecordSet, arms: [String], acting: [String], _ findings: () throws -> [Finding],
    remarks more: () throws -> [String] = { [] }
  ) throws -> Evidence {
    let missing = arms.filter { !set.methods.contains($0) }
    guard missing.isEmpty else {
      return Evidence(obstacle: .noRecords(missing.joined(separator: ", ")))
    }
    var (remarks, asleep) = ([String](), [String]())
    var seen = Set<String>()
    for arm in arms where seen.insert(arm).inserted {
      guard let fraction = try clippedFraction(set, arm) else { continue }
      remarks.append("\(arm) clips a fraction of \(significant(fraction, 2))")
      if fraction == 0, acting.contains(arm) { asleep.append(arm) }
    }
    let isStandIn = try set.records.contains {
      guard $0.attributes["data_is_stand_in"] != nil else { return false }
      return try $0.int(attribute: "data_is_stand_in") == 1
    }
    let seeds = try arms.flatMap { try set.records(of: $0).map { try $0.int(attribute: "seed") } }
    return Evidence(
      try findings(), remarks: try more() + remarks,
      obstacle: isStandIn
        ? .standIn : asleep.isEmpty ? nil : .neverActed(asleep.joined(separator: ", ")),
      seeds: Set(seeds), arms: Set(arms))
  }

  /// How much an arm's rule clips: of singular values (or, for a norm, of steps), the mean over recorded points,
  /// clipped matrices and seeds; nil where nothing is recorded.
  package static func clippedFraction(_ set: RecordSet, _ arm: String) throws -> Double? {
    let fractions = try set.records(of: arm).flatMap { record -> [Double] in
      guard record["clipped_fraction"] != nil else { return [] }
      let all = try record.doubles("clipped_fraction", axes: 2).values
      guard record["tau"] != nil else { return all.filter(\.isFinite) }
      let taus = try record.doubles("tau", axes: 2).values
      guard taus.contains(where: \.isFinite) else { return all.filter(\.isFinite) }
      return zip(all, taus).filter { $0.0.isFinite && $0.1.isFinite }.map(\.0)
    }
    return fractions.isEmpty ? nil : Statistics.mean(fractions)
  }

  private func findings(_ set: RecordSet, _ arm: String, _ other: String) throws -> [Finding] {
    let pairs = try set.pairs(arm, other)
    let place = (arms.count > 1 ? [arm] : []) + (others.count > 1 ? [other] : [])
    func part(_ measure: Measure, _ more: String...) -> String {
      let word = String(measure.name.prefix { $0 != " " })
      return (place + more + (measures.count > 1 ? [word] : [])).joined(separator: "-")
    }
    func ratio(
      _ part: String, _ name: String, _ value: (Record, Int) throws -> Double
    ) throws -> Finding {
      .ratios(
        part: part, "\(name), \(arm) over \(other)",
        try pairs.map { try value($0, 0) / value($1, 1) }, bound, needed: needed)
    }
    if case .epochs(let epochs) = moment {
      return try measures.map { measure in
        let list = epochs.map(String.init).joined(separator: ", ")
        return try ratio(part(measure), "mean \(measure.name) after the epochs \(list)") {
          record, _ in Statistics.mean(try epochs.map { try measure.after(epoch: $0, record) })
        }
      }
    }
    if moment == .end {
      return try measures.map { measure in
        try ratio(part(measure), "final \(measure.name)") { record, _ in
          try measure.atEnd(record)
        }
      }
    }
    if case .equalCost(let cost) = moment {
      return try measures.map { try atCost(cost, part($0), $0, arm, other, pairs) }
    }
    let times = try [pairs.map(\.0), pairs.map(\.1)].map(RunStatistics.undisturbedSeconds)
    let end = times.compactMap { $0.last(where: \.isFinite) }.min() ?? .nan
    func atEnd(_ measure: Measure, _ part: String) throws -> Finding {
      guard end.isFinite else { return .ratios("no times are recorded", [], bound) }
      return try ratio(part, "\(measure.name) after \(significant(end, 3)) s of training") {
        try measure.at(end, times: times[$1], $0)
      }
    }
    guard case .crossing(let latest) = moment else {
      return try measures.map { try atEnd($0, part($0)) }
    }
    return try measures.flatMap { measure in
      let points = times[0].filter { $0 <= end }
      let crossings = try pairs.map { own, another -> Double in
        let below = try points.map {
          try measure.at($0, times: times[0], own) < measure.at($0, times: times[1], another)
        }
        let from = below.lastIndex(of: false).map { $0 + 1 } ?? 0
        return from < points.count ? points[from] / end : .infinity
      }
      return [
        .range(
          part: part(measure, "crossing"),
          "fraction of the common time from which on the \(measure.name) of \(arm) stays below that of \(other)",
          crossings, .below(latest), needed: needed),
        try atEnd(measure, part(measure, "end")),
      ]
    }
  }

  /// The ratios when the faster arm has finished if a step of `arm` costs `cost` times as much as one of `other`.
  private func atCost(
    _ cost: Double, _ part: String, _ measure: Measure, _ arm: String, _ other: String,
    _ pairs: [(Record, Record)]
  ) throws -> Finding {
    .ratios(
      part: part,
      "\(measure.name) at a cost ratio of \(significant(cost, 3)), \(arm) over \(other)",
      try pairs.map { own, another in
        let times = try (
          own.ints("step").map { cost * Double($0) }, another.ints("step").map(Double.init)
        )
        let end = min(times.0.last ?? .nan, times.1.last ?? .nan)
        return try measure.at(end, times: times.0, own) / measure.at(end, times: times.1, another)
      }, bound, needed: needed)
  }

  /// Up to which cost ratio of a step, in hundredths and at most 10, the comparison holds at equal cost, beside the ratio
  /// that was measured.
  private func survival(_ set: RecordSet, _ arm: String, _ other: String) throws -> String {
    let pairs = try set.pairs(arm, other)
    let ends = try [pairs.map(\.0), pairs.map(\.1)].map {
      try RunStatistics.undisturbedSeconds($0).last(where: \.isFinite) ?? .nan
    }
    let fails = try (100...1000).first { cost in
      try !measures.allSatisfy {
        try atCost(Double(cost) / 100, "", $0, arm, other, pairs).verdict == .reproduced
      }
    }
    let words =
      fails.map { $0 == 100 ? "at no cost ratio" : "up to a cost ratio of \(Double($0 - 1) / 100)" }
      ?? "up to a cost ratio of 10 and more"
    return
      "\(arm) over \(other) holds \(words) of a step; measured \(significant(ends[0] / ends[1], 3))"
  }
}
