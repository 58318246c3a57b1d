import LinearAlgebra

extension SpectralClip {
  /// Algorithm 2: clips the `rank` largest singular values of g[m,n] at τ, found by a randomized SVD.
  ///
  /// With the sketch's basis Q (orthonormal rows, long side) and W the leading left singular vectors
  /// of its coefficients B, the subtracted U diag(σ - τ)₊ Vᵀ is (QᵀW) · diag(1 - τ/σ)₊ · (WᵀB): no
  /// vector is ever divided by a singular value. Values beyond the rank, and everything outside
  /// the sketched subspace, stay as they are, so more than `rank` values above τ leave ‖C‖₂ > τ.
  func clipTruncated<Scalar>(
    _ g: MutableMatrixView<Scalar>, norm: Double, at threshold: ThresholdSource, rank: Int,
    oversampling: Int, powerIterations: Int, sketch stream: RandomStream
  ) throws -> ClipStatistics {
    let sketch = try RangeSketch(
      of: g.readOnly, vectors: rank + oversampling, powerIterations: powerIterations,
      stream: stream)
    let keep = min(rank, sketch.basis.rows)
    // B = WΣZᵀ; B is small, and a clipped value needs W only.
    let core = try leftSingular(sketch.coefficients, keep: keep)
    let sigmaMax = core.sigma.first ?? 0
    let tau = try threshold.tau(sigmaMax: sigmaMax)
    let clipped = core.sigma.prefix { $0 > tau }
    var statistics = ClipStatistics(
      route: .randomized, sigmaMax: sigmaMax, sigmaMaxBound: norm, tau: tau,
      clippedCount: clipped.count, valueCount: min(g.rows, g.columns), normBefore: norm,
      normAfter: norm)
    guard !clipped.isEmpty else { return statistics }

    let q = sketch.basis.rows
    var w = Matrix<Scalar>(
      rows: clipped.count, columns: q, elements: Array(core.w.elements[..<(clipped.count * q)]))
    let long = matmul(w, sketch.basis)
    w.scaleRows(by: clipped.map { 1 - tau / $0 })
    let short = matmul(w, sketch.coefficients)
    let (left, right) = sketch.isTall ? (long, short) : (short, long)
    left.withView { left in
      right.withView { right in gemm(left, .yes, right, .no, alpha: -1, beta: 1, into: g) }
    }
    statistics.normAfter = normAfterClipping(
      g.readOnly, before: norm, clipped: clipped, at: tau)
    return statistics
  }
}

/// The `keep` largest singular values of b[q,s] and their left singular vectors, one a row.
///
/// From the Gram matrix in Double while its rounding (ε₆₄ σ_1²/σ²) stays below the data's own, that
/// is for Float; from the SVD for Double.
private func leftSingular<Scalar: RealScalar>(
  _ b: Matrix<Scalar>, keep: Int
) throws -> (sigma: [Double], w: Matrix<Scalar>) {
  let q = b.rows
  guard Scalar.significandBitCount < 30 else {
    let full = try svd(b)
    let w = Matrix<Scalar>(rows: keep, columns: q) { full.u[$1, $0] }
    return (full.sigma[..<keep].map { Double($0) }, w)
  }
  let eigen = try symmetricEigen(b.withView { gram(ofRows: $0) }) { _ in keep }
  let order = (0..<keep).reversed()
  return (
    order.map { max(0, eigen.values[q - keep + $0]).squareRoot() },
    Matrix(
      rows: keep, columns: q, elements: order.flatMap { eigen.vectors.row($0).map { Scalar($0) } })
  )
}
