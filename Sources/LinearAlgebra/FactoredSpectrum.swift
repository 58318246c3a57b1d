// SPDX-License-Identifier: Apache-2.0

import COpenBLAS

/// The singular values of G = leftᵀ[m,r] · right[r,n] and spectral functions of G, from its thin factors.
///
/// With A = left·leftᵀ, B = right·rightᵀ (both r×r) and A = LLᵀ, the squares σ² are the eigenvalues of
/// K = LᵀBL. An eigenvector z of K gives y = Lz with σ vᵀ = yᵀ·right and u = leftᵀ·B y/σ², so that
///
///     U diag(w σ) Vᵀ = leftᵀ · (I - Σ (1 - w_i)/σ_i² · B y_i y_iᵀ) · right
///
/// costs one product of G's size, as G itself does. Everything of size r runs in Double; nothing is
/// allocated once the buffers have grown. (A mini-batch of r samples makes such a G; r = 32 or 33 here.)
package final class FactoredSpectrum {
  /// ‖G‖_F.
  package private(set) var frobeniusNorm = 0.0
  /// ‖left‖_F · ‖right‖_F, which rounding errors of the Gram matrices are relative to.
  package private(set) var scale = 0.0
  /// σ_i of the last `decompose()`, ascending, at most r of them; the others are zero.
  package var singularValues: UnsafeBufferPointer<Double> {
    UnsafeBufferPointer(start: sigma, count: rank)
  }
  private var leftNorm = 0.0  // ‖left‖_F
  private var rows = 0, columns = 0, r = 0, rank = 0
  private var hasCore = false
  private var capacity = (r: 0, rows: 0, columns: 0)
  private var slab: UnsafeMutablePointer<Double>?
  private var left: UnsafeMutablePointer<Double>, right: UnsafeMutablePointer<Double>
  private var gramLeft: UnsafeMutablePointer<Double>, gramRight: UnsafeMutablePointer<Double>
  private var root: UnsafeMutablePointer<Double>, rootRight: UnsafeMutablePointer<Double>
  private var core: UnsafeMutablePointer<Double>, square: UnsafeMutablePointer<Double>
  private var chosen: UnsafeMutablePointer<Double>, weighted: UnsafeMutablePointer<Double>
  private var images: UnsafeMutablePointer<Double>
  private var sigma: UnsafeMutablePointer<Double>, diagonal: UnsafeMutablePointer<Double>
  private var newRight: UnsafeMutablePointer<Double>, dense: UnsafeMutablePointer<Double>
  private var narrowed: UnsafeMutablePointer<Float>
  private var eigen = SmallSymmetricEigen(capacity: 0)
  private var leftView: MatrixView<Float>

  /// Empty buffers; they grow with the first matrices.
  package init() {
    let none = UnsafeMutablePointer<Double>.allocate(capacity: 1)
    slab = none
    (left, right, gramLeft, gramRight) = (none, none, none, none)
    (root, rootRight, core, square) = (none, none, none, none)
    (chosen, weighted, images, sigma) = (none, none, none, none)
    (diagonal, newRight, dense) = (none, none, none)
    narrowed = .allocate(capacity: 1)
    leftView = MatrixView(rows: 0, columns: 0, base: UnsafePointer(narrowed))
  }

  deinit {
    slab?.deallocate()
    narrowed.deallocate()
  }

  private func reserve(_ r: Int, _ m: Int, _ n: Int) {
    guard r > capacity.r || m > capacity.rows || n > capacity.columns else { return }
    let (r, m, n) = (max(r, capacity.r), max(m, capacity.rows), max(n, capacity.columns))
    capacity = (r, m, n)
    let sizes = [
      r * m, r * n, r * r, r * r, r * r, r * r, r * r, r * r, r * r, r * r, r * r, r, r, r * n,
      max(m, r) * n,
    ].map { ($0 + 7) & ~7 }
    slab?.deallocate()
    narrowed.deallocate()
    let base = UnsafeMutablePointer<Double>.allocate(capacity: sizes.reduce(8, +))
    slab = base
    var next = base
    var index = 0
    func take() -> UnsafeMutablePointer<Double> {
      defer {
        next += sizes[index]
        index += 1
      }
      return next
    }
    (left, right, gramLeft, gramRight) = (take(), take(), take(), take())
    (root, rootRight, core, square) = (take(), take(), take(), take())
    (chosen, weighted, images, sigma) = (take(), take(), take(), take())
    (diagonal, newRight, dense) = (take(), take(), take())
    narrowed = .allocate(capacity: r * n)
    eigen = SmallSymmetricEigen(capacity: r)
  }

  /// Takes factors left[r,m] and right[r,n] and computes ‖G‖_F; they must stay alive until `write`.
  package func load(left leftView: MatrixView<Float>, right rightView: MatrixView<Float>) {
    precondition(
      leftView.rows == rightView.rows && leftView.rows > 0,
      "factors [\(leftView.rows), \(leftView.columns)], [\(rightView.rows), \(rightView.columns)]")
    (r, rows, columns) = (leftView.rows, leftView.columns, rightView.columns)
    reserve(r, rows, columns)
    self.leftView = leftView
    Float._widen(leftView.base, r * rows, into: left)
    Float._widen(rightView.base, r * columns, into: right)
    gramOfRows(left, r, rows, into: gramLeft)
    gramOfRows(right, r, columns, into: gramRight)
    let sum = cblas_ddot(Int32(r * r), gramLeft, 1, gramRight, 1)
    var (traceLeft, traceRight) = (0.0, 0.0)
    for i in 0..<r {
      traceLeft += gramLeft[i &* r &+ i]
      traceRight += gramRight[i &* r &+ i]
    }
    hasCore = false
    frobeniusNorm = sum.isNaN ? sum : max(0, sum).squareRoot()
    scale = (traceLeft * traceRight).squareRoot()
    leftNorm = traceLeft.squareRoot()
  }

  /// An upper bound of σ_1 that costs one r×r product: the Schatten-4 norm (Σ σ⁴)^¼ = tr((AB)²)^¼,
  /// with room for its rounding error.
  package func schatten4Bound() -> Double {
    multiply(gramLeft, r, r, gramRight, r, into: square)
    var trace = 0.0
    for i in 0..<r { trace += cblas_ddot(Int32(r), square + i * r, 1, square + i, Int32(r)) }
    let size = Double._sumOfSquares(square, r * r)
    return max(0, trace + 1e-13 * size).squareRoot().squareRoot()
  }

  /// Whether every singular value is at most `limit`, proved by Cholesky's method: limit²·I - K is
  /// positive definite by a margin above the rounding errors. False says nothing.
  package func isCertified(within limit: Double) -> Bool {
    formCore()
    // K carries errors of a few r·ε·scale²; so does the factorization.
    let level = limit * limit - 8 * Double(r) * .ulpOfOne * (scale * scale + limit * limit)
    guard level > 0 else { return false }
    let l = square
    for j in 0..<rank {
      let row = l + j &* rank
      for i in j..<rank { row[i] = (i == j ? level : 0) - core[j &* rank &+ i] }
      for k in 0..<j {
        let earlier = l + k &* rank
        let factor = -earlier[j]
        for i in j..<rank { row[i].addProduct(factor, earlier[i]) }
      }
      guard row[j] > 0 else { return false }
      let inverse = 1 / row[j].squareRoot()
      for i in j..<rank { row[i] *= inverse }
    }
    return true
  }

  /// Finds all singular values and the vectors y.
  package func decompose() throws(LinearAlgebraError) {
    formCore()
    try eigen.decompose(core, rank)
    for i in 0..<rank { sigma[i] = max(0, eigen.values[i]).squareRoot() }
  }

  /// K = LᵀBL in `core`, once for each `load`.
  private func formCore() {
    guard !hasCore else { return }
    hasCore = true
    factor()
    multiply(root, rank, r, gramRight, r, into: rootRight)
    Double._gemm(
      Transpose.no.cblas, Transpose.yes.cblas, rank, rank, r, 1, rootRight, r, root, r, 0, core,
      rank)
    for i in 0..<rank {
      for j in 0..<i {
        let mean = 0.5 * (core[i &* rank &+ j] + core[j &* rank &+ i])
        core[i &* rank &+ j] = mean
        core[j &* rank &+ i] = mean
      }
    }
  }

  /// Writes U diag(w(σ) σ) Vᵀ, where w differs from 1 only for the `count` largest singular values;
  /// returns its Frobenius norm. Needs `decompose()`.
  @discardableResult
  package func write(
    reweighting count: Int, _ w: (_ sigma: Double) -> Double,
    into g: MutableMatrixView<Float>
  ) -> Double {
    precondition(count >= 0 && count <= rank, "\(count) of \(rank) singular values")
    precondition(g.rows == rows && g.columns == columns, "[\(g.rows), \(g.columns)]")
    var sum = 0.0
    for i in 0..<(rank &- count) { sum.addProduct(sigma[i], sigma[i]) }
    // Rows of `chosen`: eigenvectors z scaled by (1 - w)/σ²; rows of `square`: the same unscaled.
    for i in 0..<count {
      let index = rank - count + i
      let (value, vector) = (sigma[index], eigen.vector(index))
      let weight = w(value)
      sum.addProduct(weight * value, weight * value)
      let factor = value > 0 ? (1 - weight) / (value * value) : 0
      for j in 0..<rank {
        square[i &* rank &+ j] = vector[j]
        chosen[i &* rank &+ j] = factor * vector[j]
      }
    }
    newRight.update(from: right, count: r * columns)
    if count > 0 {
      // right -= Σ B y · ((1 - w)/σ² yᵀ · right), in the cheaper of the two orders.
      multiply(square, count, rank, rootRight, r, into: images)  // rows B y, [count, r]
      multiply(chosen, count, rank, root, r, into: weighted)  // rows y (1 - w)/σ², [count, r]
      if 2 * count <= r {
        multiply(weighted, count, r, right, columns, into: dense)
        Double._gemm(
          Transpose.yes.cblas, Transpose.no.cblas, r, columns, count, -1, images, r, dense, columns,
          1, newRight, columns)
      } else {
        Double._gemm(
          Transpose.yes.cblas, Transpose.no.cblas, r, r, count, 1, images, r, weighted, r, 0,
          square,
          r)
        Double._gemm(
          Transpose.no.cblas, Transpose.no.cblas, r, columns, r, -1, square, r, right, columns, 1,
          newRight, columns)
      }
    }
    let norm = sum.squareRoot()
    let size = Double._sumOfSquares(newRight, r * columns).squareRoot()
    if size * leftNorm <= Self.largestCancellation * norm, Self.floatRange.contains(size) {
      Float._narrow(newRight, r * columns, into: narrowed)
      gemm(
        leftView, .yes,
        MatrixView(rows: r, columns: columns, base: UnsafePointer(narrowed)), .no, into: g)
    } else {
      Double._gemm(
        Transpose.yes.cblas, Transpose.no.cblas, rows, columns, r, 1, left, rows, newRight, columns,
        0, dense, columns)
      Float._narrow(dense, rows * columns, into: g.base)
    }
    return norm
  }

  /// How much larger than the result's norm the product of its factors' norms may be for the new factor to be rounded
  /// to Float before the last product: up to there that costs no more accuracy than forming G in Float does.
  private static let largestCancellation = 256.0

  /// Norms of a factor whose entries, as far as they count, are normal numbers in Float.
  private static let floatRange = 1e-30...1e37

  /// root[rank, r] with rootᵀ·root = A, by Cholesky's method with diagonal pivoting.
  private func factor() {
    var largest = 0.0
    for i in 0..<r {
      diagonal[i] = gramLeft[i &* r &+ i]
      largest = max(largest, diagonal[i])
    }
    let tolerance = Double(r) * .ulpOfOne * largest
    rank = 0
    while rank < r {
      var pivot = 0
      for i in 1..<max(1, r) where diagonal[i] > diagonal[pivot] { pivot = i }
      guard diagonal[pivot] > tolerance, diagonal[pivot] > 0 else { break }
      let row = root + rank &* r
      row.update(from: gramLeft + pivot &* r, count: r)
      for k in 0..<rank {
        let earlier = root + k &* r
        let factor = -earlier[pivot]
        for j in 0..<r { row[j].addProduct(factor, earlier[j]) }
      }
      let inverse = 1 / diagonal[pivot].squareRoot()
      for j in 0..<r {
        row[j] *= inverse
        diagonal[j] -= row[j] * row[j]
      }
      diagonal[pivot] = -1  // done
      rank += 1
    }
  }

  /// c[m,n] = a[m,k] · b[k,n].
  private func multiply(
    _ a: UnsafePointer<Double>, _ m: Int, _ k: Int, _ b: UnsafePointer<Double>, _ n: Int,
    into c: UnsafeMutablePointer<Double>
  ) {
    Double._gemm(
      Transpose.no.cblas, Transpose.no.cblas, m, n, k, 1, a, k, b, n, 0, c, n)
  }
}
