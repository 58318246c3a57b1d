// SPDX-License-Identifier: Apache-2.0

/// The two 16-bit formats in integer arithmetic, equal on every machine.
///
/// Swift's own `Float16` is missing on some platforms and makes signalling NaNs quiet; here every
/// bit pattern goes to `Float` and back unchanged.
enum HalfPrecision {
  // MARK: - BF16: the upper half of a Float

  static func float(bf16 bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

  /// Rounds to nearest, ties to even; a NaN stays a NaN.
  static func bf16(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if bits & 0x7fff_ffff > 0x7f80_0000 {
      let upper = UInt16(bits >> 16)
      return upper & 0x7f == 0 ? upper | 0x40 : upper
    }
    let roundUp = 0x7fff + (bits >> 16 & 1)
    return UInt16((bits + roundUp) >> 16)
  }

  // MARK: - F16: 1 sign, 5 exponent (bias 15), 10 fraction bits

  static func float(f16 bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10 & 0x1f)
    let fraction = UInt32(bits & 0x3ff)
    switch exponent {
    case 0:
      // Zero or subnormal: fraction · 2^-24, exact in Float.
      let magnitude = Float(fraction) * 0x1p-24
      return Float(bitPattern: sign | magnitude.bitPattern)
    case 31: return Float(bitPattern: sign | 0x7f80_0000 | fraction << 13)
    default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }

  /// Rounds to nearest, ties to even; too large is infinite, a NaN stays a NaN.
  static func f16(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    let sign = UInt16(bits >> 16 & 0x8000)
    let magnitude = bits & 0x7fff_ffff
    if magnitude > 0x7f80_0000 {
      let fraction = UInt16(magnitude >> 13 & 0x3ff)
      return sign | 0x7c00 | (fraction == 0 ? 0x200 : fraction)
    }
    // 65520 is half-way between the largest F16, 65504, and the next power of two.
    if magnitude >= Float(65520).bitPattern { return sign | 0x7c00 }
    if magnitude < Float(0x1p-14).bitPattern {
      // Subnormal: the nearest multiple of 2^-24. Adding and dropping 0.5, whose last bit is
      // worth 2^-24 in Float, lets the addition do the rounding.
      let shifted = Float(bitPattern: magnitude) + 0.5
      return sign | UInt16(shifted.bitPattern - Float(0.5).bitPattern)
    }
    let rounded = magnitude + 0xfff + (magnitude >> 13 & 1)
    return sign | UInt16((rounded >> 13) - 112 << 10)
  }
}
