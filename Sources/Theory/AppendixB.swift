// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// The elementary inequalities of Appendix B (names from the text; the forms are the usual ones).
public enum AppendixB {
  /// Lemma B.1, eq. (12): ⟨A, B⟩ <= (c/2)‖A‖² + ‖B‖²/(2c), c > 0.
  public static func young(
    _ a: Matrix<Double>, _ b: Matrix<Double>, c: Double
  ) throws -> Inequality {
    try HypothesisError.require("Young", "c > 0", c, c > 0)
    return Inequality(
      "Lemma B.1 Young (12)", inner(a, b),
      0.5 * c * a.norm * a.norm + b.norm * b.norm / (2 * c), carrier: a.norm * b.norm,
      size: a.longerSide)
  }

  /// Lemma B.1, eq. (13): ‖A + B‖² <= (1 + c)‖A‖² + (1 + 1/c)‖B‖², c > 0.
  public static func youngSum(
    _ a: Matrix<Double>, _ b: Matrix<Double>, c: Double
  ) throws -> Inequality {
    try HypothesisError.require("Young", "c > 0", c, c > 0)
    let sum = (a + b).norm
    return Inequality(
      "Lemma B.1 Young (13)", sum * sum,
      (1 + c) * a.norm * a.norm + (1 + 1 / c) * b.norm * b.norm, carrier: a.norm * b.norm,
      size: a.longerSide)
  }

  /// Lemma B.2, eq. (14): |⟨A, B⟩| <= ‖A‖‖B‖.
  public static func cauchySchwarz(_ a: Matrix<Double>, _ b: Matrix<Double>) -> Inequality {
    Inequality(
      "Lemma B.2 Cauchy-Schwarz (14)", inner(a, b).magnitude, a.norm * b.norm, size: a.longerSide)
  }

  /// Lemma B.3, eq. (15): ‖A + B‖^p <= 2^(p-1)(‖A‖^p + ‖B‖^p), p >= 1.
  public static func power(
    _ a: Matrix<Double>, _ b: Matrix<Double>, p: Double
  ) throws -> Inequality {
    try HypothesisError.require("power inequality", "p >= 1", p, p >= 1)
    return Inequality(
      "Lemma B.3 powers (15)", pow((a + b).norm, p),
      pow(2, p - 1) * (pow(a.norm, p) + pow(b.norm, p)), size: a.longerSide)
  }

  /// Lemma B.4, eqs (16), (17): ‖EZ‖^p <= E‖Z‖^p for the law of g + Z, p >= 1.
  public static func jensen(
    _ g: Matrix<Double>, law: DiscreteLaw, p: Double
  ) throws -> Inequality {
    try HypothesisError.require("Jensen", "p >= 1", p, p >= 1)
    return Inequality(
      "Lemma B.4 Jensen (16)(17)", pow(law.mean { g + $0 }.norm, p),
      law.expectation { pow((g + $0).norm, p) }, size: g.longerSide)
  }

  /// Lemma B.5, eq. (18), Hölder: E[‖Z‖ 1{‖Z‖ > t}] <= (E‖Z‖^α)^(1/α) P(‖Z‖ > t)^(1-1/α).
  public static func hoelder(law: DiscreteLaw, level: Double, alpha: Double) throws -> Inequality {
    try HypothesisError.require("Hölder", "alpha > 1", alpha, alpha > 1)
    let tail = law.expectation { $0.norm > level ? 1 : 0 }
    return Inequality(
      "Lemma B.5 Hölder (18)", law.expectation { $0.norm > level ? $0.norm : 0 },
      law.sigma(alpha) * pow(tail, 1 - 1 / alpha), size: law.atoms[0].longerSide)
  }

  /// Lemma B.6, eq. (19), Markov: P(‖Z‖ > t) <= E‖Z‖^α/t^α, t > 0.
  public static func markov(law: DiscreteLaw, level: Double, alpha: Double) throws -> Inequality {
    try HypothesisError.require("Markov", "level > 0", level, level > 0)
    return Inequality(
      "Lemma B.6 Markov (19)", law.expectation { $0.norm > level ? 1 : 0 },
      law.moment(alpha) / pow(level, alpha), size: law.atoms[0].longerSide)
  }
}
