// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Elementary functions on sixteen floats at a time, for kernels whose inner loop is one of them.
///
/// Relative errors are a few units in the last place of `Float`; arguments outside a function's range
/// of use saturate (they neither trap nor make NaN), and NaN stays NaN.
public enum VectorMath {
  /// Sixteen floats.
  public typealias Vector = SIMD16<Float>

  /// eˣ: exactly 0 below -87.3, saturated above 88.
  @inlinable @inline(__always)
  public static func exp(_ x: Vector) -> Vector {
    let high = Vector(repeating: 88)
    let (r, p, exponent) = reduced(x.replacing(with: high, where: x .> high))
    let small = (r + 1).addingProduct(p, r * r)
    let scaled = unsafeBitCast(
      unsafeBitCast(small, to: SIMD16<Int32>.self) &+ exponent, to: Vector.self)
    return scaled.replacing(with: 0, where: x .< Vector(repeating: -87.3))
  }

  /// eˣ = 2ⁿ (1 + r + r² p) with |r| <= ln 2 / 2, for |x| <= 88; `exponent` is n in the place of a float's exponent.
  @inlinable @inline(__always)
  static func reduced(_ x: Vector) -> (r: Vector, p: Vector, exponent: SIMD16<Int32>) {
    // x = n·ln 2 + r; adding 1.5·2²³ rounds to an integer in the low bits.
    let shift = Vector(repeating: 12_582_912)
    let shifted = shift.addingProduct(x, Vector(repeating: 1.442_695))
    let n = shifted - shift
    var r = x.addingProduct(n, Vector(repeating: -0.693_145_75))
    r = r.addingProduct(n, Vector(repeating: -1.428_606_8e-6))
    var p = Vector(repeating: 1.987_569_1e-4)
    p = Vector(repeating: 1.398_199_9e-3).addingProduct(p, r)
    p = Vector(repeating: 8.333_452e-3).addingProduct(p, r)
    p = Vector(repeating: 4.166_579_6e-2).addingProduct(p, r)
    p = Vector(repeating: 0.166_666_65).addingProduct(p, r)
    p = Vector(repeating: 0.5).addingProduct(p, r)
    return (r, p, unsafeBitCast(shifted, to: SIMD16<Int32>.self) &<< 23)
  }

  /// x, and exactly 0 where it is subnormal; NaN stays NaN. For what becomes a factor of matrix products: with such operands these
  /// take twenty times as long, and a network that diverged is full of them.
  @inlinable @inline(__always)
  public static func flushed(_ x: Vector) -> Vector {
    let size = unsafeBitCast(
      unsafeBitCast(x, to: SIMD16<UInt32>.self) & 0x7FFF_FFFF, to: Vector.self)
    return x.replacing(with: 0, where: size .< Vector(repeating: .leastNormalMagnitude))
  }

  /// The logistic function 1/(1 + e⁻ˣ): exactly 0 below -87.3, near where it becomes subnormal.
  @inlinable @inline(__always)
  public static func sigmoid(_ x: Vector) -> Vector {
    (1 / (exp(-x) + 1)).replacing(with: 0, where: x .< Vector(repeating: -87.3))
  }

  /// tanh x, accurate relative to itself: m/(m + 2) with m = e²ˣ - 1 = 2ⁿ (r + r² p) + (2ⁿ - 1), where nothing cancels.
  @inlinable @inline(__always)
  public static func tanh(_ x: Vector) -> Vector {
    // From 10 on it is 1 to all digits.
    let high = Vector(repeating: 10)
    let bounded = x.replacing(with: high, where: x .> high).replacing(
      with: -high, where: x .< -high)
    let (r, p, exponent) = reduced(bounded + bounded)
    let one = unsafeBitCast(Vector(repeating: 1), to: SIMD16<Int32>.self)
    let power = unsafeBitCast(one &+ exponent, to: Vector.self)
    let m = (power - 1).addingProduct(power, r.addingProduct(p, r * r))
    return m / (m + 2)
  }

  /// The standard normal distribution function Φ(x) and density φ(x).
  ///
  /// Φ(-|x|) = φ-like factor e^(-x²/2) times a polynomial in 1/(1 + 0.33|x|/√2), our own minimax fit of
  /// degree 8 (relative error 7e-8 up to |x| = 6.4).
  @inlinable @inline(__always)
  public static func normal(_ x: Vector) -> (distribution: Vector, density: Vector) {
    let isNegative = x .< 0
    let size = x.replacing(with: -x, where: isNegative)
    let bell = exp(x * x * -0.5)
    let t = 1 / Vector(repeating: 1).addingProduct(size, Vector(repeating: 0.233_345_24))
    var p = Vector(repeating: -0.067_021_84)
    p = Vector(repeating: 0.226_932_05).addingProduct(p, t)
    p = Vector(repeating: -0.169_066_52).addingProduct(p, t)
    p = Vector(repeating: 0.197_075_79).addingProduct(p, t)
    p = Vector(repeating: 0.028_207_268).addingProduct(p, t)
    p = Vector(repeating: 0.098_905_43).addingProduct(p, t)
    p = Vector(repeating: 0.091_816_38).addingProduct(p, t)
    p = Vector(repeating: 0.093_151_4).addingProduct(p, t)
    let tail = bell * p * t
    let distribution = (1 - tail).replacing(with: tail, where: isNegative)
    return (distribution, bell * 0.398_942_28)
  }

  // MARK: - Arrays

  /// target[i] = body(source[i]) for `count` floats, sixteen at a time; the last group is padded with 0.
  @inlinable @inline(__always)
  public static func map(
    _ source: UnsafePointer<Float>, _ count: Int, into target: UnsafeMutablePointer<Float>,
    _ body: (Vector) -> Vector
  ) {
    var i = 0
    while i &+ 16 <= count {
      store(body(load(source + i)), target + i)
      i &+= 16
    }
    if i < count {
      let rest = body(load(source + i, count: count &- i))
      for j in 0..<(count &- i) { target[i &+ j] = rest[j] }
    }
  }

  /// Sixteen floats from any address.
  @inlinable @inline(__always)
  public static func load(_ p: UnsafePointer<Float>) -> Vector {
    UnsafeRawPointer(p).loadUnaligned(as: Vector.self)
  }

  /// The first `count` < 16 floats at `p`, and zeros.
  @inlinable @inline(__always)
  public static func load(_ p: UnsafePointer<Float>, count: Int) -> Vector {
    var result = Vector(repeating: 0)
    for j in 0..<count { result[j] = p[j] }
    return result
  }

  /// min(16, `count`) floats, and zeros.
  @inlinable @inline(__always)
  public static func loadPadded(_ p: UnsafePointer<Float>, _ count: Int) -> Vector {
    count >= 16 ? load(p) : load(p, count: count)
  }

  /// Sixteen floats to any address.
  @inlinable @inline(__always)
  public static func store(_ value: Vector, _ p: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(p).storeBytes(of: value, as: Vector.self)
  }

  /// The first min(16, `count`) floats to any address.
  @inlinable @inline(__always)
  public static func store(_ value: Vector, _ p: UnsafeMutablePointer<Float>, first count: Int) {
    if count >= 16 { return store(value, p) }
    for j in 0..<count { p[j] = value[j] }
  }

  /// `value` where the lane number is below `count`, else `other`.
  @inlinable @inline(__always)
  public static func keep(_ value: Vector, first count: Int, else other: Float) -> Vector {
    let lane = Vector(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    return value.replacing(with: other, where: lane .>= Vector(repeating: Float(count)))
  }

  /// Replaces the first `valid` floats of a row by the softmax of scale·x and those up to the next multiple
  /// of 16, and on to `count`, by exactly 0, as are subnormal values; the row must have room for whole vectors.
  /// Returns log Σ e^(scale·x).
  public static func softmax(
    _ x: UnsafeMutablePointer<Float>, valid: Int, count: Int, scale: Float
  ) -> Float {
    let (full, rest) = (valid & ~15, valid & 15)
    var largest = Vector(repeating: -.infinity)
    for i in Swift.stride(from: 0, to: full, by: 16) {
      let v = load(x + i)
      largest.replace(with: v, where: v .> largest)
    }
    if rest > 0 {
      let v = keep(load(x + full), first: rest, else: -.infinity)
      largest.replace(with: v, where: v .> largest)
    }
    let top = scale * largest.max()
    let (factor, shift) = (Vector(repeating: scale), Vector(repeating: -top))
    var sums = Vector(repeating: 0)
    for i in Swift.stride(from: 0, to: full, by: 16) {
      let e = exp(shift.addingProduct(load(x + i), factor))
      sums += e
      store(e, x + i)
    }
    if rest > 0 {
      let e = keep(exp(shift.addingProduct(load(x + full), factor)), first: rest, else: 0)
      sums += e
      store(e, x + full)
    }
    let sum = sums.sum()
    let inverse = Vector(repeating: 1 / sum)
    for i in Swift.stride(from: 0, to: valid, by: 16) {
      store(flushed(load(x + i) * inverse), x + i)
    }
    var i = (valid + 15) & ~15
    while i < count {
      store(Vector(repeating: 0), x + i)
      i &+= 16
    }
    return top + log(sum)
  }

  /// log Σ e^(scale·x) over `count` >= 1 floats, without overflow, in a fixed order of summation.
  public static func logSumExp(_ x: UnsafePointer<Float>, count: Int, scale: Float) -> Float {
    var largest = Vector(repeating: -.infinity)
    var i = 0
    while i &+ 16 <= count {
      let v = load(x + i)
      largest.replace(with: v, where: v .> largest)
      i &+= 16
    }
    var top = largest.max()
    for j in i..<count where x[j] > top { top = x[j] }
    let (factor, shift) = (Vector(repeating: scale), Vector(repeating: -scale * top))
    var sum = Vector(repeating: 0)
    i = 0
    while i &+ 16 <= count {
      sum += exp(shift.addingProduct(load(x + i), factor))
      i &+= 16
    }
    if i < count {
      let rest = exp(shift.addingProduct(load(x + i, count: count &- i), factor))
      for j in 0..<(count &- i) { sum[j] += rest[j] }
    }
    // A NaN among the entries reaches the sum, and so the result.
    return scale * top + log(sum.sum())
  }
}
