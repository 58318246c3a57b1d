// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Coordinate-wise clipping: every entry of every gradient is clamped to [-c, c]
/// (torch.nn.utils.clip_grad_value_; Zhang et al., arXiv 1912.03194, section 5).
public struct CoordinateClip: GradientTransform {
  /// c >= 0.
  public let limit: Double

  /// Throws `ClippingError.invalidThreshold` for a negative or NaN limit.
  public init(limit: Double) throws {
    guard limit >= 0 else { throw ClippingError.invalidThreshold(limit) }
    self.limit = limit
  }

  /// Clamps every entry; NaN stays NaN and is reported as an error.
  public func apply(to gradients: Gradients) throws {
    let limit = Float(limit)
    for index in gradients.own {
      let layer = gradients.layers[index]
      let entries = layer.gradient.materialized
      try entries.readOnly.checkFinite()
      let (base, count) = (entries.base, entries.count)
      var clipped = 0
      for i in 0..<count {
        if base[i].magnitude > limit {
          base[i] = base[i] > 0 ? limit : -limit
          clipped &+= 1
        }
      }
      gradients.statistics[index] = ClipStatistics(
        route: .entries, tau: self.limit, clippedCount: clipped, valueCount: count)
    }
  }

  /// Each layer by itself.
  public var isShareable: Bool { true }
}
