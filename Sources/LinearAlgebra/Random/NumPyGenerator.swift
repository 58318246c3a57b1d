// SPDX-License-Identifier: Apache-2.0

import Foundation

/// `numpy.random.default_rng(seed)`, bit for bit: for following published NumPy scripts number for
/// number.
///
/// Checked against NumPy 2.4 over nine seeds; NumPy has kept these streams since 1.17 (`integers`
/// since the Lemire default of that release). It deliberately does not conform to
/// `RandomNumberGenerator`: the laws defined there take their words differently, and a mix-up would
/// be silent.
public struct NumPyGenerator: Sendable, Hashable, Codable {
  /// The underlying bit generator.
  public private(set) var bits: PCG64

  /// `default_rng(seed)`.
  public init(seed: UInt64) { bits = PCG64(seed: seed) }

  // MARK: - Uniform

  /// `random()`: uniform on [0, 1), a multiple of 2^-53.
  public mutating func random() -> Double { Double(bits.nextUInt64() >> 11) * 0x1p-53 }

  /// `random(count)`.
  public mutating func random(_ count: Int) -> [Double] { fill(count) { $0.random() } }

  /// `uniform(low, high)`: low + (high - low) · random(), so that rounding may give `high` itself.
  public mutating func uniform(_ low: Double, _ high: Double) -> Double {
    precondition((high - low).isFinite, "uniform on [\(low), \(high)): the range overflows")
    return low + (high - low) * random()
  }

  /// `uniform(low, high, count)`.
  public mutating func uniform(_ low: Double, _ high: Double, _ count: Int) -> [Double] {
    fill(count) { $0.uniform(low, high) }
  }

  // MARK: - Normal

  /// `standard_normal()`: the ziggurat of 256 layers (Marsaglia and Tsang 2000, in Doornik's
  /// variant with a full-precision mantissa). The layers are those of `ZigguratTables`.
  public mutating func standardNormal() -> Double {
    while true {
      // From the lowest bit: layer (8), sign (1), position in the layer (52).
      let word = bits.nextUInt64()
      let layer = Int(word & 0xFF)
      let isNegative = word >> 8 & 1 == 1
      let position = word >> 9 & 0x000F_FFFF_FFFF_FFFF
      let magnitude = Double(position) * ZigguratTables.width(layer)
      let x = isNegative ? -magnitude : magnitude
      if position < ZigguratTables.inner(layer) { return x }
      if layer == 0 {
        // The sign of a tail value is another bit than the sign of the others.
        let tail = standardNormalTail()
        return position >> 8 & 1 == 1 ? -tail : tail
      }
      let lower = ZigguratTables.height(layer)
      let upper = ZigguratTables.height(layer - 1)
      if (upper - lower) * random() + lower < exp(-0.5 * x * x) { return x }
    }
  }

  /// A normal conditioned to lie beyond the base strip, by Marsaglia's exponential rejection.
  private mutating func standardNormalTail() -> Double {
    while true {
      let excess = -ZigguratTables.inverseTailStart * log1p(-random())
      let y = -log1p(-random())
      if y + y > excess * excess { return ZigguratTables.tailStart + excess }
    }
  }

  /// `standard_normal(count)`; a matrix is filled row by row.
  public mutating func standardNormal(_ count: Int) -> [Double] {
    fill(count) { $0.standardNormal() }
  }

  // MARK: - Integers

  /// `integers(n)`: uniform on 0, …, n - 1, as int64.
  public mutating func integers(below n: Int) -> Int { integers(0, n) }

  /// `integers(n, size=count)`.
  public mutating func integers(below n: Int, _ count: Int) -> [Int] { integers(0, n, count) }

  /// `integers(low, high)`: uniform on low, …, high - 1, as int64.
  public mutating func integers(_ low: Int, _ high: Int) -> Int {
    precondition(low < high, "integers on [\(low), \(high)) is empty")
    let range = UInt64(bitPattern: Int64(high &- 1 &- low))
    let offset: UInt64
    switch range {
    case 0: offset = 0  // takes no bits at all
    case ..<0xFFFF_FFFF: offset = UInt64(bounded32(UInt32(range)))
    case 0xFFFF_FFFF: offset = UInt64(bits.nextUInt32())
    default: offset = bounded64(range)
    }
    return low &+ Int(Int64(bitPattern: offset))
  }

  /// `integers(low, high, size=count)`.
  public mutating func integers(_ low: Int, _ high: Int, _ count: Int) -> [Int] {
    precondition(low < high, "integers on [\(low), \(high)) is empty")
    return fill(count) { $0.integers(low, high) }
  }

  /// Lemire's method on 32-bit words, 0, …, `last` with `last` below 2^32 - 1.
  private mutating func bounded32(_ last: UInt32) -> UInt32 {
    let size = last + 1
    var product = UInt64(bits.nextUInt32()) * UInt64(size)
    if UInt32(truncatingIfNeeded: product) < size {
      let threshold = (UInt32.max - last) % size
      while UInt32(truncatingIfNeeded: product) < threshold {
        product = UInt64(bits.nextUInt32()) * UInt64(size)
      }
    }
    return UInt32(product >> 32)
  }

  /// Lemire's method on 64-bit words, 0, …, `last` with `last` below 2^64 - 1, which two `Int`
  /// bounds, the upper one excluded, guarantee.
  private mutating func bounded64(_ last: UInt64) -> UInt64 {
    let size = last + 1
    var product = bits.nextUInt64().multipliedFullWidth(by: size)
    if product.low < size {
      let threshold = (UInt64.max - last) % size
      while product.low < threshold {
        product = bits.nextUInt64().multipliedFullWidth(by: size)
      }
    }
    return product.high
  }

  // MARK: - Helpers

  private mutating func fill<Value>(
    _ count: Int, _ draw: (inout NumPyGenerator) -> Value
  ) -> [Value] {
    precondition(count >= 0, "\(count) draws do not exist")
    TensorMemory.expect(count, of: Value.self)
    var values: [Value] = []
    values.reserveCapacity(count)
    for _ in 0..<count { values.append(draw(&self)) }
    return values
  }
}
