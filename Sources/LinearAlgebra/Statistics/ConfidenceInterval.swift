// SPDX-License-Identifier: Apache-2.0

/// An estimate with an interval that covers the truth with a stated probability.
public struct ConfidenceInterval: Sendable, Hashable, Codable {
  /// The statistic of the sample itself.
  public let estimate: Double
  /// The lower end.
  public let lower: Double
  /// The upper end.
  public let upper: Double
  /// The nominal coverage, such as 0.95.
  public let confidence: Double
  /// The number of independent observations behind it.
  public let count: Int

  /// An interval from its parts.
  public init(estimate: Double, lower: Double, upper: Double, confidence: Double, count: Int) {
    self.estimate = estimate
    self.lower = lower
    self.upper = upper
    self.confidence = confidence
    self.count = count
  }

  /// Whether `value` lies in the closed interval; false if an end is NaN.
  public func contains(_ value: Double) -> Bool { lower <= value && value <= upper }
}

extension Statistics {
  /// Student's t interval for the mean of at least two values.
  public static func tInterval(
    _ values: some Collection<Double>, confidence: Double = 0.95
  ) -> ConfidenceInterval {
    precondition(values.count >= 2, "a t interval of \(values.count) values")
    precondition(confidence > 0 && confidence < 1, "confidence \(confidence) is outside (0, 1)")
    let count = values.count
    let mean = mean(values)
    let t = StudentT(degreesOfFreedom: Double(count - 1))
      .quantile(upperTail: 0.5 * (1 - confidence))
    let halfWidth = t * sampleStandardDeviation(values) / Double(count).squareRoot()
    return ConfidenceInterval(
      estimate: mean, lower: mean - halfWidth, upper: mean + halfWidth, confidence: confidence,
      count: count)
  }

  /// Student's t interval for the mean of a[n] - b[n], where a[i] and b[i] belong together (one
  /// seed, say). On log losses this is an interval for the log of their ratio.
  public static func pairedTInterval(
    _ a: [Double], _ b: [Double], confidence: Double = 0.95
  ) -> ConfidenceInterval {
    precondition(a.count == b.count, "pairs of \(a.count) and \(b.count) values")
    return tInterval(zip(a, b).map { $0 - $1 }, confidence: confidence)
  }
}
