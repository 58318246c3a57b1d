// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// Why clipping accelerates (arXiv 1905.11881): gradient descent under ‖∇²f‖ <= L₀ + L₁‖∇f‖.
public struct RelaxedSmoothness: Sendable {
  /// Functions of that kind, of vectors[d], with infimum 0.
  public enum Function: Sendable, CaseIterable {
    /// Σ x⁴: 12x² <= 16/L₁² + L₁·4|x|³ for every L₁; here L₁ = 1, L₀ = 16.
    case quartic
    /// Σ (cosh x - 1): cosh x <= 1 + |sinh x|, L₀ = L₁ = 1.
    case hyperbolic

    /// L₀.
    public var l0: Double { self == .quartic ? 16 : 1 }
    /// L₁.
    public var l1: Double { 1 }

    /// f(x).
    public func value(_ x: [Double]) -> Double {
      self == .quartic
        ? x.reduce(0) { $0 + $1 * $1 * $1 * $1 } : x.reduce(0) { $0 + cosh($1) - 1 }
    }

    /// ∇f(x).
    public func gradient(_ x: [Double]) -> [Double] {
      self == .quartic ? x.map { 4 * $0 * $0 * $0 } : x.map { sinh($0) }
    }

    /// ‖∇²f(x)‖ = max |f''|, both functions being sums over coordinates.
    public func curvature(_ x: [Double]) -> Double {
      (self == .quartic ? x.map { 12 * $0 * $0 } : x.map { cosh($0) }).max() ?? 0
    }

    /// M = sup ‖∇f‖ over {f <= level}: reached where one coordinate takes all of the level.
    public func largestGradient(level: Double) -> Double {
      self == .quartic ? 4 * pow(level, 0.75) : sinh(acosh(1 + level))
    }
  }

  /// The definition itself: ‖∇²f(x)‖ <= L₀ + L₁‖∇f(x)‖.
  public static func definition(_ f: Function, at x: [Double]) -> Inequality {
    let curvature = f.curvature(x)
    return Inequality(
      "1905.11881, (L0, L1)-smoothness", curvature, f.l0 + f.l1 * length(f.gradient(x)),
      carrier: curvature, size: x.count)
  }

  /// Step size rules.
  public enum Descent: String, Sendable, CaseIterable {
    /// h = min{η_c, γη_c/‖g‖}, η_c = 1/(10 L₀), γ = min{1/η_c, 1/(10 L₁ η_c)}.
    case clipped
    /// h = η_n/(‖g‖ + β) with γη_c = η_n, η_c = η_n/β: within a factor two of the clipped step.
    case normalised
    /// h = 1/(2(M L₁ + L₀)).
    case fixed
  }

  /// The step size at a gradient of norm `norm`; M for the fixed rule.
  public static func step(
    _ rule: Descent, _ f: Function, norm: Double, largestGradient m: Double
  ) -> Double {
    let eta = 1 / (10 * f.l0)
    let gamma = min(1 / eta, 1 / (10 * f.l1 * eta))
    switch rule {
    case .clipped: return norm > gamma ? gamma * eta / norm : eta
    case .normalised: return gamma * eta / (norm + gamma)
    case .fixed: return 1 / (2 * (m * f.l1 + f.l0))
    }
  }

  /// h_c/2 <= h_n <= 2h_c, as two inequalities.
  public static func equivalence(_ f: Function, norm: Double) -> [Inequality] {
    let c = step(.clipped, f, norm: norm, largestGradient: 0)
    let n = step(.normalised, f, norm: norm, largestGradient: 0)
    return [
      Inequality("1905.11881, h_c/2 <= h_n", 0.5 * c, n),
      Inequality("1905.11881, h_n <= 2 h_c", n, 2 * c),
    ]
  }

  /// Iterations until ‖∇f‖ <= ε, at most `limit`.
  public static func iterations(
    _ rule: Descent, _ f: Function, from start: [Double], epsilon: Double, limit: Int
  ) -> Int {
    var x = start
    let m = f.largestGradient(level: f.value(start))
    for k in 0..<limit {
      let g = f.gradient(x)
      let norm = length(g)
      if norm <= epsilon { return k }
      let h = step(rule, f, norm: norm, largestGradient: m)
      for i in x.indices { x[i] -= h * g[i] }
    }
    return limit
  }

  /// The upper bound on the iterations: clipped 20L₀D/ε² + 20max{1, L₁²}D/L₀; fixed 4(ML₁ + L₀)D/ε²,
  /// D = f(x_0) - f*; constants from memory of the paper. Nil for the normalised rule.
  public static func bound(
    _ rule: Descent, _ f: Function, from start: [Double], epsilon: Double
  ) -> Double? {
    let d = f.value(start)
    switch rule {
    case .clipped:
      return 20 * f.l0 * d / (epsilon * epsilon) + 20 * max(1, f.l1 * f.l1) * d / f.l0
    case .fixed:
      return 4 * (f.largestGradient(level: d) * f.l1 + f.l0) * d / (epsilon * epsilon)
    case .normalised: return nil
    }
  }

  /// The lower bound for fixed-step descent, L₁M(D - 5ε/8)/(8ε²(log M + 1)): minimax over the class, so it says
  /// nothing about one function and is only ever drawn; constants from memory of the paper.
  public static func minimaxLowerBound(
    _ f: Function, from start: [Double], epsilon: Double
  ) -> Double {
    let d = f.value(start)
    let m = f.largestGradient(level: d)
    return f.l1 * m * (d - 0.625 * epsilon) / (8 * epsilon * epsilon * (log(m) + 1))
  }
}

func length(_ x: [Double]) -> Double { x.reduce(0) { $0 + $1 * $1 }.squareRoot() }
