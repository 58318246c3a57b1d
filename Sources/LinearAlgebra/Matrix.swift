// SPDX-License-Identifier: Apache-2.0

/// A dense real matrix[rows, columns] in row-major order.
public struct Matrix<Scalar: RealScalar>: Equatable, Sendable {
  /// Number of rows.
  public let rows: Int
  /// Number of columns.
  public let columns: Int
  /// The rows * columns entries, row after row.
  public var elements: [Scalar]

  /// Wraps `elements`, row after row; their count must be rows * columns.
  public init(rows: Int, columns: Int, elements: [Scalar]) {
    precondition(
      rows >= 0 && columns >= 0 && elements.count == rows * columns,
      "Matrix[\(rows), \(columns)] from \(elements.count) elements")
    self.rows = rows
    self.columns = columns
    self.elements = elements
  }

  /// A matrix[rows, columns] with every entry equal to `value`.
  public init(rows: Int, columns: Int, repeating value: Scalar = 0) {
    TensorMemory.expect(rows * columns, of: Scalar.self)
    self.init(
      rows: rows, columns: columns, elements: Array(repeating: value, count: rows * columns))
  }

  /// A matrix[rows, columns] from a rule for the entry at (row, column).
  public init(rows: Int, columns: Int, _ entry: (Int, Int) throws -> Scalar) rethrows {
    var elements: [Scalar] = []
    elements.reserveCapacity(rows * columns)
    for i in 0..<rows {
      for j in 0..<columns { elements.append(try entry(i, j)) }
    }
    self.init(rows: rows, columns: columns, elements: elements)
  }

  /// The identity[n, n].
  public static func identity(_ n: Int) -> Matrix {
    Matrix(rows: n, columns: n) { $0 == $1 ? 1 : 0 }
  }

  /// The matrix[n, n] with `values` on its diagonal and zeros elsewhere.
  public static func diagonal(_ values: [Scalar]) -> Matrix {
    Matrix(rows: values.count, columns: values.count) { $0 == $1 ? values[$0] : 0 }
  }

  /// The entry at (row, column).
  public subscript(row: Int, column: Int) -> Scalar {
    get { elements[offset(row, column)] }
    set { elements[offset(row, column)] = newValue }
  }

  private func offset(_ row: Int, _ column: Int) -> Int {
    precondition(
      row >= 0 && row < rows && column >= 0 && column < columns,
      "entry (\(row), \(column)) of a matrix[\(rows), \(columns)]")
    return row * columns + column
  }

  /// One row as an array[columns].
  public func row(_ i: Int) -> [Scalar] {
    precondition(i >= 0 && i < rows, "row \(i) of a matrix[\(rows), \(columns)]")
    return Array(elements[(i * columns)..<((i + 1) * columns)])
  }

  /// The transpose[columns, rows].
  public var transposed: Matrix {
    Matrix(rows: columns, columns: rows) { elements[$1 * columns + $0] }
  }

  /// The Frobenius norm, accumulated in `Double`; not zero unless all entries are, and infinite for finite ones only where it
  /// lies beyond `Double` itself.
  public var frobeniusNorm: Double { withView { $0.frobeniusNorm } }

  /// The same matrix with entries of another precision.
  public func converted<Other: RealScalar>(to: Other.Type) -> Matrix<Other> {
    if let same = self as? Matrix<Other> { return same }
    var result = Matrix<Other>(rows: rows, columns: columns)
    withView { from in
      result.withMutableView { to in
        if let wide = to.base as? UnsafeMutablePointer<Double> {
          Scalar._widen(from.base, elements.count, into: wide)
        } else if let wide = from.base as? UnsafePointer<Double> {
          Other._narrow(wide, elements.count, into: to.base)
        } else {
          preconditionFailure("from \(Scalar.self) to \(Other.self)")
        }
      }
    }
    return result
  }

  /// Entrywise sum of two matrices[m, n].
  public static func + (a: Matrix, b: Matrix) -> Matrix { a.combined(with: b, +) }
  /// Entrywise difference of two matrices[m, n].
  public static func - (a: Matrix, b: Matrix) -> Matrix { a.combined(with: b, -) }
  /// Every entry multiplied by `factor`.
  public static func * (factor: Scalar, a: Matrix) -> Matrix {
    Matrix(rows: a.rows, columns: a.columns, elements: a.elements.map { factor * $0 })
  }

  private func combined(with b: Matrix, _ operation: (Scalar, Scalar) -> Scalar) -> Matrix {
    precondition(
      rows == b.rows && columns == b.columns,
      "matrix[\(rows), \(columns)] with matrix[\(b.rows), \(b.columns)]")
    return Matrix(
      rows: rows, columns: columns,
      elements: zip(elements, b.elements).map { operation($0, $1) })
  }
}

// MARK: - Views: what kernels take

/// A borrowed row-major matrix[rows, columns]; valid only inside the closure that hands it out.
public struct MatrixView<Scalar: RealScalar> {
  /// Number of rows.
  public let rows: Int
  /// Number of columns, which is also the distance between rows.
  public let columns: Int
  /// The first entry.
  public let base: UnsafePointer<Scalar>

  /// Views rows * columns entries that start at `base`.
  public init(rows: Int, columns: Int, base: UnsafePointer<Scalar>) {
    self.rows = rows
    self.columns = columns
    self.base = base
  }

  /// Number of entries.
  public var count: Int { rows * columns }

  /// The given rows of it.
  public func rows(_ range: Range<Int>) -> MatrixView {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of [\(rows), \(columns)]")
    return MatrixView(
      rows: range.count, columns: columns, base: base + range.lowerBound * columns)
  }

  /// The Frobenius norm; rescaled when the plain sum of squares leaves the range of `Double`.
  public var frobeniusNorm: Double {
    let plain = Scalar._sumOfSquares(base, count)
    if plain.isFinite && plain >= 1e-280 { return plain.squareRoot() }
    if plain == 0 && Scalar.significandBitCount < 30 { return 0 }  // no Float's square vanishes
    var largest = 0.0
    for i in 0..<count {
      let magnitude = Double(base[i].magnitude)
      if !magnitude.isFinite { return magnitude }
      largest = max(largest, magnitude)
    }
    guard largest > 0 else { return 0 }
    var sum = 0.0
    for i in 0..<count {
      let scaled = Double(base[i]) / largest
      sum.addProduct(scaled, scaled)
    }
    return largest * sum.squareRoot()
  }

  /// Throws unless every entry is finite; names the first one that is not.
  public func checkFinite() throws(LinearAlgebraError) {
    if Scalar._sumOfSquares(base, count).isFinite { return }
    for i in 0..<count where !base[i].isFinite {
      throw .notFinite(value: Double(base[i]), row: i / columns, column: i % columns)
    }
  }

  /// A copy in `Double`.
  public func widened() -> Matrix<Double> {
    var wide = Matrix<Double>(rows: rows, columns: columns)
    wide.withMutableView { Scalar._widen(base, count, into: $0.base) }
    return wide
  }

  /// A copy that owns its entries.
  public func copied() -> Matrix<Scalar> {
    Matrix(
      rows: rows, columns: columns,
      elements: Array(UnsafeBufferPointer(start: base, count: count)))
  }
}

/// A borrowed, writable row-major matrix[rows, columns]; valid only inside the closure that hands it out.
public struct MutableMatrixView<Scalar: RealScalar> {
  /// Number of rows.
  public let rows: Int
  /// Number of columns, which is also the distance between rows.
  public let columns: Int
  /// The first entry.
  public let base: UnsafeMutablePointer<Scalar>

  /// Views rows * columns entries that start at `base`.
  public init(rows: Int, columns: Int, base: UnsafeMutablePointer<Scalar>) {
    self.rows = rows
    self.columns = columns
    self.base = base
  }

  /// Number of entries.
  public var count: Int { rows * columns }

  /// The same entries, read-only.
  public var readOnly: MatrixView<Scalar> {
    MatrixView(rows: rows, columns: columns, base: UnsafePointer(base))
  }

  /// The given rows of it.
  public func rows(_ range: Range<Int>) -> MutableMatrixView {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of [\(rows), \(columns)]")
    return MutableMatrixView(
      rows: range.count, columns: columns, base: base + range.lowerBound * columns)
  }

  /// Replaces the entries by those of `matrix`[rows, columns], rounded to this precision.
  public func assign(rounding matrix: Matrix<Double>) {
    precondition(
      matrix.rows == rows && matrix.columns == columns,
      "[\(matrix.rows), \(matrix.columns)] into [\(rows), \(columns)]")
    matrix.withView { Scalar._narrow($0.base, count, into: base) }
  }

  /// Multiplies every entry by `factor` in place.
  public func scale(by factor: Scalar) { Scalar._scale(base, count, by: factor) }
}

extension Matrix {
  /// Lends the entries to `body` without copying them.
  public func withView<R>(_ body: (MatrixView<Scalar>) throws -> R) rethrows -> R {
    try elements.withUnsafeBufferPointer { buffer in
      let base = buffer.baseAddress ?? UnsafePointer(bitPattern: 64).unsafelyUnwrapped
      return try body(MatrixView(rows: rows, columns: columns, base: base))
    }
  }

  /// Lends the entries to `body` for changes in place.
  public mutating func withMutableView<R>(
    _ body: (MutableMatrixView<Scalar>) throws -> R
  ) rethrows -> R {
    let (rows, columns) = (rows, columns)
    return try elements.withUnsafeMutableBufferPointer { buffer in
      let base = buffer.baseAddress ?? UnsafeMutablePointer(bitPattern: 64).unsafelyUnwrapped
      return try body(MutableMatrixView(rows: rows, columns: columns, base: base))
    }
  }

  /// Throws unless every entry is finite; names the first one that is not.
  public func checkFinite() throws(LinearAlgebraError) {
    let outcome: Result<Void, LinearAlgebraError> = withView { view in
      Result { () throws(LinearAlgebraError) in try view.checkFinite() }
    }
    try outcome.get()
  }
}
