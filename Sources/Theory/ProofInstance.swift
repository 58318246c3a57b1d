// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// A point of the space in which the proofs' inequalities are tried: matrices, a three-atom law, τ, α, η, all
/// read off one vector of reals, so that random draws and an adversary move in the same space.
///
/// Where a statement has a hypothesis (a small or a large gradient, τ >= 8σ), the instance is moved to the
/// nearest one that satisfies it: every vector gives a valid instance of every statement.
public struct ProofInstance: Sendable {
  /// m and n.
  public let rows: Int, columns: Int
  /// log τ, log scale of A, of B, of the atoms; α, η and c on logistic scales; weights; then entries.
  public var parameters: [Double]
  private static let scalars = 10
  private static let atomCount = 3

  /// How many parameters matrices [rows, columns] take.
  public static func parameterCount(rows: Int, columns: Int) -> Int {
    scalars + (2 + atomCount) * rows * columns
  }

  /// The instance of a vector.
  public init(rows: Int, columns: Int, parameters: [Double]) {
    precondition(
      parameters.count == Self.parameterCount(rows: rows, columns: columns),
      "\(parameters.count) parameters for [\(rows), \(columns)]")
    (self.rows, self.columns, self.parameters) = (rows, columns, parameters)
  }

  /// A random instance: normal entries, scales over several orders of magnitude, every fourth of low rank.
  public static func random(rows: Int, columns: Int, using cursor: inout RandomCursor) -> Self {
    var p = (0..<parameterCount(rows: rows, columns: columns)).map { _ in
      cursor.normal(as: Double.self)
    }
    for i in 0..<4 { p[i] *= 2 }
    var instance = Self(rows: rows, columns: columns, parameters: p)
    if cursor.integer(below: 4) == 0 {
      for block in 0..<(2 + atomCount) {
        let start = scalars + block * rows * columns
        for i in 0..<rows {
          for j in 0..<columns {
            instance.parameters[start + i * columns + j] =
              p[start + i] * p[start + rows * columns - 1 - j]
          }
        }
      }
    }
    return instance
  }

  private func block(_ index: Int, scale: Double) -> Matrix<Double> {
    let start = Self.scalars + index * rows * columns
    return Matrix(
      rows: rows, columns: columns,
      elements: parameters[start..<(start + rows * columns)].map { scale * $0 })
  }

  private func exponential(_ index: Int) -> Double { exp(min(max(parameters[index], -12), 12)) }
  private func logistic(_ index: Int) -> Double { 1 / (1 + exp(-parameters[index])) }

  var tau: Double { exponential(0) }
  var a: Matrix<Double> { block(0, scale: exponential(1)) }
  var b: Matrix<Double> { block(1, scale: exponential(2)) }
  var alpha: Double { 1.01 + 0.99 * logistic(4) }
  var share: Double { logistic(5) }
  var c: Double { exponential(6) }
  var law: DiscreteLaw {
    DiscreteLaw(
      centring: (0..<Self.atomCount).map { block(2 + $0, scale: exponential(3)) },
      weights: (0..<Self.atomCount).map { exponential(7 + $0) })
  }

  /// A scaled so that its norm is at most `limit`.
  func small(_ limit: Double) -> Matrix<Double> {
    let norm = a.norm
    return norm > limit ? (limit / norm * (1 - 1e-15)) * a : a
  }

  /// A scaled so that its norm is above `limit`.
  func large(_ limit: Double) -> Matrix<Double> {
    let norm = a.norm
    return norm > limit || norm == 0 ? a : (limit / norm * (1 + share)) * a
  }

  /// A problem with L up to 1 on this shape, not convex for every other sign of a parameter.
  var problem: Problem {
    parameters[2] > 0
      ? Problem(.ripple, rows: rows, columns: columns)
      : Problem(
        .quadratic(
          curvatures: (0..<(rows * columns)).map { 1 / (1 + Double($0)) },
          minimizer: b.elements), rows: rows, columns: columns)
  }

  /// τ and α that satisfy Theorem 3.4's hypotheses for `law`.
  func theoremTau(_ law: DiscreteLaw) -> Double { max(tau, 1, 8 * law.sigma(alpha)) }
}

/// Every statement that is tried on instances.
public enum Statement: String, Sendable, CaseIterable {
  /// Steps of the proofs, see `Ingredients`.
  case nonExpansive, projection, largeGradient, smallMean, polarisation, innerProduct, curvature
  /// See `Ingredients`.
  case biasByExcess, biasByMoment
  /// See `LemmaC1`.
  case spread, secondMoment
  /// See `Theorem33.oneStep` and `Theorem34.oneStep`.
  case oneStep33, oneStep34
  /// See `AppendixB`.
  case young, youngSum, cauchySchwarz, power, jensen, hoelder, markov
  /// Assumption 3.1 on the suite's problems, and 3.2's unbiasedness.
  case smoothness, unbiased

  /// The statement on an instance.
  public func evaluate(_ p: ProofInstance) throws -> Inequality {
    let (tau, alpha) = (p.tau, p.alpha)
    switch self {
    case .nonExpansive: return try Ingredients.nonExpansive(p.a, p.b, tau: tau)
    case .projection: return try Ingredients.projection(p.a, tau: tau)
    case .largeGradient:
      let a = p.large(0.5 * tau)
      return a.norm > 0.5 * tau
        ? try Ingredients.largeGradient(a, tau: tau) : Inequality(rawValue, 0, 0)
    case .smallMean: return try Ingredients.smallMean(p.small(0.5 * tau), p.b, tau: tau)
    case .polarisation: return try Ingredients.polarisation(p.a, law: p.law, tau: tau)
    case .innerProduct:
      return try Ingredients.innerProductUnderNoise(p.a, law: p.law, tau: tau, alpha: alpha)
    case .curvature:
      return try Ingredients.curvature(p.a, tau: tau, eta: 0.25 * p.share / p.c, smoothness: p.c)
    case .biasByExcess:
      return try Ingredients.biasByExcess(p.small(0.5 * tau), law: p.law, tau: tau)
    case .biasByMoment:
      return try Ingredients.biasByMoment(p.small(0.5 * tau), law: p.law, tau: tau, alpha: alpha)
    case .spread: return try LemmaC1.spread(p.a, law: p.law, tau: tau, alpha: alpha)
    case .secondMoment: return try LemmaC1.secondMoment(p.a, law: p.law, tau: tau, alpha: alpha)
    case .oneStep33:
      let problem = p.problem
      return try Theorem33.oneStep(
        problem, at: p.a, law: p.law, tau: tau, eta: p.share / problem.smoothness, alpha: alpha)
    case .oneStep34:
      let (problem, law) = (p.problem, p.law)
      return try Theorem34.oneStep(
        problem, at: p.a, law: law, tau: p.theoremTau(law),
        eta: 0.25 * p.share / problem.smoothness, alpha: alpha)
    case .young: return try AppendixB.young(p.a, p.b, c: p.c)
    case .youngSum: return try AppendixB.youngSum(p.a, p.b, c: p.c)
    case .cauchySchwarz: return AppendixB.cauchySchwarz(p.a, p.b)
    case .power: return try AppendixB.power(p.a, p.b, p: alpha)
    case .jensen: return try AppendixB.jensen(p.a, law: p.law, p: alpha)
    case .hoelder: return try AppendixB.hoelder(law: p.law, level: tau, alpha: alpha)
    case .markov: return try AppendixB.markov(law: p.law, level: tau, alpha: alpha)
    case .smoothness:
      let problem = p.problem
      let (x, y) = (problem.gradient(p.a), problem.gradient(p.b))
      return Inequality(
        "Assumption 3.1", (x - y).norm, problem.smoothness * (p.a - p.b).norm,
        carrier: p.a.norm + p.b.norm, size: p.a.longerSide)
    case .unbiased:
      let law = p.law
      return Inequality(
        "Assumption 3.2, unbiased", law.mean { $0 }.norm, 0,
        carrier: law.atoms.reduce(0) { $0 + $1.norm }, size: p.a.longerSide)
    }
  }
}
