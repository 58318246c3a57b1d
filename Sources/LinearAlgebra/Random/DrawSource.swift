// SPDX-License-Identifier: Apache-2.0

/// The draws a synthetic problem is made of, whichever sequential generator is behind them.
public protocol DrawSource: Codable, Sendable {
  /// `count` standard normal numbers.
  mutating func normals(_ count: Int) -> [Double]
  /// `count` numbers uniform on [low, high).
  mutating func uniforms(_ low: Double, _ high: Double, _ count: Int) -> [Double]
  /// A whole number uniform on 0, …, n - 1.
  mutating func index(below n: Int) -> Int
}

extension NumPyGenerator: DrawSource {
  /// NumPy's `standard_normal(count)`.
  public mutating func normals(_ count: Int) -> [Double] { standardNormal(count) }
  /// NumPy's `uniform(low, high, count)`.
  public mutating func uniforms(_ low: Double, _ high: Double, _ count: Int) -> [Double] {
    uniform(low, high, count)
  }
  /// NumPy's `integers(n)`.
  public mutating func index(below n: Int) -> Int { integers(below: n) }
}

extension RandomCursor: DrawSource {
  /// `count` Box-Muller normals.
  public mutating func normals(_ count: Int) -> [Double] {
    Normal<Double>().samples(count, using: &self)
  }
  /// `count` multiples of 2^-53 (high - low), shifted.
  public mutating func uniforms(_ low: Double, _ high: Double, _ count: Int) -> [Double] {
    Uniform(low, high).samples(count, using: &self)
  }
  /// Lemire's unbiased draw.
  public mutating func index(below n: Int) -> Int { integer(below: n) }
}
