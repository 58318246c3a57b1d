// SPDX-License-Identifier: Apache-2.0

import CLAPACKE

/// A thin QR factorization a[m,n] = q[m,k] · r[k,n], k = min(m, n) = n here; q has orthonormal columns.
public struct QR<Scalar: RealScalar>: Sendable {
  /// Orthonormal columns, [m,n].
  public let q: Matrix<Scalar>
  /// Upper triangular, [n,n].
  public let r: Matrix<Scalar>
}

/// Householder QR of a tall matrix a[m,n], m >= n (LAPACK geqrf and orgqr; signs as LAPACK returns them).
public func qr<Scalar>(_ a: Matrix<Scalar>) throws(LinearAlgebraError) -> QR<Scalar> {
  let (m, n) = (a.rows, a.columns)
  precondition(m >= n, "thin QR of a matrix[\(m), \(n)]: needs rows >= columns")
  guard n > 0 else { return QR(q: a, r: a.rows == 0 ? a : Matrix(rows: 0, columns: 0)) }
  var columns = a.transposed  // row-major [n,m] is column-major [m,n]
  var r = Matrix<Scalar>(rows: n, columns: n)
  let info = columns.withMutableView { columns in
    r.withMutableView { Scalar._qr(m, n, columns.base, $0.base) }
  }
  guard info == 0 else { throw .illegalArgument(routine: "geqrf", info: info) }
  return QR(q: columns.transposed, r: r.transposed)
}

/// Replaces the rows of panel[q,m], q <= m, by an orthonormal basis of their span.
///
/// Cholesky-QR run twice (Yamamoto et al. 2015): the Gram matrix is formed and factored in
/// `Double`, so for well conditioned panels the result is orthonormal to working precision at a
/// third of Householder's cost. When a pivot says the panel is too ill conditioned for it,
/// Householder QR takes over, which also completes the basis of a rank-deficient panel. Between power
/// iterations one pass is enough (`refined` false): the rows need to be well conditioned, not orthonormal. So it is for
/// `Float` rows that were nearly orthogonal before: what one pass leaves is the rounding of its product, since the Gram
/// matrix is exact to 29 spare bits.
func orthonormalizeRows<Scalar>(
  _ panel: MutableMatrixView<Scalar>, refined: Bool = true
) throws(LinearAlgebraError) {
  let (q, m) = (panel.rows, panel.columns)
  precondition(q <= m, "orthonormal rows of a matrix[\(q), \(m)]: needs rows <= columns")
  guard q > 0 else { return }
  for _ in 0..<(refined ? 2 : 1) {
    let gram = gram(ofRows: panel.readOnly)
    guard let inverse = inverseCholeskyFactor(gram) else {
      let info = Scalar._qr(m, q, panel.base, nil)  // row-major [q,m] is column-major [m,q]
      guard info == 0 else { throw .illegalArgument(routine: "geqrf", info: info) }
      return
    }
    inverse.converted(to: Scalar.self).withView {
      Scalar._multiplyLowerTriangle(q, m, $0.base, panel.base)
    }
    if Scalar.significandBitCount < 30 && growth(of: inverse, gram) <= 4 { return }
  }
}

/// max_i Σ_j |L⁻¹_ij| ‖x_j‖ of rows x_j with the Gram matrix `gram`: what the rounding errors of L⁻¹·x, relative to its
/// unit rows, are multiplied by. It is 1 for orthogonal rows.
private func growth(of inverse: Matrix<Double>, _ gram: Matrix<Double>) -> Double {
  let norms = (0..<gram.rows).map { gram[$0, $0].squareRoot() }
  var largest = 0.0
  for i in 0..<gram.rows {
    largest = max(largest, (0...i).reduce(0) { $0 + abs(inverse[i, $1]) * norms[$1] })
  }
  return largest
}

/// L⁻¹[q,q] of g[q,q] = L·Lᵀ, or nil when a pivot falls below 1e-6 of its diagonal entry,
/// that is when the condition number of the factored panel may exceed about 1e3.
private func inverseCholeskyFactor(_ g: Matrix<Double>) -> Matrix<Double>? {
  let (q, order) = (g.rows, Int32(g.rows))
  let upper = letter("U")  // the lower triangle, as rows are stored
  var l = g.elements
  guard LAPACKE_dpotrf(LAPACK_COL_MAJOR, upper, order, &l, order) == 0 else { return nil }
  for j in 0..<q {
    let pivot = l[j * q + j] * l[j * q + j]
    guard pivot > 1e-6 * g.elements[j * q + j], pivot.isFinite else { return nil }
  }
  let plain = letter("N")
  guard LAPACKE_dtrtri(LAPACK_COL_MAJOR, upper, plain, order, &l, order) == 0 else { return nil }
  for i in 0..<q {
    for j in (i + 1)..<max(q, i + 1) { l[i * q + j] = 0 }
  }
  return Matrix(rows: q, columns: q, elements: l)
}
