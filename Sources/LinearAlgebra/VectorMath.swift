import Foundation

/// Elementary functions on sixteen floats at a time, for kernels whose inner loop is one of them.
///
/// Relative errors are a few units in the last place of `Float`; arguments outside a function's range
/// of use saturate (they neither trap nor make NaN), and NaN stays NaN.
public enum VectorMath {
  /// Sixteen floats.
  public typealias Vector = SIMD16<Float>

  /// eˣ: exactly 0 below -87.3, saturated above 88.
  @inline(__always)
  public static func exp(_ x: Vector) -> Vector {
    // x = n·ln 2 + r with |r| <= ln 2 / 2; adding 1.5·2²³ rounds to an integer in the low bits.
    let high = Vector(repeating: 88)
    let bounded = x.replacing(with: high, where: x .> high)
    let shift = Vector(repeating: 12_582_912)
    let shifted = shift.addingProduct(bounded, Vector(repeating: 1.442_695))
    let n = shifted - shift
    var r = bounded.addingProduct(n, Vector(repeating: -0.693_145_75))
    r = r.addingProduct(n, Vector(repeating: -1.428_606_8e-6))
    var p = Vector(repeating: 1.987_569_1e-4)
    p = Vector(repeating: 1.398_199_9e-3).addingProduct(p, r)
    p = Vector(repeating: 8.333_452e-3).addingProduct(p, r)
    p = Vector(repeating: 4.166_579_6e-2).addingProduct(p, r)
    p = Vector(repeating: 0.166_666_65).addingProduct(p, r)
    p = Vector(repeating: 0.5).addingProduct(p, r)
    let small = (r + 1).addingProduct(p, r * r)
    let exponent = unsafeBitCast(shifted, to: SIMD16<Int32>.self) &<< 23
    let scaled = unsafeBitCast(
      unsafeBitCast(small, to: SIMD16<Int32>.self) &+ exponent, to: Vector.self)
    return scaled.replacing(with: 0, where: x .< Vector(repeating: -87.3))
  }

  /// tanh x = 1 - 2/(e²ˣ + 1): an absolute error below 2e-7.
  @inline(__always)
  public static func tanh(_ x: Vector) -> Vector {
    1 - 2 / (exp(x + x) + 1)
  }

  /// The standard normal distribution function Φ(x) and density φ(x).
  ///
  /// Φ(-|x|) = φ-like factor e^(-x²/2) times a polynomial in 1/(1 + 0.33|x|/√2), our own minimax fit of
  /// degree 8 (relative error 7e-8 up to |x| = 6.4).
  @inline(__always)
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
  @inline(__always)
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
  @inline(__always)
  public static func load(_ p: UnsafePointer<Float>) -> Vector {
    UnsafeRawPointer(p).loadUnaligned(as: Vector.self)
  }

  /// The first `count` < 16 floats at `p`, and zeros.
  @inline(__always)
  public static func load(_ p: UnsafePointer<Float>, count: Int) -> Vector {
    var result = Vector(repeating: 0)
    for j in 0..<count { result[j] = p[j] }
    return result
  }

  /// min(16, `count`) floats, and zeros.
  @inline(__always)
  public static func loadPadded(_ p: UnsafePointer<Float>, _ count: Int) -> Vector {
    count >= 16 ? load(p) : load(p, count: count)
  }

  /// Sixteen floats to any address.
  @inline(__always)
  public static func store(_ value: Vector, _ p: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(p).storeBytes(of: value, as: Vector.self)
  }

  /// Replaces the row x[count] by its softmax of scale·x; entries from `valid` on become exactly 0.
  /// Returns log Σ e^(scale·x).
  @inline(__always)
  public static func softmax(
    _ x: UnsafeMutablePointer<Float>, valid: Int, count: Int, scale: Float
  ) -> Float {
    let logSum = logSumExp(x, count: valid, scale: scale)
    let (factor, shift) = (Vector(repeating: scale), Vector(repeating: -logSum))
    map(x, valid, into: x) { exp(shift.addingProduct($0, factor)) }
    for j in valid..<max(valid, count) { x[j] = 0 }
    return logSum
  }

  /// log Σ e^(scale·x) over `count` >= 1 floats, without overflow, in a fixed order of summation.
  @inline(__always)
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
