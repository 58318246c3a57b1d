// SPDX-License-Identifier: Apache-2.0

import Clipping
import Foundation
import LinearAlgebra

/// X ← X - η C(∇f(X) + Z): the algorithm of the theorems, on problems whose every constant is known.
public struct ClippedDescent: Sendable {
  /// What is done to a stochastic gradient.
  public enum Rule: Sendable {
    /// Nothing.
    case none
    /// Its Frobenius norm is cut at τ.
    case norm(Double)
    /// Its singular values are cut at τ.
    case spectral(Double)
  }

  /// f.
  public let problem: Problem
  /// Z.
  public let law: NoiseLaw
  /// C.
  public let rule: Rule
  /// η.
  public let eta: Double
  /// X_0.
  public let start: Matrix<Double>

  /// An algorithm on a problem.
  public init(
    _ problem: Problem, law: NoiseLaw, rule: Rule, eta: Double, start: Matrix<Double>
  ) {
    precondition(
      start.rows == problem.rows && start.columns == problem.columns, "a start of another shape")
    (self.problem, self.law, self.rule) = (problem, law, rule)
    (self.eta, self.start) = (eta, start)
  }

  /// Means over the K steps of one run.
  public struct Averages: Sendable {
    /// (1/K) Σ ‖∇f(X_k)‖².
    public var squaredNorm = 0.0
    /// (1/K) Σ min(‖∇f(X_k)‖, ‖∇f(X_k)‖²).
    public var potential = 0.0
    /// (1/K) Σ Δ_k², exact; NaN unless asked for.
    public var squaredBias = 0.0
    /// Median of ‖X_{k+1} - X_k‖ over about a thousand of the steps, evenly taken.
    public var updateNorm = 0.0
  }

  /// Runs K = `steps` steps from `count` independent streams, side by side; a run that leaves the range of
  /// numbers gets infinite averages. `measuringBias` needs a discrete law.
  public func run(
    steps: Int, count: Int, stream: RandomStream, measuringBias: Bool = false
  ) throws -> [Averages] {
    let (m, n) = (problem.rows, problem.columns)
    let size = m * n
    var x = [Double]()
    for _ in 0..<count { x += start.elements }
    var g = [Double](repeating: 0, count: size * count)
    var cursors = (0..<count).map { stream.at(step: $0).cursor() }
    var sums = [Averages](repeating: Averages(), count: count)
    var scratch = [Double](repeating: 0, count: 2 * (m + n) + 4)
    let clipper = SmallBatchClip(rows: m, columns: n)
    var updates = [[Double]](repeating: [], count: count)
    let every = max(1, steps / 1000)
    for step in 0..<steps {
      x.withUnsafeBufferPointer { x in
        g.withUnsafeMutableBufferPointer { g in
          scratch.withUnsafeMutableBufferPointer { scratch in
            guard let x = x.baseAddress, let g = g.baseAddress, let work = scratch.baseAddress
            else { return }
            for run in 0..<count {
              let own = g + run &* size
              problem.gradient(x + run &* size, into: own)
              var square = 0.0
              for i in 0..<size { square.addProduct(own[i], own[i]) }
              sums[run].squaredNorm += square
              sums[run].potential += min(square, square.squareRoot())
            }
            if !measuringBias {
              for run in 0..<count {
                law.add(
                  to: g + run &* size, rows: m, columns: n, using: &cursors[run], scratch: work)
              }
            }
          }
        }
      }
      if measuringBias { try addBiasAndNoise(&g, &sums, &cursors, &scratch) }
      try clip(&g, count, clipper)
      for run in 0..<count {
        var square = 0.0
        for i in (run &* size)..<(run &* size &+ size) {
          let change = eta * g[i]
          square.addProduct(change, change)
          x[i] -= change
        }
        if step % every == every - 1 { updates[run].append(square.squareRoot()) }
      }
    }
    return zip(sums, updates).map { sum, updates in
      let k = Double(steps)
      let mean = Averages(
        squaredNorm: sum.squaredNorm / k, potential: sum.potential / k,
        squaredBias: measuringBias ? sum.squaredBias / k : .nan,
        updateNorm: Statistics.median(updates))
      return mean.squaredNorm.isFinite
        ? mean
        : Averages(
          squaredNorm: .infinity, potential: .infinity, squaredBias: .nan, updateNorm: .infinity)
    }
  }

  private func clip(_ g: inout [Double], _ count: Int, _ clipper: SmallBatchClip) throws {
    let (m, n) = (problem.rows, problem.columns)
    switch rule {
    case .none: break
    case .norm(let tau):
      for run in 0..<count {
        var square = 0.0
        for i in (run * m * n)..<((run + 1) * m * n) { square.addProduct(g[i], g[i]) }
        if square > tau * tau {
          let factor = tau / square.squareRoot()
          for i in (run * m * n)..<((run + 1) * m * n) { g[i] *= factor }
        }
      }
    case .spectral(let tau):
      try clipper.clip(&g, at: tau)
    }
  }

  /// Adds Δ² of every run's gradient, exactly, and then the noise.
  private func addBiasAndNoise(
    _ g: inout [Double], _ sums: inout [Averages], _ cursors: inout [RandomCursor],
    _ scratch: inout [Double]
  ) throws {
    guard case .discrete(let discrete) = law, case .spectral(let tau) = rule else {
      preconditionFailure("an exact bias needs a discrete law and spectral clipping")
    }
    let (m, n) = (problem.rows, problem.columns)
    for run in 0..<sums.count {
      let range = (run * m * n)..<((run + 1) * m * n)
      let gradient = Matrix(rows: m, columns: n, elements: Array(g[range]))
      let bias = try Ingredients.bias(gradient, discrete, tau)
      sums[run].squaredBias += bias * bias
      g.withUnsafeMutableBufferPointer { g in
        scratch.withUnsafeMutableBufferPointer { scratch in
          guard let g = g.baseAddress, let work = scratch.baseAddress else { return }
          law.add(
            to: g + range.lowerBound, rows: m, columns: n, using: &cursors[run], scratch: work)
        }
      }
    }
  }

  /// The same means as exact expectations over all paths of a discrete law: (atoms)^steps of them.
  public func exactAverages(steps: Int) throws -> Averages {
    guard case .discrete(let discrete) = law else {
      preconditionFailure("exact expectations need a discrete law")
    }
    precondition(
      pow(Double(discrete.atoms.count), Double(steps)) < 1e6, "too many paths to go through")
    var sum = Averages()
    func visit(_ x: Matrix<Double>, _ step: Int, _ probability: Double) throws {
      if step == steps { return }
      let g = problem.gradient(x)
      sum.squaredNorm += probability * g.norm * g.norm
      sum.potential += probability * min(g.norm, g.norm * g.norm)
      if case .spectral(let tau) = rule {
        let bias = try Ingredients.bias(g, discrete, tau)
        sum.squaredBias += probability * bias * bias
      }
      for (atom, p) in zip(discrete.atoms, discrete.probabilities) {
        var noisy = g + atom
        try clip(
          &noisy.elements, 1, SmallBatchClip(rows: noisy.rows, columns: noisy.columns))
        try visit(x - eta * noisy, step + 1, probability * p)
      }
    }
    try visit(start, 0, 1)
    let k = Double(steps)
    return Averages(
      squaredNorm: sum.squaredNorm / k, potential: sum.potential / k,
      squaredBias: sum.squaredBias / k, updateNorm: .nan)
  }
}
