import LinearAlgebra

/// Norm clipping, eq. (1): g ← min(1, c/‖g‖) g, the norm taken jointly over all layers of `Gradients`.
public struct NormClip: Codable, Equatable, Sendable {
  /// The two formulas in circulation; they differ by about 1e-6/c relative.
  public enum Formula: String, Codable, Sendable, CaseIterable {
    /// min(1, c/‖g‖), the paper's eq. (1).
    case exact
    /// min(1, c/(‖g‖ + 1e-6)), torch.nn.utils.clip_grad_norm_; the result stays below c.
    case torch
  }

  /// The largest norm let through, c >= 0.
  public let maximumNorm: Double
  /// Which formula scales the gradient.
  public let formula: Formula

  /// Throws `ClippingError.invalidThreshold` for a negative or NaN `maximumNorm`.
  public init(maximumNorm: Double, formula: Formula = .exact) throws {
    guard maximumNorm >= 0 else { throw ClippingError.invalidThreshold(maximumNorm) }
    self.maximumNorm = maximumNorm
    self.formula = formula
  }

  /// The factor for a gradient of norm `norm`: 1 inside the ball.
  public func factor(norm: Double) -> Double {
    let denominator = formula == .torch ? norm + 1e-6 : norm
    return denominator > maximumNorm ? maximumNorm / denominator : 1
  }

  /// Clips `gradient`[m,n] in place.
  ///
  /// Throws `LinearAlgebraError.notFinite` for a NaN or infinite entry; the gradient is then unchanged.
  @discardableResult
  public func clip<Scalar>(_ gradient: inout Matrix<Scalar>) throws -> ClipStatistics {
    try gradient.withMutableView { view in
      try view.readOnly.checkFinite()
      let norm = view.readOnly.frobeniusNorm
      let factor = factor(norm: norm)
      if factor < 1 { view.scale(by: Scalar(factor)) }
      return ClipStatistics(
        route: .norm, sigmaMaxBound: norm, tau: maximumNorm, clippedCount: factor < 1 ? 1 : 0,
        valueCount: 1, normBefore: norm, normAfter: norm * factor)
    }
  }
}

extension NormClip: GradientTransform {
  /// Scales all layers by their joint norm √Σ‖g_l‖².
  ///
  /// Throws `LinearAlgebraError.notFinite` for a NaN or infinite entry; the gradients are then unchanged.
  public func apply(to gradients: Gradients) throws {
    let factor = factor(norm: try gradients.jointNorm())
    if factor < 1 {
      gradients.pool.forEach(pieces: gradients.layers.count) { (index: Int) in
        gradients.layers[index].gradient.entries.scale(by: Float(factor))
      }
    }
    gradients.reportScaling(by: factor, tau: maximumNorm, isClipped: factor < 1)
  }
}
