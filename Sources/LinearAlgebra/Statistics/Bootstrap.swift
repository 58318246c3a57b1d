// SPDX-License-Identifier: Apache-2.0

extension Statistics {
  /// Efron's percentile bootstrap interval of any statistic of independent observations.
  ///
  /// Each of `resamples` rounds draws `observations.count` observations with replacement; the
  /// interval lies between the interpolated quantiles (1 ± confidence)/2 of the statistic over the
  /// rounds. An observation may be a pair (`(method, baseline)` of one seed: the paired bootstrap)
  /// or a whole curve. A NaN statistic in any round makes both ends NaN. Too narrow below some five
  /// observations; use ``pairedTInterval(_:_:confidence:)`` there.
  public static func bootstrapInterval<Observation>(
    _ observations: [Observation], confidence: Double = 0.95, resamples: Int = 10_000,
    using generator: inout some RandomNumberGenerator, statistic: ([Observation]) -> Double
  ) -> ConfidenceInterval {
    stratifiedBootstrapInterval(
      [observations], confidence: confidence, resamples: resamples, using: &generator
    ) { statistic($0[0]) }
  }

  /// The percentile bootstrap with each stratum resampled within itself (tasks × seeds, or two
  /// unpaired samples that are compared). `count` of the result is the number of observations in
  /// all strata.
  public static func stratifiedBootstrapInterval<Observation>(
    _ strata: [[Observation]], confidence: Double = 0.95, resamples: Int = 10_000,
    using generator: inout some RandomNumberGenerator, statistic: ([[Observation]]) -> Double
  ) -> ConfidenceInterval {
    precondition(
      !strata.isEmpty && strata.allSatisfy { !$0.isEmpty },
      "a bootstrap of strata of \(strata.map(\.count)) observations")
    precondition(confidence > 0 && confidence < 1, "confidence \(confidence) is outside (0, 1)")
    precondition(resamples >= 1, "a bootstrap of \(resamples) rounds")
    var drawn = strata
    var results: [Double] = []
    results.reserveCapacity(resamples)
    for _ in 0..<resamples {
      for (s, stratum) in strata.enumerated() {
        for i in stratum.indices {
          drawn[s][i] = stratum[generator.integer(below: stratum.count)]
        }
      }
      results.append(statistic(drawn))
    }
    let hasNaN = results.contains(where: \.isNaN)
    if !hasNaN { results.sort() }
    func end(_ q: Double) -> Double { hasNaN ? .nan : quantile(sorted: results, q) }
    return ConfidenceInterval(
      estimate: statistic(strata), lower: end(0.5 * (1 - confidence)),
      upper: end(0.5 * (1 + confidence)), confidence: confidence,
      count: strata.reduce(0) { $0 + $1.count })
  }
}
