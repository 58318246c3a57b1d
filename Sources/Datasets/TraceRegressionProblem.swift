// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Trace regression, eq. (11): f(X) = (1/N) Σ (⟨A_i, X⟩ - b_i)², X[n,n], with symmetric positive A_i.
///
/// Stored flat, because everything the experiment does is arithmetic on N small matrices.
public struct TraceRegressionProblem: Sendable {
  /// n, the side of X.
  public let dimension: Int
  /// N, the number of terms.
  public let termCount: Int
  /// A_1, …, A_N [N, n, n], row-major.
  public let sensing: [Double]
  /// b[N] = ⟨A_i, X_true⟩ + noise.
  public let targets: [Double]
  /// X_true[n, n], which generated the targets.
  public let truth: [Double]
  /// L = (2/N) Σ ‖A_i‖_F², the smoothness bound that sets the step size.
  public let smoothness: Double

  /// Draws A_i = Q diag(λ) Qᵀ with Q from the QR factors of a normal matrix and λ uniform on
  /// [0.5, 1.5), then X_true normal, then the noise of b: the order of the authors' script, so that a
  /// NumPy generator gives the very same problem.
  ///
  /// Throws if LAPACK refuses a factorisation.
  public init(
    dimension n: Int, termCount: Int, noise: Double, using source: inout some DrawSource
  ) throws {
    precondition(n >= 1 && termCount >= 1, "trace regression with n = \(n), N = \(termCount)")
    var sensing: [Double] = []
    sensing.reserveCapacity(termCount * n * n)
    for _ in 0..<termCount {
      let q = try qr(Matrix(rows: n, columns: n, elements: source.normals(n * n))).q
      let scaled = matmul(q, .diagonal(source.uniforms(0.5, 1.5, n)))
      sensing += matmul(scaled, .no, q, .yes).elements
    }
    let truth = source.normals(n * n)
    let errors = source.normals(termCount)
    let size = n * n
    targets = (0..<termCount).map { i in
      zip(sensing[(i * size)..<((i + 1) * size)], truth).reduce(0) { $0 + $1.0 * $1.1 }
        + noise * errors[i]
    }
    smoothness = 2 * sensing.reduce(0) { $0 + $1 * $1 } / Double(termCount)
    dimension = n
    self.termCount = termCount
    self.sensing = sensing
    self.truth = truth
  }

  /// The gradients of all terms at x[n,n], ∇f_i = 2(⟨A_i, x⟩ - b_i) A_i, into terms[N,n,n]; their mean
  /// ∇f(x) into full[n,n]. Returns f(x).
  public func gradients(
    at x: [Double], terms: inout [Double], full: inout [Double]
  ) -> Double {
    let size = dimension * dimension
    precondition(
      x.count == size && full.count == size && terms.count == termCount * size,
      "gradients at x[\(x.count)] into [\(terms.count)] and [\(full.count)]")
    return sensing.withUnsafeBufferPointer { a in
      x.withUnsafeBufferPointer { x in
        terms.withUnsafeMutableBufferPointer { terms in
          full.withUnsafeMutableBufferPointer { full in
            var loss = 0.0
            for j in 0..<size { full[j] = 0 }
            for i in 0..<termCount {
              let start = i &* size
              var residual = -targets[i]
              for j in 0..<size { residual += a[start &+ j] * x[j] }
              loss += residual * residual
              for j in 0..<size {
                let entry = 2 * residual * a[start &+ j]
                terms[start &+ j] = entry
                full[j] += entry
              }
            }
            let scale = 1 / Double(termCount)
            for j in 0..<size { full[j] *= scale }
            return loss * scale
          }
        }
      }
    }
  }
}
