// SPDX-License-Identifier: Apache-2.0

import Lab
import LinearAlgebra

/// Thresholds of one layer's clipping rules, set from mini-batches of good tokens.
struct LayerThresholds: Equatable, Sendable {
  /// The rules, in the order and by the names of the records: norm clipping at the quantile of the good gradients' norms, spectral
  /// clipping at their largest σ_1, and at the quantile of their σ_1, eq. (9).
  enum Rule: String, CaseIterable { case norm, spectral, quantile }

  /// The quantile of the good gradients' norms.
  var norm: Double
  /// The largest of the good gradients' top singular values.
  var spectral: Double
  /// The quantile of the good gradients' top singular values, eq. (9).
  var quantile: Double

  /// From the norms and top singular values of good mini-batches, [batch][layer].
  static func all(
    from good: [[(norm: Double, sigmaMax: Double)]], quantile: Double
  ) -> [LayerThresholds] {
    (good.first ?? []).indices.map { layer in
      let norms = good.map { $0[layer].norm }.sorted()
      let tops = good.map { $0[layer].sigmaMax }.sorted()
      return LayerThresholds(
        norm: Statistics.quantile(sorted: norms, quantile, .interpolated),
        spectral: tops.last ?? 0,
        quantile: Statistics.quantile(sorted: tops, quantile, .interpolated))
    }
  }

  /// The smaller threshold of the spectral rules.
  var leastTau: Double { min(spectral, quantile) }

  /// For each rule the shares that it removes of ‖G_bad‖² and of ‖G - G_bad‖², where G = scale · sum.
  ///
  /// Clipping is a linear map at the gradient at hand, C(G) = P G with P = U diag(min(1, τ/σ_i)) Uᵀ (for norm
  /// clipping P is a number), so C(G) = P G_bad + P (G - G_bad), and the shares are 1 - ‖P X‖²/‖X‖² of both
  /// parts. NaN where a part is nothing but rounding errors. `spectrum` is that of `sum`, with the vectors above
  /// `leastTau`.
  func removed(
    from sum: MatrixView<Float>, _ spectrum: GramSpectrum, _ scale: Double,
    bad: MatrixView<Float>
  ) -> [(bad: Double, rest: Double)] {
    var (badNorm, restNorm) = (0.0, 0.0)
    for i in 0..<sum.count {
      let (whole, part) = (Double(sum.base[i]), Double(bad.base[i]))
      badNorm.addProduct(part, part)
      restNorm.addProduct(whole - part, whole - part)
    }
    // u_iᵀ G_bad and u_iᵀ (G - G_bad) = σ_i v_iᵀ - u_iᵀ G_bad.
    let energies = (0..<spectrum.left.rows).map { i -> (bad: Double, rest: Double) in
      let part = product(spectrum.left.row(i), bad)
      let whole = spectrum.right.row(i)
      var (a, b) = (0.0, 0.0)
      for j in part.indices {
        let other = spectrum.sigma[i] * whole[j] - part[j]
        a.addProduct(part[j], part[j])
        b.addProduct(other, other)
      }
      return (a, b)
    }
    func shares(_ weight: (Double) -> Double) -> (bad: Double, rest: Double) {
      var (a, b) = (0.0, 0.0)
      for (sigma, energy) in zip(spectrum.sigma, energies) {
        let loss = 1 - weight(scale * sigma) * weight(scale * sigma)
        a.addProduct(loss, energy.bad)
        b.addProduct(loss, energy.rest)
      }
      return (share(a, badNorm), share(b, restNorm))
    }
    func share(_ removed: Double, _ part: Double) -> Double {
      part > 1e-12 * (badNorm + restNorm) ? removed / part : .nan
    }
    let size = scale * euclideanNorm(spectrum.sigma)
    return Rule.allCases.map { rule in
      switch rule {
      case .norm:
        let kept = min(1, norm / size)
        return (
          share((1 - kept * kept) * badNorm, badNorm), share((1 - kept * kept) * restNorm, restNorm)
        )
      case .spectral: return shares { min(1, spectral / $0) }
      case .quantile: return shares { min(1, quantile / $0) }
      }
    }
  }
}
