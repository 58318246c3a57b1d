// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage

// How runs are summed up: one mean, one time of a step, one way to pair the runs of two arms. Tables, captions and
// claims take them from here, so that two figures never mean two things by the same word.

/// A mean over seeds with its 95 % interval.
package struct RunSummary: Sendable, Equatable {
  /// The mean; NaN where a value is missing.
  package let mean: Double
  /// The interval's lower end; NaN where it says nothing.
  package let low: Double
  /// The interval's upper end; NaN where it says nothing.
  package let high: Double
  /// How many of the values are of runs that diverged.
  package let diverged: Int
}

/// What many runs say together.
package enum RunStatistics {
  /// A value as means and comparisons take it: a run that diverged counts as `limit`, the value beyond which
  /// a run of its kind has diverged.
  package static func bounded(_ value: Double, limit: Double) -> Double {
    value.isFinite ? value : limit
  }

  /// The geometric mean of positive values, one a seed, with the 95 % Student's t interval of their logarithms.
  ///
  /// With a `limit`, runs that diverged count as the limit, and the interval, which they would make a statement about
  /// the limit, says nothing (NaN). Without one, or for a value that is not positive, all three are NaN.
  /// A single value has no interval.
  package static func geometricMean(_ values: [Double], limit: Double? = nil) -> RunSummary {
    let diverged = values.count { !$0.isFinite }
    let logs = values.map { log(bounded($0, limit: limit ?? .nan)) }
    guard !logs.isEmpty, logs.allSatisfy(\.isFinite) else {
      return RunSummary(mean: .nan, low: .nan, high: .nan, diverged: diverged)
    }
    guard logs.count >= 2, diverged == 0 else {
      return RunSummary(
        mean: exp(Statistics.mean(logs)), low: .nan, high: .nan, diverged: diverged)
    }
    let interval = Statistics.tInterval(logs)
    return RunSummary(
      mean: exp(interval.estimate), low: exp(interval.lower), high: exp(interval.upper), diverged: 0
    )
  }

  /// Seconds since the start at every recorded point of a run (telemetry/model_seconds), nil where the record
  /// does not hold them.
  package static func modelSeconds(_ record: Record) throws -> [Double]? {
    let path = "\(Record.telemetryName)/model_seconds"
    guard record[path] != nil else { return nil }
    let (seconds, steps) = (try record.doubles(path), try record.ints("step"))
    guard seconds.count == steps.count else {
      throw StorageError(
        "\(path) has \(seconds.count) values, step \(steps.count)", at: record.source ?? "a record",
        hint: "compute the record anew")
    }
    return seconds
  }

  /// Seconds that an undisturbed step takes: the tenth percentile, over all recorded intervals of all seeds, of an
  /// interval's seconds over its steps. Other work on the machine only adds to a time, so the typical
  /// interval says more of that than of the method, and the shortest one is a matter of luck. NaN where no
  /// record holds times.
  package static func secondsPerStep(_ records: [Record]) throws -> Double {
    var intervals: [Double] = []
    for record in records {
      guard let seconds = try modelSeconds(record) else { continue }
      let steps = try record.ints("step")
      for row in steps.indices.dropFirst() where seconds[row].isFinite {
        intervals.append((seconds[row] - seconds[row - 1]) / Double(steps[row] - steps[row - 1]))
      }
    }
    return intervals.isEmpty
      ? .nan : Statistics.quantile(sorted: intervals.sorted(), 0.1, .interpolated)
  }

  /// Seconds since the start at every recorded point of an undisturbed run; NaN where every seed has diverged, or no
  /// record holds times.
  package static func undisturbedSeconds(_ records: [Record]) throws -> [Double] {
    let perStep = try secondsPerStep(records)
    let times = try records.compactMap(modelSeconds)
    let steps = try records[0].ints("step")
    for record in records where try record.ints("step") != steps {
      throw record.differs(in: "their recorded steps")
    }
    return steps.enumerated().map { row, step in
      times.contains { $0[row].isFinite } ? perStep * Double(step) : .nan
    }
  }

  /// Seconds of an undisturbed step that go to the clip: `secondsPerStep` times the median over the seeds of the
  /// clip's part of a run's whole time. NaN where no record holds them.
  package static func clipSecondsPerStep(_ records: [Record]) throws -> Double {
    let fractions = try records.compactMap { record -> Double? in
      guard case .double(let clip)? = record.telemetry.attributes["seconds_clip"],
        let whole = try modelSeconds(record)?.last, whole.isFinite, whole > 0
      else { return nil }
      return clip / whole
    }
    return fractions.isEmpty
      ? .nan : try secondsPerStep(records) * Statistics.median(fractions)
  }
}

extension RecordSet {
  /// The runs of two arms, paired by seed.
  ///
  /// Throws a `StorageError` that names the seeds which only one of them has.
  package func pairs(_ method: String, _ other: String) throws -> [(Record, Record)] {
    let (own, others) = (try records(of: method), try records(of: other))
    func seeds(_ records: [Record]) throws -> [Int] {
      try records.map { try $0.int(attribute: "seed") }
    }
    let (left, right) = (try seeds(own), try seeds(others))
    for (name, missing) in [
      (other, left.filter { !right.contains($0) }), (method, right.filter { !left.contains($0) }),
    ] where !missing.isEmpty {
      throw StorageError(
        "'\(name)' lacks seed\(missing.count == 1 ? "" : "s") "
          + missing.map(String.init).joined(separator: ", ")
          + ", so it cannot be paired with '\(name == method ? other : method)'", at: folder,
        hint: "run both with the same seeds")
    }
    return Array(zip(own, others))  // both are sorted by seed
  }

  /// `value` of one arm over that of another, one ratio a seed.
  package func ratios(
    _ method: String, over other: String, _ value: (Record) throws -> Double
  ) throws -> [Double] {
    try pairs(method, other).map { try value($0) / value($1) }
  }
}

// MARK: - Intervals

extension RunStatistics {
  /// From how many values on an interval is a bootstrap: with fewer it is too narrow, about 85 % at five values.
  package static let bootstrapFrom = 15

  /// The interval of the mean of independent values, the one that claims are judged by: Student's t, from
  /// `bootstrapFrom` values on the percentile bootstrap. Both ends are NaN for a single value, all three numbers where
  /// one value is not finite.
  package static func interval(
    _ values: [Double], confidence: Double = 0.95
  ) -> ConfidenceInterval {
    guard values.count >= 2, values.allSatisfy(\.isFinite) else {
      let isThere = !values.isEmpty && values.allSatisfy(\.isFinite)
      return ConfidenceInterval(
        estimate: isThere ? values[0] : .nan, lower: .nan, upper: .nan, confidence: confidence,
        count: values.count)
    }
    guard values.count >= bootstrapFrom else {
      return Statistics.tInterval(values, confidence: confidence)
    }
    var generator = RandomStream(seed: 0, name: "claims").cursor()
    return Statistics.bootstrapInterval(values, confidence: confidence, using: &generator) {
      Statistics.mean($0)
    }
  }
}
