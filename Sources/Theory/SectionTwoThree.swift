// SPDX-License-Identifier: Apache-2.0

import Clipping
import LinearAlgebra

/// §2.3: on vectors, taken as n×1 matrices, spectral clipping is norm clipping.
public enum SectionTwoThree {
  /// Both by the formula min(1, τ/‖g‖) g, in Float: the number of entries that differ in any bit (0).
  public static func differingBits(_ g: Matrix<Float>, tau: Double) throws -> Int {
    precondition(g.columns == 1 || g.rows == 1, "[\(g.rows), \(g.columns)] is no vector")
    var (spectral, norm) = (g, g)
    try SpectralClip.exact.clip(&spectral, at: tau)
    try NormClip(maximumNorm: tau).clip(&norm)
    return zip(spectral.elements, norm.elements).count { $0.bitPattern != $1.bitPattern }
  }

  /// The same through a singular value decomposition: ‖U min(σ, τ) Vᵀ - min(1, τ/‖g‖) g‖ <= 0 within rounding.
  public static func throughSVD(_ g: Matrix<Double>, tau: Double) throws -> Inequality {
    precondition(g.columns == 1 || g.rows == 1, "[\(g.rows), \(g.columns)] is no vector")
    let decomposition = try svd(g)
    var scaled = decomposition.vT
    scaled.scaleRows(by: decomposition.sigma.map { min($0, tau) })
    let spectral = matmul(decomposition.u, scaled)
    let factor = g.norm > tau ? tau / g.norm : 1
    return Inequality(
      "Section 2.3, through the SVD", (spectral - factor * g).norm, 0, carrier: g.norm,
      size: g.longerSide)
  }
}
