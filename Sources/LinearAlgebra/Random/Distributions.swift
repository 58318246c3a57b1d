// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A law that turns random words into values.
public protocol Distribution: Sendable {
  /// What a draw is.
  associatedtype Value
  /// One draw.
  func sample(using generator: inout some RandomNumberGenerator) -> Value
}

extension Distribution {
  /// `count` draws in order.
  public func samples(_ count: Int, using generator: inout some RandomNumberGenerator) -> [Value] {
    TensorMemory.expect(count, of: Value.self)
    var values: [Value] = []
    values.reserveCapacity(count)
    for _ in 0..<count { values.append(sample(using: &generator)) }
    return values
  }
}

// MARK: - Uniform, integers, normal, permutations

extension RandomNumberGenerator {
  /// Uniform on [0, 1): 53 bits for `Double`, 24 for `Float`; one word.
  public mutating func uniform<Real: RandomReal>(as type: Real.Type = Real.self) -> Real {
    Real.halfOpenUnit(next())
  }

  /// Uniform on (0, 1]: one minus ``uniform(as:)``, exactly; one word.
  public mutating func positiveUniform<Real: RandomReal>(as type: Real.Type = Real.self) -> Real {
    1 - Real.halfOpenUnit(next())
  }

  /// Uniform on 0, …, n - 1 without bias: Lemire's multiplication with rejection ("Fast random
  /// integer generation in an interval", 2019). One word, and one more with probability below n /
  /// 2^64.
  public mutating func integer(below n: Int) -> Int {
    precondition(n > 0, "an integer below \(n) does not exist")
    let bound = UInt64(n)
    var product = next().multipliedFullWidth(by: bound)
    if product.low < bound {
      let threshold = (0 &- bound) % bound
      while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
    }
    return Int(product.high)
  }

  /// Two independent standard normals; two words.
  public mutating func normalPair() -> (Double, Double) {
    let first = next()
    return BoxMuller.pair(first, next())
  }

  /// A standard normal; two words, of whose pair the first is used, so that the position in the
  /// stream is the whole state. Use ``RandomStream/fill(normal:from:)`` for many.
  public mutating func normal<Real: RandomReal>(as type: Real.Type = Real.self) -> Real {
    Real(normalPair().0)
  }

  /// A uniformly random order of 0, …, count - 1 (Fisher and Yates).
  public mutating func permutation(_ count: Int) -> [Int] {
    precondition(count >= 0, "a permutation of \(count) items does not exist")
    TensorMemory.expect(count, of: Int.self)
    var order = Array(0..<count)
    for last in stride(from: count - 1, to: 0, by: -1) {
      order.swapAt(last, integer(below: last + 1))
    }
    return order
  }

  /// A uniformly random point u[n] of the unit sphere: a normal vector over its norm.
  public mutating func unitVector<Real: RandomReal>(
    _ n: Int, as type: Real.Type = Real.self
  ) -> [Real] {
    precondition(n > 0, "a unit vector of \(n) entries does not exist")
    var entries: [Double] = []
    entries.reserveCapacity(n + 1)
    while entries.count < n {
      let pair = normalPair()
      entries += [pair.0, pair.1]
    }
    entries.removeLast(entries.count - n)
    // Never 0: BoxMuller's uniforms are midpoints, at which neither factor vanishes.
    let norm = entries.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return entries.map { Real($0 / norm) }
  }
}

/// Uniform on [low, high).
public struct Uniform<Real: RandomReal>: Distribution {
  /// The smallest value.
  public let low: Real
  /// Above every value.
  public let high: Real

  /// The uniform law on [low, high), both finite.
  public init(_ low: Real, _ high: Real) {
    precondition(low < high && (high - low).isFinite, "uniform on [\(low), \(high)) is empty")
    self.low = low
    self.high = high
  }

  /// One draw; one word, and one more where rounding gave `high` itself.
  public func sample(using generator: inout some RandomNumberGenerator) -> Real {
    while true {
      let value = low + (high - low) * Real.halfOpenUnit(generator.next())
      if value < high { return value }
    }
  }
}

/// The normal law with a mean and a standard deviation.
public struct Normal<Real: RandomReal>: Distribution {
  /// The mean.
  public let mean: Real
  /// The standard deviation, at least 0.
  public let standardDeviation: Real

  /// The normal law with this mean and standard deviation.
  public init(mean: Real = 0, standardDeviation: Real = 1) {
    precondition(standardDeviation >= 0, "standard deviation \(standardDeviation) is negative")
    self.mean = mean
    self.standardDeviation = standardDeviation
  }

  /// One draw; two words.
  public func sample(using generator: inout some RandomNumberGenerator) -> Real {
    mean + standardDeviation * generator.normal()
  }
}
