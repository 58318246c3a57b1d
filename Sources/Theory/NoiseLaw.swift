// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// A law of zero-mean matrices with finitely many values, so that expectations are finite sums.
public struct DiscreteLaw: Sendable {
  /// The values[m,n].
  public let atoms: [Matrix<Double>]
  /// Their probabilities; they sum to one.
  public let probabilities: [Double]

  /// A law from atoms and weights of any positive sum; the mean is subtracted from every atom.
  ///
  /// Three times over: one subtraction leaves a mean of ε times the atoms, which is not small beside a
  /// law whose weight is nearly all on one atom (an adversary found that).
  public init(centring atoms: [Matrix<Double>], weights: [Double]) {
    precondition(
      !atoms.isEmpty && atoms.count == weights.count && weights.allSatisfy { $0 > 0 },
      "\(atoms.count) atoms, \(weights.count) weights")
    let total = weights.reduce(0, +)
    let probabilities = weights.map { $0 / total }
    var centered = atoms
    for _ in 0..<3 {
      var mean = Matrix<Double>(rows: atoms[0].rows, columns: atoms[0].columns)
      for (atom, p) in zip(centered, probabilities) { mean = mean + p * atom }
      centered = centered.map { $0 - mean }
    }
    self.atoms = centered
    self.probabilities = probabilities
  }

  /// E h(Z).
  public func expectation(_ h: (Matrix<Double>) throws -> Double) rethrows -> Double {
    var sum = 0.0
    for (atom, p) in zip(atoms, probabilities) { sum += try p * h(atom) }
    return sum
  }

  /// E H(Z) for a matrix-valued H.
  public func mean(_ h: (Matrix<Double>) throws -> Matrix<Double>) rethrows -> Matrix<Double> {
    var sum = try probabilities[0] * h(atoms[0])
    for (atom, p) in zip(atoms, probabilities).dropFirst() { sum = try sum + p * h(atom) }
    return sum
  }

  /// E‖Z‖_F^α.
  public func moment(_ alpha: Double) -> Double { expectation { pow($0.norm, alpha) } }

  /// σ = (E‖Z‖_F^α)^(1/α), the smallest σ of Assumption 3.2.
  public func sigma(_ alpha: Double) -> Double { pow(moment(alpha), 1 / alpha) }
}

/// Laws of zero-mean noise[m,n] whose moment of order α is known exactly.
public enum NoiseLaw: Sendable {
  /// s·u·vᵀ with u, v uniform unit vectors and s = ±Pareto(shape, scale).
  case rankOnePareto(shape: Double, scale: Double)
  /// scale · N/√(χ²_ν/ν) with one χ² for all entries: heavy tails in the norm.
  case multivariateT(degreesOfFreedom: Double, scale: Double)
  /// Finitely many values.
  case discrete(DiscreteLaw)

  /// E‖Z‖_F^α for matrices of `count` entries; infinite where the tail is too heavy.
  public func moment(_ alpha: Double, count: Int) -> Double {
    switch self {
    case .rankOnePareto(let shape, let scale):
      return alpha < shape ? shape * pow(scale, alpha) / (shape - alpha) : .infinity
    case .multivariateT(let nu, let scale):
      guard alpha < nu else { return .infinity }
      let d = Double(count)
      let normal = lgamma((d + alpha) / 2) - lgamma(d / 2)  // E‖N‖^α = 2^(α/2) Γ((d+α)/2)/Γ(d/2)
      let square = lgamma((nu - alpha) / 2) - lgamma(nu / 2)
      return pow(scale, alpha) * pow(nu, alpha / 2) * exp(normal + square)
    case .discrete(let law): return law.moment(alpha)
    }
  }

  /// The smallest σ of Assumption 3.2 for matrices of `count` entries.
  public func sigma(_ alpha: Double, count: Int) -> Double {
    pow(moment(alpha, count: count), 1 / alpha)
  }

  /// Adds one draw to g[rows, columns].
  @inline(__always)
  func add(
    to g: UnsafeMutablePointer<Double>, rows: Int, columns: Int, using cursor: inout RandomCursor,
    scratch: UnsafeMutablePointer<Double>
  ) {
    switch self {
    case .rankOnePareto(let shape, let scale):
      let word = cursor.next()
      let sign = word & 1 == 0 ? 1.0 : -1
      let uniform = Double((word >> 11) + 1) * 0x1p-53  // in (0, 1]
      let size = sign * scale * pow(uniform, -1 / shape)
      unitVectors(scratch, rows, columns, &cursor)
      for i in 0..<rows {
        let factor = size * scratch[i]
        for j in 0..<columns {
          g[i &* columns &+ j].addProduct(factor, scratch[rows &+ j])
        }
      }
    case .multivariateT(let nu, let scale):
      let square: Double = ChiSquare(degreesOfFreedom: nu).sample(using: &cursor)
      let factor = scale / (square / nu).squareRoot()
      let count = rows &* columns
      for i in stride(from: 0, to: count, by: 2) {
        let (a, b) = cursor.normalPair()
        g[i].addProduct(factor, a)
        if i &+ 1 < count { g[i &+ 1].addProduct(factor, b) }
      }
    case .discrete(let law):
      var u: Double = cursor.uniform()
      var index = 0
      while index < law.atoms.count &- 1 && u >= law.probabilities[index] {
        u -= law.probabilities[index]
        index &+= 1
      }
      law.atoms[index].withView { atom in
        for i in 0..<atom.count { g[i] += atom.base[i] }
      }
    }
  }

  /// Two independent uniform unit vectors[rows], [columns], one behind the other.
  private func unitVectors(
    _ into: UnsafeMutablePointer<Double>, _ rows: Int, _ columns: Int, _ cursor: inout RandomCursor
  ) {
    let count = rows &+ columns
    for i in stride(from: 0, to: count, by: 2) {
      let (a, b) = cursor.normalPair()
      into[i] = a
      if i &+ 1 < count { into[i &+ 1] = b }
    }
    for (start, length) in [(0, rows), (rows, columns)] {
      var square = 0.0
      for i in start..<(start &+ length) { square.addProduct(into[i], into[i]) }
      let inverse = 1 / square.squareRoot()
      for i in start..<(start &+ length) { into[i] *= inverse }
    }
  }
}
