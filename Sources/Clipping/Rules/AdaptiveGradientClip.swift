// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Adaptive gradient clipping, unit by unit: a row G_i of a layer's gradient with
/// ‖G_i‖ > λ · max(‖W_i‖, ε) is scaled to that norm (AGC, Brock et al., arXiv 2102.06171, eq. 3).
public struct AdaptiveGradientClip: GradientTransform {
  /// λ > 0, the largest ratio of gradient to weight norm.
  public let ratio: Double
  /// ε, the smallest weight norm that counts (1e-3 in the source).
  public let minimumNorm: Double

  /// Throws `ClippingError.invalidParameter` unless both are positive.
  public init(ratio: Double, minimumNorm: Double = 1e-3) throws {
    try require("ratio", ratio, ratio > 0, "a number > 0")
    try require("minimumNorm", minimumNorm, minimumNorm > 0, "a number > 0")
    self.ratio = ratio
    self.minimumNorm = minimumNorm
  }

  /// Scales the rows that are too long.
  public func apply(to gradients: Gradients) throws {
    for index in gradients.own {
      let layer = gradients.layers[index]
      let (g, n) = (layer.gradient.materialized, layer.gradient.columns)
      var clipped = 0
      for i in 0..<g.rows {
        let norm = Float._sumOfSquares(g.base + i &* n, n).squareRoot()
        if !norm.isFinite { try g.readOnly.checkFinite() }
        let weight = Float._sumOfSquares(layer.weights.base + i &* n, n).squareRoot()
        let limit = ratio * max(weight, minimumNorm)
        if norm > limit {
          g.rows(i..<(i + 1)).scale(to: limit, from: norm)
          clipped += 1
        }
      }
      gradients.statistics[index] = ClipStatistics(
        route: .rows, clippedCount: clipped, valueCount: g.rows)
    }
  }

  /// Each layer by itself.
  public var isShareable: Bool { true }
}
