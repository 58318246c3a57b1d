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
  var x = isTall ? g.transposed : g
  let norm = x.frobeniusNorm
  let divisor = clampsNorm ? max(norm, 1e-7) : norm + 1e-7
  x.withMutableView { $0.scale(by: Float(1 / divisor)) }
  for _ in 0..<iterations {
    let gram = matmul(x, .no, x.transposed, .no)
    var polynomial = matmul(gram, gram)
    for i in 0..<polynomial.elements.count {
      polynomial.elements[i] = b * gram.elements[i] + c * polynomial.elements[i]
    }
    var next = matmul(polynomial, x)
    for i in 0..<next.elements.count { next.elements[i].addProduct(a, x.elements[i]) }
    x = next
  }
  return isTall ? x.transposed : x
}

/// U·Vᵀ for g[m,n] = U diag(s) Vᵀ, from the singular value decomposition in Double; directions of
/// singular values below ε·s_1 are left out.
public func polarFactor(_ g: Matrix<Float>) -> Matrix<Float> {
  guard let decomposition = try? svd(g.withView { $0.widened() }) else {
    return Matrix(rows: g.rows, columns: g.columns, repeating: .nan)
  }
  let limit = (decomposition.sigma.first ?? 0) * .ulpOfOne * Double(max(g.rows, g.columns))
  var right = decomposition.vT
  right.scaleRows(by: decomposition.sigma.map { $0 > limit ? 1 : 0 })
  return matmul(decomposition.u, right).converted(to: Float.self)
}
