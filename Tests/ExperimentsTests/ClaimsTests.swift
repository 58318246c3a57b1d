// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// Numbers to verdicts: the one rule, the one comparison, and what is made of them.
@Suite struct ClaimsTests {
  // MARK: - Findings

  @Test func aVerdictFlipsAtItsBound() {
    func verdict(_ bound: Bound, _ low: Double, _ high: Double) -> Verdict {
      Finding("x", estimate: 0.5 * (low + high), low: low, high: high, bound, count: 3).verdict
    }
    let (less, more) = (1.0.nextDown, 1.0.nextUp)
    #expect(verdict(.above(1), more, 2) == .reproduced)
    #expect(verdict(.above(1), 1, 2) == .inconclusive)
    #expect(verdict(.above(1), 0, 1) == .notReproduced)
    #expect(verdict(.above(1), 0, more) == .inconclusive)
    #expect(verdict(.below(1), 0, less) == .reproduced)
    #expect(verdict(.below(1), 0, 1) == .inconclusive)
    #expect(verdict(.below(1), 1, 2) == .notReproduced)
    #expect(verdict(.below(1), less, 2) == .inconclusive)
    #expect(verdict(.within(1, 2), more, 2.0.nextDown) == .reproduced)
    #expect(verdict(.within(1, 2), 1, 1.5) == .inconclusive)
    #expect(verdict(.within(1, 2), 1.5, 2) == .inconclusive)
    #expect(verdict(.within(1, 2), 0, 1) == .notReproduced)
    #expect(verdict(.within(1, 2), 2, 3) == .notReproduced)
    #expect(verdict(.notAbove(1), 1, 2) == .reproduced)
    #expect(verdict(.notAbove(1), more, 2) == .notReproduced)
    for bound in [Bound.above(1), .below(1), .within(1, 2), .notAbove(1)] {
      #expect(verdict(bound, .nan, .nan) == .inconclusive)
    }
  }

  @Test func fewValuesAndMissingOnesDecideNothing() {
    #expect(Finding.ratios("x", [0.1, 0.11, 0.1], .below(1)).verdict == .reproduced)
    #expect(Finding.ratios("x", [0.1], .below(1)).verdict == .inconclusive)
    #expect(Finding.ratios("x", [0.1, .nan, 0.1], .below(1)).verdict == .inconclusive)
    #expect(Finding.ratios("x", [], .below(1)).verdict == .inconclusive)
    #expect(Finding.ratios("x", [0.1, 0.1], .below(1), needed: 3).verdict == .inconclusive)
    #expect(Finding.ratios("x", [0, 0], .below(1e-30)).verdict == .reproduced)
    #expect(Finding.mean("x", [-0.2, -0.21, -0.2], .below(0)).verdict == .reproduced)
    #expect(Finding.range("x", [0.1, .infinity], .below(1)).verdict == .inconclusive)
    #expect(Finding.range("x", [.infinity, .infinity], .below(1)).verdict == .notReproduced)
    #expect(Finding.exact("x", 0, .below(1), count: 7).verdict == .reproduced)
  }

  @Test func intervalsAreStudentsUntilThereAreEnoughForABootstrap() {
    let values = (0..<RunStatistics.bootstrapFrom).map { Double($0 * $0 % 7) }
    let few = Array(values.dropLast())
    #expect(RunStatistics.interval(few) == Statistics.tInterval(few))
    let many = RunStatistics.interval(values)
    #expect(many.lower != Statistics.tInterval(values).lower)
    // Within the scatter of its draws that of another bootstrap, and the normal approximation's.
    var generator = RandomStream(seed: 7, name: "another").cursor()
    let other = Statistics.bootstrapInterval(values, resamples: 2000, using: &generator) {
      Statistics.mean($0)
    }
    let mean = Statistics.mean(values)
    let error = Statistics.sampleStandardDeviation(values) / Double(values.count).squareRoot()
    let half = 1.96 * error
    #expect(many.estimate == mean)
    for (low, high) in [(other.lower, other.upper), (mean - half, mean + half)] {
      #expect(abs(many.lower - low) <= 0.1 * half && abs(many.upper - high) <= 0.1 * half)
    }
  }

  @Test func aConjunctionHoldsIfAllItsPartsDo() {
    let (good, bad, open) = (
      Finding("good", estimate: 0.5, low: 0.4, high: 0.6, .below(1), count: 3),
      Finding("bad", estimate: 2, low: 1.5, high: 2.5, .below(1), count: 4),
      Finding("open", estimate: 0.9, low: 0.7, high: 1.1, .below(1), count: 5)
    )
    #expect(Evidence([good, good]).verdict == .reproduced)
    #expect(Evidence([good, open]).verdict == .inconclusive)
    #expect(Evidence([open, bad, good]).verdict == .notReproduced)
    #expect(Evidence([open, bad, good]).deciding == bad && Evidence([bad, good]).count == 3)
    #expect(Evidence([]).verdict == .inconclusive)
    #expect(Evidence([good], obstacle: .standIn).verdict == .inconclusive)
    #expect(Evidence([good], obstacle: .noRecords("x")).verdict == .needsRecords)
  }

  @Test func oneOfManyPartsFailsOnlyBeyondHolm() {
    // t = 2.78 at four degrees of freedom is p = 0.05: one test fails, the worst of ten does not.
    let bad = Finding.mean("bad", [1.01, 1.02, 1.03, 1.04, 1.00], .below(1))
    let fine = Finding.mean("fine", [0.5, 0.51, 0.52, 0.53, 0.54], .below(1))
    #expect(bad.verdict == .notReproduced)
    #expect(Evidence([bad]).verdict == .notReproduced)
    #expect(Evidence([bad] + Array(repeating: fine, count: 9)).verdict == .inconclusive)
    // What has no p stands as it is.
    let exact = Finding.exact("exact", 2, .below(1), count: 1)
    #expect(Evidence([exact] + Array(repeating: fine, count: 9)).verdict == .notReproduced)
  }

  @Test(arguments: [
    ([0.9, 0.92, 0.95, 1.0, 0.97], Bound.below(1)), ([0.9, 1.1, 1.2], .above(1)),
    ([1.0, 1.02, 0.99], .within(0.95, 1.05)), ([1.2, 1.3, 1.25], .within(0.8, 1.25)),
    ([2, 2.1, 2.2, 2.05], .below(1)), ([2, 2.1, 2.2, 2.05], .above(1)),
  ])
  func pIsBelowAFewPercentWhereTheIntervalIsBeyondTheBound(_ values: [Double], _ bound: Bound) {
    for finding in [Finding.mean("x", values, bound), .ratios("x", values, bound)] {
      let p = finding.pValue ?? .nan
      let failure = finding.failureValue ?? .nan
      #expect((p < 0.05) == (finding.verdict == .reproduced), "\(finding) \(p)")
      #expect((failure < 0.05) == (finding.verdict == .notReproduced), "\(finding) \(failure)")
    }
  }

  @Test(arguments: [
    ([0.5, 0.7, 0.9], Bound.above(0)), ([0.1, -0.2, 0.3], .above(0)),
    ([0.9, 0.95, 0.99], .above(0.8)),
    ([-0.5, -0.6, -0.55], .above(0)), ([0.8, 0.81, 0.79], .below(0.9)),
    ([1, 0.99, 0.98], .above(0.5)),
  ])
  func correlationsAreAveragedOnFishersZ(_ values: [Double], _ bound: Bound) {
    let finding = Finding.correlations("r", values, bound)
    let z = values.map { atanh(min(1 - 1e-12, $0)) }
    #expect(abs(finding.estimate - tanh(z.reduce(0, +) / 3)) < 1e-12)
    #expect(finding.low >= -1 && finding.low < finding.estimate && finding.high <= 1)
    let (p, failure) = (finding.pValue ?? .nan, finding.failureValue ?? .nan)
    #expect((p < 0.05) == (finding.verdict == .reproduced), "\(finding) \(p)")
    #expect((failure < 0.05) == (finding.verdict == .notReproduced), "\(finding) \(failure)")
  }

  @Test func aFamilyOfClaimsIsCorrected() {
    func row(_ id: String, family: String, _ finding: Finding) -> ClaimsReport.Row {
      ClaimsReport.Row(
        experiment: "x",
        claim: Claim(id: id, item: "", statement: "", criterion: "", family: family) { _ in
          Evidence()
        }, profile: "full", horizon: "", evidence: Evidence([finding]), registered: "no",
        seconds: 1)
    }
    // p = 0.03: alone it would do, one of two it does not; p = 1e-6 does either way.
    let weak = Finding.mean("weak", [-1.1, -2, -0.4, -1.6, -0.3], .below(0))
    let strong = Finding.mean("strong", [-1, -1.01, -0.99, -1.005], .below(0))
    let p = weak.pValue ?? .nan
    #expect(p > 0.025 && p < 0.05, "\(p)")
    func rows(_ families: String...) -> [ClaimsReport.Row] {
      let findings = [weak, strong, weak]
      return ClaimsReport(
        .clipping,
        rows: families.enumerated().map { row("c\($0)", family: $1, findings[$0]) }
      ).rows
    }
    #expect(rows("a", "b", "c").map(\.verdict) == [.reproduced, .reproduced, .reproduced])
    // step-down: 2 p, then p
    #expect(rows("a", "a", "b").map(\.verdict) == [.reproduced, .reproduced, .reproduced])
    let three = rows("a", "a", "a")
    #expect(three.map(\.verdict) == [.inconclusive, .reproduced, .inconclusive])
    // A reader is told why.
    #expect(three.map { $0.lines.contains { $0.contains("Holm") } } == [true, false, true])
  }

  @Test func howManyWouldDecide() {
    // Mean 0.1 and spread 0.1: t s / √n < 0.1 first at n = 7 (2.447 / √7 = 0.925), not at 6 (2.571 / √6 = 1.05).
    let open = Finding.mean("x", [0, 0.1, 0.2], .above(0))
    #expect(open.verdict == .inconclusive && open.decidingCount == 7)
    #expect(open.words.hasSuffix("inconclusive (n = 3 seeds; about 7 would decide)"))
    #expect(Finding.mean("x", [0.1, 0.11, 0.12], .above(0)).decidingCount == nil)
    #expect(Finding.mean("x", [-0.1, 0, 0.1], .above(0)).decidingCount == nil)
    #expect(Finding.mean("x", [0.1], .above(0)).decidingCount == nil)
    // The nearer of two bounds, on the logarithm.
    let ratios = Finding.ratios("x", [1, exp(0.1), exp(0.2)], .within(exp(-0.3), exp(0.2)))
    #expect(ratios.verdict == .inconclusive && ratios.decidingCount == 7)
  }

  @Test func wordsComeFromTheNumbers() {
    let finding = Finding(
      "loss", estimate: 0.94212, low: 0.9262, high: 0.9591, .below(1), count: 5)
    #expect(finding.words == "loss: 0.942 [0.926, 0.959], below 1? reproduced (n = 5 seeds)")
    func effect(_ estimate: Double, _ low: Double, _ high: Double) -> String {
      Finding("x", estimate: estimate, low: low, high: high, .below(1), count: 2).effect
    }
    #expect(effect(1, 0, .infinity) == "1.0 [0, ∞]")
    #expect(effect(.infinity, 0.5, .infinity) == "∞ [0.50, ∞]")
    #expect(effect(.infinity, .infinity, .infinity) == "∞")
    #expect(effect(0, -.infinity, 2024 * .leastNonzeroMagnitude) == "0 [-∞, 1.0e-320]")
    #expect(effect(2, .nan, .nan) == "2.00" && effect(.nan, .nan, .nan) == "—")
    #expect(effect(1e300, -1e300, 1.7e308).hasPrefix("1.0e+300 ["))
    #expect(significant(1234.5, 2) == "1234" && significant(0.00123, 2) == "0.0012")
    #expect(significant(5.7e-37, 2) == "5.7e-37" && significant(.nan, 3) == "—")
  }

  // MARK: - Comparisons

  private static let compared: [(experiment: String, claim: Claim)] =
    Suite.clipping.experiments.flatMap { experiment in
      experiment.claims.filter { $0.comparison != nil }.map { (experiment.name, $0) }
    }

  /// Records of the arms of a comparison whose values are in the ratio `ratio` at every point.
  private func set(
    _ comparison: Comparison, ratio: Double, seeds: [Int] = [1, 2, 3, 4, 5],
    otherSeeds: [Int]? = nil, fraction: Double = 0.5, isStandIn: Bool = false
  ) throws -> RecordSet {
    let points = [1, 5, 10, 15, 20]
    func record(_ method: String, _ seed: Int, _ scale: Double) throws -> Record {
      var record = Record(attributes: [
        "method": .string(method), "seed": .int(seed), "profile": "test", "config": "steps: 20\n",
        "steps_per_epoch": .int(5), "test_images": .int(1_000_000),
        "data_is_stand_in": .int(isStandIn ? 1 : 0),
      ])
      record.add(.init("step", .int64(points.map { Int64($0) }), longName: "step", units: "1"))
      for measure in comparison.measures {
        let loss = 0.01 * Double(seed) * scale
        let value = measure.final.hasSuffix("accuracy") ? 1 - loss : loss
        record.attributes[measure.final] = .double(value)
        record.add(
          .init(measure.series, .double(points.map { _ in value }), longName: "x", units: "1"))
      }
      for (name, value) in [("clipped_fraction", fraction), ("tau", 1)] {
        record.add(
          .init(
            name, .double(points.map { _ in value }), shape: [points.count, 1], longName: name,
            units: "1"))
      }
      record.telemetry.add(
        .init("model_seconds", .double(points.map(Double.init)), longName: "s", units: "s"))
      return record
    }
    return try RecordSet(
      folder: "memory",
      records: comparison.arms.flatMap { arm in try seeds.map { try record(arm, $0, ratio) } }
        + comparison.others.flatMap { other in
          try (otherSeeds ?? seeds).map { try record(other, $0, 1) }
        })
  }

  @Test(arguments: compared.map(\.claim.id)) func aComparisonFlipsAtItsConstants(_ id: String)
    throws
  {
    let claim = try #require(Self.compared.first { $0.claim.id == id }).claim
    let comparison = try #require(claim.comparison)
    func verdict(_ ratio: Double) throws -> Verdict {
      try claim.evaluate(set(comparison, ratio: ratio)).verdict
    }
    let hair = 1e-6
    switch comparison.bound {
    case .below(let x):
      #expect(try verdict(x - hair) == .reproduced)
      #expect(try verdict(x + hair) == .notReproduced)
    case .within(let a, let b):
      #expect(try verdict(a + hair) == .reproduced && verdict(b - hair) == .reproduced)
      #expect(try verdict(a - hair) == .notReproduced && verdict(b + hair) == .notReproduced)
    default: Issue.record("no test for \(comparison.bound)")
    }
    #expect(claim.criterion.contains(comparison.bound.words), "\(claim.criterion)")
  }

  @Test(arguments: compared.map(\.claim.id)) func whatKeepsAComparisonFromDeciding(_ id: String)
    throws
  {
    let claim = try #require(Self.compared.first { $0.claim.id == id }).claim
    let comparison = try #require(claim.comparison)
    let good = 0.99
    #expect(try claim.evaluate(set(comparison, ratio: good)).verdict == .reproduced)
    let asleep = try claim.evaluate(set(comparison, ratio: good, fraction: 0))
    #expect(
      asleep.verdict == .inconclusive && asleep.findings.allSatisfy { $0.verdict == .reproduced })
    #expect(asleep.lines.contains { $0.hasSuffix("never acted") })
    let same = try claim.evaluate(set(comparison, ratio: 1))
    if case .crossing = comparison.moment {
      #expect(same.verdict == .notReproduced)
    } else {
      #expect(same.verdict == .inconclusive && same.obstacle == .sameRuns)
    }
    let standIn = try claim.evaluate(set(comparison, ratio: good, isStandIn: true))
    #expect(standIn.verdict == .inconclusive && standIn.obstacle == .standIn)
    let error = #expect(throws: StorageError.self) {
      try claim.evaluate(set(comparison, ratio: good, otherSeeds: [1, 2, 3, 5]))
    }
    #expect(error?.description.contains("lacks seed 4") ?? false, "\(String(describing: error))")
    let all = try set(comparison, ratio: good)
    let missing = try RecordSet(
      folder: "memory",
      records: all.records.filter { $0.attributes["method"] != .string(comparison.arms[0]) })
    #expect(try claim.evaluate(missing).verdict == .needsRecords)
    let one = try claim.evaluate(set(comparison, ratio: good, seeds: [7]))
    #expect(one.verdict == .inconclusive && one.count == 1)
  }

  /// Each of the families has rules that may never act.
  @Test func everyFamilyIsCompared() {
    let families = Set(Self.compared.map(\.experiment))
    #expect(
      families == [
        "mlp-heavy-tails", "nanogpt-shakespeare", "gpt2-fineweb", "cifar10-resnet18",
        "cifar10-truncation", "lstm-ptb", "delta-gclip-vae", "delta-gclip-resnet18",
        "delta-gclip-vit", "delta-gclip-bert",
        "per-sample-clipping",
      ])
  }

  @Test func aCrossingMustComeInTime() throws {
    let measure = Measure("loss", final: "final", series: "loss", limit: 1000)
    func evidence(_ first: Int) throws -> Evidence {
      // A hundred points; the arm is the lower one from point `first` on.
      let set = try RecordSet(
        folder: "memory",
        records: ["a", "b"].flatMap { method in
          (1...3).map { seed in
            var record = Record(attributes: [
              "method": .string(method), "seed": .int(seed), "config": "methods: [a, b]\n",
              "final": 1.0,
            ])
            record.add(.init("step", .int64((1...100).map { Int64($0) })))
            let arm = (1...100).map { $0 < first ? 3.0 : 1.0 }
            record.add(.init("loss", .double(method == "a" ? arm : (1...100).map { _ in 2.0 })))
            record.telemetry.add(
              .init("model_seconds", .double((1...100).map(Double.init))))
            return record
          }
        })
      return try Comparison(
        ["a"], over: ["b"], by: [measure], at: .crossing(before: 0.9), acting: []
      ).evaluate(set)
    }
    #expect(try evidence(1).verdict == .reproduced)
    #expect(try evidence(89).verdict == .reproduced)
    #expect(try evidence(90).verdict == .notReproduced)
    #expect(try evidence(90).findings.map(\.verdict) == [.notReproduced, .reproduced])
    #expect(try evidence(101).findings[0].estimate == .infinity)
  }

  // MARK: - Fig 4

  private func heatMaps(_ seeds: [Int], good: Int, last: Double = 3) throws -> RecordSet {
    try RecordSet(
      folder: "memory",
      records: ["norm", "spectral"].flatMap { method in
        seeds.map { seed in
          var record = Record(attributes: [
            "method": .string(method), "seed": .int(seed), "axis": "tau",
            "config": "methods: [norm, spectral]\n",
          ])
          record.add(.init("learning_rate", .double([1, 2])))
          record.add(.init("tau", .double([1, 2, last])))
          let below = method == "norm" ? 2 : good
          let losses = (0..<6).map { $0 < below ? 0.01 : 0.5 - 0.01 * Double(seed) * Double($0) }
          record.add(.init("final_train_loss", .double(losses), shape: [2, 3]))
          record.add(.init("median_update_norm", .double(losses.map { _ in 1 }), shape: [2, 3]))
          return record
        }
      })
  }

  @Test func theHeatMapsUnitIsTheSeed() throws {
    let claim = try #require(MLPHeatMap.claims.first { $0.id == "fig4-larger-region" })
    let seen = try claim.evaluate(heatMaps([1], good: 4))
    #expect(seen.verdict == .inconclusive && seen.count == 1 && seen.seeds == [1])
    let two = try claim.evaluate(heatMaps([1, 2, 3], good: 4))
    #expect(two.verdict == .inconclusive && two.count == 2 && two.seeds == [2, 3])
    let three = try claim.evaluate(heatMaps([1, 2, 3, 4], good: 4))
    #expect(three.verdict == .reproduced && three.count == 3 && three.seeds == [2, 3, 4])
    #expect(abs(three.findings[0].estimate - 2.0 / 6) < 1e-12)
    #expect(try claim.evaluate(heatMaps([2, 3, 4], good: 1)).verdict == .notReproduced)
    let equal = try #require(MLPHeatMap.claims.first { $0.id == "fig4-equal-update" })
    // A ratio of one is not below one.
    #expect(try equal.evaluate(heatMaps([2, 3, 4], good: 4)).verdict == .notReproduced)
  }

  @Test func mapsOfTwoGridsAreRefused() throws {
    let set = try heatMaps([1, 2], good: 4)
    #expect(try MLPHeatMap.table(of: set)[block: "norm"]?.rows == 6)
    #expect(try MLPHeatMap.captionValues(of: set).contains { $0 == ("seeds.norm", "2 seeds") })
    let other = try heatMaps([3], good: 4, last: 4)
    let mixed = try RecordSet(folder: "memory", records: set.records + other.records)
    let error = #expect(throws: StorageError.self) { try MLPHeatMap.table(of: mixed) }
    #expect(error?.what == "its grid is not that of the map of another seed")
  }

  /// A record is data from outside, and its text of settings too.
  @Test(arguments: ["`touch pwned`", "a: &a [1]\nb: [*a, *a]", "methods: [x\n"])
  func settingsOfARecordThatAreNotYAMLAreOneLine(_ text: String) throws {
    var records = try heatMaps([1], good: 4).records
    records[0].root.attributes["config"] = .string(text)
    let error = #expect(throws: ConfigError.self) {
      try RecordSet(folder: "memory", records: records)
    }
    #expect(error.map { "\($0)".contains("\n") } == false)
  }
}
