// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Soft spectral clipping H_c(G) = (I + GGᵀ/c²)^(-1/2) G of each layer: σ ↦ σ/√(1 + σ²/c²), a smooth
/// curve below min(σ, c) (SPECTRA, arXiv 2603.14315).
///
/// Exact, from singular values in Double, where the source iterates in bf16.
public struct SoftSpectralClip: GradientTransform {
  /// c > 0, the limit of the clipped singular values.
  public let limit: Double

  /// Throws `ClippingError.invalidParameter` unless `limit` > 0.
  public init(limit: Double) throws {
    try require("limit", limit, limit > 0, "a number > 0")
    self.limit = limit
  }

  /// Shrinks every singular value of every layer.
  public func apply(to gradients: Gradients) throws {
    for index in gradients.own {
      gradients.statistics[index] = try apply(
        to: gradients.layers[index].gradient, gradients.workspace)
    }
  }

  /// Each layer by itself.
  public var isShareable: Bool { true }
  /// A decomposition.
  public func cost(rows: Int, columns: Int) -> Double {
    SpectralClip.exact.cost(rows: rows, columns: columns)
  }

  private func weight(_ sigma: Double) -> Double {
    let ratio = sigma / limit
    return 1 / (1 + ratio * ratio).squareRoot()
  }

  private func apply(
    to gradient: LayerGradient, _ workspace: FactoredSpectrum
  ) throws -> ClipStatistics {
    let smaller = min(gradient.rows, gradient.columns)
    func statistics(
      _ route: ClipStatistics.Route, _ sigmaMax: Double, _ before: Double?, _ after: Double?
    ) -> ClipStatistics {
      ClipStatistics(
        route: route, sigmaMax: sigmaMax, sigmaMaxBound: sigmaMax, tau: limit,
        clippedCount: smaller, valueCount: smaller, normBefore: before, normAfter: after)
    }
    if smaller == 1 {
      let entries = gradient.materialized
      try entries.readOnly.checkFinite()
      let norm = entries.readOnly.frobeniusNorm
      entries.scale(to: weight(norm), from: 1)
      return statistics(.vector, norm, norm, entries.readOnly.norm(expecting: norm * weight(norm)))
    }
    if let (left, right) = gradient.factors,
      LayerGradient.isThin(rank: left.rows, rows: gradient.rows, columns: gradient.columns)
    {
      workspace.load(left: left, right: right)
      if workspace.scale == 0 {
        gradient.materialize()
        return statistics(.insideBall, 0, 0, 0)
      }
      if workspace.scale <= gramReach(Float.self) * limit, (try? workspace.decompose()) != nil {
        let sigma = workspace.singularValues
        let after = workspace.write(
          reweighting: sigma.count, weight, into: gradient.entries)
        gradient.setMaterialized()
        return statistics(
          .factors, sigma.last ?? 0, workspace.frobeniusNorm,
          gradient.entries.readOnly.norm(expecting: after))
      }
    }
    let decomposition = try svd(gradient.materialized.readOnly.widened())
    let sigmaMax = decomposition.sigma.first ?? 0
    let floor = roundingFloor(gradient.rows, gradient.columns, sigmaMax, tau: limit)
    var right = decomposition.vT
    right.scaleRows(by: decomposition.sigma.map { $0 <= floor ? 0 : $0 * weight($0) })
    gradient.entries.assign(rounding: matmul(decomposition.u, right))
    return statistics(.svd, sigmaMax, nil, nil)
  }
}
