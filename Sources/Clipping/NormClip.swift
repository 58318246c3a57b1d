import LinearAlgebra

/// Norm clipping, eq. (1): g ← min(1, c/‖g‖) g, the norm taken jointly over all tensors given.
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

  /// Clips one tensor in place.
  @discardableResult
  public func clip<Scalar>(_ gradient: MutableMatrixView<Scalar>) throws -> ClipStatistics {
    try clip([gradient])
  }

  /// Clips one matrix in place.
  @discardableResult
  public func clip<Scalar>(_ gradient: inout Matrix<Scalar>) throws -> ClipStatistics {
    try gradient.withMutableView { try clip([$0]) }
  }

  /// Clips several tensors by their joint norm (√Σ‖g_l‖²), in place; they share one report.
  @discardableResult
  public func clip<Scalar>(_ gradients: [MutableMatrixView<Scalar>]) throws -> ClipStatistics {
    var norm = 0.0
    for gradient in gradients {
      try gradient.readOnly.checkFinite()
      let own = gradient.readOnly.frobeniusNorm
      norm = gradients.count == 1 ? own : hypotenuse(norm, own)
    }
    let factor = factor(norm: norm)
    if factor < 1 {
      for gradient in gradients { gradient.scale(by: Scalar(factor)) }
    }
    return ClipStatistics(
      route: .norm, sigmaMax: nil, sigmaMaxBound: norm, tau: maximumNorm,
      clippedCount: factor < 1 ? 1 : 0, valueCount: 1, normBefore: norm,
      normAfter: norm * factor)
  }
}

extension NormClip: GradientTransform {
  /// Scales all layers by their joint norm.
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

/// √(a² + b²) without overflow or underflow in the squares.
private func hypotenuse(_ a: Double, _ b: Double) -> Double {
  let (large, small) = (max(a, b), min(a, b))
  guard large > 0, large.isFinite else { return large }
  let ratio = small / large
  return large * (1 + ratio * ratio).squareRoot()
}
