// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

// A mini-batch of r samples leaves a linear layer's gradient as a product of thin factors, leftᵀ[m,r] · right[r,n].
// It is clipped without decomposing a matrix of its size, and the product is formed once, clipped already.

extension SpectralClip {
  /// Clips a layer's gradient, which may be in factors and is materialized afterwards: exactly, by the cheapest
  /// proof that suffices.
  ///
  /// In factors: if a bound shows that no value exceeds τ (`provenBound`), the product is formed as it is;
  /// otherwise the r×r problem of `FactoredSpectrum` gives every singular value. A gradient that is dense already,
  /// of a rank near full, zero, or out of range goes the dense way. Errors as of the dense clip.
  @discardableResult
  package func clip(
    _ gradient: LayerGradient, at threshold: ThresholdSource,
    sketch: RandomStream = .defaultSketch, workspace: FactoredSpectrum
  ) throws -> ClipStatistics {
    var cold: WarmStart?
    return try clip(gradient, at: threshold, sketch: sketch, from: &cold, workspace: workspace)
  }

  /// The same with a start for the randomized method.
  func clip(
    _ gradient: LayerGradient, at threshold: ThresholdSource, sketch: RandomStream,
    from start: inout WarmStart?, workspace: FactoredSpectrum
  ) throws -> ClipStatistics {
    guard method == .exact, let factors = gradient.factors,
      LayerGradient.isThin(
        rank: factors.left.rows, rows: gradient.rows, columns: gradient.columns)
    else { return try clip(gradient.materialized, at: threshold, sketch: sketch, from: &start) }
    workspace.load(left: factors.left, right: factors.right)
    guard workspace.frobeniusNorm.isFinite, hasSafeSquares(workspace.scale) else {
      return try clip(gradient.materialized, at: threshold)
    }
    // The terms of the product, or the fourth powers of its values, might leave the range.
    guard workspace.scale < largestScale else {
      return try clipByQR(gradient, threshold, workspace)
    }
    if let tau = try threshold.validatedTau {
      guard isWithinReach(workspace, tau) else {
        return try clipByQR(gradient, threshold, workspace)
      }
      if let inside = provenBound(within: tau, workspace) {
        gradient.materialize()
        return ClipStatistics(
          route: inside.route, sigmaMaxBound: inside.bound, tau: tau,
          valueCount: min(gradient.rows, gradient.columns), normBefore: workspace.frobeniusNorm,
          normAfter: workspace.frobeniusNorm)
      }
    }
    return try clipBySmallEigenproblem(gradient, threshold, workspace)
  }

  /// A bound on σ_1 that does not exceed τ, and the route that found it; nil if there may be a value above τ.
  ///
  /// In rising order of cost: ‖G‖_F, the Schatten-4 norm, a Cholesky factorization of τ²I - K.
  private func provenBound(
    within tau: Double, _ workspace: FactoredSpectrum
  ) -> (bound: Double, route: ClipStatistics.Route)? {
    let norm = workspace.frobeniusNorm
    if norm * roundingRoom <= tau { return (norm, .insideBall) }
    let bound = min(norm, workspace.schatten4Bound())
    if bound * roundingRoom <= tau || workspace.isCertified(within: tau) {
      return (min(bound, tau), .factors)
    }
    return nil
  }

  /// All singular values from the r×r problem, and from its vectors the clipped product.
  private func clipBySmallEigenproblem(
    _ gradient: LayerGradient, _ threshold: ThresholdSource, _ workspace: FactoredSpectrum
  ) throws -> ClipStatistics {
    guard (try? workspace.decompose()) != nil else {  // not converged
      return try clipByQR(gradient, threshold, workspace)
    }
    let sigma = workspace.singularValues
    let sigmaMax = sigma.last ?? 0
    let tau = try threshold.tau(sigmaMax: sigmaMax)
    var statistics = ClipStatistics(
      route: .factors, sigmaMax: sigmaMax, sigmaMaxBound: sigmaMax, tau: tau,
      clippedCount: sigma.count { $0 > tau }, valueCount: min(gradient.rows, gradient.columns),
      normBefore: workspace.frobeniusNorm, normAfter: workspace.frobeniusNorm)
    guard statistics.clippedCount > 0 else {
      gradient.materialize()
      return statistics
    }
    guard isWithinReach(workspace, tau) else { return try clipByQR(gradient, threshold, workspace) }
    let norm = workspace.write(
      reweighting: statistics.clippedCount, { tau / $0 }, into: gradient.entries)
    statistics.normAfter = gradient.entries.readOnly.norm(expecting: norm)
    gradient.setMaterialized()
    return statistics
  }

  /// For factors whose Gram matrices would lose the values near τ: leftᵀ = Q_a R_a and rightᵀ = Q_b R_b, so
  /// G = Q_a (R_a R_bᵀ) Q_bᵀ, and the r×r matrix in the middle has G's singular values, to ε‖left‖‖right‖.
  private func clipByQR(
    _ gradient: LayerGradient, _ threshold: ThresholdSource, _ workspace: FactoredSpectrum
  ) throws -> ClipStatistics {
    guard let (left, right) = gradient.factors else { preconditionFailure("no factors") }
    let a = try qr(left.widened().transposed)
    let b = try qr(right.widened().transposed)
    let middle = try svd(matmul(a.r, .no, b.r, .yes))
    let sigmaMax = middle.sigma.first ?? 0
    let tau = try threshold.tau(sigmaMax: sigmaMax)
    let floor = roundingFloor(gradient.rows, gradient.columns, workspace.scale, tau: tau)
    var statistics = ClipStatistics(
      route: .factors, sigmaMax: sigmaMax, sigmaMaxBound: sigmaMax, tau: tau,
      clippedCount: middle.sigma.count { $0 > max(tau, floor) },
      valueCount: min(gradient.rows, gradient.columns), normBefore: workspace.frobeniusNorm,
      normAfter: workspace.frobeniusNorm)
    guard statistics.clippedCount > 0 || workspace.scale >= largestScale else {
      gradient.materialize()
      return statistics
    }
    let values = middle.sigma.map { $0 <= floor ? 0 : min($0, tau) }
    var clamped = middle.vT
    clamped.scaleRows(by: values)
    gradient.entries.assign(
      rounding: matmul(matmul(a.q, middle.u), matmul(clamped, .no, b.q, .yes)))
    gradient.setMaterialized()
    try gradient.entries.readOnly.checkFinite()
    let norm = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
    statistics.normAfter = gradient.entries.readOnly.norm(expecting: norm)
    return statistics
  }

  /// Rounding errors are relative to ‖left‖‖right‖ here, not to σ_1.
  private func isWithinReach(_ workspace: FactoredSpectrum, _ tau: Double) -> Bool {
    workspace.scale <= gramReach(Float.self) * tau
  }
}

/// ‖left‖‖right‖ from which on the product is no longer formed in Float, whose largest number is 3e38.
private let largestScale = 1e35

/// Sums of products in Double are good to 1e-12 here: with this room no value above τ passes for one below.
private let roundingRoom = 1 + 1e-12
