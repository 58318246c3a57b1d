// SPDX-License-Identifier: Apache-2.0

// Products with a matrix that many rows are multiplied by: the weight of a layer, the keys of an attention head.
// It is packed once into panels, so that the kernel reads it in order; rows are read where they lie. See
// Panel.swift for the order of the sums.

/// A matrix[k, n] of floats packed in the caller's memory, which it must not outlive.
public struct PackedMatrix {
  private let base: UnsafeMutablePointer<Float>
  private let rows: Int, columns: Int

  /// Floats that a matrix[k, n] takes.
  public static func size(_ k: Int, _ n: Int) -> Int {
    (n + Panel.width - 1) / Panel.width * Panel.width * k
  }

  /// Packs source[k, n], or the transpose of source[n, k], whose rows begin `stride` apart.
  @inline(__always)
  public init(
    _ k: Int, _ n: Int, packing source: UnsafePointer<Float>, stride: Int, transposed: Bool,
    into base: UnsafeMutablePointer<Float>
  ) {
    self.init(k, n, packed: base)
    pack(0..<n, of: source, stride: stride, transposed: transposed)
  }

  /// Packs `source`, or its transpose; the threads share out the panels.
  public init(
    packing source: MatrixView<Float>, transposed: Bool, into base: UnsafeMutablePointer<Float>,
    _ pool: WorkerPool
  ) {
    let (k, n) = transposed ? (source.columns, source.rows) : (source.rows, source.columns)
    self.init(k, n, packed: base)
    pool.forRanges(of: n, size: Panel.width) { range in
      pack(range, of: source.base, stride: source.columns, transposed: transposed)
    }
  }

  /// Columns of a panel, a power of two: entry (row, column) of a matrix[k, n] is at
  /// column / panelWidth · panelWidth · k + row · panelWidth + column % panelWidth.
  public static var panelWidth: Int { Panel.width }

  /// A matrix[k, n] that lies at `base` packed already.
  @inline(__always)
  public init(_ k: Int, _ n: Int, packed base: UnsafeMutablePointer<Float>) {
    (rows, columns, self.base) = (k, n, base)
  }

  /// Packs some columns: whole panels, or up to the end.
  @inline(__always)
  private func pack(
    _ range: Range<Int>, of source: UnsafePointer<Float>, stride: Int, transposed: Bool
  ) {
    let width = Panel.width
    guard transposed else {
      return Panel.pack(
        source + range.lowerBound, stride: stride, depth: rows, count: range.count,
        into: base + range.lowerBound &* rows)
    }
    for column in Swift.stride(from: range.lowerBound, to: range.upperBound, by: width) {
      let (panel, count) = (base + column &* rows, min(width, range.upperBound &- column))
      transpose(
        source + column &* stride, rows: count, columns: rows, stride: stride, into: panel,
        targetStride: width)
      guard count < width else { continue }
      for p in 0..<rows {
        (panel + (p &* width &+ count)).update(repeating: 0, count: width &- count)
      }
    }
  }

  /// c[m, n] = a[m, k] · packed + (beta = 1: c; else bias[n], or nothing).
  public func multiply(
    _ a: MatrixView<Float>, bias: UnsafePointer<Float>? = nil, beta: Float = 0,
    into c: MutableMatrixView<Float>
  ) {
    precondition(
      a.columns == rows && c.rows == a.rows && c.columns == columns,
      "[\(a.rows), \(a.columns)] times packed [\(rows), \(columns)] into [\(c.rows), \(c.columns)]")
    let (m, n, k) = (a.rows, columns, rows)
    for i in stride(from: 0, to: m, by: Panel.rows) {
      for p in stride(from: 0, to: max(1, k), by: Panel.depth) {
        let end = min(k, p &+ Panel.depth)
        multiply(
          min(Panel.rows, m &- i), a.base + (i &* k &+ p), rowStride: k, columnStride: 1, p..<end,
          count: n, from: p > 0 || beta == 1 ? .old : bias.map { .row($0) } ?? .zero,
          into: c.base + i &* n, ldc: n)
      }
    }
  }

  /// c[m, count] = op(a)[m, depth] · the first `depth` rows and `count` columns (+ c if `accumulate`), where
  /// op(a)[i, p] = a[i · rowStride + p · columnStride] and rows of c begin `ldc` apart.
  @inline(__always)
  public func multiply(
    _ m: Int, _ a: UnsafePointer<Float>, rowStride: Int, columnStride: Int, depth: Int,
    count: Int, accumulate: Bool, into c: UnsafeMutablePointer<Float>, ldc: Int
  ) {
    for p in stride(from: 0, to: max(1, depth), by: Panel.depth) {
      multiply(
        m, a + p &* columnStride, rowStride: rowStride, columnStride: columnStride,
        p..<min(depth, p &+ Panel.depth), count: count, from: p > 0 || accumulate ? .old : .zero,
        into: c, ldc: ldc)
    }
  }

  /// c[m, count] = start + op(a)[m, terms] · those of the rows, at most `Panel.depth`.
  @inline(__always)
  private func multiply(
    _ m: Int, _ a: UnsafePointer<Float>, rowStride: Int, columnStride: Int, _ terms: Range<Int>,
    count: Int, from start: Panel.Start, into c: UnsafeMutablePointer<Float>, ldc: Int
  ) {
    for column in stride(from: 0, to: count, by: Panel.width) {
      Panel.multiply(
        m, terms.count, a, rowStride: rowStride, columnStride: columnStride,
        base + (column &* rows &+ terms.lowerBound &* Panel.width), start.advanced(by: column),
        into: c + column, ldc: ldc, count: min(Panel.width, count &- column))
    }
  }
}
