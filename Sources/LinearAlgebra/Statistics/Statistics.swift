// SPDX-License-Identifier: Apache-2.0

/// Statistics of samples x[n] in `Double`.
///
/// One policy for all of them: a NaN among the values gives NaN, an infinity gives what the formula
/// gives, and a sample too small for the statistic is the caller's error.
public enum Statistics {
  /// The sum of the values from first to last with Neumaier's compensation: the error is at most an
  /// ulp of the sum plus n² ε² Σ|x|, so in practice that of one rounding.
  ///
  /// Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", 1974.
  public static func sum(_ values: some Sequence<Double>) -> Double {
    var sum = 0.0
    var compensation = 0.0
    for value in values {
      let next = sum + value
      compensation +=
        sum.magnitude >= value.magnitude ? (sum - next) + value : (value - next) + sum
      sum = next
    }
    // Once the sum is infinite or NaN, the compensation is NaN and has nothing to say.
    return sum.isFinite ? sum + compensation : sum
  }

  /// The arithmetic mean of at least one value.
  public static func mean(_ values: some Collection<Double>) -> Double {
    precondition(!values.isEmpty, "the mean of no values")
    return sum(values) / Double(values.count)
  }

  /// The variance with divisor n - 1, of at least two values.
  public static func sampleVariance(_ values: some Collection<Double>) -> Double {
    precondition(values.count >= 2, "the sample variance of \(values.count) values")
    return sumOfSquaredDeviations(values) / Double(values.count - 1)
  }

  /// The standard deviation with divisor n - 1, of at least two values.
  public static func sampleStandardDeviation(_ values: some Collection<Double>) -> Double {
    sampleVariance(values).squareRoot()
  }

  /// The standard deviation with divisor n (NumPy's `std`), of at least one value.
  public static func populationStandardDeviation(_ values: some Collection<Double>) -> Double {
    (sumOfSquaredDeviations(values) / Double(values.count)).squareRoot()
  }

  /// The median of at least one value: the middle one, or the mean of the middle two.
  public static func median(_ values: some Collection<Double>) -> Double {
    quantile(values, 0.5, .interpolated)
  }

  /// Two passes: deviations from the mean, not a difference of moments, which would cancel.
  private static func sumOfSquaredDeviations(_ values: some Collection<Double>) -> Double {
    let mean = mean(values)
    return sum(values.lazy.map { ($0 - mean) * ($0 - mean) })
  }
}
