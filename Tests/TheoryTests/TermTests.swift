// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Testing

@testable import Theory

/// Every theorem's bound and each of its terms against an evaluation of its own: the formulas once more, by logarithms
/// and from the statement, not from the code. A term that is too small may be wrong for years without a violation, because
/// bounds are seldom tight.
@Suite struct TermTests {
  /// e^(Σ exponent · log base): products of powers, another way than `pow`.
  private func product(_ factors: (base: Double, exponent: Double)...) -> Double {
    exp(factors.reduce(0) { $0 + ($1.exponent == 0 ? 0 : $1.exponent * log($1.base)) })
  }

  /// Some thirty roundings of exponents up to about ten.
  private func expectEqual(_ got: Double, _ want: Double, _ what: String) {
    #expect(abs(got - want) <= 1e-13 * abs(want), "\(what): \(got), not \(want)")
  }

  /// σ, r, τ, η, L, Δ₀, K of many orders, of which no two are alike.
  private struct Setting {
    var alpha: Double, sigma: Double, rank: Int, tau: Double, eta: Double
    var smoothness: Double, gap: Double, steps: Int
  }

  private let settings: [Setting] = [1.05, 1.3, 1.5, 1.77, 2].flatMap { alpha in
    [(0.3, 2, 7.0), (1.7, 5, 31.0), (0.02, 1, 1.0)].map { sigma, rank, tau in
      Setting(
        alpha: alpha, sigma: sigma, rank: rank, tau: tau, eta: 0.03, smoothness: 2.5, gap: 11.5,
        steps: 730)
    }
  }

  @Test func lemmaC1() throws {
    for s in settings {
      let v = try LemmaC1.variance(tau: s.tau, rank: s.rank, alpha: s.alpha, sigma: s.sigma)
      let want = product(
        (4 * Double(s.rank) * s.tau * s.tau, (2 - s.alpha) / 2), (s.sigma, s.alpha))
      expectEqual(v, want, "V at \(s)")
    }
  }

  @Test func theorem33() throws {
    for s in settings {
      let v = 0.37
      let a = try Theorem33(
        .a, smoothness: s.smoothness, initialGap: s.gap, eta: s.eta, steps: s.steps, variance: v)
      let b = try Theorem33(
        .b, smoothness: s.smoothness, initialGap: s.gap, eta: s.eta, steps: s.steps, variance: v)
      let k = Double(s.steps)
      // (a) 4Δ₀/(ηK) + 4LηV + 2·bias²; (b) 2Δ₀/(ηK) + LηV + bias².
      expectEqual(a.optimization, s.gap * 4 / s.eta / k, "3.3(a), first term")
      expectEqual(a.noise, v * s.eta * s.smoothness * 4, "3.3(a), second term")
      expectEqual(
        a.bound(meanSquaredBias: 100) - a.bound(meanSquaredBias: 0), 200, "3.3(a), third term")
      expectEqual(
        a.bound(meanSquaredBias: 0.9),
        s.gap * 4 / s.eta / k + v * s.eta * s.smoothness * 4 + 1.8, "3.3(a)")
      expectEqual(b.optimization, s.gap * 2 / s.eta / k, "3.3(b), first term")
      expectEqual(b.noise, v * s.eta * s.smoothness, "3.3(b), second term")
      expectEqual(
        b.bound(meanSquaredBias: 100) - b.bound(meanSquaredBias: 0), 100, "3.3(b), third term")
      expectEqual(
        b.bound(meanSquaredBias: 0.9), s.gap * 2 / s.eta / k + v * s.eta * s.smoothness + 0.9,
        "3.3(b)")
    }
    // With η = 1/(4L√K): (16LΔ₀ + V)/√K + 2·bias².
    let (l, gap, v, k) = (3.0, 2.0, 0.5, 400)
    let root = Double(k).squareRoot()
    let theorem = try Theorem33(
      .a, smoothness: l, initialGap: gap, eta: 1 / (4 * l * root), steps: k, variance: v)
    expectEqual(
      theorem.bound(meanSquaredBias: 0.01), (16 * l * gap + v) / root + 0.02, "3.3(a), its rate")
  }

  @Test func stepsOfTheorem33And34() throws {
    let problem = Problem.quadratic(
      rows: 2, columns: 3, condition: 4, stream: RandomStream(seed: 1, name: "terms"))
    let atom = Matrix<Double>(rows: 2, columns: 3, elements: [0.05, -0.1, 0, 0.02, 0.06, -0.03])
    let law = DiscreteLaw(centring: [atom, -2 * atom], weights: [2, 1])
    let l = problem.smoothness
    for alpha in [1.2, 1.6, 2] {
      let sigma = product((law.expectation { exp(alpha * log($0.frobeniusNorm)) }, 1 / alpha))
      for size in [0.3, 4.0] {
        let x = Matrix<Double>(
          rows: 2, columns: 3, elements: [1, -2, 0.5, 3, 1, -1].map { size * $0 })
        let g = problem.gradient(x).frobeniusNorm
        let (tau, eta) = (1.5, 0.2 / l)
        // V = (2√2 τ)^(2-α) σ^α for the smaller side 2.
        let v = product((8 * tau * tau, (2 - alpha) / 2), (sigma, alpha))
        let one = try Theorem33.oneStep(
          problem, at: x, law: law, tau: tau, eta: eta, alpha: alpha)
        let delta = try Ingredients.bias(problem.gradient(x), law, tau)
        expectEqual(
          one.rhs,
          problem.value(x) - eta * g * g / 2 + eta * delta * delta / 2 + l * eta * eta * v / 2,
          "3.3, one step, alpha \(alpha)")
        // f - (η/4) min(‖g‖², τ‖g‖) + Lη²V + (η/2) 4^(α-1) σ^(2α) τ^(2-2α)
        let other = try Theorem34.oneStep(
          problem, at: x, law: law, tau: tau, eta: eta, alpha: alpha)
        let last = product((4, alpha - 1), (sigma, 2 * alpha), (tau, 2 - 2 * alpha))
        expectEqual(
          other.rhs,
          problem.value(x) - eta / 4 * min(g * g, tau * g) + l * eta * eta * v + eta / 2 * last,
          "3.4, one step, alpha \(alpha)")
      }
    }
  }

  @Test func theorem34() throws {
    for s in settings where s.tau >= max(1, 8 * s.sigma) {
      let theorem = try Theorem34(
        smoothness: s.smoothness, initialGap: s.gap, alpha: s.alpha, sigma: s.sigma, rank: s.rank,
        steps: s.steps, tau: s.tau, eta: s.eta)
      let first = s.gap * 4 / (s.eta * Double(s.steps))
      let second =
        4 * s.smoothness * s.eta
        * product((4 * Double(s.rank) * s.tau * s.tau, (2 - s.alpha) / 2), (s.sigma, s.alpha))
      let third =
        2 * product((4, s.alpha - 1), (s.sigma, 2 * s.alpha), (s.tau, 2 - 2 * s.alpha))
      expectEqual(theorem.optimization, first, "3.4-i, first term at \(s)")
      expectEqual(theorem.noise, second, "3.4-i, second term at \(s)")
      expectEqual(theorem.bias, third, "3.4-i, third term at \(s)")
      expectEqual(theorem.bound, first + second + third, "3.4-i at \(s)")
    }
  }

  /// 3.4-ii: τ = max{1, 8σ, K^(1/(3α-2))}, η = τ^(-α)/(4L), and where the last of the three is the largest
  /// [16LΔ₀ + (2√r)^(2-α) σ^α + 2·4^(α-1) σ^(2α)] K^((2-2α)/(3α-2)).
  @Test func theorem34AtItsOwnSchedule() throws {
    for alpha in [1.05, 1.3, 1.5, 2] {
      for (sigma, rank, steps) in [(0.1, 2, 5000), (0.2, 7, 100), (3, 3, 50)] {
        let (l, gap) = (1.7, 2.3)
        let theorem = try Theorem34(
          smoothness: l, initialGap: gap, alpha: alpha, sigma: sigma, rank: rank, steps: steps)
        let scheduled = product((Double(steps), 1 / (3 * alpha - 2)))
        let tau = [1, 8 * sigma, scheduled].max() ?? 0
        expectEqual(theorem.tau, tau, "3.4-ii, tau")
        expectEqual(theorem.eta, product((tau, -alpha)) / l / 4, "3.4-ii, eta")
        let general =
          16 * l * gap * product((tau, alpha)) / Double(steps)
          + product((4 * Double(rank), (2 - alpha) / 2), (sigma, alpha), (tau, 2 - 2 * alpha))
          + 2 * product((4, alpha - 1), (sigma, 2 * alpha), (tau, 2 - 2 * alpha))
        expectEqual(theorem.bound, general, "3.4-ii, alpha \(alpha), sigma \(sigma)")
        guard tau == scheduled else { continue }
        let constant =
          16 * l * gap + product((4 * Double(rank), (2 - alpha) / 2), (sigma, alpha))
          + 2 * product((4, alpha - 1), (sigma, 2 * alpha))
        expectEqual(
          theorem.bound,
          constant * product((Double(steps), (2 - 2 * alpha) / (3 * alpha - 2))),
          "3.4-ii, its rate, alpha \(alpha)")
      }
      expectEqual(
        Theorem34.rate(alpha: alpha), 2 * (1 - alpha) / (3 * alpha - 2), "the exponent")
      expectEqual(
        Theorem34.scheduledTau(steps: 1000, alpha: alpha), product((1000, 1 / (3 * alpha - 2))),
        "the schedule")
    }
    // Neither bound of a hypothesis is looser than the theorem's: τ >= max{1, 8σ}, η <= 1/(4L), and η <= 1/L for 3.3(b).
    func holds(tau: Double, eta: Double, sigma: Double) -> Bool {
      (try? Theorem34(
        smoothness: 2, initialGap: 1, alpha: 1.5, sigma: sigma, rank: 1, steps: 1, tau: tau,
        eta: eta)) != nil
    }
    #expect(holds(tau: 1, eta: 0.125, sigma: 0.125) && holds(tau: 8, eta: 0.1, sigma: 1))
    #expect(!holds(tau: 0.999, eta: 0.1, sigma: 0) && !holds(tau: 7.99, eta: 0.1, sigma: 1))
    #expect(!holds(tau: 9, eta: 0.1251, sigma: 1) && !holds(tau: 9, eta: 0, sigma: 1))
    for (version, limit) in [(Theorem33.Version.a, 0.125), (.b, 0.5)] {
      func may(_ eta: Double) -> Bool {
        (try? Theorem33(version, smoothness: 2, initialGap: 1, eta: eta, steps: 1, variance: 0))
          != nil
      }
      #expect(may(limit) && !may(1.001 * limit))
    }
  }

  @Test func ingredientsAtAnInstance() throws {
    let g = Matrix<Double>(rows: 2, columns: 2, elements: [0.3, -0.1, 0.2, 0.25])
    let atom = Matrix<Double>(rows: 2, columns: 2, elements: [1, 2, -0.5, 0.7])
    let law = DiscreteLaw(centring: [atom, -0.5 * atom], weights: [1, 2])
    let (tau, alpha) = (1.1, 1.4)
    let moment = law.expectation { exp(alpha * log($0.frobeniusNorm)) }
    // Δ <= 2^(α-1) σ^α τ^(1-α)
    expectEqual(
      try Ingredients.biasByMoment(g, law: law, tau: tau, alpha: alpha).rhs,
      moment * product((2, alpha - 1), (tau, 1 - alpha)), "bias by moment")
    expectEqual(
      try Ingredients.biasByExcess(g, law: law, tau: tau).rhs,
      law.expectation { max(0, $0.frobeniusNorm - tau / 2) }, "bias by excess")
    let v = product((8 * tau * tau, (2 - alpha) / 2)) * moment
    expectEqual(try LemmaC1.spread(g, law: law, tau: tau, alpha: alpha).rhs, v, "L1")
    let c = try clipped(g, at: tau).frobeniusNorm
    expectEqual(
      try LemmaC1.secondMoment(g, law: law, tau: tau, alpha: alpha).rhs, 2 * c * c + 2 * v, "L2")
    // (τ/2)‖A‖, and the curvature term Lη²‖C‖² against (η/4)⟨A, C(A)⟩.
    let large = 5 * g
    expectEqual(
      try Ingredients.largeGradient(large, tau: tau).lhs, tau / 2 * large.frobeniusNorm, "(c)")
    let clip = try clipped(large, at: tau)
    let curvature = try Ingredients.curvature(large, tau: tau, eta: 0.1, smoothness: 2.5)
    expectEqual(curvature.lhs, 0.025 * clip.frobeniusNorm * clip.frobeniusNorm, "(f'), left")
    let scalar = zip(large.elements, clip.elements).reduce(0) { $0 + $1.0 * $1.1 }
    expectEqual(curvature.rhs, 0.025 * scalar, "(f'), right")
    let noise = try Ingredients.innerProductUnderNoise(g, law: law, tau: tau, alpha: alpha)
    let own = try clipped(g, at: tau)
    expectEqual(
      noise.lhs,
      zip(g.elements, own.elements).reduce(0) { $0 + $1.0 * $1.1 }
        - product((moment, 1 / alpha)) * g.frobeniusNorm, "(f)")
  }

  @Test func appendixB() throws {
    let a = Matrix<Double>(rows: 1, columns: 2, elements: [3, 4])
    let b = Matrix<Double>(rows: 1, columns: 2, elements: [5, -12])
    expectEqual(try AppendixB.young(a, b, c: 0.4).rhs, 0.2 * 25 + 169 / 0.8, "(12)")
    expectEqual(try AppendixB.youngSum(a, b, c: 0.4).rhs, 1.4 * 25 + 3.5 * 169, "(13)")
    expectEqual(AppendixB.cauchySchwarz(a, b).rhs, 65, "(14)")
    expectEqual(
      try AppendixB.power(a, b, p: 3).rhs, 4 * (125 + 2197), "(15)")
    let law = DiscreteLaw(centring: [a, -1 * a], weights: [1, 1])
    // All of the law has norm 5.
    expectEqual(
      try AppendixB.markov(law: law, level: 10, alpha: 1.5).rhs, product((0.5, 1.5)), "(19)")
    expectEqual(try AppendixB.hoelder(law: law, level: 4, alpha: 1.5).rhs, 5, "(18)")
    expectEqual(
      try AppendixB.jensen(b, law: law, p: 2).rhs, 169 + 25, "(16), (17): the cross terms cancel")
  }

  @Test func neighboursBounds() throws {
    // Per-sample clipping: p G^p a^(1-p) n^(-(p-1)/p), and G^p a^(2-p) n^(-2) Σ k^((2-p)/p).
    for (p, size, scale, n) in [(1.3, 2.0, 0.7, 9), (2, 1.5, 3, 4)] {
      let rule = try PerSampleClipping(moment: p, size: size, scale: scale)
      let count = Double(n)
      let bias = p * product((size, p), (scale, 1 - p), (count, -(p - 1) / p))
      let sum = (1...n).reduce(0) { $0 + product((Double($1), (2 - p) / p)) }
      let variance = product((size, p), (scale, 2 - p), (count, -2)) * sum
      expectEqual(rule.biasBound(n), bias, "per-sample bias")
      expectEqual(rule.varianceBound(n), variance, "per-sample variance")
      expectEqual(rule.threshold(5), scale * product((5, 1 / p)), "per-sample threshold")
      expectEqual(PerSampleClipping.rate(moment: p), (2 - 2 * p) / p, "per-sample rate")
      expectEqual(
        rule.descentBound(smoothness: 3, gap: 7, samples: n, steps: 12),
        3.5 + bias * bias + variance, "per-sample descent")
    }
    // (L₀, L₁): 20L₀D/ε² + 20max{1, L₁²}D/L₀ and 4(ML₁ + L₀)D/ε² with M at the start's level.
    for (f, start, d, m) in [
      (RelaxedSmoothness.Function.quartic, [2.0, 1], 17.0, 4 * product((17, 0.75))),
      (.hyperbolic, [log(3.0), 0], 2.0 / 3, (25.0 / 9 - 1).squareRoot()),
    ] {
      let epsilon = 0.3
      let clipped = try #require(
        RelaxedSmoothness.bound(.clipped, f, from: start, epsilon: epsilon))
      let fixed = try #require(RelaxedSmoothness.bound(.fixed, f, from: start, epsilon: epsilon))
      let l0 = f == .quartic ? 16.0 : 1
      expectEqual(clipped, 20 * l0 * d / 0.09 + 20 * d / l0, "1905.11881, clipped, \(f)")
      expectEqual(fixed, 4 * (m + l0) * d / 0.09, "1905.11881, fixed, \(f)")
      expectEqual(
        RelaxedSmoothness.minimaxLowerBound(f, from: start, epsilon: epsilon),
        m * (d - 5 * epsilon / 8) / (8 * 0.09 * (log(m) + 1)), "1905.11881, lower, \(f)")
      // η_c = 1/(10L₀); γη_c = min(1, 1/(10L₁)) beyond γ; 1/(2(ML₁ + L₀)).
      let eta = 0.1 / l0
      func step(_ rule: RelaxedSmoothness.Descent, _ norm: Double) -> Double {
        RelaxedSmoothness.step(rule, f, norm: norm, largestGradient: 9)
      }
      expectEqual(step(.clipped, 1e-3), eta, "short steps")
      expectEqual(step(.clipped, 500), 0.1 / 500, "clipped steps")
      expectEqual(step(.normalised, 500), 0.1 / (500 + l0), "normalised steps")
      expectEqual(step(.fixed, 1), 0.5 / (9 + l0), "fixed steps")
      // The definition's right-hand side, L₀ + L₁‖∇f‖.
      let slope = f == .quartic ? (32.0 * 32 + 16).squareRoot() : 4.0 / 3
      expectEqual(RelaxedSmoothness.definition(f, at: start).rhs, l0 + slope, "definition, \(f)")
    }
    // δ-GClip: h = η min{1, max(δ, γ/‖g‖)}; (1 - ηδμ/2)^t ℓ₀; 4√(ℓ₀/μ).
    let clip = try DeltaClipping(eta: 0.02, gamma: 0.5, delta: 0.1)
    expectEqual(clip.step(norm: 0.4), 0.02, "delta, inside")
    expectEqual(clip.step(norm: 2), 0.005, "delta, clipped")
    expectEqual(clip.step(norm: 50), 0.002, "delta, at its least")
    let problem = try DeltaClipping.LeastSquares(
      samples: 4, dimension: 6, stream: RandomStream(seed: 2, name: "terms"))
    let slow = try DeltaClipping(eta: 0.9 / problem.smoothness, gamma: 0.5, delta: 0.1)
    let found = try slow.onLeastSquares(problem, steps: 7)
    let start = found[0].lhs
    for t in 0...7 {
      expectEqual(
        found[t].rhs,
        start * product((1 - 0.045 / problem.smoothness * problem.mu, Double(t))), "decay \(t)")
    }
    expectEqual(found[8].rhs, 4 * (start / problem.mu).squareRoot(), "length of the path")
  }
}
