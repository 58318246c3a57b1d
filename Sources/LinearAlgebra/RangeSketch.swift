// SPDX-License-Identifier: Apache-2.0

/// An orthonormal basis that captures the dominant range of g[m,n], on its longer side.
///
/// For a tall g the basis rows q_i span (approximately) the leading left singular directions and
/// `coefficients` is basis·g; for a wide one everything holds for gᵀ. It is the random range sketch of Halko,
/// Martinsson and Tropp (2011, algorithms 4.4 and 5.1), which torch.svd_lowrank implements too.
public struct RangeSketch<Scalar: RealScalar>: Sendable {
  /// Whether g has at least as many rows as columns.
  public let isTall: Bool
  /// Orthonormal rows, [q, max(m, n)].
  public let basis: Matrix<Scalar>
  /// The basis applied to g, [q, min(m, n)].
  public let coefficients: Matrix<Scalar>

  /// Sketches g with `vectors` normal vectors and refines the basis by `powerIterations` applications of g·gᵀ.
  ///
  /// `start`[k, min(m, n)], k <= vectors, are directions that take the place of the first k of them.
  public init(
    of g: Matrix<Scalar>, vectors: Int, powerIterations: Int, stream: RandomStream,
    start: Matrix<Scalar>? = nil
  ) throws(LinearAlgebraError) {
    let outcome: Result<RangeSketch, LinearAlgebraError> = g.withView { view in
      Result { () throws(LinearAlgebraError) in
        try RangeSketch(
          of: view, vectors: vectors, powerIterations: powerIterations, stream: stream, start: start
        )
      }
    }
    self = try outcome.get()
  }

  /// The same from a borrowed matrix.
  @_specialize(where Scalar == Float)
  @_specialize(where Scalar == Double)
  public init(
    of g: MatrixView<Scalar>, vectors: Int, powerIterations: Int, stream: RandomStream,
    start: Matrix<Scalar>? = nil
  ) throws(LinearAlgebraError) {
    precondition(
      vectors >= 1 && powerIterations >= 0,
      "a sketch of \(vectors) vectors with \(powerIterations) power iterations")
    try g.checkFinite()
    isTall = g.rows >= g.columns
    let (long, short) = isTall ? (g.rows, g.columns) : (g.columns, g.rows)
    let q = min(vectors, short)
    var shortPanel = Matrix<Scalar>(rows: q, columns: short)
    var longPanel = Matrix<Scalar>(rows: q, columns: long)
    shortPanel.elements.withUnsafeMutableBufferPointer { stream.fill(normal: $0) }
    if let start {
      precondition(
        start.columns == short && start.rows <= q,
        "a sketch of \(q) vectors of \(short) from a start[\(start.rows), \(start.columns)]")
      shortPanel.elements.replaceSubrange(0..<start.elements.count, with: start.elements)
      // Else the leading directions would hide what the normal vectors add to them.
      try shortPanel.orthonormalizeRows(refined: false)
    }
    let toLong: Transpose = isTall ? .yes : .no  // panel[q,short] · gᵀ (tall) or · g (wide)
    let toShort: Transpose = isTall ? .no : .yes
    func apply(_ from: Matrix<Scalar>, _ transpose: Transpose, _ to: inout Matrix<Scalar>) {
      from.withView { from in to.withMutableView { gemm(from, .no, g, transpose, into: $0) } }
    }
    apply(shortPanel, toLong, &longPanel)
    try longPanel.orthonormalizeRows(refined: powerIterations == 0)
    for iteration in 0..<powerIterations {
      apply(longPanel, toShort, &shortPanel)
      try shortPanel.orthonormalizeRows(refined: false)
      apply(shortPanel, toLong, &longPanel)
      try longPanel.orthonormalizeRows(refined: iteration == powerIterations - 1)
    }
    apply(longPanel, toShort, &shortPanel)
    basis = longPanel
    coefficients = shortPanel
  }
}

extension Matrix {
  fileprivate mutating func orthonormalizeRows(refined: Bool) throws(LinearAlgebraError) {
    let outcome: Result<Void, LinearAlgebraError> = withMutableView { view in
      Result { () throws(LinearAlgebraError) in
        try LinearAlgebra.orthonormalizeRows(view, refined: refined)
      }
    }
    try outcome.get()
  }
}
