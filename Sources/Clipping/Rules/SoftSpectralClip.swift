import LinearAlgebra

/// Soft spectral clipping H_c(G) = (I + GGᵀ/c²)^(-1/2) G of each layer: σ ↦ σ/√(1 + σ²/c²), a smooth
/// curve below min(σ, c) (SPECTRA, arXiv 2603.14315).
///
/// Exact, from singular values in Double, where the source iterates in bf16.
public struct SoftSpectralClip: GradientRule {
  /// c > 0, the limit of the clipped singular values.
  public let limit: Double

  /// Throws `ClippingError.invalidParameter` unless `limit` > 0.
  public init(limit: Double) throws {
    try require("limit", limit, limit > 0, "a number > 0")
    self.limit = limit
  }

  /// Shrinks every singular value of every layer.
  public func apply(
    to layers: [Layer], workspace: FactoredSpectrum, pool: WorkerPool, report: inout RuleReport
  ) throws {
    for layer in layers { try apply(to: layer.gradient, workspace) }
    report.set(tau: limit, share: 1)
  }

  private func weight(_ sigma: Double) -> Double {
    let ratio = sigma / limit
    return 1 / (1 + ratio * ratio).squareRoot()
  }

  private func apply(to gradient: FactoredMatrix, _ workspace: FactoredSpectrum) throws {
    let smaller = min(gradient.rows, gradient.columns)
    if smaller == 1 {
      let entries = gradient.formed
      try entries.readOnly.checkFinite()
      return entries.scale(by: Float(weight(entries.readOnly.frobeniusNorm)))
    }
    if let (left, right) = gradient.factors, 4 * left.rows <= 3 * smaller {
      workspace.load(left: left, right: right)
      if workspace.scale == 0 { return gradient.form() }
      if workspace.scale <= 1e4 * limit {
        try workspace.decompose()
        workspace.write(
          reweighting: workspace.singularValues.count, weight, into: gradient.entries)
        return gradient.setFormed()
      }
    }
    let decomposition = try svd(gradient.formed.readOnly.widened())
    var right = decomposition.vT
    right.scaleRows(by: decomposition.sigma.map { $0 * weight($0) })
    gradient.entries.assign(rounding: matmul(decomposition.u, right))
  }
}
