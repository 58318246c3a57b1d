// SPDX-License-Identifier: Apache-2.0

/// A gradient that is a sum over samples whose shares are not written out: whoever made it can tell each share's norm, and
/// add the shares up with weights.
public protocol SampleSum: AnyObject {
  /// Number of samples.
  var sampleCount: Int { get }
  /// Adds the squared norm of every sample's share to squares[sampleCount].
  func addSquaredNorms(to squares: UnsafeMutablePointer<Double>)
  /// sum[rows, columns] = Σ weights[k] · share k, all weights 1 where none are given.
  ///
  /// Called any number of times without weights, then at most once with them, which may use up the shares.
  func add(weights: [Double]?, into sum: UnsafeMutablePointer<Float>)
}

/// A matrix[rows, columns] in Float that may still be a product of thin factors, leftᵀ[rows, r] · right[r, columns].
///
/// The gradient of a linear layer is such a product, with one row of `left` and `right` a sample. Kept
/// apart, it gives single samples their norms and spectral clipping its short cut; `materialize()` multiplies
/// it out. The factors are borrowed from whoever computed them until `materialize()` or the next `setProduct`.
public final class LayerGradient: @unchecked Sendable {
  /// Number of rows.
  public let rows: Int
  /// Number of columns.
  public let columns: Int
  /// The rows * columns entries; meaningful once materialized.
  public let base: UnsafeMutablePointer<Float>
  /// The factors left[r, rows] and right[r, columns], nil once multiplied out.
  public private(set) var factors: (left: MatrixView<Float>, right: MatrixView<Float>)?
  /// The sum that it is, nil once it is added up.
  private var sum: (any SampleSum)?
  /// What the shares of `sum` are to be multiplied by; nil for 1 each.
  private var sumWeights: [Double]?
  /// For every row of the factors the sample it belongs to.
  public private(set) var samples: [Int] = []
  /// Whether `samples` has more than one row of some sample.
  private var hasAddedRows = false
  private var ownLeft: UnsafeMutablePointer<Float>?
  private var ownRight: UnsafeMutablePointer<Float>?
  private var ownCapacity = 0

  /// A materialized matrix of zeros.
  public init(rows: Int, columns: Int) {
    precondition(rows >= 1 && columns >= 1, "a factored matrix[\(rows), \(columns)]")
    self.rows = rows
    self.columns = columns
    base = .allocate(capacity: rows * columns)
    base.initialize(repeating: 0, count: rows * columns)
  }

  deinit {
    base.deallocate()
    ownLeft?.deallocate()
    ownRight?.deallocate()
  }

  /// Number of entries.
  public var count: Int { rows * columns }

  /// The entries, multiplied out first if need be.
  public var materialized: MutableMatrixView<Float> {
    materialize()
    return entries
  }

  /// The entries as they stand.
  public var entries: MutableMatrixView<Float> {
    MutableMatrixView(rows: rows, columns: columns, base: base)
  }

  /// Makes the matrix leftᵀ · right, not yet multiplied; one row a sample, in order.
  public func setProduct(left: MatrixView<Float>, right: MatrixView<Float>) {
    precondition(
      left.columns == rows && right.columns == columns && left.rows == right.rows,
      "[\(left.rows), \(left.columns)]ᵀ [\(right.rows), \(right.columns)] into [\(rows), \(columns)]"
    )
    factors = (left, right)
    sum = nil
    if hasAddedRows || samples.count != left.rows { samples = Array(0..<left.rows) }
    hasAddedRows = false
  }

  /// Whether a product of `rank` terms is so far below full rank that its factors are the cheaper form to work in:
  /// up to three quarters of min(rows, columns). Beyond, the products of r×r matrices cost what the smaller
  /// decomposition saves.
  package static func isThin(rank: Int, rows: Int, columns: Int) -> Bool {
    rank > 0 && 4 * rank <= 3 * min(rows, columns)
  }

  /// Makes the matrix a sum over samples, not yet added up.
  public func setSum(_ sum: any SampleSum) {
    (self.sum, sumWeights, factors) = (sum, nil, nil)
  }

  /// Whether it is a sum over samples that is not added up.
  public var isSum: Bool { sum != nil }

  /// Number of samples that can be told apart, 0 if none can.
  public var sampleCount: Int {
    sum?.sampleCount ?? (factors == nil ? 0 : 1 + (samples.max() ?? -1))
  }

  /// Says that the entries now hold the matrix: factors and sums are forgotten.
  public func setMaterialized() { (factors, sum, sumWeights) = (nil, nil, nil) }

  /// Computes the entries of a sum over samples and leaves it one, so that what is looked at does not change.
  package func preview() {
    if sumWeights != nil { materialize() }
    sum?.add(weights: nil, into: base)
  }

  /// Multiplies the factors out or adds the samples up, if that is still to be done.
  public func materialize() {
    if let sum {
      sum.add(weights: sumWeights, into: base)
      return setMaterialized()
    }
    guard let (left, right) = factors else { return }
    gemm(left, .yes, right, .no, into: entries)
    factors = nil
  }

  /// Adds scale · u[rows] · v[columns]ᵀ; in factored form it becomes a further row of `sample`.
  public func addRankOne(
    _ scale: Float, _ u: UnsafePointer<Float>, _ v: UnsafePointer<Float>, sample: Int
  ) {
    if isSum { materialize() }
    guard let (left, right) = factors else {
      for i in 0..<rows {
        let factor = scale * u[i]
        let row = base + i &* columns
        for j in 0..<columns { row[j].addProduct(factor, v[j]) }
      }
      return
    }
    let r = left.rows
    reserve(r + 1)
    guard let ownLeft, let ownRight else { return }
    if left.base != UnsafePointer(ownLeft) {
      ownLeft.update(from: left.base, count: r * rows)
      ownRight.update(from: right.base, count: r * columns)
    }
    // Both factors get the same share of the scale, so that neither dwarfs the samples' rows.
    let root = scale.magnitude.squareRoot()
    for i in 0..<rows { ownLeft[r &* rows &+ i] = (scale < 0 ? -root : root) * u[i] }
    for j in 0..<columns { ownRight[r &* columns &+ j] = root * v[j] }
    factors = (
      MatrixView(rows: r + 1, columns: rows, base: UnsafePointer(ownLeft)),
      MatrixView(rows: r + 1, columns: columns, base: UnsafePointer(ownRight))
    )
    samples.append(sample)
    hasAddedRows = true
  }

  /// Multiplies the product of rows i of the factors by weights[samples[i]]: each sample's share of the matrix is
  /// scaled.
  public func scaleSamples(by weights: [Double]) {
    if sum != nil {
      sumWeights = sumWeights.map { zip($0, weights).map { $0 * $1 } } ?? weights
      return
    }
    guard let (left, right) = factors else {
      preconditionFailure("the samples of a matrix[\(rows), \(columns)] that is multiplied out")
    }
    let r = left.rows
    reserve(r)
    guard let ownLeft, let ownRight else { return }
    if left.base != UnsafePointer(ownLeft) {
      ownLeft.update(from: left.base, count: r * rows)
      ownRight.update(from: right.base, count: r * columns)
    }
    for i in 0..<r {
      Self.scale(
        MutableMatrixView(rows: 1, columns: rows, base: ownLeft + i * rows),
        MutableMatrixView(rows: 1, columns: columns, base: ownRight + i * columns),
        by: weights[samples[i]])
    }
    factors = (
      MatrixView(rows: r, columns: rows, base: UnsafePointer(ownLeft)),
      MatrixView(rows: r, columns: columns, base: UnsafePointer(ownRight))
    )
  }

  /// Multiplies the product of two rows by `weight`: the left one, unless that would leave it with entries that a
  /// Float does not hold; then both get an equal share of the product's size.
  private static func scale(
    _ left: MutableMatrixView<Float>, _ right: MutableMatrixView<Float>, by weight: Double
  ) {
    if weight == 1 { return }
    let (a, b) = (left.readOnly.frobeniusNorm, right.readOnly.frobeniusNorm)
    if weight == 0 || a * weight >= 1e-30 || a == 0 || b == 0 {
      return left.scale(to: weight, from: 1)
    }
    let share = a.squareRoot() * b.squareRoot() * weight.squareRoot()
    left.scale(to: share, from: a)
    right.scale(to: share, from: b)
  }

  /// Adds the squared norm of every sample's share to squares[sampleCount].
  ///
  /// Returns false, and adds nothing, where samples cannot be told apart. From factors a share is leftₖᵀ · rightₖ, whose
  /// squared norm is the sum of the products of inner products of its rows.
  public func addSquaredNorms(to squares: inout [Double]) -> Bool {
    precondition(squares.count >= sampleCount, "\(squares.count) sums of \(sampleCount) samples")
    if let sum {
      squares.withUnsafeMutableBufferPointer { squares in
        guard let base = squares.baseAddress else { return }
        sum.addSquaredNorms(to: base)
      }
      return true
    }
    guard let (left, right) = factors else { return false }
    for i in samples.indices {
      for j in samples.indices where samples[j] == samples[i] {
        squares[samples[i]].addProduct(Self.dot(left, i, j), Self.dot(right, i, j))
      }
    }
    return true
  }

  /// The inner product of rows i and j of x, in Double.
  private static func dot(_ x: MatrixView<Float>, _ i: Int, _ j: Int) -> Double {
    let n = x.columns
    let (a, b) = (x.base + i &* n, x.base + j &* n)
    if i == j { return Float._sumOfSquares(a, n) }
    var sum = 0.0
    for k in 0..<n { sum.addProduct(Double(a[k]), Double(b[k])) }
    return sum
  }

  private func reserve(_ r: Int) {
    guard r > ownCapacity else { return }
    let capacity = r + 4
    let (left, right) = (
      UnsafeMutablePointer<Float>.allocate(capacity: capacity * rows),
      UnsafeMutablePointer<Float>.allocate(capacity: capacity * columns)
    )
    if let ownLeft, let ownRight {
      left.update(from: ownLeft, count: ownCapacity * rows)
      right.update(from: ownRight, count: ownCapacity * columns)
      if let held = factors, held.left.base == UnsafePointer(ownLeft) {
        factors = (
          MatrixView(rows: held.left.rows, columns: rows, base: UnsafePointer(left)),
          MatrixView(rows: held.left.rows, columns: columns, base: UnsafePointer(right))
        )
      }
    }
    ownLeft?.deallocate()
    ownRight?.deallocate()
    (ownLeft, ownRight, ownCapacity) = (left, right, capacity)
  }
}
