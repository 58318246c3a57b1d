// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import LinearAlgebra

@Suite struct StatisticsTests {
  // MARK: - Sums and moments

  @Test func compensatedSum() {
    #expect(Statistics.sum([]) == 0)
    #expect(Statistics.sum([1, 1e100, 1, -1e100]) == 2)
    #expect(Statistics.sum([Double](repeating: 0.1, count: 1000)) == 100)
    #expect(Statistics.sum([1, .infinity, 1]) == .infinity)
    #expect(Statistics.sum([.greatestFiniteMagnitude, .greatestFiniteMagnitude]) == .infinity)
    #expect(Statistics.sum([.infinity, -.infinity]).isNaN)
  }

  @Test func moments() {
    let x: [Double] = [2, 4, 4, 4, 5, 5, 7, 9]
    #expect(Statistics.mean(x) == 5)
    #expect(Statistics.populationStandardDeviation(x) == 2)
    #expect(Statistics.sampleVariance(x) == 32.0 / 7)
    #expect(Statistics.sampleStandardDeviation(x) == (32.0 / 7).squareRoot())
    #expect(Statistics.populationStandardDeviation([3]) == 0)
    // A mean of squares minus a squared mean would give 0 or worse here.
    #expect(Statistics.sampleVariance([1e9 + 1, 1e9 + 2, 1e9 + 3]) == 1)
  }

  @Test func median() {
    #expect(Statistics.median([3, 1, 2]) == 2)
    #expect(Statistics.median([4, 1, 3, 2]) == 2.5)
    #expect(Statistics.median([7]) == 7)
  }

  @Test("NaN propagates through every statistic")
  func notANumber() {
    let x = [1, .nan, 3]
    #expect(Statistics.mean(x).isNaN && Statistics.sampleVariance(x).isNaN)
    #expect(Statistics.populationStandardDeviation(x).isNaN && Statistics.median(x).isNaN)
    for rule in QuantileRule.allCases {
      for q in [0, 0.5, 1] { #expect(Statistics.quantile(x, q, rule).isNaN) }
    }
    let interval = Statistics.tInterval(x)
    #expect(interval.estimate.isNaN && interval.lower.isNaN && !interval.contains(1))
    var cursor = RandomStream(seed: 1, name: "nan").cursor()
    let bootstrap = Statistics.bootstrapInterval(x, resamples: 50, using: &cursor) {
      Statistics.mean($0)
    }
    #expect(bootstrap.estimate.isNaN && bootstrap.lower.isNaN && bootstrap.upper.isNaN)
    #expect(LinearFit([1, 2, 3], x).slope.isNaN)
    #expect(LinearFit(logLog: [1, 2, 3], x).slope.isNaN)
  }

  // MARK: - Quantiles

  @Test("Both rules against NumPy's recorded values, to the last bit")
  func quantilesAgainstNumPy() throws {
    for recorded in try NumPyRecording.load().quantiles {
      let values = try recorded.values.map { Double(bitPattern: try word($0)) }
      for (index, q) in try recorded.q.map({ Double(bitPattern: try word($0)) }).enumerated() {
        let interpolated = Statistics.quantile(values, q)
        #expect(
          try interpolated.bitPattern == word(recorded.interpolated[index]),
          "n \(values.count) q \(q): \(interpolated)")
        let lower = Statistics.quantile(values, q, .lowerOrderStatistic)
        #expect(
          try lower.bitPattern == word(recorded.lower[index]), "n \(values.count) q \(q): \(lower)")
      }
    }
  }

  @Test func quantilesWithInfinities() {
    #expect(Statistics.quantile([1, .infinity], 0) == 1)
    #expect(Statistics.quantile([1, .infinity], 1) == .infinity)
    #expect(Statistics.quantile([1, 2, .infinity], 0.5) == 2)
    #expect(Statistics.quantile([1, .infinity], 0.9, .lowerOrderStatistic) == 1)
    #expect(Statistics.quantile(sorted: [1, 2, 3, 4][1...], 0.5) == 3)
  }

  // MARK: - Student's t

  /// (degrees of freedom, upper tail, quantile) by mpmath 1.3.0 with 30 digits (`betainc`,
  /// `findroot`); scipy.stats.t.isf of SciPy 1.17.1 agrees to 1e-12.
  static let quantiles: [(Double, Double, Double)] = [
    (1, 0.4, 0.32491969623290623), (1, 0.025, 12.706204736174705),
    (1, 0.005, 63.65674116287158), (1, 1e-06, 318309.8861827435),
    (2, 0.4, 0.2886751345948128), (2, 0.025, 4.302652729749464),
    (2, 0.005, 9.924843200918293), (2, 1e-06, 707.1057205259339),
    (3, 0.4, 0.27667066233268983), (3, 0.025, 3.1824463052837095),
    (3, 0.005, 5.840909309733357), (3, 1e-06, 103.29946778041935),
    (4, 0.4, 0.27072229470759734), (4, 0.025, 2.7764451051977943),
    (4, 0.005, 4.604094871349993), (4, 1e-06, 41.577854150450975),
    (5, 0.4, 0.26718086570414507), (5, 0.025, 2.5705818356363155),
    (5, 0.005, 4.032142983555228), (5, 1e-06, 24.771029720515944),
    (9, 0.4, 0.26095533647391095), (9, 0.025, 2.2621571627982053),
    (9, 0.005, 3.2498355415921263), (9, 1e-06, 10.7201604099095),
    (10.5, 0.4, 0.259855204266974), (10.5, 0.025, 2.213840292918789),
    (10.5, 0.005, 3.135759476312723), (10.5, 1e-06, 9.37195028017153),
    (30, 0.4, 0.2556053649519127), (30, 0.025, 2.042272456301238),
    (30, 0.005, 2.7499956535672254), (30, 1e-06, 5.871117120418883),
    (100, 0.4, 0.2540221824582278), (100, 0.025, 1.9839715185235522),
    (100, 0.005, 2.6258905214380177), (100, 1e-06, 5.048830877228346),
    (1000, 0.4, 0.2534145158394987), (1000, 0.025, 1.9623390808264085),
    (1000, 0.005, 2.580754698065951), (1000, 1e-06, 4.781608620458351),
    (100000, 0.4, 0.2533477771571799), (100000, 0.025, 1.9599877075346097),
    (100000, 0.005, 2.575878469908375), (100000, 1e-06, 4.753704716391288),
  ]

  @Test func studentQuantiles() {
    for (nu, p, expected) in Self.quantiles {
      let law = StudentT(degreesOfFreedom: nu)
      let t = law.quantile(upperTail: p)
      #expect(abs(t / expected - 1) <= 1e-11, "nu \(nu) p \(p): expected \(expected), got \(t)")
      #expect(abs(law.upperTail(t) / p - 1) <= 1e-11, "nu \(nu) p \(p)")
      #expect(law.quantile(upperTail: 1 - p) < 0)
      #expect(abs(law.quantile(p) + t) <= 1e-9 * t)
    }
  }

  /// Also in the middle and far out the tail at the quantile is what was asked for.
  @Test func quantilesAreFoundEverywhere() {
    for nu in [1.0, 1.5, 3, 47, 1e5] {
      let law = StudentT(degreesOfFreedom: nu)
      for p in [(0.5).nextDown, 0.5 - 1e-9, 0.3, 0.01, 1e-12, 1e-100] {
        let t = law.quantile(upperTail: p)
        #expect(abs(law.upperTail(t) / p - 1) <= 1e-10, "nu \(nu) p \(p): \(t)")
      }
    }
  }

  @Test func studentTails() {
    // nu = 1 and 2 in closed form: 1/2 - arctan(t)/π and (1 - t / sqrt(2 + t²)) / 2 = 1/(s (s +
    // t)), s² = 2 + t².
    for t in [0, 1e-9, 0.1, 0.9, 1, 1.1, 1.7, 1.8, 5, 1000, 1e9] {
      let one = StudentT(degreesOfFreedom: 1).upperTail(t)
      let expected = atan2(1, t) / Double.pi
      #expect(abs(one / expected - 1) <= 1e-13, "t \(t): \(one), expected \(expected)")
      let s = (2 + t * t).squareRoot()
      let two = StudentT(degreesOfFreedom: 2).upperTail(t)
      #expect(abs(two * s * (s + t) - 1) <= 1e-13, "t \(t): \(two)")
    }
    let law = StudentT(degreesOfFreedom: 5)
    #expect(law.cumulative(0) == 0.5 && law.cumulative(.infinity) == 1)
    #expect(law.cumulative(-2) == law.upperTail(2) && law.upperTail(-2) == law.cumulative(2))
    #expect(law.upperTail(.nan).isNaN)
    #expect(law.quantile(0.5) == 0)
  }

  @Test func tIntervals() {
    // Gosset's own example: extra hours of sleep, ten patients, two drugs (Student, Biometrika
    // 1908, as in R's `sleep`); t.test(paired): mean -1.58, interval [-2.4598858, -0.7001142].
    let a = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    let b = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    let interval = Statistics.pairedTInterval(a, b)
    #expect(abs(interval.estimate + 1.58) < 1e-15 * 10)
    #expect(abs(interval.lower + 2.4598858) < 5e-8 && abs(interval.upper + 0.7001142) < 5e-8)
    #expect(interval.count == 10 && interval.confidence == 0.95)
    #expect(interval.contains(-1) && !interval.contains(0))
  }

  // MARK: - Bootstrap

  private func cursor(_ seed: UInt64 = 3) -> RandomCursor {
    RandomStream(seed: seed, name: "bootstrap").cursor()
  }

  @Test func bootstrapOfMean() {
    let values: [Double] = RandomStream(seed: 2, name: "sample").normals(200)
    func interval(_ seed: UInt64, _ confidence: Double) -> ConfidenceInterval {
      var generator = cursor(seed)
      return Statistics.bootstrapInterval(
        values, confidence: confidence, resamples: 5000, using: &generator
      ) { Statistics.mean($0) }
    }
    let wide = interval(3, 0.95)
    #expect(wide == interval(3, 0.95))
    #expect(wide != interval(4, 0.95))
    #expect(wide.estimate == Statistics.mean(values) && wide.count == 200)
    let narrow = interval(3, 0.5)
    #expect(wide.lower < narrow.lower && narrow.upper < wide.upper)
    // For a mean of 200 the interval is nearly mean ± 1.96 s/√n; the end quantiles of 5000 rounds
    // have standard error 0.038 s/√n each, and 6 of them bound both ends.
    let unit = Statistics.populationStandardDeviation(values) / 200.0.squareRoot()
    #expect(abs((wide.upper - wide.estimate) / unit - 1.96) < 0.23)
    #expect(abs((wide.estimate - wide.lower) / unit - 1.96) < 0.23)
  }

  @Test func bootstrapOfPairsKeepsThemTogether() {
    let pairs = (0..<10).map { (Double($0), Double($0) + 1) }
    var generator = cursor()
    let interval = Statistics.bootstrapInterval(pairs, resamples: 200, using: &generator) {
      Statistics.mean($0.map { $0.1 - $0.0 })
    }
    #expect(interval.lower == 1 && interval.upper == 1 && interval.estimate == 1)
    var other = cursor()
    let single = Statistics.bootstrapInterval([5.0], resamples: 10, using: &other) { $0[0] }
    #expect(single.lower == 5 && single.upper == 5)
  }

  @Test func bootstrapOfStrataKeepsTheirSizes() {
    var generator = cursor()
    let strata = [[1.0, 2, 3], [10, 20], [100]]
    let interval = Statistics.stratifiedBootstrapInterval(
      strata, resamples: 500, using: &generator
    ) { drawn in
      let inside = zip(drawn, strata).allSatisfy { d, s in
        d.count == s.count && d.allSatisfy(s.contains)
      }
      return inside ? Statistics.mean(drawn.map { Statistics.mean($0) }) : .nan
    }
    #expect(interval.count == 6)
    #expect(interval.lower >= 37 && interval.upper <= 123.0 / 3 && interval.lower < interval.upper)
  }

  // MARK: - Lines

  @Test func lines() {
    let exact = LinearFit([1, 2, 3, 4], [5, 7, 9, 11])
    #expect(exact.slope == 2 && exact.intercept == 3)
    #expect(exact.slopeStandardError == 0 && exact.rSquared == 1)
    // By hand: x̄ = 2, ȳ = 7/3, Sxx = 2, Sxy = 3, residuals 1/6, -1/3, 1/6, so s² = 1/6.
    let fit = LinearFit([1, 2, 3], [1, 2, 4])
    #expect(abs(fit.slope - 1.5) <= 4 * 1.5.ulp && abs(fit.intercept + 2.0 / 3) <= 1e-15)
    #expect(abs(fit.slopeStandardError - (1.0 / 12).squareRoot()) <= 1e-15)
    #expect(abs(fit.rSquared - 27.0 / 28) <= 1e-15)
    let two = LinearFit([0, 1], [1, 1])
    #expect(two.slope == 0 && two.slopeStandardError.isNaN && two.rSquared.isNaN)
  }

  @Test func rankCorrelations() {
    #expect(Statistics.ranks([3, 1, 3, 2]) == [3.5, 1, 3.5, 2])
    #expect(Statistics.rankCorrelation([1, 2, 3, 4], [1, 10, 100, 1000]) == 1)
    #expect(Statistics.rankCorrelation([1, 2, 3, 4], [4, 3, 2, 1]) == -1)
    // Without ties 1 - 6 Σd²/(n (n² - 1)): differences 1, 1, 0, 1, 1 of five.
    #expect(
      abs(Statistics.rankCorrelation([1, 2, 3, 4, 5], [2, 1, 3, 5, 4]) - (1 - 24.0 / 120)) < 1e-15)
    // scipy.stats.spearmanr([1, 2, 2, 3], [1, 3, 2, 4]) = 0.9486832980505138
    #expect(
      abs(Statistics.rankCorrelation([1, 2, 2, 3], [1, 3, 2, 4]) - 0.948_683_298_050_513_8) < 1e-15)
    for (x, y) in [([1.0], [1.0]), ([1, 1], [1, 2]), ([1, .nan], [1, 2])] {
      #expect(Statistics.rankCorrelation(x, y).isNaN)
    }
  }

  @Test func powerLaws() {
    let x = (1...20).map(Double.init)
    let noise: [Double] = RandomStream(seed: 8, name: "noise").normals(20)
    let y = zip(x, noise).map { 3 * pow($0, -0.5) * exp(0.05 * $1) }
    let fit = LinearFit(logLog: x, y)
    #expect(abs(fit.slope + 0.5) < 6 * fit.slopeStandardError)
    #expect(abs(LinearFit(logLog: [1, 10], [1, 100]).slope - 2) < 1e-14)
  }
}
