// The inner kernel of products of floats: some rows times a panel, a strip of a matrix two vectors wide that is
// packed row after row. Six rows of two vectors are twelve chains, more than a fused multiply-add's latency
// needs and as many as sixteen registers hold. Every entry is one chain of fused multiply-adds over its terms in
// ascending order, whatever the vector width and however rows and terms are blocked.

enum Panel {
  /// Columns: two vectors.
  static let width = hasWideVectors ? 32 : 16
  /// Terms that are worked through at a time: a panel of so many takes half of the first cache level.
  static let depth = 256
  /// Rows that are worked through at a time, so that they stay in the second cache level for all panels.
  static let rows = 48

  /// Where the sums begin.
  enum Start {
    case zero
    /// At one row for all: the bias of a layer.
    case row(UnsafePointer<Float>)
    /// At the entries that are there.
    case old

    /// The same for columns from `column` on.
    @inline(__always)
    func advanced(by column: Int) -> Start {
      if case .row(let row) = self { .row(row + column) } else { self }
    }
  }

  /// Packs `depth` rows of `count` floats that begin `stride` apart into panels of `depth` rows; what the last
  /// panel lacks becomes zeros.
  @inline(__always)
  static func pack(
    _ source: UnsafePointer<Float>, stride: Int, depth: Int, count: Int,
    into panels: UnsafeMutablePointer<Float>
  ) {
    // Row by row, as the source lies.
    let whole = count / width &* width
    for p in 0..<depth {
      let (row, target) = (source + p &* stride, panels + p &* width)
      for column in Swift.stride(from: 0, to: whole, by: width) {
        for j in Swift.stride(from: 0, to: width, by: 16) {
          VectorMath.store(
            VectorMath.load(row + (column &+ j)), target + (column &* depth &+ j))
        }
      }
      if whole < count {
        let last = target + whole &* depth
        for j in 0..<width { last[j] = whole &+ j < count ? row[whole &+ j] : 0 }
      }
    }
  }

  /// c[m, count] = start + op(a)[m, depth] · the first `count` columns of panel[depth, width], where
  /// op(a)[i, p] = a[i · rowStride + p · columnStride] and rows of c begin `ldc` apart.
  @inline(__always)
  static func multiply(
    _ m: Int, _ depth: Int, _ a: UnsafePointer<Float>, rowStride: Int, columnStride: Int,
    _ panel: UnsafePointer<Float>, _ start: Start, into c: UnsafeMutablePointer<Float>, ldc: Int,
    count: Int
  ) {
    if hasWideVectors {
      PanelKernel<SIMD16<Float>>(
        depth: depth, rowStride: rowStride, columnStride: columnStride, panel: panel
      ).run(m, a, start, c, ldc, count)
    } else {
      PanelKernel<SIMD8<Float>>(
        depth: depth, rowStride: rowStride, columnStride: columnStride, panel: panel
      ).run(m, a, start, c, ldc, count)
    }
  }
}

/// Two vectors of sums of one row.
private struct RowSums<V: SIMD> where V.Scalar == Float {
  var low: V
  var high: V

  @inline(__always)
  init(_ p: UnsafePointer<Float>) {
    let p = UnsafeRawPointer(p)
    low = p.loadUnaligned(as: V.self)
    high = (p + MemoryLayout<V>.size).loadUnaligned(as: V.self)
  }

  @inline(__always)
  mutating func add(_ x: Float, times b: RowSums) {
    let x = V(repeating: x)
    low = low.plusProduct(x, b.low)
    high = high.plusProduct(x, b.high)
  }

  @inline(__always)
  func store(_ p: UnsafeMutablePointer<Float>) {
    let p = UnsafeMutableRawPointer(p)
    p.storeBytes(of: low, as: V.self)
    (p + MemoryLayout<V>.size).storeBytes(of: high, as: V.self)
  }
}

private struct PanelKernel<V: SIMD> where V.Scalar == Float {
  let depth: Int
  let rowStride: Int, columnStride: Int
  let panel: UnsafePointer<Float>

  private typealias Sums = RowSums<V>
  private static var width: Int { 2 &* V.scalarCount }

  @inline(__always)
  func run(
    _ m: Int, _ a: UnsafePointer<Float>, _ start: Panel.Start, _ c: UnsafeMutablePointer<Float>,
    _ ldc: Int, _ count: Int
  ) {
    // Rows six at a time; fours make up for a rest of two or four, as single rows are slow.
    let rest = m % 6
    let fours = rest == 2 && m >= 8 ? 2 : rest / 4
    let sixes = (m &- 4 &* fours) / 6
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 7 &* Self.width) { spare in
      guard let edge = spare.baseAddress else { return }
      let zeros = edge + 6 &* Self.width
      zeros.update(repeating: 0, count: Self.width)
      var i = 0
      while i < m {
        let rows = i < 6 &* sixes ? 6 : i < 6 &* sixes &+ 4 &* fours ? 4 : 1
        let (source, target) = (a + i &* rowStride, c + i &* ldc)
        let (first, step): (UnsafePointer<Float>, Int) =
          switch start {
          case .zero: (UnsafePointer(zeros), 0)
          case .row(let row): (row, 0)
          case .old: (UnsafePointer(target), ldc)
          }
        if count == Self.width {
          tile(rows, source, first, step, target, ldc)
        } else {
          // A panel narrower than a tile goes through a buffer of its own.
          for r in 0..<rows {
            for j in 0..<Self.width {
              edge[r &* Self.width &+ j] = j < count ? first[r &* step &+ j] : 0
            }
          }
          tile(rows, source, edge, Self.width, edge, Self.width)
          for r in 0..<rows {
            (target + r &* ldc).update(from: edge + r &* Self.width, count: count)
          }
        }
        i &+= rows
      }
    }
  }

  /// Some rows; sums begin at rows of `first`, `step` apart.
  @inline(__always)
  private func tile(
    _ rows: Int, _ a: UnsafePointer<Float>, _ first: UnsafePointer<Float>, _ step: Int,
    _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    switch rows {
    case 6: tile6(a, first, step, c, ldc)
    case 4: tile4(a, first, step, c, ldc)
    default: tile1(a, first, c)
    }
  }

  @inline(__always)
  private func tile6(
    _ a: UnsafePointer<Float>, _ first: UnsafePointer<Float>, _ step: Int,
    _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    var s0 = Sums(first), s1 = Sums(first + step), s2 = Sums(first + 2 &* step)
    var s3 = Sums(first + 3 &* step), s4 = Sums(first + 4 &* step), s5 = Sums(first + 5 &* step)
    // Two pointers and one stride reach six rows by addressing alone.
    var (x, y, b) = (a, a + 3 &* rowStride, panel)
    for _ in 0..<depth {
      let row = Sums(b)
      s0.add(x[0], times: row)
      s1.add(x[rowStride], times: row)
      s2.add(x[2 &* rowStride], times: row)
      s3.add(y[0], times: row)
      s4.add(y[rowStride], times: row)
      s5.add(y[2 &* rowStride], times: row)
      x += columnStride
      y += columnStride
      b += Self.width
    }
    s0.store(c)
    s1.store(c + ldc)
    s2.store(c + 2 &* ldc)
    s3.store(c + 3 &* ldc)
    s4.store(c + 4 &* ldc)
    s5.store(c + 5 &* ldc)
  }

  @inline(__always)
  private func tile4(
    _ a: UnsafePointer<Float>, _ first: UnsafePointer<Float>, _ step: Int,
    _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) {
    var s0 = Sums(first), s1 = Sums(first + step)
    var s2 = Sums(first + 2 &* step), s3 = Sums(first + 3 &* step)
    var (x, y, b) = (a, a + 2 &* rowStride, panel)
    for _ in 0..<depth {
      let row = Sums(b)
      s0.add(x[0], times: row)
      s1.add(x[rowStride], times: row)
      s2.add(y[0], times: row)
      s3.add(y[rowStride], times: row)
      x += columnStride
      y += columnStride
      b += Self.width
    }
    s0.store(c)
    s1.store(c + ldc)
    s2.store(c + 2 &* ldc)
    s3.store(c + 3 &* ldc)
  }

  @inline(__always)
  private func tile1(
    _ a: UnsafePointer<Float>, _ first: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>
  ) {
    var sums = Sums(first)
    var (x, b) = (a, panel)
    for _ in 0..<depth {
      sums.add(x[0], times: Sums(b))
      x += columnStride
      b += Self.width
    }
    sums.store(c)
  }
}
