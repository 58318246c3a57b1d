// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

extension SpectralClip {
  /// C = G - U₊ diag(1 - τ/σ₊) U₊ᵀ G, where U₊ holds the eigenvectors of G·Gᵀ with σ² > τ² (or the same from
  /// the right, whichever Gram matrix is smaller): no more is decomposed than what is clipped.
  ///
  /// The Gram matrix has rounding errors of ε σ_1², so a value near τ is found to ε σ_1²/(2τ). Returns nil where
  /// σ_1/τ is so large that this would show (`gramReach`), and where the eigenvalues do not converge.
  func clipByGram<Scalar>(
    _ g: MutableMatrixView<Scalar>, _ norm: Double, _ threshold: ThresholdSource
  ) throws -> ClipStatistics? {
    let isWide = g.rows <= g.columns
    let found: SpectrumHead?
    do {
      found = try SpectrumHead(
        of: isWide ? gram(ofRows: g.readOnly) : gram(ofColumns: g.readOnly), threshold: threshold,
        reach: gramReach(Scalar.self))
    } catch LinearAlgebraError.notConverged { found = nil }
    guard let head = found else { return nil }
    var statistics = ClipStatistics(
      route: .gram, sigmaMax: head.sigmaMax, sigmaMaxBound: head.sigmaMax, tau: head.tau,
      clippedCount: head.sigma.count, valueCount: min(g.rows, g.columns), normBefore: norm,
      normAfter: norm)
    guard !head.sigma.isEmpty else { return statistics }
    let shrinkage = head.sigma.map { 1 - head.tau / $0 }
    if isWide {
      shrinkLeft(g, along: head.vectors, by: shrinkage)
    } else {
      shrinkRight(g, along: head.vectors, by: shrinkage)
    }
    statistics.normAfter = normAfterClipping(
      g.readOnly, before: norm, clipped: head.sigma, at: head.tau)
    return statistics
  }
}

/// The part of a spectrum above τ, from a Gram matrix.
private struct SpectrumHead {
  /// σ_1.
  let sigmaMax: Double
  /// The threshold.
  let tau: Double
  /// The values above τ.
  let sigma: [Double]
  /// Their eigenvectors of the Gram matrix, one a row.
  let vectors: Matrix<Double>

  /// Nil where σ_1 exceeds `reach` · τ.
  init?(of product: Matrix<Double>, threshold: ThresholdSource, reach: Double) throws {
    var (sigmaMax, tau, failure) = (0.0, Double.infinity, Error?.none)
    var isBeyondReach = false
    // The values are all there before it is asked how many vectors are wanted.
    let eigen = try symmetricEigen(product) { values in
      sigmaMax = max(0, values.last ?? 0).squareRoot()
      do { tau = try threshold.tau(sigmaMax: sigmaMax) } catch { failure = error }
      if failure != nil || sigmaMax <= tau { return 0 }
      isBeyondReach = sigmaMax > reach * tau
      return isBeyondReach ? 0 : values.count { $0 > tau * tau }
    }
    if let failure { throw failure }
    if isBeyondReach { return nil }
    (self.sigmaMax, self.tau, vectors) = (sigmaMax, tau, eigen.vectors)
    sigma = eigen.values.suffix(vectors.rows).map { $0.squareRoot() }
  }
}

/// ‖C‖_F from ‖G‖_F² - Σ (σ_i² - τ²) over the clipped values; measured instead where that would cancel.
func normAfterClipping<Scalar>(
  _ result: MatrixView<Scalar>, before: Double, clipped sigma: some Sequence<Double>,
  at tau: Double
) -> Double {
  let removed = sigma.reduce(0) { $0 + ($1 * $1 - tau * tau) }
  let square = before * before - removed
  // A hundredth of the square still has 13 of 15 digits.
  return square > 1e-2 * before * before
    ? result.norm(expecting: square.squareRoot()) : result.frobeniusNorm
}

// MARK: - Where Gram matrices may be used, and what no decomposition can see

/// The largest σ_1/τ for which a Gram matrix in Double is accurate enough for data of `type`: a value near τ then
/// carries a relative error of at most ε₆₄ (σ_1/τ)²/2, for Float data 1.1e-8, below half an ulp, and for Double
/// data 1.1e-13.
func gramReach<Scalar: RealScalar>(_ type: Scalar.Type) -> Double {
  Scalar.significandBitCount < 30 ? 1e4 : 32
}

/// Singular values up to max(m, n) ε₆₄ σ_1 cannot be told from the rounding errors of a zero (LINPACK's and NumPy's
/// numerical rank). Where these errors would show beside τ, that number: values up to it count as zero, so that a
/// matrix of rank one comes out as τ u vᵀ however small τ is. Else 0: they are far too small to matter.
///
/// `scale` is σ_1, or what else rounding errors are relative to.
func roundingFloor(_ rows: Int, _ columns: Int, _ scale: Double, tau: Double) -> Double {
  let floor = Double(max(rows, columns)) * .ulpOfOne * scale
  return floor > visibleRounding * tau ? floor : 0
}

/// Errors relative to τ from which on they are avoided: an eighth of a Float's ulp.
let visibleRounding = 0x1p-26

/// Whether the squares of a matrix of this norm stay within Double's range of 1e±308, and so do their sums and
/// rounding errors.
func hasSafeSquares(_ norm: Double) -> Bool { norm > 1e-140 && norm < 1e140 }
