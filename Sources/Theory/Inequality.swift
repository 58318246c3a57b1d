// SPDX-License-Identifier: Apache-2.0

import Clipping
import LinearAlgebra

/// One instance of a statement lhs <= rhs, as computed.
///
/// It is violated when lhs - rhs exceeds 16·max(m, n)·ε·(|lhs| + |rhs| + carrier). The carrier is the size
/// of what was rounded on the way to the two sides: a clipped m×n matrix carries errors of a few
/// max(m, n)·ε·‖A‖ (backward stability of the decomposition, in Double), and so does every inner product
/// with it, however small the sides themselves are. Several statements hold with equality inside
/// the ball, where rounding alone gives lhs - rhs of 1e-16.
public struct Inequality: Sendable {
  /// The number of the assumption, lemma or proof step it instantiates.
  public let name: String
  /// The side that must be the smaller one.
  public let lhs: Double
  /// The other side.
  public let rhs: Double
  /// See above.
  public let carrier: Double
  /// max(m, n).
  public let size: Int

  /// lhs <= rhs.
  public init(_ name: String, _ lhs: Double, _ rhs: Double, carrier: Double = 0, size: Int = 1) {
    (self.name, self.lhs, self.rhs) = (name, lhs, rhs)
    (self.carrier, self.size) = (carrier, size)
  }

  /// rhs - lhs.
  public var slack: Double { rhs - lhs }
  private var scale: Double { lhs.magnitude + rhs.magnitude + carrier }
  /// The slack in units of the sides and the carrier: what an adversary makes small.
  public var relativeSlack: Double { scale > 0 ? slack / scale : 0 }
  /// What rounding may amount to.
  public var tolerance: Double { 16 * Double(size) * .ulpOfOne * scale }
  /// Whether it fails beyond rounding; NaN fails.
  public var isViolated: Bool { !(lhs - rhs <= tolerance) }
}

/// A hypothesis of a statement that does not hold where the statement was called.
public struct HypothesisError: Error, Equatable, CustomStringConvertible {
  /// The statement.
  public let statement: String
  /// The hypothesis with the number that was needed.
  public let needed: String
  /// The number that was given.
  public let got: Double

  /// One line: what, where, what to do.
  public var description: String {
    "\(statement): needs \(needed), got \(got); choose a value within the hypothesis"
  }

  static func require(
    _ statement: String, _ needed: @autoclosure () -> String, _ got: Double, _ holds: Bool
  ) throws(HypothesisError) {
    if !holds { throw HypothesisError(statement: statement, needed: needed(), got: got) }
  }

  /// α in (1, 2], σ >= 0, τ > 0, the hypotheses of everything about heavy tails.
  static func requireMoment(
    _ statement: String, alpha: Double, sigma: Double, tau: Double
  ) throws(HypothesisError) {
    try require(statement, "1 < alpha <= 2", alpha, alpha > 1 && alpha <= 2)
    try require(statement, "sigma >= 0", sigma, sigma >= 0 && sigma.isFinite)
    try require(statement, "tau > 0", tau, tau > 0)
  }
}

// MARK: - Small helpers on matrices

/// C_τ(A) for A[m,n], exactly, in Double.
public func clipped(_ a: Matrix<Double>, at tau: Double) throws -> Matrix<Double> {
  var result = a
  try SpectralClip.exact.clip(&result, at: tau)
  return result
}

/// The Frobenius inner product ⟨A, B⟩.
public func inner(_ a: Matrix<Double>, _ b: Matrix<Double>) -> Double {
  precondition(a.rows == b.rows && a.columns == b.columns, "inner product of unlike matrices")
  return zip(a.elements, b.elements).reduce(0) { $0 + $1.0 * $1.1 }
}

extension Matrix where Scalar == Double {
  var norm: Double { frobeniusNorm }
  var longerSide: Int { max(rows, columns) }
}
