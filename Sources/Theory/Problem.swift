// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// A smooth function of a matrix X[m,n] with known smoothness L and infimum.
public struct Problem: Sendable {
  /// The functions; most act entry by entry, so that a gradient costs nothing beside a clip.
  public enum Kind: Sendable {
    /// f(X) = ½ Σ h_ij (X - X*)_ij², h > 0: convex, L = max h, f* = 0.
    case quadratic(curvatures: [Double], minimizer: [Double])
    /// f(X) = Σ x²/(1 + x²): not convex, curvature in [-½, 2], so L = 2, f* = 0.
    case ripple
    /// f(X) = (1/N) Σ (⟨A_i, X⟩ - b_i)², the paper's trace regression, A[N,m,n] flat: convex, L = (2/N) Σ‖A_i‖²
    /// at most, f* >= 0 (0 is used).
    case traceRegression(sensing: [Double], targets: [Double])
    /// f(X) = Σ log cosh x: convex with gradients tanh x in (-1, 1), L = 1, f* = 0.
    case logCosh
  }

  /// Which function.
  public let kind: Kind
  /// m.
  public let rows: Int
  /// n.
  public let columns: Int
  /// L of Assumption 3.1.
  public let smoothness: Double

  /// A function of matrices [rows, columns].
  public init(_ kind: Kind, rows: Int, columns: Int) {
    (self.kind, self.rows, self.columns) = (kind, rows, columns)
    switch kind {
    case .quadratic(let h, let minimizer):
      precondition(
        h.count == rows * columns && minimizer.count == h.count && h.allSatisfy { $0 > 0 },
        "a quadratic on [\(rows), \(columns)] from \(h.count) curvatures")
      smoothness = h.max() ?? 1
    case .ripple: smoothness = 2
    case .traceRegression(let sensing, let targets):
      precondition(
        sensing.count == targets.count * rows * columns && !targets.isEmpty,
        "trace regression on [\(rows), \(columns)] from \(sensing.count) entries")
      smoothness = 2 * sensing.reduce(0) { $0 + $1 * $1 } / Double(targets.count)
    case .logCosh: smoothness = 1
    }
  }

  /// A quadratic with L = 1 and curvatures spread evenly in the logarithm down to 1/condition.
  public static func quadratic(
    rows: Int, columns: Int, condition: Double, stream: RandomStream
  ) -> Problem {
    let count = rows * columns
    var generator = stream.cursor()
    let order = generator.permutation(count)
    let h = order.map { pow(10, -log10(condition) * Double($0) / Double(max(1, count - 1))) }
    return Problem(
      .quadratic(curvatures: h, minimizer: stream.normals(count)), rows: rows, columns: columns)
  }

  /// f(X) - f*.
  public func value(_ x: Matrix<Double>) -> Double {
    x.withView { value($0.base) }
  }

  /// ∇f(X).
  public func gradient(_ x: Matrix<Double>) -> Matrix<Double> {
    var g = x
    x.withView { x in g.withMutableView { gradient(x.base, into: $0.base) } }
    return g
  }

  func value(_ x: UnsafePointer<Double>) -> Double {
    var sum = 0.0
    switch kind {
    case .quadratic(let h, let minimizer):
      for i in 0..<h.count {
        let d = x[i] - minimizer[i]
        sum += 0.5 * h[i] * d * d
      }
    case .ripple:
      for i in 0..<(rows * columns) { sum += x[i] * x[i] / (1 + x[i] * x[i]) }
    case .traceRegression(let sensing, let targets):
      let size = rows * columns
      for (i, target) in targets.enumerated() {
        var residual = -target
        for j in 0..<size { residual += sensing[i * size + j] * x[j] }
        sum += residual * residual / Double(targets.count)
      }
    case .logCosh:
      // log cosh x = |x| + log(1 + e^(-2|x|)) - log 2
      for i in 0..<(rows * columns) {
        sum += x[i].magnitude + log1p(exp(-2 * x[i].magnitude)) - log(2)
      }
    }
    return sum
  }

  @inline(__always)
  func gradient(_ x: UnsafePointer<Double>, into g: UnsafeMutablePointer<Double>) {
    switch kind {
    case .quadratic(let h, let minimizer):
      h.withUnsafeBufferPointer { h in
        minimizer.withUnsafeBufferPointer { minimizer in
          for i in 0..<h.count { g[i] = h[i] * (x[i] - minimizer[i]) }
        }
      }
    case .ripple:
      for i in 0..<(rows &* columns) {
        let d = 1 + x[i] * x[i]
        g[i] = 2 * x[i] / (d * d)
      }
    case .traceRegression(let sensing, let targets):
      let size = rows &* columns
      let scale = 2 / Double(targets.count)
      for j in 0..<size { g[j] = 0 }
      sensing.withUnsafeBufferPointer { a in
        for i in 0..<targets.count {
          var residual = -targets[i]
          for j in 0..<size { residual.addProduct(a[i &* size &+ j], x[j]) }
          for j in 0..<size { g[j].addProduct(scale * residual, a[i &* size &+ j]) }
        }
      }
    case .logCosh:
      for i in 0..<(rows &* columns) { g[i] = tanh(x[i]) }
    }
  }
}
