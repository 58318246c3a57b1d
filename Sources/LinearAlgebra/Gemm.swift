// SPDX-License-Identifier: Apache-2.0

import COpenBLAS

/// Whether a factor of a product is taken as it stands or transposed.
public enum Transpose: Sendable {
  /// As stored.
  case no
  /// Rows and columns exchanged.
  case yes

  var cblas: CBLAS_TRANSPOSE { self == .yes ? CblasTrans : CblasNoTrans }
}

/// c[m,n] = alpha · op(a)[m,k] · op(b)[k,n] + beta · c[m,n], on as many threads as BLAS is set to (`BLASEnvironment`: one).
public func gemm<Scalar>(
  _ a: MatrixView<Scalar>, _ transposeA: Transpose, _ b: MatrixView<Scalar>,
  _ transposeB: Transpose, alpha: Scalar = 1, beta: Scalar = 0,
  into c: MutableMatrixView<Scalar>
) {
  let (m, k) = transposeA == .no ? (a.rows, a.columns) : (a.columns, a.rows)
  let (kB, n) = transposeB == .no ? (b.rows, b.columns) : (b.columns, b.rows)
  precondition(
    k == kB && c.rows == m && c.columns == n,
    "gemm: [\(m), \(k)] times [\(kB), \(n)] into [\(c.rows), \(c.columns)]")
  guard m > 0, n > 0 else { return }
  guard k > 0 else {
    // As in BLAS, what c held is not looked at where beta is 0.
    if beta == 0 { c.base.update(repeating: 0, count: c.count) } else { c.scale(by: beta) }
    return
  }
  Scalar._gemm(
    transposeA.cblas, transposeB.cblas, m, n, k, alpha, a.base, a.columns, b.base, b.columns, beta,
    c.base, n)
}

/// c[range.count, n] = a[k, range]ᵀ · b[k,n] + beta · c: some rows of aᵀ·b, for work shared out by rows.
public func gemm<Scalar>(
  _ a: MatrixView<Scalar>, columns range: Range<Int>, transposedTimes b: MatrixView<Scalar>,
  beta: Scalar, into c: MutableMatrixView<Scalar>
) {
  precondition(
    a.rows == b.rows && c.rows == range.count && c.columns == b.columns
      && range.lowerBound >= 0 && range.upperBound <= a.columns && a.rows > 0,
    "gemm: [\(a.rows), \(range)]ᵀ times [\(b.rows), \(b.columns)] into [\(c.rows), \(c.columns)]")
  Scalar._gemm(
    CblasTrans, CblasNoTrans, range.count, b.columns, a.rows, 1, a.base + range.lowerBound,
    a.columns, b.base, b.columns, beta, c.base, c.columns)
}

/// c[m,n] = op(a)[m,k] · op(b)[k,n] + beta · c for blocks of larger matrices, whose rows begin `lda`, `ldb` and
/// `ldc` apart: the inner products of fused kernels. `beta` is 0 or 1.
@inline(__always)
public func gemmBlock(
  _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Float>, lda: Int, _ b: UnsafePointer<Float>,
  ldb: Int, transposeA: Transpose = .no, transposeB: Transpose = .no, beta: Float,
  into c: UnsafeMutablePointer<Float>, ldc: Int
) {
  guard m > 0, n > 0 else { return }
  Float._gemm(
    transposeA.cblas, transposeB.cblas, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
}

/// The product a[m,k] · b[k,n] as a new matrix[m,n].
public func matmul<Scalar>(_ a: Matrix<Scalar>, _ b: Matrix<Scalar>) -> Matrix<Scalar> {
  matmul(a, .no, b, .no)
}

/// The product op(a)[m,k] · op(b)[k,n] as a new matrix[m,n].
@_specialize(where Scalar == Float)
@_specialize(where Scalar == Double)
public func matmul<Scalar>(
  _ a: Matrix<Scalar>, _ transposeA: Transpose, _ b: Matrix<Scalar>, _ transposeB: Transpose
) -> Matrix<Scalar> {
  var c = Matrix<Scalar>(
    rows: transposeA == .no ? a.rows : a.columns,
    columns: transposeB == .no ? b.columns : b.rows)
  a.withView { a in
    b.withView { b in
      c.withMutableView { gemm(a, transposeA, b, transposeB, into: $0) }
    }
  }
  return c
}

/// The Gram matrix x[m,n]·xᵀ[n,m] in `Double` whatever the precision of x, both triangles filled.
///
/// Rounding x to `Double` is exact, so for `Float` data the products carry 29 spare bits.
public func gram<Scalar>(ofRows x: MatrixView<Scalar>) -> Matrix<Double> {
  let (m, n) = (x.rows, x.columns)
  var result = Matrix<Double>(rows: m, columns: m)
  guard m > 0, n > 0 else { return result }
  result.withMutableView { c in
    if let base = x.base as? UnsafePointer<Double> {
      cblas_dsyrk(
        CblasRowMajor, CblasUpper, CblasNoTrans, Int32(m), Int32(n), 1, base, Int32(n), 0, c.base,
        Int32(m))
    } else {
      // Column panels keep the widened copy in the cache.
      let panel = min(n, max(64, 32_768 / max(1, m)))
      withUnsafeTemporaryAllocation(of: Double.self, capacity: m * panel) { wide in
        guard let wide = wide.baseAddress else { return }
        for start in stride(from: 0, to: n, by: panel) {
          let width = min(panel, n - start)
          for i in 0..<m {
            Scalar._widen(x.base + i * n + start, width, into: wide + i * width)
          }
          cblas_dsyrk(
            CblasRowMajor, CblasUpper, CblasNoTrans, Int32(m), Int32(width), 1, wide, Int32(width),
            start == 0 ? 0 : 1, c.base, Int32(m))
        }
      }
    }
    for i in 0..<m {
      for j in 0..<i { c.base[i * m + j] = c.base[j * m + i] }
    }
  }
  return result
}

/// The Gram matrix xᵀ[n,m]·x[m,n] in `Double`, both triangles filled.
public func gram<Scalar>(ofColumns x: MatrixView<Scalar>) -> Matrix<Double> {
  let (m, n) = (x.rows, x.columns)
  var result = Matrix<Double>(rows: n, columns: n)
  guard m > 0, n > 0 else { return result }
  result.withMutableView { c in
    if let base = x.base as? UnsafePointer<Double> {
      cblas_dsyrk(
        CblasRowMajor, CblasUpper, CblasTrans, Int32(n), Int32(m), 1, base, Int32(n), 0, c.base,
        Int32(n))
    } else {
      let panel = min(m, max(64, 32_768 / max(1, n)))
      withUnsafeTemporaryAllocation(of: Double.self, capacity: n * panel) { wide in
        guard let wide = wide.baseAddress else { return }
        for start in stride(from: 0, to: m, by: panel) {
          let height = min(panel, m - start)
          Scalar._widen(x.base + start * n, height * n, into: wide)
          cblas_dsyrk(
            CblasRowMajor, CblasUpper, CblasTrans, Int32(n), Int32(height), 1, wide, Int32(n),
            start == 0 ? 0 : 1, c.base, Int32(n))
        }
      }
    }
    for i in 0..<n {
      for j in 0..<i { c.base[i * n + j] = c.base[j * n + i] }
    }
  }
  return result
}

/// c[m,m] = x[m,n]·xᵀ in caller's buffers, both triangles filled.
func gramOfRows(
  _ x: UnsafePointer<Double>, _ m: Int, _ n: Int, into c: UnsafeMutablePointer<Double>
) {
  cblas_dsyrk(
    CblasRowMajor, CblasUpper, CblasNoTrans, Int32(m), Int32(n), 1, x, Int32(n), 0, c, Int32(m))
  for i in 0..<m {
    for j in 0..<i { c[i &* m &+ j] = c[j &* m &+ i] }
  }
}
