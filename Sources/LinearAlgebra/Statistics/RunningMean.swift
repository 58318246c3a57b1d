/// Mean and variance of a sequence that is not kept (Welford 1962).
///
/// Each value costs one division, and nothing cancels. NaN propagates. Codable, for checkpoints.
public struct RunningMean: Sendable, Hashable, Codable {
  /// The number of values so far.
  public private(set) var count = 0
  private var current = 0.0
  private var squares = 0.0

  /// No values yet.
  public init() {}

  /// Takes in one more value.
  public mutating func add(_ value: Double) {
    count += 1
    let deviation = value - current
    current += deviation / Double(count)
    squares += deviation * (value - current)
  }

  /// The mean of at least one value.
  public var mean: Double {
    precondition(count >= 1, "the mean of no values")
    return current
  }

  /// The variance with divisor n - 1, of at least two values.
  public var sampleVariance: Double {
    precondition(count >= 2, "the sample variance of \(count) values")
    return squares / Double(count - 1)
  }

  /// The standard deviation with divisor n - 1, of at least two values.
  public var sampleStandardDeviation: Double { sampleVariance.squareRoot() }

  /// The standard deviation with divisor n, of at least one value.
  public var populationStandardDeviation: Double {
    precondition(count >= 1, "the standard deviation of no values")
    return (squares / Double(count)).squareRoot()
  }
}
