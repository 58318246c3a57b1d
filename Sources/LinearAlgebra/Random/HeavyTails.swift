// SPDX-License-Identifier: Apache-2.0

import Foundation

// The laws are computed in Double and rounded once, whatever `Real` is.

/// The Pareto law: P(X > x) = (scale / x)^shape for x >= scale.
///
/// Its moment of order p is finite for p < shape: at the paper's shape 1.1 the mean is finite (11
/// scale) and the variance is not.
public struct Pareto<Real: RandomReal>: Distribution {
  /// The exponent of the tail, alpha.
  public let shape: Real
  /// The smallest value.
  public let scale: Real

  /// The Pareto law of this shape and scale, both above 0.
  public init(shape: Real, scale: Real = 1) {
    precondition(shape > 0 && scale > 0, "Pareto of shape \(shape) and scale \(scale)")
    self.shape = shape
    self.scale = scale
  }

  /// One draw, `scale · U^(-1/shape)` with U uniform on (0, 1]; one word.
  public func sample(using generator: inout some RandomNumberGenerator) -> Real {
    let u: Double = generator.positiveUniform()
    return Real(Double(scale) * pow(u, -1 / Double(shape)))
  }
}

/// A Pareto variable with a random sign: symmetric about 0, no values inside (-scale, scale).
public struct TwoSidedPareto<Real: RandomReal>: Distribution {
  /// The law of the absolute value.
  public let magnitude: Pareto<Real>

  /// The law of ±X, with X of the Pareto law of this shape and scale.
  public init(shape: Real, scale: Real = 1) {
    magnitude = Pareto(shape: shape, scale: scale)
  }

  /// One draw; two words (magnitude, then sign).
  public func sample(using generator: inout some RandomNumberGenerator) -> Real {
    let value = magnitude.sample(using: &generator)
    return generator.next() >> 63 == 0 ? value : -value
  }
}

/// The gamma law of a shape and a scale, with mean shape · scale.
public struct Gamma<Real: RandomReal>: Distribution {
  /// The shape parameter.
  public let shape: Real
  /// The scale parameter.
  public let scale: Real

  /// The gamma law of this shape and scale, both above 0.
  public init(shape: Real, scale: Real = 1) {
    precondition(shape > 0 && scale > 0, "gamma of shape \(shape) and scale \(scale)")
    self.shape = shape
    self.scale = scale
  }

  /// One draw, by Marsaglia and Tsang, "A simple method for generating gamma variables" (2000):
  /// accepts more than 95 % of its candidates of three words each; a shape below 1 takes one word
  /// more.
  public func sample(using generator: inout some RandomNumberGenerator) -> Real {
    let boosted = shape < 1
    let d = Double(shape) + (boosted ? 1 : 0) - 1.0 / 3
    let c = 1 / (9 * d).squareRoot()
    var value: Double
    while true {
      let x: Double = generator.normal()
      let u: Double = generator.positiveUniform()
      let v = (1 + c * x) * (1 + c * x) * (1 + c * x)
      guard v > 0 else { continue }
      value = d * v
      if log(u) < 0.5 * x * x + d - d * v + d * log(v) { break }
    }
    if boosted {
      let u: Double = generator.positiveUniform()
      value *= pow(u, 1 / Double(shape))
    }
    return Real(value * Double(scale))
  }
}

/// The chi-square law: the sum of squares of `degreesOfFreedom` standard normals.
public struct ChiSquare<Real: RandomReal>: Distribution {
  /// The number of squares, not necessarily an integer.
  public let degreesOfFreedom: Real

  /// The chi-square law, degrees of freedom above 0.
  public init(degreesOfFreedom: Real) {
    precondition(degreesOfFreedom > 0, "chi-square with \(degreesOfFreedom) degrees of freedom")
    self.degreesOfFreedom = degreesOfFreedom
  }

  /// One draw, as a gamma variable.
  public func sample(using generator: inout some RandomNumberGenerator) -> Real {
    Gamma(shape: degreesOfFreedom / 2, scale: 2).sample(using: &generator)
  }
}
