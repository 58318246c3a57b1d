// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// MuCon (arXiv 2605.26459, by its abstract): the momentum's singular values are clipped at τ, where Muon sets all of
/// them to one.
///
/// m ← m + (1-β)(g - m); the gradient becomes s C_τ(m)/τ with Muon's s = 0.2 √max(rows, columns) of the authors' form, so
/// that values at τ or above count as one, the others less, and τ → 0 is Muon with exact polar factors. A plain gradient
/// step follows it. The scale is ours; the abstract gives none. Where there is no threshold (τ infinite, an adaptive one at
/// first) the gradient becomes m as it is, and at τ = 0 it becomes 0.
public struct MomentumSpectralClip: GradientTransform {
  /// The clip of the momentum, a threshold a layer.
  public private(set) var inner: LayerwiseSpectralClip
  /// β.
  public let momentum: Double
  /// m, one array a layer; empty before the first step.
  private var averages: [[Float]] = []

  /// Clips the momentum of `inner`'s layers.
  ///
  /// Throws `ClippingError.invalidParameter` for a momentum outside [0, 1).
  public init(_ inner: LayerwiseSpectralClip, momentum: Double) throws {
    try require("momentum", momentum, momentum >= 0 && momentum < 1, "a number in [0, 1)")
    (self.inner, self.momentum) = (inner, momentum)
  }

  /// It reports the momentum's.
  public var reportsSigmaMax: Bool { true }

  /// Each layer by itself.
  public var isShareable: Bool { true }
  /// Momenta and the inner clip's thresholds.
  public mutating func take(_ layers: [Int], from other: Self) {
    inner.take(layers, from: other.inner)
    guard !other.averages.isEmpty else { return }
    for index in layers { averages[index] = other.averages[index] }
  }
  /// The inner clip's.
  public func cost(rows: Int, columns: Int) -> Double { inner.cost(rows: rows, columns: columns) }

  /// Replaces the gradient of each layer by the clipped momentum.
  ///
  /// Throws `ClippingError.differentLayers` for other layers than `inner`'s or a state of other sizes.
  public mutating func apply(to gradients: Gradients) throws {
    let found = gradients.layers
    if averages.isEmpty { averages = found.map { [Float](repeating: 0, count: $0.gradient.count) } }
    guard averages.count == found.count,
      zip(averages, found).allSatisfy({ $0.count == $1.gradient.count })
    else {
      throw ClippingError.differentLayers(rule: inner.layers, gradients: found.map(\.name))
    }
    let weight = Float(1 - momentum)
    averages.withUnsafeMutableBufferPointer { averages in
      gradients.pool.forEach(pieces: gradients.own.count) { (piece: Int) in
        let index = gradients.own[piece]
        let gradient = found[index].gradient.materialized
        averages[index].withUnsafeMutableBufferPointer { m in
          for i in 0..<gradient.count {
            m[i] = m[i].addingProduct(weight, gradient.base[i] - m[i])
            gradient.base[i] = m[i]
          }
        }
      }
    }
    try inner.apply(to: gradients)
    for index in gradients.own {
      let layer = found[index]
      let (rows, columns) = (Double(layer.gradient.rows), Double(layer.gradient.columns))
      let tau = gradients.statistics[index].tau
      guard tau > 0, tau.isFinite else { continue }
      let scale = 0.2 * max(rows, columns).squareRoot()
      layer.gradient.materialized.scale(to: scale, from: tau)
      if let norm = gradients.statistics[index].normAfter {
        gradients.statistics[index].normAfter = scale / tau * norm
      }
    }
  }
}
