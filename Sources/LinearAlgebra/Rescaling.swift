// SPDX-License-Identifier: Apache-2.0

// Scaling by factors that the precision at hand does not hold: τ/‖G‖ of a large G and a small τ underflows,
// 1/‖G‖ of a tiny G overflows, and neither says anything about the result.

extension MutableMatrixView {
  /// Multiplies every entry by limit/norm: entries of norm `norm` get the norm `limit`.
  ///
  /// In two steps, in Double, where that quotient leaves the range of normal numbers of this precision.
  public func scale(to limit: Double, from norm: Double) {
    let factor = Scalar(limit / norm)
    if factor.isNormal || limit == 0 { return scale(by: factor) }
    for i in 0..<count { base[i] = Scalar(Double(base[i]) / norm * limit) }
  }

  /// Multiplies every entry by 2^exponent, exactly while the results are normal; what rounds beyond the largest
  /// finite number becomes that number.
  package func scale(byPowerOfTwo exponent: Int) {
    let largest = Scalar.greatestFiniteMagnitude
    for i in 0..<count {
      let scaled = Scalar(sign: .plus, exponent: Scalar.Exponent(exponent), significand: base[i])
      base[i] = min(largest, max(-largest, scaled))
    }
  }
}

extension MatrixView {
  /// The norm of entries that ought to have the norm `expected`: measured where some of them may be so small that
  /// they have lost digits, or all of them.
  public func norm(expecting expected: Double) -> Double {
    // 2^26 above the smallest normal number: of fewer than 2^52 entries those that count are normal.
    expected >= Double(Scalar.leastNormalMagnitude) * 0x1p26 ? expected : frobeniusNorm
  }

  /// The exponent of the largest entry; 0 for a matrix of zeros.
  package var largestExponent: Int {
    var largest: Scalar = 0
    for i in 0..<count { largest = max(largest, base[i].magnitude) }
    return largest > 0 ? Int(largest.exponent) : 0
  }
}
