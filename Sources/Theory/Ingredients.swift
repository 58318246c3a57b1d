// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// The steps of the proofs of Theorems 3.3 and 3.4, each with both its sides. Letters as in the article
/// `ConvergenceBounds`; constants are ours, since the paper's are not legible in the copy at hand.
public enum Ingredients {
  /// (a) C_τ is a projection onto a convex set: ‖C(A) - C(B)‖ <= ‖A - B‖.
  public static func nonExpansive(
    _ a: Matrix<Double>, _ b: Matrix<Double>, tau: Double
  ) throws -> Inequality {
    Inequality(
      "(a) non-expansive", try (clipped(a, at: tau) - clipped(b, at: tau)).norm, (a - b).norm,
      carrier: a.norm + b.norm, size: a.longerSide)
  }

  /// (b) ‖C(A)‖² <= ⟨A, C(A)⟩, since σ min(σ, τ) >= min(σ, τ)².
  public static func projection(_ a: Matrix<Double>, tau: Double) throws -> Inequality {
    let c = try clipped(a, at: tau)
    return Inequality(
      "(b) projection", c.norm * c.norm, inner(a, c), carrier: a.norm * c.norm, size: a.longerSide)
  }

  /// (c) For ‖A‖ > τ/2: (τ/2)‖A‖ <= ⟨A, C(A)⟩.
  public static func largeGradient(_ a: Matrix<Double>, tau: Double) throws -> Inequality {
    try HypothesisError.require(
      "(c) large gradient", "||A|| > tau/2 = \(tau / 2)", a.norm, a.norm > tau / 2)
    let c = try clipped(a, at: tau)
    return Inequality(
      "(c) large gradient", 0.5 * tau * a.norm, inner(a, c), carrier: a.norm * c.norm,
      size: a.longerSide)
  }

  /// (d) For ‖X‖ <= τ/2: ‖B - C(B)‖ <= (‖B - X‖ - τ/2)₊, with τ/2 added on both sides.
  public static func smallMean(
    _ x: Matrix<Double>, _ b: Matrix<Double>, tau: Double
  ) throws -> Inequality {
    try HypothesisError.require(
      "(d) small mean", "||X|| <= tau/2 = \(tau / 2)", x.norm, x.norm <= tau / 2)
    return Inequality(
      "(d) small mean", try (b - clipped(b, at: tau)).norm + 0.5 * tau,
      max((b - x).norm, 0.5 * tau), carrier: b.norm + x.norm, size: b.longerSide)
  }

  /// (e) Case 1: -η⟨g, EC⟩ = -(η/2)‖g‖² - (η/2)‖EC‖² + (η/2)Δ² with Δ = ‖g - EC‖, as |difference| <= 0.
  public static func polarisation(
    _ g: Matrix<Double>, law: DiscreteLaw, tau: Double
  ) throws -> Inequality {
    let mean = try law.mean { try clipped(g + $0, at: tau) }
    let (a, b, delta) = (g.norm, mean.norm, (g - mean).norm)
    let difference = -inner(g, mean) + 0.5 * a * a + 0.5 * b * b - 0.5 * delta * delta
    return Inequality(
      "(e) polarisation", difference.magnitude, 0, carrier: a * a + b * b + delta * delta,
      size: g.longerSide)
  }

  /// (f) Case 2: ⟨g, C(g)⟩ - σ‖g‖ <= E⟨g, C(G)⟩ with σ of any order α >= 1.
  public static func innerProductUnderNoise(
    _ g: Matrix<Double>, law: DiscreteLaw, tau: Double, alpha: Double
  ) throws -> Inequality {
    let left = try inner(g, clipped(g, at: tau)) - law.sigma(alpha) * g.norm
    let right = try law.expectation { try inner(g, clipped(g + $0, at: tau)) }
    return Inequality(
      "(f) inner product under noise", left, right,
      carrier: g.norm * (g.norm + law.expectation { $0.norm }), size: g.longerSide)
  }

  /// (f') For η <= 1/(4L): Lη²‖C(g)‖² <= (η/4)⟨g, C(g)⟩.
  public static func curvature(
    _ g: Matrix<Double>, tau: Double, eta: Double, smoothness: Double
  ) throws -> Inequality {
    try HypothesisError.require(
      "(f') curvature", "eta <= 1/(4L) = \(0.25 / smoothness)", eta, eta <= 0.25 / smoothness)
    let c = try clipped(g, at: tau)
    return Inequality(
      "(f') curvature", smoothness * eta * eta * c.norm * c.norm, 0.25 * eta * inner(g, c),
      carrier: 0.25 * eta * g.norm * c.norm, size: g.longerSide)
  }

  /// The bias of the clipped gradient: for ‖g‖ <= τ/2, Δ <= E(‖G - g‖ - τ/2)₊.
  public static func biasByExcess(
    _ g: Matrix<Double>, law: DiscreteLaw, tau: Double
  ) throws -> Inequality {
    try HypothesisError.require(
      "bias by excess", "||g|| <= tau/2 = \(tau / 2)", g.norm, g.norm <= tau / 2)
    return Inequality(
      "bias by excess", try bias(g, law, tau),
      law.expectation { max($0.norm - 0.5 * tau, 0) },
      carrier: g.norm + law.expectation { $0.norm }, size: g.longerSide)
  }

  /// The same by Markov and Hölder: Δ <= 2^(α-1) σ^α τ^(1-α).
  public static func biasByMoment(
    _ g: Matrix<Double>, law: DiscreteLaw, tau: Double, alpha: Double
  ) throws -> Inequality {
    try HypothesisError.requireMoment(
      "bias by moment", alpha: alpha, sigma: law.sigma(alpha), tau: tau)
    try HypothesisError.require(
      "bias by moment", "||g|| <= tau/2 = \(tau / 2)", g.norm, g.norm <= tau / 2)
    return Inequality(
      "bias by moment", try bias(g, law, tau),
      pow(2, alpha - 1) * law.moment(alpha) * pow(tau, 1 - alpha),
      carrier: g.norm + law.expectation { $0.norm }, size: g.longerSide)
  }

  /// Δ = ‖g - E C(G)‖, exactly.
  public static func bias(
    _ g: Matrix<Double>, _ law: DiscreteLaw, _ tau: Double
  ) throws -> Double {
    try (g - law.mean { try clipped(g + $0, at: tau) }).norm
  }
}

/// Lemma C.1: the second moment of the clipped gradient under Assumption 3.2.
public enum LemmaC1 {
  /// V(τ) = (2√r τ)^(2-α) σ^α, r = min(m, n); independent of τ for α = 2.
  public static func variance(
    tau: Double, rank: Int, alpha: Double, sigma: Double
  ) throws(HypothesisError) -> Double {
    try HypothesisError.requireMoment("Lemma C.1", alpha: alpha, sigma: sigma, tau: tau)
    if alpha == 2 { return sigma * sigma }
    return pow(2 * Double(rank).squareRoot() * tau, 2 - alpha) * pow(sigma, alpha)
  }

  /// (L1) E‖C(G) - C(g)‖² <= V(τ).
  public static func spread(
    _ g: Matrix<Double>, law: DiscreteLaw, tau: Double, alpha: Double
  ) throws -> Inequality {
    let c = try clipped(g, at: tau)
    let left = try law.expectation { z in
      let d = try (clipped(g + z, at: tau) - c).norm
      return d * d
    }
    let v = try variance(
      tau: tau, rank: min(g.rows, g.columns), alpha: alpha, sigma: law.sigma(alpha))
    return Inequality(
      "Lemma C.1 (L1)", left, v, carrier: (g.norm + law.expectation { $0.norm }) * c.norm,
      size: g.longerSide)
  }

  /// (L2) E‖C(G)‖² <= 2‖C(g)‖² + 2V(τ).
  public static func secondMoment(
    _ g: Matrix<Double>, law: DiscreteLaw, tau: Double, alpha: Double
  ) throws -> Inequality {
    let c = try clipped(g, at: tau).norm
    let left = try law.expectation { z in
      let d = try clipped(g + z, at: tau).norm
      return d * d
    }
    let v = try variance(
      tau: tau, rank: min(g.rows, g.columns), alpha: alpha, sigma: law.sigma(alpha))
    return Inequality(
      "Lemma C.1 (L2)", left, 2 * c * c + 2 * v, carrier: c * c, size: g.longerSide)
  }
}
