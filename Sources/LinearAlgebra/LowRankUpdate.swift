// SPDX-License-Identifier: Apache-2.0

// A matrix minus a low-rank product. Whatever the precision of the matrix, the product and the
// difference are formed in Double and rounded once, block of rows by block of rows.

/// g[m,n] -= uᵀ[m,p] · diag(shrinkage)[p] · u[p,m] · g[m,n]: shrinks g along the orthonormal rows of u.
public func shrinkLeft<Scalar>(
  _ g: MutableMatrixView<Scalar>, along u: Matrix<Double>, by shrinkage: [Double]
) {
  let (m, n, p) = (g.rows, g.columns, u.rows)
  precondition(
    u.columns == m && shrinkage.count == p,
    "shrinking [\(m), \(n)] from the left along [\(p), \(u.columns)] by [\(shrinkage.count)]")
  var projected = Matrix<Double>(rows: p, columns: n)
  forEachRowBlock(of: g.readOnly) { start, block in
    u.withView { u in
      projected.withMutableView { projected in
        Double._gemm(
          Transpose.no.cblas, Transpose.no.cblas, p, n, block.rows, 1, u.base + start, m,
          block.base, n, 1, projected.base, n)
      }
    }
  }
  projected.scaleRows(by: shrinkage)
  subtractProduct(u, projected, from: g)
}

/// g[m,n] -= g[m,n] · vᵀ[n,p] · diag(shrinkage)[p] · v[p,n]: shrinks g along the orthonormal rows of v.
public func shrinkRight<Scalar>(
  _ g: MutableMatrixView<Scalar>, along v: Matrix<Double>, by shrinkage: [Double]
) {
  let (n, p) = (g.columns, v.rows)
  precondition(
    v.columns == n && shrinkage.count == p,
    "shrinking [\(g.rows), \(n)] from the right along [\(p), \(v.columns)] by [\(shrinkage.count)]")
  var scaled = v
  scaled.scaleRows(by: shrinkage)
  forEachRowBlock(of: g.readOnly) { start, block in
    var projected = Matrix<Double>(rows: block.rows, columns: p)
    projected.withMutableView { projected in
      v.withView { gemm(block.readOnly, .no, $0, .yes, into: projected) }
      scaled.withView { gemm(projected.readOnly, .no, $0, .no, alpha: -1, beta: 1, into: block) }
    }
    Scalar._narrow(UnsafePointer(block.base), block.count, into: g.base + start * n)
  }
}

/// g[m,n] -= leftᵀ[m,p] · right[p,n].
public func subtractProduct<Scalar>(
  _ left: Matrix<Double>, _ right: Matrix<Double>, from g: MutableMatrixView<Scalar>
) {
  let (m, n, p) = (g.rows, g.columns, left.rows)
  precondition(
    left.columns == m && right.rows == p && right.columns == n,
    "[\(p), \(left.columns)]ᵀ [\(right.rows), \(right.columns)] from [\(m), \(n)]")
  forEachRowBlock(of: g.readOnly) { start, block in
    left.withView { left in
      right.withView { right in
        Double._gemm(
          Transpose.yes.cblas, Transpose.no.cblas, block.rows, n, p, -1, left.base + start, m,
          right.base, n, 1, block.base, n)
      }
    }
    Scalar._narrow(UnsafePointer(block.base), block.count, into: g.base + start * n)
  }
}

extension Matrix {
  /// Multiplies row i by factors[i], in place.
  public mutating func scaleRows(by factors: [Double]) {
    precondition(factors.count == rows, "\(factors.count) factors for [\(rows), \(columns)]")
    withMutableView { view in
      for i in 0..<view.rows {
        Scalar._scale(view.base + i * view.columns, view.columns, by: Scalar(factors[i]))
      }
    }
  }
}

/// Hands out g[m,n] as blocks of whole rows, widened to Double, small enough for the cache.
private func forEachRowBlock<Scalar>(
  of g: MatrixView<Scalar>, _ body: (_ start: Int, _ block: MutableMatrixView<Double>) -> Void
) {
  let height = min(max(1, g.rows), max(8, 32_768 / max(1, g.columns)))
  withUnsafeTemporaryAllocation(of: Double.self, capacity: max(1, height * g.columns)) { buffer in
    guard let base = buffer.baseAddress else { return }
    for start in stride(from: 0, to: g.rows, by: height) {
      let rows = min(height, g.rows - start)
      Scalar._widen(g.base + start * g.columns, rows * g.columns, into: base)
      body(start, MutableMatrixView(rows: rows, columns: g.columns, base: base))
    }
  }
}
