// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// The normalized gradient g/(‖g‖ + β), joint over all layers: with plain gradient descent and step
/// size η_n this is the NGD of Zhang et al. (arXiv 1905.11881), within a factor two of clipped GD.
public struct NormalizedGradient: GradientTransform {
  /// β >= 0.
  public let offset: Double

  /// Throws `ClippingError.invalidParameter` for a negative offset.
  public init(offset: Double) throws {
    try require("offset", offset, offset >= 0, "a number >= 0")
    self.offset = offset
  }

  /// Scales all layers; a gradient of zero with β = 0 stays zero.
  public func apply(to gradients: Gradients) throws {
    let denominator = try gradients.jointNorm() + offset
    gradients.scaleAll(by: denominator > 0 ? 1 / denominator : 1, tau: 1, isClipped: true)
  }

  /// Beside the joint norm each layer is scaled by itself.
  public var isShareable: Bool { true }
}
