// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A thin singular value decomposition g[m,n] = u[m,k] · diag(sigma)[k] · vT[k,n], k = min(m, n).
public struct SVD<Scalar: RealScalar>: Sendable {
  /// Left singular vectors, one a column, [m,k].
  public let u: Matrix<Scalar>
  /// Singular values, largest first, [k].
  public let sigma: [Scalar]
  /// Right singular vectors, one a row, [k,n].
  public let vT: Matrix<Scalar>
}

/// How often gesdd failed to converge and gesvd had to take over, in this process; records carry it.
public enum SVDFallback {
  private static let counter = Atomic<Int>(0)

  /// Number of fallbacks so far.
  public static var count: Int { counter.load(ordering: .relaxed) }

  static func increment() { counter.add(1, ordering: .relaxed) }
}

/// The thin SVD of g[m,n] by divide and conquer (gesdd), with QR iteration (gesvd) where that fails.
///
/// Row-major g is column-major gᵀ = V Σ Uᵀ, so LAPACK's left vectors are our right ones and the
/// other way round: nothing is transposed in memory.
public func svd<Scalar>(_ g: Matrix<Scalar>) throws(LinearAlgebraError) -> SVD<Scalar> {
  try svd(g, drivers: LAPACKDrivers())
}

/// The singular values of g[m,n], largest first, [min(m, n)]; the same drivers, no vectors.
public func singularValues<Scalar>(_ g: Matrix<Scalar>) throws(LinearAlgebraError) -> [Scalar] {
  let (m, n) = (g.rows, g.columns)
  try g.checkFinite()
  guard m > 0, n > 0 else { return [] }
  return try decompose(g, vectors: false, drivers: LAPACKDrivers()).sigma
}

/// The two LAPACK drivers; tests replace the first to see the second take over.
struct LAPACKDrivers<Scalar: RealScalar> {
  typealias Driver = (
    Int8, Int, Int, UnsafeMutablePointer<Scalar>, UnsafeMutablePointer<Scalar>,
    UnsafeMutablePointer<Scalar>?, UnsafeMutablePointer<Scalar>?
  ) -> Int
  var first: Driver = Scalar._gesdd
  var fallback: Driver = Scalar._gesvd
}

func svd<Scalar>(
  _ g: Matrix<Scalar>, drivers: LAPACKDrivers<Scalar>
) throws(LinearAlgebraError) -> SVD<Scalar> {
  let (m, n) = (g.rows, g.columns)
  try g.checkFinite()
  guard m > 0, n > 0 else {
    return SVD(u: Matrix(rows: m, columns: 0), sigma: [], vT: Matrix(rows: 0, columns: n))
  }
  return try decompose(g, vectors: true, drivers: drivers)
}

private func decompose<Scalar>(
  _ g: Matrix<Scalar>, vectors: Bool, drivers: LAPACKDrivers<Scalar>
) throws(LinearAlgebraError) -> SVD<Scalar> {
  let (m, n) = (g.rows, g.columns)
  let k = min(m, n)
  var sigma = [Scalar](repeating: 0, count: k)
  var u = Matrix<Scalar>(rows: m, columns: vectors ? k : 0)
  var vT = Matrix<Scalar>(rows: vectors ? k : 0, columns: n)
  let job = Int8(UInt8(ascii: vectors ? "S" : "N"))
  func attempt(_ driver: LAPACKDrivers<Scalar>.Driver) -> Int {
    var work = g  // both drivers overwrite their input
    return work.withMutableView { work in
      u.withMutableView { u in
        vT.withMutableView { vT in
          driver(job, n, m, work.base, &sigma, vectors ? vT.base : nil, vectors ? u.base : nil)
        }
      }
    }
  }
  var info = attempt(drivers.first)
  if info > 0 {
    SVDFallback.increment()
    info = attempt(drivers.fallback)
    guard info == 0 else {
      throw .notConverged(routine: "gesdd", info: info, rows: m, columns: n)
    }
  }
  guard info == 0 else { throw .illegalArgument(routine: "gesdd", info: info) }
  return SVD(u: u, sigma: sigma, vT: vT)
}
