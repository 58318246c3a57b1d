// SPDX-License-Identifier: Apache-2.0

import CLAPACKE
import COpenBLAS

/// The element types of this library, `Float` and `Double`, with the BLAS and LAPACK routines of each.
///
/// The requirements take raw buffers: column-major where LAPACK does, row-major for products. Outside this package everything
/// takes `Matrix` or a matrix view.
public protocol RealScalar: RandomReal, SIMDScalar, Codable {
  /// c[m,n] = alpha · op(a) · op(b) + beta · c, row-major (cblas_?gemm).
  static func _gemm(
    _ transposeA: CBLAS_TRANSPOSE, _ transposeB: CBLAS_TRANSPOSE, _ m: Int, _ n: Int, _ k: Int,
    _ alpha: Self, _ a: UnsafePointer<Self>, _ lda: Int, _ b: UnsafePointer<Self>, _ ldb: Int,
    _ beta: Self, _ c: UnsafeMutablePointer<Self>, _ ldc: Int)

  /// b[m,n] = a[m,m] · b for a lower triangular a, both row-major, in place.
  static func _multiplyLowerTriangle(
    _ m: Int, _ n: Int, _ a: UnsafePointer<Self>, _ b: UnsafeMutablePointer<Self>)

  /// Thin singular value decomposition of the column-major a[m,n] by divide and conquer; `job` is "S" or "N".
  static func _gesdd(
    _ job: Int8, _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Self>,
    _ s: UnsafeMutablePointer<Self>, _ u: UnsafeMutablePointer<Self>?,
    _ vt: UnsafeMutablePointer<Self>?
  ) -> Int

  /// The same decomposition by QR iteration: slower, but converges where divide and conquer may not.
  static func _gesvd(
    _ job: Int8, _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Self>,
    _ s: UnsafeMutablePointer<Self>, _ u: UnsafeMutablePointer<Self>?,
    _ vt: UnsafeMutablePointer<Self>?
  ) -> Int

  /// Householder QR of the column-major a[m,n], m >= n: Q overwrites a, R's upper triangle goes to r[n,n] (column-major).
  static func _qr(
    _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Self>, _ r: UnsafeMutablePointer<Self>?
  ) -> Int

  /// Sum of squares, accumulated in `Double` in 16 interleaved partial sums (a fixed order).
  static func _sumOfSquares(_ x: UnsafePointer<Self>, _ count: Int) -> Double

  /// Multiplies `count` elements by `factor` in place.
  static func _scale(_ x: UnsafeMutablePointer<Self>, _ count: Int, by factor: Self)

  /// Copies `count` elements into a `Double` buffer.
  static func _widen(_ x: UnsafePointer<Self>, _ count: Int, into y: UnsafeMutablePointer<Double>)

  /// Rounds `count` `Double` values to this type.
  static func _narrow(_ x: UnsafePointer<Double>, _ count: Int, into y: UnsafeMutablePointer<Self>)
}

private let columnMajor = LAPACK_COL_MAJOR

/// Runs a LAPACK routine twice: once to ask for its workspace, once with it.
private func withWorkspace<S: RealScalar>(
  _ body: (UnsafeMutablePointer<S>, Int32) -> Int32
) -> Int {
  var query = S.zero
  let asked = body(&query, -1)
  guard asked == 0 else { return Int(asked) }
  let size = max(1, Int(query))
  return withUnsafeTemporaryAllocation(of: S.self, capacity: size) { work in
    guard let base = work.baseAddress else { return 0 }
    return Int(body(base, Int32(size)))
  }
}

extension Float: RealScalar {
  /// See `RealScalar`.
  public static func _gemm(
    _ transposeA: CBLAS_TRANSPOSE, _ transposeB: CBLAS_TRANSPOSE, _ m: Int, _ n: Int, _ k: Int,
    _ alpha: Float, _ a: UnsafePointer<Float>, _ lda: Int, _ b: UnsafePointer<Float>, _ ldb: Int,
    _ beta: Float, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    if transposeB == CblasNoTrans && alpha == 1 && (beta == 0 || beta == 1)
      && m &* n &* k <= smallGemmLimit
    {
      return SmallGemm.multiply(
        m, n, k, a, rowStride: transposeA == CblasNoTrans ? lda : 1,
        columnStride: transposeA == CblasNoTrans ? 1 : lda, b, ldb: ldb, accumulate: beta == 1, c,
        ldc: ldc)
    }
    cblas_sgemm(
      CblasRowMajor, transposeA, transposeB, Int32(m), Int32(n), Int32(k), alpha, a, Int32(lda), b,
      Int32(ldb), beta, c, Int32(ldc))
  }

  /// See `RealScalar`.
  public static func _multiplyLowerTriangle(
    _ m: Int, _ n: Int, _ a: UnsafePointer<Float>, _ b: UnsafeMutablePointer<Float>
  ) {
    cblas_strmm(
      CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, Int32(m), Int32(n), 1, a,
      Int32(m), b, Int32(n))
  }

  /// See `RealScalar`.
  public static func _gesdd(
    _ job: Int8, _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Float>,
    _ s: UnsafeMutablePointer<Float>, _ u: UnsafeMutablePointer<Float>?,
    _ vt: UnsafeMutablePointer<Float>?
  ) -> Int {
    let (m32, n32, k32) = (Int32(m), Int32(n), Int32(max(1, min(m, n))))
    return withUnsafeTemporaryAllocation(of: Int32.self, capacity: 8 * max(1, min(m, n))) { iwork in
      withWorkspace { (work: UnsafeMutablePointer<Float>, size) in
        LAPACKE_sgesdd_work(
          columnMajor, job, m32, n32, a, m32, s, u, m32, vt, k32, work, size, iwork.baseAddress)
      }
    }
  }

  /// See `RealScalar`.
  public static func _gesvd(
    _ job: Int8, _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Float>,
    _ s: UnsafeMutablePointer<Float>, _ u: UnsafeMutablePointer<Float>?,
    _ vt: UnsafeMutablePointer<Float>?
  ) -> Int {
    let (m32, n32, k32) = (Int32(m), Int32(n), Int32(max(1, min(m, n))))
    return withWorkspace { (work: UnsafeMutablePointer<Float>, size) in
      LAPACKE_sgesvd_work(columnMajor, job, job, m32, n32, a, m32, s, u, m32, vt, k32, work, size)
    }
  }

  /// See `RealScalar`.
  public static func _qr(
    _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Float>, _ r: UnsafeMutablePointer<Float>?
  ) -> Int {
    let (m32, n32) = (Int32(m), Int32(n))
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, n)) { tau in
      let info = withWorkspace { (work: UnsafeMutablePointer<Float>, size) in
        LAPACKE_sgeqrf_work(columnMajor, m32, n32, a, m32, tau.baseAddress, work, size)
      }
      guard info == 0 else { return info }
      copyUpperTriangle(a, m, n, into: r)
      return withWorkspace { (work: UnsafeMutablePointer<Float>, size) in
        LAPACKE_sorgqr_work(columnMajor, m32, n32, n32, a, m32, tau.baseAddress, work, size)
      }
    }
  }

  /// See `RealScalar`.
  public static func _sumOfSquares(_ x: UnsafePointer<Float>, _ count: Int) -> Double {
    var low = SIMD8<Double>()
    var high = SIMD8<Double>()
    let blocks = count / 16
    for block in 0..<blocks {
      let values = UnsafeRawPointer(x + 16 &* block).loadUnaligned(as: SIMD16<Float>.self)
      let (l, h) = (SIMD8<Double>(values.lowHalf), SIMD8<Double>(values.highHalf))
      low.addProduct(l, l)
      high.addProduct(h, h)
    }
    var rest = 0.0
    for i in (16 * blocks)..<count { rest.addProduct(Double(x[i]), Double(x[i])) }
    return (low + high).sum() + rest
  }

  /// See `RealScalar`.
  public static func _scale(_ x: UnsafeMutablePointer<Float>, _ count: Int, by factor: Float) {
    for i in 0..<count { x[i] *= factor }
  }

  /// See `RealScalar`.
  public static func _widen(
    _ x: UnsafePointer<Float>, _ count: Int, into y: UnsafeMutablePointer<Double>
  ) {
    for i in 0..<count { y[i] = Double(x[i]) }
  }

  /// See `RealScalar`.
  public static func _narrow(
    _ x: UnsafePointer<Double>, _ count: Int, into y: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count { y[i] = Float(x[i]) }
  }
}

extension Double: RealScalar {
  /// See `RealScalar`.
  public static func _gemm(
    _ transposeA: CBLAS_TRANSPOSE, _ transposeB: CBLAS_TRANSPOSE, _ m: Int, _ n: Int, _ k: Int,
    _ alpha: Double, _ a: UnsafePointer<Double>, _ lda: Int, _ b: UnsafePointer<Double>, _ ldb: Int,
    _ beta: Double, _ c: UnsafeMutablePointer<Double>, _ ldc: Int
  ) {
    cblas_dgemm(
      CblasRowMajor, transposeA, transposeB, Int32(m), Int32(n), Int32(k), alpha, a, Int32(lda), b,
      Int32(ldb), beta, c, Int32(ldc))
  }

  /// See `RealScalar`.
  public static func _multiplyLowerTriangle(
    _ m: Int, _ n: Int, _ a: UnsafePointer<Double>, _ b: UnsafeMutablePointer<Double>
  ) {
    cblas_dtrmm(
      CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, Int32(m), Int32(n), 1, a,
      Int32(m), b, Int32(n))
  }

  /// See `RealScalar`.
  public static func _gesdd(
    _ job: Int8, _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Double>,
    _ s: UnsafeMutablePointer<Double>, _ u: UnsafeMutablePointer<Double>?,
    _ vt: UnsafeMutablePointer<Double>?
  ) -> Int {
    let (m32, n32, k32) = (Int32(m), Int32(n), Int32(max(1, min(m, n))))
    return withUnsafeTemporaryAllocation(of: Int32.self, capacity: 8 * max(1, min(m, n))) { iwork in
      withWorkspace { (work: UnsafeMutablePointer<Double>, size) in
        LAPACKE_dgesdd_work(
          columnMajor, job, m32, n32, a, m32, s, u, m32, vt, k32, work, size, iwork.baseAddress)
      }
    }
  }

  /// See `RealScalar`.
  public static func _gesvd(
    _ job: Int8, _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Double>,
    _ s: UnsafeMutablePointer<Double>, _ u: UnsafeMutablePointer<Double>?,
    _ vt: UnsafeMutablePointer<Double>?
  ) -> Int {
    let (m32, n32, k32) = (Int32(m), Int32(n), Int32(max(1, min(m, n))))
    return withWorkspace { (work: UnsafeMutablePointer<Double>, size) in
      LAPACKE_dgesvd_work(columnMajor, job, job, m32, n32, a, m32, s, u, m32, vt, k32, work, size)
    }
  }

  /// See `RealScalar`.
  public static func _qr(
    _ m: Int, _ n: Int, _ a: UnsafeMutablePointer<Double>, _ r: UnsafeMutablePointer<Double>?
  ) -> Int {
    let (m32, n32) = (Int32(m), Int32(n))
    return withUnsafeTemporaryAllocation(of: Double.self, capacity: max(1, n)) { tau in
      let info = withWorkspace { (work: UnsafeMutablePointer<Double>, size) in
        LAPACKE_dgeqrf_work(columnMajor, m32, n32, a, m32, tau.baseAddress, work, size)
      }
      guard info == 0 else { return info }
      copyUpperTriangle(a, m, n, into: r)
      return withWorkspace { (work: UnsafeMutablePointer<Double>, size) in
        LAPACKE_dorgqr_work(columnMajor, m32, n32, n32, a, m32, tau.baseAddress, work, size)
      }
    }
  }

  /// See `RealScalar`.
  public static func _sumOfSquares(_ x: UnsafePointer<Double>, _ count: Int) -> Double {
    var low = SIMD8<Double>()
    var high = SIMD8<Double>()
    let blocks = count / 16
    for block in 0..<blocks {
      let raw = UnsafeRawPointer(x + 16 &* block)
      let l = raw.loadUnaligned(as: SIMD8<Double>.self)
      let h = raw.loadUnaligned(fromByteOffset: 64, as: SIMD8<Double>.self)
      low.addProduct(l, l)
      high.addProduct(h, h)
    }
    var rest = 0.0
    for i in (16 * blocks)..<count { rest.addProduct(x[i], x[i]) }
    return (low + high).sum() + rest
  }

  /// See `RealScalar`.
  public static func _scale(_ x: UnsafeMutablePointer<Double>, _ count: Int, by factor: Double) {
    for i in 0..<count { x[i] *= factor }
  }

  /// See `RealScalar`.
  public static func _widen(
    _ x: UnsafePointer<Double>, _ count: Int, into y: UnsafeMutablePointer<Double>
  ) {
    y.update(from: x, count: count)
  }

  /// See `RealScalar`.
  public static func _narrow(
    _ x: UnsafePointer<Double>, _ count: Int, into y: UnsafeMutablePointer<Double>
  ) {
    y.update(from: x, count: count)
  }
}

/// Copies R from the upper triangle of the column-major a[m,n] into r[n,n], zeros below the diagonal.
private func copyUpperTriangle<S: RealScalar>(
  _ a: UnsafeMutablePointer<S>, _ m: Int, _ n: Int, into r: UnsafeMutablePointer<S>?
) {
  guard let r else { return }
  for j in 0..<n {
    for i in 0..<n { r[j * n + i] = i <= j ? a[j * m + i] : 0 }
  }
}
