// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// Per-sample clipping with position-dependent thresholds (Nobile & Grohs, arXiv 2605.02701): the
/// gradient g_k of the sample at position k = 1 … n of the batch is clipped to norm a·k^(1/b), then
/// the mean is taken: g = (1/n) Σ min(1, a k^(1/b)/‖g_k‖) g_k.
///
/// The norm is over all layers together. It comes from what each layer has beside its gradient (for a linear one ‖δ xᵀ‖ =
/// ‖δ‖‖x‖), so there is one backward pass, and the samples' gradients are added up once, weighted. Sensible only where the order of samples is random.
public struct PerSampleClip: GradientTransform {
  /// a, the threshold of the first sample.
  public let scale: Double
  /// b, the order of the moment that is assumed to be finite; infinite for one threshold for all.
  public let moment: Double

  /// Throws `ClippingError.invalidParameter` unless scale >= 0 and moment > 0.
  public init(scale: Double, moment: Double) throws {
    try require("scale", scale, scale >= 0, "a number >= 0")
    try require("moment", moment, moment > 0, "a number > 0")
    self.scale = scale
    self.moment = moment
  }

  /// Scales every sample's share of all gradients.
  ///
  /// Throws `ClippingError.needsFactors` where a gradient is multiplied out already, `ClippingError.otherSamples` where one has
  /// other samples than the first.
  public func apply(to gradients: Gradients) throws {
    let layers = gradients.layers
    let norms = try sampleNorms(of: layers)
    var weights = [Double](repeating: 1, count: norms.count)
    var clipped = 0
    for (k, norm) in norms.enumerated() {
      let limit = scale * pow(Double(k + 1), 1 / moment)
      if norm > limit {
        weights[k] = limit / norm
        clipped += 1
      }
    }
    if clipped > 0 {
      for layer in layers { layer.gradient.scaleSamples(by: weights) }
    }
    gradients.reportSamples(.samples, tau: scale, clipped: clipped, of: norms.count)
  }
}

/// The norm over all layers of every sample's own gradient (of its own loss, not its share of the mean).
///
/// Throws what `sampleCount` does where samples cannot be told apart, `LinearAlgebraError.notFinite` where an entry of
/// a gradient is not finite.
func sampleNorms(of layers: [Layer]) throws -> [Double] {
  let count = try sampleCount(of: layers)
  var squares = [Double](repeating: 0, count: count)
  for layer in layers where !layer.gradient.addSquaredNorms(to: &squares) {
    throw ClippingError.needsFactors(layer: layer.name)
  }
  if !squares.allSatisfy(\.isFinite) {
    try checkFactorsFinite(of: layers)
    for layer in layers where layer.gradient.isSum {
      layer.gradient.preview()
      try layer.gradient.entries.readOnly.checkFinite()
    }
  }
  return squares.map { Double(count) * max(0, $0).squareRoot() }
}

/// How many samples can be told apart in all layers.
///
/// Throws `ClippingError.needsFactors` for a layer without, `ClippingError.otherSamples` for layers with different numbers.
func sampleCount(of layers: [Layer]) throws -> Int {
  let expected = layers.first?.gradient.sampleCount ?? 0
  for layer in layers {
    let held = layer.gradient.sampleCount
    guard held > 0 else { throw ClippingError.needsFactors(layer: layer.name) }
    guard held == expected else {
      throw ClippingError.otherSamples(layer: layer.name, held: held, expected: expected)
    }
  }
  return expected
}

/// Throws `LinearAlgebraError.notFinite` for the first entry of a factor that is not finite.
func checkFactorsFinite(of layers: [Layer]) throws {
  for case let (left, right)? in layers.map(\.gradient.factors) {
    try left.checkFinite()
    try right.checkFinite()
  }
}
