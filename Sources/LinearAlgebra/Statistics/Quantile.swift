// SPDX-License-Identifier: Apache-2.0

/// How a quantile between two order statistics is read.
public enum QuantileRule: String, Sendable, Codable, CaseIterable {
  /// Linear between the neighbours of (n - 1) q: NumPy's default, equal to the last bit where the
  /// neighbours are finite.
  case interpolated
  /// The sorted value of index ⌊(n - 1) q⌋: always one of the values.
  case lowerOrderStatistic
}

extension Statistics {
  /// The `q`-quantile of at least one value, 0 <= q <= 1.
  public static func quantile(
    _ values: some Collection<Double>, _ q: Double, _ rule: QuantileRule = .interpolated
  ) -> Double {
    if values.contains(where: \.isNaN) {
      checkQuantile(q, count: values.count)
      return .nan
    }
    return quantile(sorted: values.sorted(), q, rule)
  }

  /// The `q`-quantile of values that are sorted already, smallest first, without NaN.
  public static func quantile(
    sorted: some RandomAccessCollection<Double>, _ q: Double, _ rule: QuantileRule = .interpolated
  ) -> Double {
    checkQuantile(q, count: sorted.count)
    func value(_ index: Int) -> Double { sorted[sorted.index(sorted.startIndex, offsetBy: index)] }
    let last = sorted.count - 1
    let position = Double(last) * q
    let lower = Int(position)
    switch rule {
    case .lowerOrderStatistic:
      return value(lower)
    case .interpolated:
      let weight = position - Double(lower)
      // As NumPy, which at a weight from 1/2 on counts back from the upper neighbour, so that the
      // result is monotonic in q. A whole position takes its value without a neighbour, also an
      // infinite one, where NumPy's 0 · infinity is NaN.
      if weight == 0 { return value(lower) }
      let a = value(lower)
      let b = value(lower + 1)
      return weight >= 0.5 ? b - (b - a) * (1 - weight) : a + (b - a) * weight
    }
  }

  private static func checkQuantile(_ q: Double, count: Int) {
    precondition(count >= 1, "a quantile of no values")
    precondition(q >= 0 && q <= 1, "quantile \(q) is outside [0, 1]")
  }
}
