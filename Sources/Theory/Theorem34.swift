// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// Theorem 3.4: the mean over k < K of E min(‖∇f(X_k)‖, ‖∇f(X_k)‖²) for η <= 1/(4L), τ >= max{1, 8σ}, and
/// its decay as K^((2-2α)/(3α-2)) for the theorem's own τ and η. Our constants.
public struct Theorem34: Sendable {
  /// L of Assumption 3.1.
  public let smoothness: Double
  /// Δ₀ = f(X_0) - f*.
  public let initialGap: Double
  /// α of Assumption 3.2.
  public let alpha: Double
  /// σ of Assumption 3.2.
  public let sigma: Double
  /// min(m, n).
  public let rank: Int
  /// K.
  public let steps: Int
  /// τ.
  public let tau: Double
  /// η.
  public let eta: Double

  /// With given τ and η. Throws a `HypothesisError` for α outside (1, 2], τ below max{1, 8σ}, η above 1/(4L).
  public init(
    smoothness: Double, initialGap: Double, alpha: Double, sigma: Double, rank: Int, steps: Int,
    tau: Double, eta: Double
  ) throws(HypothesisError) {
    try HypothesisError.requireMoment("Theorem 3.4", alpha: alpha, sigma: sigma, tau: tau)
    let (limit, least) = (0.25 / smoothness, max(1, 8 * sigma))
    try HypothesisError.require(
      "Theorem 3.4", "tau >= max{1, 8 sigma} = \(least)", tau, tau >= least)
    try HypothesisError.require(
      "Theorem 3.4", "0 < eta <= 1/(4L) = \(limit)", eta, eta > 0 && eta <= limit)
    try HypothesisError.require("Theorem 3.4", "K >= 1", Double(steps), steps >= 1)
    try HypothesisError.require("Theorem 3.4", "f(X_0) >= f*", initialGap, initialGap >= 0)
    (self.smoothness, self.initialGap, self.alpha) = (smoothness, initialGap, alpha)
    (self.sigma, self.rank, self.steps) = (sigma, rank, steps)
    (self.tau, self.eta) = (tau, eta)
  }

  /// With the theorem's τ = max{1, 8σ, K^(1/(3α-2))} and η = τ^(-α)/(4L).
  public init(
    smoothness: Double, initialGap: Double, alpha: Double, sigma: Double, rank: Int, steps: Int
  ) throws(HypothesisError) {
    try HypothesisError.requireMoment("Theorem 3.4", alpha: alpha, sigma: sigma, tau: 1)
    let tau = max(1, 8 * sigma, Self.scheduledTau(steps: steps, alpha: alpha))
    try self.init(
      smoothness: smoothness, initialGap: initialGap, alpha: alpha, sigma: sigma, rank: rank,
      steps: steps, tau: tau, eta: 0.25 * pow(tau, -alpha) / smoothness)
  }

  /// K^(1/(3α-2)).
  public static func scheduledTau(steps: Int, alpha: Double) -> Double {
    pow(Double(steps), 1 / (3 * alpha - 2))
  }

  /// (2-2α)/(3α-2), the exponent of K.
  public static func rate(alpha: Double) -> Double { (2 - 2 * alpha) / (3 * alpha - 2) }

  /// The optimization error, 4Δ₀/(ηK).
  public var optimization: Double { 4 * initialGap / (eta * Double(steps)) }
  /// The noise term, 4Lη(2√r τ)^(2-α)σ^α.
  public var noise: Double {
    4 * smoothness * eta * pow(2 * Double(rank).squareRoot() * tau, 2 - alpha) * pow(sigma, alpha)
  }
  /// The bias term, 2·4^(α-1)σ^(2α)τ^(2-2α).
  public var bias: Double {
    2 * pow(4, alpha - 1) * pow(sigma, 2 * alpha) * pow(tau, 2 - 2 * alpha)
  }
  /// The whole bound.
  public var bound: Double { optimization + noise + bias }

  /// One step: E f(X₊) <= f(X) - (η/4)min(‖g‖², τ‖g‖) + Lη²V + (η/2)4^(α-1)σ^(2α)τ^(2-2α).
  public static func oneStep(
    _ problem: Problem, at x: Matrix<Double>, law: DiscreteLaw, tau: Double, eta: Double,
    alpha: Double
  ) throws -> Inequality {
    let (l, sigma, rank) = (problem.smoothness, law.sigma(alpha), min(x.rows, x.columns))
    let theorem = try Theorem34(
      smoothness: l, initialGap: 0, alpha: alpha, sigma: sigma, rank: rank, steps: 1, tau: tau,
      eta: eta)
    let g = problem.gradient(x)
    let left = try law.expectation { problem.value(x - eta * (try clipped(g + $0, at: tau))) }
    let value = problem.value(x)
    // The bound's noise and bias terms are four times those of one step, over η.
    let right =
      value - 0.25 * eta * min(g.norm * g.norm, tau * g.norm)
      + 0.25 * eta * (theorem.noise + theorem.bias)
    return Inequality(
      "Theorem 3.4, one step", left, right,
      carrier: value + eta * g.norm * (g.norm + law.expectation { $0.norm }), size: x.longerSide)
  }
}
