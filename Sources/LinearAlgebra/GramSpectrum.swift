// SPDX-License-Identifier: Apache-2.0

import Foundation

/// All singular values of g[m,n] and the leading singular vectors, from the smaller Gram matrix in Double.
///
/// An order of magnitude faster than a decomposition of g itself. A value σ_i carries a relative error of at
/// most k·ε₆₄·(σ_1/σ_i)², k = min(m, n): values above 1e-5 σ_1 are good to 1e-4 and better, which is what
/// rounding g to Float leaves of them anyway.
public struct GramSpectrum: Sendable {
  /// Largest first, [min(m, n)].
  public let sigma: [Double]
  /// u_i, one a row, [count, m]; zeros where σ_i = 0.
  public let left: Matrix<Double>
  /// v_i, one a row, [count, n].
  public let right: Matrix<Double>

  /// The vectors are those of the largest value and of all above `limit`.
  ///
  /// Throws `LinearAlgebraError.notFinite` for a NaN or an infinity.
  public init(
    of g: MatrixView<Float>, vectorsAbove limit: Double = .infinity
  ) throws(LinearAlgebraError) {
    try g.checkFinite()
    let isWide = g.rows <= g.columns
    let eigen = try symmetricEigen(isWide ? gram(ofRows: g) : gram(ofColumns: g)) { values in
      min(values.count, max(1, values.count { $0 > limit * limit }))
    }
    let sigma = eigen.values.reversed().map { max(0, $0).squareRoot() }
    let count = eigen.vectors.rows
    var inner = Matrix<Double>(rows: count, columns: isWide ? g.rows : g.columns)
    var outer = Matrix<Double>(rows: count, columns: isWide ? g.columns : g.rows)
    for i in 0..<count where sigma[i] > 0 {
      let vector = eigen.vectors.row(count - 1 - i)
      let image = isWide ? product(vector, g) : product(g, vector)
      for (j, value) in vector.enumerated() { inner[i, j] = value }
      for (j, value) in image.enumerated() { outer[i, j] = value / sigma[i] }
    }
    self.sigma = sigma
    (left, right) = isWide ? (inner, outer) : (outer, inner)
  }
}

/// exp of the entropy of σ_i²/Σσ²: r equal values give r; 0 where all are 0.
public func effectiveRank(ofSingularValues sigma: [Double]) -> Double {
  guard let largest = sigma.max(), largest > 0 else { return 0 }
  let squares = sigma.map { ($0 / largest) * ($0 / largest) }
  let total = squares.reduce(0, +)
  return exp(squares.reduce(0) { $1 > 0 ? $0 - $1 / total * log($1 / total) : $0 })
}

/// g[m,n] · v[n], sums in Double.
public func product(_ g: MatrixView<Float>, _ v: [Double]) -> [Double] {
  precondition(v.count == g.columns, "[\(g.rows), \(g.columns)] times [\(v.count)]")
  return (0..<g.rows).map { i in
    let row = g.base + i * g.columns
    var sum = 0.0
    for j in 0..<g.columns { sum.addProduct(Double(row[j]), v[j]) }
    return sum
  }
}

/// uᵀ[m] · g[m,n], sums in Double.
public func product(_ u: [Double], _ g: MatrixView<Float>) -> [Double] {
  precondition(u.count == g.rows, "[\(u.count)] times [\(g.rows), \(g.columns)]")
  var sums = [Double](repeating: 0, count: g.columns)
  for i in 0..<g.rows {
    let row = g.base + i * g.columns
    for j in 0..<g.columns { sums[j].addProduct(u[i], Double(row[j])) }
  }
  return sums
}
