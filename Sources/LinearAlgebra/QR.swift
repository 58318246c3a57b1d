/// A thin QR factorisation a[m,n] = q[m,k] · r[k,n], k = min(m, n) = n here; q has orthonormal columns.
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
/// iterations one pass is enough (`refined` false): the rows need to be well conditioned, not orthonormal.
func orthonormalizeRows<Scalar>(
  _ panel: MutableMatrixView<Scalar>, refined: Bool = true
) throws(LinearAlgebraError) {
  let (q, m) = (panel.rows, panel.columns)
  precondition(q <= m, "orthonormal rows of a matrix[\(q), \(m)]: needs rows <= columns")
  guard q > 0 else { return }
  for _ in 0..<(refined ? 2 : 1) {
    guard let inverse = inverseCholeskyFactor(gram(ofRows: panel.readOnly)) else {
      let info = Scalar._qr(m, q, panel.base, nil)  // row-major [q,m] is column-major [m,q]
      guard info == 0 else { throw .illegalArgument(routine: "geqrf", info: info) }
      return
    }
    inverse.converted(to: Scalar.self).withView {
      Scalar._multiplyLowerTriangle(q, m, $0.base, panel.base)
    }
  }
}

/// L⁻¹[q,q] of g[q,q] = L·Lᵀ, or nil when a pivot falls below 1e-6 of its diagonal entry,
/// that is when the condition number of the factored panel may exceed about 1e3.
private func inverseCholeskyFactor(_ g: Matrix<Double>) -> Matrix<Double>? {
  let q = g.rows
  var l = g.elements
  for j in 0..<q {
    var pivot = l[j * q + j]
    for k in 0..<j { pivot -= l[j * q + k] * l[j * q + k] }
    guard pivot > 1e-6 * g.elements[j * q + j], pivot.isFinite else { return nil }
    let diagonal = pivot.squareRoot()
    l[j * q + j] = diagonal
    for i in (j + 1)..<max(q, j + 1) {
      var sum = l[i * q + j]
      for k in 0..<j { sum -= l[i * q + k] * l[j * q + k] }
      l[i * q + j] = sum / diagonal
    }
  }
  var inverse = Matrix<Double>(rows: q, columns: q)
  for j in 0..<q {
    inverse.elements[j * q + j] = 1 / l[j * q + j]
    for i in (j + 1)..<max(q, j + 1) {
      var sum = 0.0
      for k in j..<i { sum += l[i * q + k] * inverse.elements[k * q + j] }
      inverse.elements[i * q + j] = -sum / l[i * q + i]
    }
  }
  return inverse
}
