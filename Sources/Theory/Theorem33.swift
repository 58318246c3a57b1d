// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Theorem 3.3: spectrally clipped SGD with constant threshold, X ← X - η C_τ(G).
///
/// The mean over k < K of E‖∇f(X_k)‖² is at most the sum of three terms: optimization error, noise, and
/// the mean squared bias. Our constants (the paper's are not legible in the copy at hand).
public struct Theorem33: Sendable {
  /// The two versions.
  public enum Version: String, Sendable, CaseIterable {
    /// The text's route, η <= 1/(4L): 4Δ₀/(ηK) + 4LηV + (2/K)ΣEΔ_k².
    case a
    /// A sharper one, η <= 1/L: 2Δ₀/(ηK) + LηV + (1/K)ΣEΔ_k².
    case b
  }

  /// Which version.
  public let version: Version
  /// L of Assumption 3.1.
  public let smoothness: Double
  /// Δ₀ = f(X_0) - f*.
  public let initialGap: Double
  /// η.
  public let eta: Double
  /// K.
  public let steps: Int
  /// V of Lemma C.1 at τ, or its mean over the steps.
  public let variance: Double

  /// Throws a `HypothesisError` for L <= 0, η outside the version's range, K < 1 or Δ₀ < 0.
  public init(
    _ version: Version, smoothness: Double, initialGap: Double, eta: Double, steps: Int,
    variance: Double
  ) throws(HypothesisError) {
    let name = "Theorem 3.3(\(version.rawValue))"
    let limit = version == .a ? 0.25 / smoothness : 1 / smoothness
    try HypothesisError.require(name, "L > 0", smoothness, smoothness > 0)
    try HypothesisError.require(name, "0 < eta <= \(limit)", eta, eta > 0 && eta <= limit)
    try HypothesisError.require(name, "K >= 1", Double(steps), steps >= 1)
    try HypothesisError.require(name, "f(X_0) >= f*", initialGap, initialGap >= 0)
    (self.version, self.smoothness, self.initialGap) = (version, smoothness, initialGap)
    (self.eta, self.steps, self.variance) = (eta, steps, variance)
  }

  /// The optimization error.
  public var optimization: Double {
    (version == .a ? 4 : 2) * initialGap / (eta * Double(steps))
  }
  /// The noise term.
  public var noise: Double { (version == .a ? 4 : 1) * smoothness * eta * variance }
  /// The factor of the mean squared bias.
  public var biasFactor: Double { version == .a ? 2 : 1 }

  /// The whole bound for a mean squared bias (1/K)ΣEΔ_k².
  public func bound(meanSquaredBias: Double) -> Double {
    optimization + noise + biasFactor * meanSquaredBias
  }

  /// One step of version b, for any f with L: E f(X₊) <= f(X) - (η/2)‖g‖² + (η/2)Δ² + (Lη²/2)V.
  public static func oneStep(
    _ problem: Problem, at x: Matrix<Double>, law: DiscreteLaw, tau: Double, eta: Double,
    alpha: Double
  ) throws -> Inequality {
    let l = problem.smoothness
    try HypothesisError.require(
      "Theorem 3.3(b), one step", "0 < eta <= 1/L = \(1 / l)", eta, eta > 0 && eta <= 1 / l)
    let g = problem.gradient(x)
    let v = try LemmaC1.variance(
      tau: tau, rank: min(x.rows, x.columns), alpha: alpha, sigma: law.sigma(alpha))
    let delta = try Ingredients.bias(g, law, tau)
    let left = try law.expectation { problem.value(x - eta * (try clipped(g + $0, at: tau))) }
    let value = problem.value(x)
    let right =
      value - 0.5 * eta * g.norm * g.norm + 0.5 * eta * delta * delta + 0.5 * l * eta * eta * v
    return Inequality(
      "Theorem 3.3(b), one step", left, right,
      carrier: value + eta * g.norm * (g.norm + law.expectation { $0.norm }), size: x.longerSide)
  }
}
