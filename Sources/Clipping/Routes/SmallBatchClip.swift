// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Exact spectral clipping of many small matrices in Double, without allocation and without statistics: for
/// simulations that clip millions of them.
///
/// A batch holds matrices g[i][rows, columns] one after another. 3×3 matrices go four at a time through SIMD lanes
/// (`Jacobi3x3`), others by the Gram matrix as in `SpectralClip`, with its guard. One thread at a time.
public final class SmallBatchClip {
  private let rows: Int, columns: Int
  private let eigen: SmallSymmetricEigen
  private var gram: [Double]
  private var projection: [Double]

  /// For matrices [rows, columns].
  public init(rows: Int, columns: Int) {
    precondition(rows >= 1 && columns >= 1, "matrices[\(rows), \(columns)]")
    (self.rows, self.columns) = (rows, columns)
    let smaller = min(rows, columns)
    eigen = SmallSymmetricEigen(capacity: smaller)
    gram = [Double](repeating: 0, count: smaller * smaller)
    projection = [Double](repeating: 0, count: max(rows, columns))
  }

  private var size: Int { rows &* columns }
  private var is3x3: Bool { rows == 3 && columns == 3 }

  /// Clips every matrix of `batch` in place at τ; nothing is decomposed that the Frobenius norm shows to lie
  /// within τ (of 3×3 matrices, where all of them do).
  ///
  /// Throws `ClippingError.invalidThreshold` for a negative or NaN τ, `LinearAlgebraError.notFinite` for entries
  /// that are not finite; those of 3×3 matrices are not checked.
  public func clip(_ batch: inout [Double], at tau: Double) throws {
    guard tau >= 0 else { throw ClippingError.invalidThreshold(tau) }
    let count = count(in: batch)
    try batch.withUnsafeMutableBufferPointer { batch in
      guard let base = batch.baseAddress else { return }
      if is3x3 {
        let isInside = (0..<count).allSatisfy {
          let square = squaredNorm(base + $0 &* 9)
          return square <= tau * tau && isSafe(square)
        }
        if isInside { return }
        return Jacobi3x3.clip(base, count: count, sigmaMax: nil) { _ in tau }
      }
      for i in 0..<count {
        let g = base + i &* size
        let square = squaredNorm(g)
        guard isSafe(square) else {
          try clipGenerally(g, tau)
          continue
        }
        if square <= tau * tau { continue }
        try clipByGram(g, tau)
      }
    }
  }

  /// Clips every matrix in place at a threshold that depends on its σ_1; `sigmaMax[i]` receives σ_1(g[i]).
  ///
  /// Errors as above, where a threshold is none after all matrices of a 3×3 batch are through; its own is left as it was.
  public func clip(
    _ batch: inout [Double], sigmaMax: inout [Double], tau: (_ sigmaMax: Double) -> Double
  ) throws {
    let count = count(in: batch)
    precondition(sigmaMax.count == count, "\(count) matrices, \(sigmaMax.count) singular values")
    if is3x3 {
      var invalid: Double?
      Jacobi3x3.clip(&batch, count: count, sigmaMax: &sigmaMax) { sigmaMax in
        let tau = tau(sigmaMax)
        if tau >= 0 { return tau }
        invalid = tau
        return .infinity
      }
      if let invalid { throw ClippingError.invalidThreshold(invalid) }
      return
    }
    try withoutActuallyEscaping(tau) { tau in
      try batch.withUnsafeMutableBufferPointer { batch in
        guard let base = batch.baseAddress else { return }
        for i in 0..<count {
          let statistics = try SpectralClip.exact.clip(
            MutableMatrixView(rows: rows, columns: columns, base: base + i * size),
            at: .fromSigmaMax(tau))
          sigmaMax[i] = statistics.sigmaMax ?? statistics.sigmaMaxBound
        }
      }
    }
  }

  private func count(in batch: [Double]) -> Int {
    precondition(
      batch.count % size == 0, "\(batch.count) numbers are no matrices[\(rows), \(columns)]")
    return batch.count / size
  }

  private func squaredNorm(_ g: UnsafePointer<Double>) -> Double {
    var square = 0.0
    for i in 0..<size { square.addProduct(g[i], g[i]) }
    return square
  }

  /// Whether a norm's square is far from the ends of Double's range, where it may have become 0 or infinite.
  private func isSafe(_ square: Double) -> Bool { square > 1e-280 && square < 1e280 }

  /// g - Σ (1 - τ/σ_i) u_i u_iᵀ g over the σ_i above τ, from the smaller Gram matrix (of gᵀ for a tall g).
  private func clipByGram(_ g: UnsafeMutablePointer<Double>, _ tau: Double) throws {
    let isWide = rows <= columns
    let (n, length) = isWide ? (rows, columns) : (columns, rows)
    let (major, minor) = isWide ? (columns, 1) : (1, columns)
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
    let converges = gram.withUnsafeBufferPointer { gram in
      gram.baseAddress.map { (try? eigen.decompose($0, n)) != nil } ?? true
    }
    guard converges else { return try clipGenerally(g, tau) }
    let sigmaMax = max(0, eigen.values[n &- 1]).squareRoot()
    if sigmaMax <= tau { return }
    if sigmaMax > gramReach(Double.self) * tau { return try clipGenerally(g, tau) }
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

  /// Beyond the reach of Gram matrices, of extreme size, zero, or not finite, which this reports.
  private func clipGenerally(_ g: UnsafeMutablePointer<Double>, _ tau: Double) throws {
    try SpectralClip.exact.clip(
      MutableMatrixView(rows: rows, columns: columns, base: g), at: .fixed(tau))
  }
}
