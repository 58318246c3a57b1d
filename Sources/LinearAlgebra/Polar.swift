import COpenBLAS

/// U·Vᵀ approximately, for g[m,n] = U diag(s) Vᵀ: `iterations` quintic Newton-Schulz steps with the
/// coefficients (3.4445, -4.7750, 2.0315) of Jordan et al. (2024), which send singular values of any
/// size to about [0.7, 1.2] fast rather than to 1 exactly.
///
/// `clampsNorm` says how division by zero is avoided: max(‖g‖, 1e-7) (torch.optim.Muon), else ‖g‖ + 1e-7.
public func newtonSchulz(
  _ g: Matrix<Float>, iterations: Int, clampsNorm: Bool
) -> Matrix<Float> {
  let (a, b, c): (Float, Float, Float) = (3.4445, -4.7750, 2.0315)
  let isTall = g.rows > g.columns
  var x = isTall ? g.flipped : g
  let norm = x.frobeniusNorm
  let divisor = clampsNorm ? max(norm, 1e-7) : norm + 1e-7
  x.withMutableView { $0.scale(by: Float(1 / divisor)) }
  guard x.rows * x.rows * x.columns <= smallGemmLimit else {
    for _ in 0..<iterations { x = symmetricStep(x, a, b, c) }
    return isTall ? x.flipped : x
  }
  for _ in 0..<iterations {
    let gram = matmul(x, .no, x.flipped, .no)
    var polynomial = matmul(gram, gram)
    polynomial.withMutableView { p in
      gram.withView { gram in
        for i in 0..<p.count { p.base[i] = b * gram.base[i] + c * p.base[i] }
      }
    }
    var next = matmul(polynomial, x)
    next.withMutableView { next in
      x.withView { x in
        for i in 0..<next.count { next.base[i].addProduct(a, x.base[i]) }
      }
    }
    x = next
  }
  return isTall ? x.flipped : x
}

/// (a + b A + c A²) · x with A = x xᵀ: one Newton-Schulz step in which both symmetric products cost half.
private func symmetricStep(_ x: Matrix<Float>, _ a: Float, _ b: Float, _ c: Float) -> Matrix<Float>
{
  let gram = x.timesOwnTranspose
  var polynomial = gram.timesOwnTranspose
  polynomial.withMutableView { p in
    gram.withView { gram in
      for i in 0..<p.count { p.base[i] = b * gram.base[i] + c * p.base[i] }
    }
    for i in 0..<p.rows { p.base[i * p.columns + i] += a }
  }
  return matmul(polynomial, x)
}

extension Matrix where Scalar == Float {
  /// x·xᵀ, both triangles filled.
  fileprivate var timesOwnTranspose: Matrix {
    var result = Matrix(rows: rows, columns: rows)
    let (m, n) = (rows, columns)
    withView { x in
      result.withMutableView { c in
        cblas_ssyrk(
          CblasRowMajor, CblasUpper, CblasNoTrans, Int32(m), Int32(n), 1, x.base, Int32(n), 0,
          c.base, Int32(m))
        for i in 0..<m {
          for j in 0..<i { c.base[i &* m &+ j] = c.base[j &* m &+ i] }
        }
      }
    }
    return result
  }

  /// The transpose, by the blocked kernel.
  fileprivate var flipped: Matrix {
    var result = Matrix(rows: columns, columns: rows)
    withView { own in
      result.withMutableView { transpose(own.base, rows: rows, columns: columns, into: $0.base) }
    }
    return result
  }
}
