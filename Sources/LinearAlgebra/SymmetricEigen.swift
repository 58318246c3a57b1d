// SPDX-License-Identifier: Apache-2.0

import CLAPACKE

/// Eigenvalues of a symmetric matrix a[n,n] and the eigenvectors of the largest of them.
public struct SymmetricEigen: Sendable {
  /// All n eigenvalues in ascending order.
  public let values: [Double]
  /// Unit eigenvectors, one a row, [count, n], belonging to the last `count` of `values` in that order.
  public let vectors: Matrix<Double>
}

/// All eigenpairs of the symmetric a[n,n].
public func symmetricEigen(_ a: Matrix<Double>) throws(LinearAlgebraError) -> SymmetricEigen {
  try symmetricEigen(a) { $0.count }
}

/// All eigenvalues of the symmetric a[n,n], and the eigenvectors of as many of the largest as
/// `countOfLargest` asks for once it has seen the ascending eigenvalues.
///
/// One reduction to tridiagonal form (sytrd) serves both: the values by QR iteration (sterf), a few
/// vectors by relatively robust representations (stemr), many by divide and conquer (stedc).
public func symmetricEigen(
  _ a: Matrix<Double>, countOfLargest: ([Double]) -> Int
) throws(LinearAlgebraError) -> SymmetricEigen {
  let n = a.rows
  precondition(a.columns == n, "eigenvalues of a matrix[\(n), \(a.columns)]: needs a square one")
  try a.checkFinite()
  guard n > 0 else { return SymmetricEigen(values: [], vectors: a) }
  var reflectors = a.elements
  var diagonal = [Double](repeating: 0, count: n)
  var offDiagonal = [Double](repeating: 0, count: n)
  var tau = [Double](repeating: 0, count: n)
  let (order, lower, left, plain) = (Int32(n), letter("L"), letter("L"), letter("N"))
  try check(
    "sytrd", n,
    LAPACKE_dsytrd(
      LAPACK_COL_MAJOR, lower, order, &reflectors, order, &diagonal, &offDiagonal, &tau))
  var values = diagonal
  var scratch = offDiagonal
  try check("sterf", n, LAPACKE_dsterf(order, &values, &scratch))

  let count = countOfLargest(values)
  precondition(count >= 0 && count <= n, "\(count) eigenvectors of a matrix[\(n), \(n)]")
  guard count > 0 else {
    return SymmetricEigen(values: values, vectors: Matrix(rows: 0, columns: n))
  }
  var vectors: [Double]
  if count > n / 4 {
    vectors = [Double](repeating: 0, count: n * n)
    try check(
      "stedc", n,
      LAPACKE_dstedc(
        LAPACK_COL_MAJOR, letter("I"), order, &diagonal, &offDiagonal, &vectors, order))
    vectors.removeFirst(n * (n - count))
  } else {
    vectors = [Double](repeating: 0, count: n * count)
    var selected = [Double](repeating: 0, count: n)
    var support = [Int32](repeating: 0, count: 2 * n)
    var found: Int32 = 0
    var highAccuracy: Int32 = 1
    try check(
      "stemr", n,
      LAPACKE_dstemr(
        LAPACK_COL_MAJOR, letter("V"), letter("I"), order, &diagonal, &offDiagonal, 0, 0,
        Int32(n - count + 1), order, &found, &selected, &vectors, order, Int32(count), &support,
        &highAccuracy))
  }
  try check(
    "ormtr", n,
    LAPACKE_dormtr(
      LAPACK_COL_MAJOR, left, lower, plain, order, Int32(count), reflectors, order, tau, &vectors,
      order))
  return SymmetricEigen(
    values: values, vectors: Matrix(rows: count, columns: n, elements: vectors))
}

func letter(_ character: Unicode.Scalar) -> Int8 { Int8(character.value) }

private func check(
  _ routine: String, _ n: Int, _ info: Int32
) throws(LinearAlgebraError) {
  if info < 0 { throw .illegalArgument(routine: routine, info: Int(info)) }
  if info > 0 { throw .notConverged(routine: routine, info: Int(info), rows: n, columns: n) }
}
