// SPDX-License-Identifier: Apache-2.0

/// Two independent standard normals from two 64-bit words, by Box and Muller's transformation:
/// `sqrt(-2 ln u) · (cos 2πv, sin 2πv)`.
///
/// Fixed consumption (two words, two normals, no rejection) is what makes random access possible.
/// Logarithm, sine and cosine are computed here from IEEE additions, multiplications, divisions and
/// square roots only, without a call to libm: the stream is then the same on every machine, and the
/// compiler can put several elements into one vector instruction.
///
/// Accuracy: `u` is a midpoint `(k + 1/2) / 2^52`, so it is never 0 or 1, the law is symmetric and
/// `|z| <= sqrt(106 ln 2) = 8.5717`; the cut-off tail has probability 1.0e-17. The relative error
/// of a value is a few ulp (measured against libm in the tests). Normals in `Float` come from
/// 32-bit words, are computed in `Double` and rounded once: `|z| <= 6.7637`, cut-off probability
/// 1.4e-11.
enum BoxMuller {
  @inline(__always)
  static func pair(_ first: UInt64, _ second: UInt64) -> (Double, Double) {
    let radius = squaredRadius(first).squareRoot()
    let (sine, cosine) = sineAndCosineOfTurns(openUnit(second))
    return (radius * cosine, radius * sine)
  }

  @inline(__always)
  private static func squaredRadius(_ word: UInt64) -> Double { -2 * logarithm(openUnit(word)) }

  /// Makes `pairs` pairs tile by tile: `words` puts two words a pair into its buffers,
  /// `transformed` takes the two normals of each. Both get the tile's first pair and its number of
  /// pairs (even, but for the last tile). The first loop in between becomes vector instructions.
  @inline(__always)
  static func forEachTile(
    pairs: Int,
    words: (Int, Int, UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<UInt64>) -> Void,
    transformed: (Int, Int, UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>) -> Void
  ) {
    let capacity = 64
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2 * capacity) { wordTile in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 3 * capacity) { normalTile in
        guard let radii = wordTile.baseAddress, let cosines = normalTile.baseAddress else { return }
        let turns = radii + capacity
        let sines = cosines + capacity
        let squares = sines + capacity
        for start in stride(from: 0, to: pairs, by: capacity) {
          let count = min(capacity, pairs - start)
          words(start, count, radii, turns)
          for i in 0..<count {
            squares[i] = squaredRadius(radii[i])
            (sines[i], cosines[i]) = sineAndCosineOfTurns(openUnit(turns[i]))
          }
          // Apart, because a square root is a call (errno), which would keep the loop above scalar.
          for i in 0..<count {
            let radius = squares[i].squareRoot()
            cosines[i] *= radius
            sines[i] *= radius
          }
          transformed(start, count, cosines, sines)
        }
      }
    }
  }

  /// A 32-bit word as the 64-bit word whose midpoint in (0, 1) is the same: (w + 1/2) / 2^32, up to
  /// 2^-53.
  @inline(__always)
  static func widened(_ word: UInt64) -> UInt64 { word &<< 32 | 0x8000_0000 }

  /// The midpoint (k + 1/2) / 2^52 of the upper 52 bits, in (0, 1), exact in 53 bits.
  @inline(__always)
  static func openUnit(_ word: UInt64) -> Double {
    Double(bitPattern: 0x3FF0_0000_0000_0000 | word &>> 12) - (1 - 0x1p-53)
  }

  /// ln x for a positive, normal x.
  ///
  /// x = 2^k m with m in [√½, √2), and ln m = 2 artanh s with s = (m - 1) / (m + 1), |s| < 0.1716;
  /// the series of artanh ends after s^21, where the next term is below 2^-56 of the first.
  @inline(__always)
  static func logarithm(_ x: Double) -> Double {
    let rootOfHalf: UInt64 = 0x3FE6_A09E_667F_3BCD
    // Biased by 2048 so that the exponent stays a small positive integer, which then becomes a
    // Double by being put into the mantissa of 2^52: vector units lack the 64-bit conversion.
    let biased = (x.bitPattern &- rootOfHalf &+ 2048 &<< 52) &>> 52
    let k = Double(bitPattern: 0x4330_0000_0000_0000 | biased) - (0x1p52 + 2048)
    let m = Double(bitPattern: x.bitPattern &- (biased &- 2048) &<< 52)
    let s = (m - 1) / (m + 1)
    let z = s * s
    var series = z * (1.0 / 21) + 1.0 / 19
    series = series * z + 1.0 / 17
    series = series * z + 1.0 / 15
    series = series * z + 1.0 / 13
    series = series * z + 1.0 / 11
    series = series * z + 1.0 / 9
    series = series * z + 1.0 / 7
    series = series * z + 1.0 / 5
    series = series * z + 1.0 / 3
    let naturalLogOfTwo = 0.693147180559945309417
    return k * naturalLogOfTwo + (2 * s + 2 * s * (z * series))
  }

  /// (sin 2πt, cos 2πt) for t in [0, 1).
  ///
  /// t = q/4 + r with |r| <= 1/8 exactly, so the angle 2πr is at most π/4 and Taylor's series end
  /// below 2^-54 after the 17th and 16th power.
  @inline(__always)
  static func sineAndCosineOfTurns(_ t: Double) -> (sine: Double, cosine: Double) {
    let shifted = 4 * t + 0x1.8p52  // rounds 4t to an integer, kept in the low bits
    let q = shifted.bitPattern
    let angle = (t - 0.25 * (shifted - 0x1.8p52)) * (2 * Double.pi)
    let z = angle * angle
    var s = z * (1.0 / 355_687_428_096_000) - 1.0 / 1_307_674_368_000
    s = s * z + 1.0 / 6_227_020_800
    s = s * z - 1.0 / 39_916_800
    s = s * z + 1.0 / 362_880
    s = s * z - 1.0 / 5040
    s = s * z + 1.0 / 120
    s = s * z - 1.0 / 6
    let sine = angle + angle * (z * s)
    var c = z * (1.0 / 20_922_789_888_000) - 1.0 / 87_178_291_200
    c = c * z + 1.0 / 479_001_600
    c = c * z - 1.0 / 3_628_800
    c = c * z + 1.0 / 40320
    c = c * z - 1.0 / 720
    c = c * z + 1.0 / 24
    let cosine = 1 - (0.5 * z - z * z * c)
    let swap = q & 1 == 1
    let signOfSine = (q & 2) &<< 62
    let signOfCosine = ((q &+ 1) & 2) &<< 62
    return (
      Double(bitPattern: (swap ? cosine : sine).bitPattern ^ signOfSine),
      Double(bitPattern: (swap ? sine : cosine).bitPattern ^ signOfCosine)
    )
  }
}
