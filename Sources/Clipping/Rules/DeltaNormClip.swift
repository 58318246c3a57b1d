// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// δ-GClip (arXiv 2404.08624): the gradient times min{1, max(δ, γ/‖g‖)}, joint over all layers, so that
/// the step size never falls below δη. δ = 0 is norm clipping (GClip), δ = 1 no clipping.
public struct DeltaNormClip: GradientTransform {
  /// γ >= 0, the norm beyond which the gradient shrinks.
  public let maximumNorm: Double
  /// δ in [0, 1], the smallest factor.
  public let minimumFactor: Double

  /// Throws `ClippingError` for a negative γ or a δ outside [0, 1].
  public init(maximumNorm: Double, minimumFactor: Double) throws {
    guard maximumNorm >= 0 else { throw ClippingError.invalidThreshold(maximumNorm) }
    try require(
      "minimumFactor", minimumFactor, minimumFactor >= 0 && minimumFactor <= 1,
      "a number in [0, 1]")
    self.maximumNorm = maximumNorm
    self.minimumFactor = minimumFactor
  }

  /// The factor for a gradient of norm `norm`.
  public func factor(norm: Double) -> Double {
    norm > maximumNorm ? min(1, max(minimumFactor, maximumNorm / norm)) : 1
  }

  /// Scales all layers.
  public func apply(to gradients: Gradients) throws {
    let factor = factor(norm: try gradients.jointNorm())
    gradients.scaleAll(by: factor, tau: maximumNorm, isClipped: factor < 1)
  }

  /// Beside the joint norm each layer is scaled by itself.
  public var isShareable: Bool { true }
}
