// SPDX-License-Identifier: Apache-2.0

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
    let denominator = denominator(norm: norm)
    return denominator > maximumNorm ? maximumNorm / denominator : 1
  }

  private func denominator(norm: Double) -> Double { formula == .torch ? norm + 1e-6 : norm }

  /// Clips `gradient`[m,n] in place.
  ///
  /// Throws `LinearAlgebraError.notFinite` for a NaN or infinite entry; the gradient is then unchanged.
  @discardableResult
  public func clip<Scalar>(_ gradient: inout Matrix<Scalar>) throws -> ClipStatistics {
    try gradient.withMutableView { view in
      try view.readOnly.checkFinite()
      let norm = view.readOnly.frobeniusNorm
      let factor = factor(norm: norm)
      if factor < 1 { view.clipNorm(from: denominator(norm: norm), to: maximumNorm) }
      return ClipStatistics(
        route: .norm, sigmaMaxBound: norm, tau: maximumNorm, clippedCount: factor < 1 ? 1 : 0,
        valueCount: 1, normBefore: norm,
        normAfter: view.readOnly.norm(expecting: factor.isNormal ? norm * factor : 0))
    }
  }
}

extension MutableMatrixView {
  /// Multiplies every entry by limit/norm, where `norm` is infinite if it is beyond the range of Double.
  func clipNorm(from norm: Double, to limit: Double) {
    if norm.isFinite || limit == .infinity { return scale(to: limit, from: norm) }
    // Fewer than 2^126 entries: their norm is below 2^63 times the largest.
    scale(byPowerOfTwo: -64)
    scale(to: limit, from: readOnly.frobeniusNorm)
  }
}

extension NormClip: GradientTransform {
  /// Beside the joint norm each layer is scaled by itself.
  public var isShareable: Bool { true }

  /// Scales all layers by their joint norm √Σ‖g_l‖².
  ///
  /// Throws `LinearAlgebraError.notFinite` for a NaN or infinite entry; the gradients are then unchanged.
  public func apply(to gradients: Gradients) throws {
    let factor = factor(norm: try gradients.jointNorm())
    gradients.scaleAll(by: factor, tau: maximumNorm, isClipped: factor < 1)
  }
}
