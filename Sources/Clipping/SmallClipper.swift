import LinearAlgebra

/// Exact spectral clipping of many matrices of a few rows or columns in Double, without allocation: for
/// simulations that clip millions of them. The route is `SpectralClip`'s Gram route, with its guard.
public final class SmallClipper {
  private let rows: Int, columns: Int
  private let eigen: SmallSymmetricEigen
  private let exact: SpectralClip?
  private var gram: [Double]
  private var projection: [Double]

  /// For matrices [rows, columns].
  public init(rows: Int, columns: Int) {
    (self.rows, self.columns) = (rows, columns)
    let smaller = min(rows, columns)
    eigen = SmallSymmetricEigen(capacity: smaller)
    exact = try? SpectralClip(.exactSVD)
    gram = [Double](repeating: 0, count: smaller * smaller)
    projection = [Double](repeating: 0, count: max(rows, columns))
  }

  /// Clips the matrix[rows, columns] at `g` in place at τ.
  ///
  /// Throws `LinearAlgebraError` for entries that are not finite.
  public func clip(_ g: UnsafeMutablePointer<Double>, at tau: Double) throws {
    var square = 0.0
    for i in 0..<(rows &* columns) { square.addProduct(g[i], g[i]) }
    if square <= tau * tau { return }
    guard square.isFinite else { return try clipGenerally(g, tau) }
    let wide = rows <= columns
    let (n, length) = wide ? (rows, columns) : (columns, rows)
    let (major, minor) = wide ? (columns, 1) : (1, columns)
    for i in 0..<n {
      for j in 0...i {
        var sum = 0.0
        for k in 0..<length {
          sum.addProduct(g[i &* major &+ k &* minor], g[j &* major &+ k &* minor])
        }
        gram[i &* n &+ j] = sum
        gram[j &* n &+ i] = sum
      }
    }
    try gram.withUnsafeBufferPointer { gram in
      if let base = gram.baseAddress { try eigen.decompose(base, n) }
    }
    let largest = max(0, eigen.values[n &- 1]).squareRoot()
    if largest <= tau { return }
    if largest > 32 * tau { return try clipGenerally(g, tau) }
    for index in stride(from: n &- 1, through: 0, by: -1) {
      let value = eigen.values[index]
      guard value > tau * tau else { break }
      let u = eigen.vector(index)
      let shrinkage = 1 - tau / value.squareRoot()
      for k in 0..<length {
        var sum = 0.0
        for i in 0..<n { sum.addProduct(u[i], g[i &* major &+ k &* minor]) }
        projection[k] = sum
      }
      for i in 0..<n {
        let factor = -shrinkage * u[i]
        for k in 0..<length { g[i &* major &+ k &* minor].addProduct(factor, projection[k]) }
      }
    }
  }

  private func clipGenerally(_ g: UnsafeMutablePointer<Double>, _ tau: Double) throws {
    try exact?.clip(
      MutableMatrixView(rows: rows, columns: columns, base: g), at: .fixed(tau))
  }
}
