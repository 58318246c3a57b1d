// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

extension SpectralClip {
  /// Algorithm 2: clips the `rank` largest singular values of g[m,n] at τ, found by a randomized SVD.
  ///
  /// With the sketch's basis Q (orthonormal rows, long side) and W the leading left singular vectors
  /// of its coefficients B, the subtracted U diag(σ - τ)₊ Vᵀ is (QᵀW) · diag(1 - τ/σ)₊ · (WᵀB): no
  /// vector is ever divided by a singular value. Values beyond the rank, and everything outside
  /// the sketched subspace, stay as they are, so more than `rank` values above τ leave ‖C‖₂ > τ.
  ///
  /// With a `start` the directions that it holds, if any, begin the sketch, and the new ones, WᵀB divided by their
  /// singular values, are left in it.
  func clipTruncated<Scalar>(
    _ g: MutableMatrixView<Scalar>, norm: Double, at threshold: ThresholdSource, rank: Int,
    oversampling: Int, powerIterations: Int, sketch stream: RandomStream, _ start: inout WarmStart?
  ) throws -> ClipStatistics {
    let directions = try start?.directions(
      for: (min(rank + oversampling, g.rows, g.columns), min(g.rows, g.columns)), of: Scalar.self)
    let sketch = try RangeSketch(
      of: g.readOnly, vectors: rank + oversampling, powerIterations: powerIterations,
      stream: stream, start: directions)
    let keep = min(rank, sketch.basis.rows)
    // B = WΣZᵀ; B is small, and a clipped value needs W only.
    let core = try leftSingular(sketch.coefficients, keep: keep)
    if start != nil {
      var right = matmul(core.w, sketch.coefficients)
      right.scaleRows(by: core.sigma.prefix(keep).map { $0 > 0 ? 1 / $0 : 0 })
      start = WarmStart(right)
    }
    let sigmaMax = core.sigma.first ?? 0
    let tau = try threshold.tau(sigmaMax: sigmaMax)
    guard sigmaMax <= tau || sigmaMax * Double(Scalar.ulpOfOne) <= 1e-3 * tau else {
      return try clipFarBelow(
        g, norm, threshold, rank: rank, oversampling: oversampling,
        powerIterations: powerIterations, stream, directions)
    }
    var statistics = statistics(g.readOnly, norm, core.sigma, keep: keep, above: tau, tau: tau)
    let clipped = core.sigma.prefix(statistics.clippedCount)
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

  /// The same for a τ so far below σ_1 that the rounding errors of the difference G - U diag(σ - τ)₊ Vᵀ would show
  /// beside it: in Double, C = (G - U₊U₊ᵀ G) + τ U₊V₊ᵀ, where U₊ belongs to the values above τ, and the first
  /// term is left out where it is no more than rounding errors.
  private func clipFarBelow<Scalar>(
    _ g: MutableMatrixView<Scalar>, _ norm: Double, _ threshold: ThresholdSource, rank: Int,
    oversampling: Int, powerIterations: Int, _ stream: RandomStream, _ directions: Matrix<Scalar>?
  ) throws -> ClipStatistics {
    var rest = g.readOnly.widened()
    let sketch = try RangeSketch(
      of: rest, vectors: rank + oversampling, powerIterations: powerIterations, stream: stream,
      start: directions?.converted(to: Double.self))
    let core = try svd(sketch.coefficients)
    let sigmaMax = core.sigma.first ?? 0
    let tau = try threshold.tau(sigmaMax: sigmaMax)
    let above = max(tau, roundingFloor(g.rows, g.columns, sigmaMax, tau: tau))
    var statistics = statistics(g.readOnly, norm, core.sigma, keep: rank, above: above, tau: tau)
    let sigma = core.sigma.prefix(statistics.clippedCount)
    guard !sigma.isEmpty else { return statistics }

    let w = Matrix<Double>(rows: sigma.count, columns: core.u.rows) { core.u[$1, $0] }
    let long = matmul(w, sketch.basis)
    var short = matmul(w, sketch.coefficients)  // σ_i v_iᵀ
    func addProduct(_ alpha: Double) {
      let (left, right) = sketch.isTall ? (long, short) : (short, long)
      rest.withMutableView { rest in
        left.withView { left in
          right.withView { gemm(left, .yes, $0, .no, alpha: alpha, beta: 1, into: rest) }
        }
      }
    }
    addProduct(-1)
    // A few times the rounding errors of products of this size.
    let rounding = 8 * Double(max(g.rows, g.columns)) * .ulpOfOne * sigmaMax
    if rest.frobeniusNorm <= rounding { rest = Matrix(rows: g.rows, columns: g.columns) }
    short.scaleRows(by: sigma.map { 1 / $0 })
    addProduct(tau)
    g.assign(rounding: rest)
    statistics.normAfter = g.readOnly.frobeniusNorm
    return statistics
  }

  /// What is known before anything is clipped, `sigma` being the sketch's values, largest first: of the first `keep`
  /// those beyond `above` are clipped, of the rest they remain.
  private func statistics<Scalar>(
    _ g: MatrixView<Scalar>, _ norm: Double, _ sigma: [Double], keep: Int, above: Double,
    tau: Double
  ) -> ClipStatistics {
    var statistics = ClipStatistics(
      route: .randomized, sigmaMax: sigma.first ?? 0, sigmaMaxBound: norm, tau: tau,
      clippedCount: sigma.prefix(keep).prefix { $0 > above }.count,
      valueCount: min(g.rows, g.columns), normBefore: norm, normAfter: norm)
    statistics.remainingCount = sigma.dropFirst(keep).count { $0 > above }
    return statistics
  }
}

/// The q singular values of b[q,s], largest first, and the left singular vectors of the `keep` largest, one a row.
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
    return (full.sigma.map { Double($0) }, w)
  }
  let eigen = try symmetricEigen(b.withView { gram(ofRows: $0) }) { _ in keep }
  return (
    eigen.values.reversed().map { max(0, $0).squareRoot() },
    Matrix(
      rows: keep, columns: q,
      elements: (0..<keep).reversed().flatMap { eigen.vectors.row($0).map { Scalar($0) } })
  )
}
