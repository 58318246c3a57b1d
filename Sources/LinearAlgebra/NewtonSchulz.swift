// SPDX-License-Identifier: Apache-2.0

import COpenBLAS

/// What a matrix is divided by before its first Newton-Schulz step, so that its norm is at most one and a zero
/// matrix does not divide by zero.
public enum NewtonSchulzDivisor: Sendable {
  /// max(‖g‖_F, 1e-7), as torch.optim.Muon does.
  case clampedNorm
  /// ‖g‖_F + 1e-7, as Jordan et al. and the authors' code do.
  case offsetNorm
}

/// U·Vᵀ approximately, for g[m,n] = U diag(s) Vᵀ: `iterations` quintic Newton-Schulz steps with the coefficients
/// (3.4445, -4.7750, 2.0315) of Jordan et al. (2024).
///
/// A step multiplies small singular values by 3.4445; once they are near one they stay within about [0.7, 1.2]
/// and do not converge to 1. So five steps reach values above about s_i = ‖g‖/500 and leave smaller ones small.
/// Both divisors treat a norm far below 1e-7 as zero: of such a g every value stays small, about 480 s_i/1e-7 after
/// five steps, as in the code that they follow.
public func newtonSchulz(
  _ g: Matrix<Float>, iterations: Int, dividingBy divisor: NewtonSchulzDivisor
) -> Matrix<Float> {
  let isTall = g.rows > g.columns
  var x = isTall ? g.flipped : g
  let norm = x.frobeniusNorm
  let size =
    switch divisor {
    case .clampedNorm: max(norm, 1e-7)
    case .offsetNorm: norm + 1e-7
    }
  x.withMutableView { $0.scale(to: 1, from: size) }
  var step = NewtonSchulzStep(rows: x.rows, columns: x.columns)
  for _ in 0..<iterations { step.apply(to: &x) }
  return isTall ? x.flipped : x
}

/// x ← (a + b A + c A²) x with A = x xᵀ, in buffers that serve all steps.
private struct NewtonSchulzStep {
  private let a: Float = 3.4445
  private let b: Float = -4.7750
  private let c: Float = 2.0315
  private var gram: Matrix<Float>
  private var polynomial: Matrix<Float>
  private var next: Matrix<Float>
  private var transposed: Matrix<Float>
  /// Small products go through the suite's own kernel, large symmetric ones through BLAS, at half the cost.
  private let isSmall: Bool

  init(rows: Int, columns: Int) {
    isSmall = rows * rows * columns <= smallGemmLimit
    gram = Matrix(rows: rows, columns: rows)
    polynomial = gram
    next = Matrix(rows: rows, columns: columns)
    transposed = Matrix(rows: isSmall ? columns : 0, columns: isSmall ? rows : 0)
  }

  mutating func apply(to x: inout Matrix<Float>) {
    if isSmall {
      x.transpose(into: &transposed)
      multiply(x, transposed, into: &gram)
      multiply(gram, gram, into: &polynomial)
    } else {
      x.timesOwnTranspose(into: &gram)
      gram.timesOwnTranspose(into: &polynomial)
    }
    let (rows, a, b, c, isSmall) = (x.rows, a, b, c, isSmall)
    polynomial.withMutableView { p in
      gram.withView { gram in
        for i in 0..<p.count { p.base[i] = b * gram.base[i] + c * p.base[i] }
      }
      if !isSmall {
        for i in 0..<rows { p.base[i &* rows &+ i] += a }
      }
    }
    multiply(polynomial, x, into: &next)
    if isSmall {
      next.withMutableView { next in
        x.withView { x in
          for i in 0..<next.count { next.base[i].addProduct(a, x.base[i]) }
        }
      }
    }
    swap(&x, &next)
  }

  private func multiply(
    _ left: Matrix<Float>, _ right: Matrix<Float>, into product: inout Matrix<Float>
  ) {
    left.withView { left in
      right.withView { right in
        product.withMutableView { gemm(left, .no, right, .no, into: $0) }
      }
    }
  }
}

extension Matrix where Scalar == Float {
  /// x·xᵀ, both triangles filled.
  fileprivate func timesOwnTranspose(into result: inout Matrix) {
    let (m, n) = (rows, columns)
    withView { x in
      result.withMutableView { c in
        cblas_ssyrk(
          CblasRowMajor, CblasUpper, CblasNoTrans, Int32(m), Int32(n), 1, x.base, Int32(n), 0,
          c.base, Int32(m))
        for i in 0..<m {
          for j in 0..<i { c.base[i &* m &+ j] = c.base[j &* m &+ i] }
        }
      }
    }
  }

  /// Writes the transpose, by the blocked kernel.
  fileprivate func transpose(into result: inout Matrix) {
    withView { own in
      result.withMutableView {
        LinearAlgebra.transpose(own.base, rows: rows, columns: columns, into: $0.base)
      }
    }
  }

  /// The transpose.
  fileprivate var flipped: Matrix {
    var result = Matrix(rows: columns, columns: rows)
    transpose(into: &result)
    return result
  }
}
