import LinearAlgebra

// The exact routes of SpectralClip. Whatever the precision of G, they decompose in Double.

extension SpectralClip {
  /// min(m, n) = 1: σ_1 = ‖G‖_F, and clipping is scaling, bit for bit as NormClip(.exact) does it.
  func clipVector<Scalar>(
    _ g: MutableMatrixView<Scalar>, _ norm: Double, _ source: ThresholdSource
  ) throws -> ClipStatistics {
    let tau = try source.tau(sigmaMax: norm)
    var report = try NormClip(maximumNorm: tau).clip(g)
    report.route = .vector
    report.sigmaMax = norm
    report.valueCount = min(g.rows, g.columns)
    return report
  }

  func clipExactly<Scalar>(
    _ g: MutableMatrixView<Scalar>, norm: Double, at source: ThresholdSource
  ) throws -> ClipStatistics {
    if g.rows == 3 && g.columns == 3 { return try clip3x3(g, norm, source) }
    if norm > 1e-140 && norm < 1e140, let report = try clipByGram(g, norm, source) { return report }
    return try clipBySVD(g, norm, source)
  }

  private func clip3x3<Scalar>(
    _ g: MutableMatrixView<Scalar>, _ norm: Double, _ source: ThresholdSource
  ) throws -> ClipStatistics {
    var work = g.readOnly.widened().elements
    let sigma = Small3x3.singularValues(work)
    var sigmaMax = sigma[0]
    let tau = try source.tau(sigmaMax: sigmaMax)
    Small3x3.clip(&work, count: 1, sigmaMax: &sigmaMax) { _ in tau }
    var report = ClipStatistics(
      route: .jacobi3x3, sigmaMax: sigmaMax, sigmaMaxBound: sigmaMax, tau: tau, clippedCount: 0,
      valueCount: 3, normBefore: norm, normAfter: norm)
    guard sigmaMax > tau else { return report }
    for i in 0..<3 where sigma[i] > tau { report.clippedCount += 1 }
    g.assign(rounding: Matrix(rows: 3, columns: 3, elements: work))
    report.normAfter = g.readOnly.frobeniusNorm
    return report
  }

  /// C = G - U₊ diag(1 - τ/σ₊) U₊ᵀ G, where U₊ holds the eigenvectors of G·Gᵀ with σ² > τ²
  /// (or the same from the right, whichever Gram matrix is smaller).
  ///
  /// The Gram matrix has rounding errors of ε σ_1², so a value near τ is found to ε σ_1²/(2τ).
  /// Returns nil when σ_1/τ is so large that this would show (`gramRatioLimit`).
  private func clipByGram<Scalar>(
    _ g: MutableMatrixView<Scalar>, _ norm: Double, _ source: ThresholdSource
  ) throws -> ClipStatistics? {
    let wide = g.rows <= g.columns
    let product = wide ? gram(ofRows: g.readOnly) : gram(ofColumns: g.readOnly)
    let head = try SpectrumHead(of: product, source: source, type: Scalar.self)
    guard let head else { return nil }
    if !head.sigma.isEmpty {
      if wide {
        shrinkLeft(g, along: head.vectors, by: head.shrinkage)
      } else {
        shrinkRight(g, along: head.vectors, by: head.shrinkage)
      }
    }
    return head.report(.gram, g, normBefore: norm)
  }

  /// C = U diag(min(σ, τ)) Vᵀ from a full SVD in Double: the route for σ_1/τ beyond the Gram route's
  /// reach and for entries whose squares leave the range of Double.
  private func clipBySVD<Scalar>(
    _ g: MutableMatrixView<Scalar>, _ norm: Double, _ source: ThresholdSource
  ) throws -> ClipStatistics {
    let decomposition = try svd(g.readOnly.widened())
    let sigma = decomposition.sigma
    let tau = try source.tau(sigmaMax: sigma[0])
    let clippedCount = sigma.count { $0 > tau }
    var report = ClipStatistics(
      route: .svd, sigmaMax: sigma[0], sigmaMaxBound: sigma[0], tau: tau,
      clippedCount: clippedCount, valueCount: sigma.count, normBefore: norm, normAfter: norm)
    guard clippedCount > 0 else { return report }
    var scaled = decomposition.vT
    scaled.scaleRows(by: sigma.map { min($0, tau) })
    g.assign(rounding: matmul(decomposition.u, scaled))
    report.normAfter = g.readOnly.frobeniusNorm
    return report
  }
}

// MARK: - Thin factors

extension SpectralClip {
  /// Clips a layer's gradient, which a mini-batch of few samples leaves as a product of thin factors,
  /// without decomposing a matrix of its size: exactly, by the cheapest proof that suffices.
  ///
  /// ‖G‖_F ≤ τ, the Schatten-4 norm ≤ τ or a Cholesky factorisation shows that nothing exceeds τ;
  /// otherwise the r×r problem of `FactoredSpectrum` gives every singular value. A gradient that is multiplied out already, of
  /// a rank near full, or beyond the reach of Gram matrices (`gramRatioLimit`) goes the dense way.
  /// The gradient is multiplied out afterwards.
  @discardableResult
  public func clip(
    _ gradient: LayerGradient, at source: ThresholdSource, sketch: RandomStream = .defaultSketch,
    workspace: FactoredSpectrum
  ) throws -> ClipStatistics {
    guard method == .exactSVD, let (left, right) = gradient.factors,
      4 * left.rows <= 3 * min(gradient.rows, gradient.columns)
    else { return try clip(gradient.materialized, at: source, sketch: sketch) }
    workspace.load(left: left, right: right)
    let (norm, scale) = (workspace.frobeniusNorm, workspace.scale)
    if scale == 0 {
      gradient.materialize()
      let tau = try source.tau(sigmaMax: 0)
      return ClipStatistics(
        route: .insideBall, sigmaMax: 0, sigmaMaxBound: 0, tau: tau, clippedCount: 0,
        valueCount: min(gradient.rows, gradient.columns), normBefore: 0, normAfter: 0)
    }
    guard norm.isFinite, scale > 1e-140, scale < 1e140 else {
      return try clip(gradient.materialized, at: source)
    }
    var report = ClipStatistics(
      route: .insideBall, sigmaMax: nil, sigmaMaxBound: norm, tau: .infinity, clippedCount: 0,
      valueCount: min(gradient.rows, gradient.columns), normBefore: norm, normAfter: norm)
    if let tau = try source.validatedTau {
      report.tau = tau
      // A sum of products in Double is good to 1e-12 here: no value above τ passes for one below.
      if norm * (1 + 1e-12) > tau {
        report.sigmaMaxBound = min(norm, workspace.schatten4Bound())
        report.route = .factors
      }
      guard scale <= gramRatioLimit(Float.self) * tau else {
        return try clipByQR(gradient, left, right, source, report)
      }
      if report.sigmaMaxBound * (1 + 1e-12) <= tau || workspace.isCertified(within: tau) {
        report.sigmaMaxBound = min(report.sigmaMaxBound, tau)
        gradient.materialize()
        return report
      }
    }
    try workspace.decompose()
    let sigma = workspace.singularValues
    let sigmaMax = sigma.last ?? 0
    let tau = try source.tau(sigmaMax: sigmaMax)
    report.route = .factors
    (report.sigmaMax, report.sigmaMaxBound, report.tau) = (sigmaMax, sigmaMax, tau)
    report.clippedCount = sigma.count { $0 > tau }
    guard report.clippedCount > 0 else {
      gradient.materialize()
      return report
    }
    guard scale <= gramRatioLimit(Float.self) * tau else {
      return try clipByQR(gradient, left, right, source, report)
    }
    report.normAfter = workspace.write(
      reweighting: report.clippedCount, { tau / $0 }, into: gradient.entries)
    gradient.setMaterialized()
    return report
  }
}

extension SpectralClip {
  /// The same for factors whose Gram matrices would lose the values near τ: leftᵀ = Q_a R_a and
  /// rightᵀ = Q_b R_b, so G = Q_a (R_a R_bᵀ) Q_bᵀ, and the r×r matrix in the middle has G's singular
  /// values, to ε‖left‖‖right‖.
  private func clipByQR(
    _ gradient: LayerGradient, _ left: MatrixView<Float>, _ right: MatrixView<Float>,
    _ source: ThresholdSource, _ report: ClipStatistics
  ) throws -> ClipStatistics {
    let a = try qr(left.widened().transposed)
    let b = try qr(right.widened().transposed)
    let middle = try svd(matmul(a.r, .no, b.r, .yes))
    var report = report
    let sigmaMax = middle.sigma.first ?? 0
    let tau = try source.tau(sigmaMax: sigmaMax)
    report.route = .factors
    (report.sigmaMax, report.sigmaMaxBound, report.tau) = (sigmaMax, sigmaMax, tau)
    report.clippedCount = middle.sigma.count { $0 > tau }
    guard report.clippedCount > 0 else {
      gradient.materialize()
      return report
    }
    var vT = middle.vT
    vT.scaleRows(by: middle.sigma.map { min($0, tau) })
    let core = matmul(matmul(a.q, middle.u), matmul(vT, .no, b.q, .yes))
    gradient.entries.assign(rounding: core)
    gradient.setMaterialized()
    report.normAfter = middle.sigma.reduce(0) { $0 + min($1, tau) * min($1, tau) }.squareRoot()
    return report
  }
}

// MARK: - The part of the spectrum above τ

/// The singular values above τ and their vectors, from a Gram matrix.
private struct SpectrumHead {
  let sigmaMax: Double
  let tau: Double
  /// The values above τ.
  var sigma: [Double] = []
  /// One eigenvector of the Gram matrix a row.
  var vectors = Matrix<Double>(rows: 0, columns: 0)
  let valueCount: Int

  /// What a clipped direction loses: 1 - τ/σ_i.
  var shrinkage: [Double] { sigma.map { 1 - tau / $0 } }

  /// Nil when σ_1/τ exceeds the accuracy limit of `type`.
  init?<Scalar: RealScalar>(
    of product: Matrix<Double>, source: ThresholdSource, type: Scalar.Type
  ) throws {
    var (sigmaMax, tau, failure) = (0.0, Double.infinity, Error?.none)
    var beyondLimit = false
    let eigen = try symmetricEigen(product) { values in
      sigmaMax = max(0, values.last ?? 0).squareRoot()
      do { tau = try source.tau(sigmaMax: sigmaMax) } catch { failure = error }
      if failure != nil || sigmaMax <= tau { return 0 }
      beyondLimit = sigmaMax > gramRatioLimit(type) * tau
      if beyondLimit { return 0 }
      return values.count { $0 > tau * tau }
    }
    if let failure { throw failure }
    if beyondLimit { return nil }
    self.sigmaMax = sigmaMax
    self.tau = tau
    valueCount = product.rows
    vectors = eigen.vectors
    sigma = eigen.values.suffix(vectors.rows).map { $0.squareRoot() }
  }

  func report<Scalar>(
    _ route: ClipStatistics.Route, _ g: MutableMatrixView<Scalar>, normBefore: Double
  ) -> ClipStatistics {
    let removed = sigma.reduce(0) { $0 + ($1 * $1 - tau * tau) }
    return ClipStatistics(
      route: route, sigmaMax: sigmaMax, sigmaMaxBound: sigmaMax, tau: tau,
      clippedCount: sigma.count, valueCount: min(g.rows, g.columns), normBefore: normBefore,
      normAfter: sigma.isEmpty
        ? normBefore : normAfterClipping(g.readOnly, before: normBefore, removed: removed))
  }
}

/// The largest σ_1/τ for which the Gram route is taken. A value near τ then carries a relative error
/// of at most ε₆₄ (σ_1/τ)²/2: for Float data 1.1e-8, below half an ulp; for Double data 1.1e-13.
private func gramRatioLimit<Scalar: RealScalar>(_ type: Scalar.Type) -> Double {
  Scalar.significandBitCount < 30 ? 1e4 : 32
}
