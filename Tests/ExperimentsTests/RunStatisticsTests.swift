// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

@testable import Lab

/// How runs are summed up and paired.
@Suite struct RunStatisticsTests {
  private func record(
    _ method: String, _ seed: Int, seconds: [Double]? = nil, clip: Double? = nil
  ) -> Record {
    var record = Record(attributes: [
      "method": .string(method), "seed": .int(seed), "config": .string("methods: [a, b]\n"),
    ])
    record.add(.init("step", .int64([1, 11, 21, 31]), longName: "step", units: "1"))
    if let seconds {
      record.telemetry.add(.init("model_seconds", .double(seconds), longName: "s", units: "s"))
    }
    if let clip { record.telemetry.attributes["seconds_clip"] = .double(clip) }
    return record
  }

  @Test func theMeanIsGeometric() {
    let summary = RunStatistics.geometricMean([1, 4, 16])
    #expect(abs(summary.mean - 4) < 1e-12 && summary.diverged == 0)
    // t(2, 97.5 %) = 4.302653 on logarithms of standard deviation log 4.
    let half = 4.302653 * log(4.0) / 3.0.squareRoot()
    #expect(abs(log(summary.low) - (log(4) - half)) < 1e-5)
    #expect(abs(log(summary.high) - (log(4) + half)) < 1e-5)
    let single = RunStatistics.geometricMean([3])
    #expect(abs(single.mean - 3) < 1e-12 && single.low.isNaN && single.high.isNaN)
    #expect(RunStatistics.geometricMean([]).mean.isNaN)
    #expect(RunStatistics.geometricMean([1, 0]).mean.isNaN)
  }

  @Test func aDivergedRunCountsAsTheLimitAndItsIntervalSaysNothing() {
    let summary = RunStatistics.geometricMean([1, .nan, 1e6], limit: 1e6)
    #expect(abs(log10(summary.mean) - 4) < 1e-12 && summary.diverged == 1)
    #expect(summary.low.isNaN && summary.high.isNaN)
    let without = RunStatistics.geometricMean([1, .infinity])
    #expect(without.mean.isNaN && without.diverged == 1)
  }

  @Test func theUndisturbedStepIsTheTenthPercentileOverAllSeeds() throws {
    // Tenths of a second a step, but for one disturbed interval and one seed that stopped.
    let records = [
      record("a", 1, seconds: [5, 6, 7, 17], clip: 3.4),
      record("a", 2, seconds: [5, 6, .nan, .nan], clip: 1),
    ]
    #expect(abs(try RunStatistics.secondsPerStep(records) - 0.1) < 1e-12)
    let since = try RunStatistics.undisturbedSeconds(records)
    #expect(zip(since, [0.1, 1.1, 2.1, 3.1]).allSatisfy { abs($0 - $1) < 1e-12 })
    #expect(try RunStatistics.undisturbedSeconds([records[1]])[3].isNaN)
    // The clip's part of the run that came to its end is a fifth.
    #expect(abs(try RunStatistics.clipSecondsPerStep(records) - 0.02) < 1e-12)
  }

  @Test func whereNoTimesAreRecordedTheyAreUnknown() throws {
    let records = [record("a", 1)]
    #expect(try RunStatistics.secondsPerStep(records).isNaN)
    #expect(try RunStatistics.undisturbedSeconds(records).allSatisfy(\.isNaN))
    #expect(try RunStatistics.clipSecondsPerStep(records).isNaN)
  }

  @Test func pairsAreMadeBySeed() throws {
    func set(_ a: [Int], _ b: [Int]) throws -> RecordSet {
      try RecordSet(
        folder: "memory", records: a.map { record("a", $0) } + b.map { record("b", $0) })
    }
    let pairs = try set([3, 1], [1, 3]).pairs("a", "b").map {
      [try $0.int(attribute: "seed"), try $1.int(attribute: "seed")]
    }
    #expect(pairs == [[1, 1], [3, 3]])
    for (own, other, words) in [
      ([1, 2, 3], [1, 2], "'b' lacks seed 3"), ([1], [1, 4, 5], "'a' lacks seeds 4, 5"),
      ([1, 2], [2, 3], "'b' lacks seed 1"),
    ] {
      let set = try set(own, other)
      let error = #expect(throws: StorageError.self) { try set.pairs("a", "b") }
      #expect(error?.description.contains(words) ?? false, "\(String(describing: error))")
    }
  }
}
