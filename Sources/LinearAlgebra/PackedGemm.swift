// Products with a matrix that many rows are multiplied by: the weight of a layer. It is packed once into
// panels as wide as a tile, so that the kernel reads it in order; rows are read where they lie. Every entry
// is one chain of fused multiply-adds over k in ascending order, whatever the vector width, beginning with
// the bias or with the old value.

/// A matrix[k, n] of floats packed for `multiply`.
public final class PackedMatrix {
  private var base: UnsafeMutablePointer<Float>
  private let capacity: Int
  private var rows = 0, columns = 0

  /// Two vectors.
  private static let panel = hasWideVectors ? 32 : 16
  /// Rows of a panel that are worked through at a time: a quarter of the first cache level.
  private static let depth = 256

  /// Room for matrices of up to `count` entries whose sides are at most `side`.
  public init(count: Int, side: Int) {
    capacity = count + side * Self.panel
    base = .allocate(capacity: capacity)
    base.initialize(repeating: 0, count: capacity)
  }

  deinit { base.deallocate() }

  /// Packs `source`, or its transpose.
  public func pack(_ source: MatrixView<Float>, transposed: Bool, _ pool: WorkerPool) {
    (rows, columns) =
      transposed ? (source.columns, source.rows) : (source.rows, source.columns)
    let (k, n, width) = (rows, columns, Self.panel)
    precondition((n + width - 1) / width * width * k <= capacity, "[\(k), \(n)] into \(capacity)")
    pool.forEach(pieces: (n + width - 1) / width) { (index: Int) in
      let target = base + index &* width &* k
      let (start, count) = (index &* width, min(width, n &- index &* width))
      if transposed {
        for j in 0..<count {
          let row = source.base + (start &+ j) &* k
          for p in 0..<k { target[p &* width &+ j] = row[p] }
        }
      } else {
        for p in 0..<k {
          (target + p &* width).update(from: source.base + (p &* n &+ start), count: count)
        }
      }
      if count < width {
        for p in 0..<k {
          for j in count..<width { target[p &* width &+ j] = 0 }
        }
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
    if hasWideVectors {
      run(SIMD16<Float>.self, 16, a, bias, beta, c)
    } else {
      run(SIMD8<Float>.self, 8, a, bias, beta, c)
    }
  }

  @inline(__always)
  private func run<V: SIMD>(
    _ type: V.Type, _ width: Int, _ a: MatrixView<Float>, _ bias: UnsafePointer<Float>?,
    _ beta: Float, _ c: MutableMatrixView<Float>
  ) where V.Scalar == Float {
    let (m, n, k, panel) = (a.rows, columns, rows, 2 &* width)
    // The last panel may be narrower than a tile: it goes through a buffer of its own.
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 7 &* panel) { spare in
      guard let edge = spare.baseAddress else { return }
      let zeros = edge + 6 &* panel
      zeros.update(repeating: 0, count: panel)
      for column in Swift.stride(from: 0, to: n, by: panel) {
        let count = min(panel, n &- column)
        for start in Swift.stride(from: 0, to: max(1, k), by: Self.depth) {
          let depth = min(Self.depth, k &- start)
          let b = base + (column &* k &+ start &* panel)
          let continues = start > 0 || beta == 1
          var i = 0
          while i < m {
            let group = m &- i >= 6 ? 6 : 1
            let source = a.base + (i &* k &+ start)
            let target = c.base + (i &* n &+ column)
            if count == panel {
              let first =
                continues ? UnsafePointer(target) : bias.map { $0 + column } ?? UnsafePointer(zeros)
              let step = continues ? n : 0
              if group == 6 {
                tile6(V.self, width, depth, source, k, b, first, step, target, n)
              } else {
                tile1(V.self, width, depth, source, b, first, target)
              }
            } else {
              for r in 0..<group {
                for j in 0..<count {
                  edge[r &* panel &+ j] =
                    continues ? target[r &* n &+ j] : bias.map { $0[column &+ j] } ?? 0
                }
                for j in count..<panel { edge[r &* panel &+ j] = 0 }
              }
              if group == 6 {
                tile6(V.self, width, depth, source, k, b, edge, panel, edge, panel)
              } else {
                tile1(V.self, width, depth, source, b, edge, edge)
              }
              for r in 0..<group {
                for j in 0..<count { target[r &* n &+ j] = edge[r &* panel &+ j] }
              }
            }
            i &+= group
          }
        }
      }
    }
  }

  @inline(__always)
  private func load<V: SIMD>(_ p: UnsafePointer<Float>, _ type: V.Type) -> V
  where V.Scalar == Float {
    UnsafeRawPointer(p).loadUnaligned(as: V.self)
  }

  @inline(__always)
  private func store<V: SIMD>(_ value: V, _ p: UnsafeMutablePointer<Float>)
  where V.Scalar == Float {
    UnsafeMutableRawPointer(p).storeBytes(of: value, as: V.self)
  }

  /// Six rows of `a` (lda apart) times one panel: twelve chains.
  @inline(__always)
  private func tile6<V: SIMD>(
    _ type: V.Type, _ width: Int, _ depth: Int, _ a: UnsafePointer<Float>, _ lda: Int,
    _ b: UnsafePointer<Float>, _ first: UnsafePointer<Float>, _ step: Int,
    _ c: UnsafeMutablePointer<Float>, _ ldc: Int
  ) where V.Scalar == Float {
    var s00 = load(first, V.self), s01 = load(first + width, V.self)
    var s10 = load(first + step, V.self), s11 = load(first + (step &+ width), V.self)
    var s20 = load(first + 2 &* step, V.self), s21 = load(first + (2 &* step &+ width), V.self)
    var s30 = load(first + 3 &* step, V.self), s31 = load(first + (3 &* step &+ width), V.self)
    var s40 = load(first + 4 &* step, V.self), s41 = load(first + (4 &* step &+ width), V.self)
    var s50 = load(first + 5 &* step, V.self), s51 = load(first + (5 &* step &+ width), V.self)
    let (a0, a1, a2) = (a, a + lda, a + 2 &* lda)
    let (a3, a4, a5) = (a + 3 &* lda, a + 4 &* lda, a + 5 &* lda)
    var b = b
    for p in 0..<depth {
      let b0 = load(b, V.self)
      let b1 = load(b + width, V.self)
      let x0 = V(repeating: a0[p])
      s00 = s00.addingProduct(x0, b0)
      s01 = s01.addingProduct(x0, b1)
      let x1 = V(repeating: a1[p])
      s10 = s10.addingProduct(x1, b0)
      s11 = s11.addingProduct(x1, b1)
      let x2 = V(repeating: a2[p])
      s20 = s20.addingProduct(x2, b0)
      s21 = s21.addingProduct(x2, b1)
      let x3 = V(repeating: a3[p])
      s30 = s30.addingProduct(x3, b0)
      s31 = s31.addingProduct(x3, b1)
      let x4 = V(repeating: a4[p])
      s40 = s40.addingProduct(x4, b0)
      s41 = s41.addingProduct(x4, b1)
      let x5 = V(repeating: a5[p])
      s50 = s50.addingProduct(x5, b0)
      s51 = s51.addingProduct(x5, b1)
      b += 2 &* width
    }
    store(s00, c)
    store(s01, c + width)
    store(s10, c + ldc)
    store(s11, c + (ldc &+ width))
    store(s20, c + 2 &* ldc)
    store(s21, c + (2 &* ldc &+ width))
    store(s30, c + 3 &* ldc)
    store(s31, c + (3 &* ldc &+ width))
    store(s40, c + 4 &* ldc)
    store(s41, c + (4 &* ldc &+ width))
    store(s50, c + 5 &* ldc)
    store(s51, c + (5 &* ldc &+ width))
  }

  @inline(__always)
  private func tile1<V: SIMD>(
    _ type: V.Type, _ width: Int, _ depth: Int, _ a: UnsafePointer<Float>,
    _ b: UnsafePointer<Float>, _ first: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>
  ) where V.Scalar == Float {
    var s0 = load(first, V.self), s1 = load(first + width, V.self)
    var b = b
    for p in 0..<depth {
      let x = V(repeating: a[p])
      s0 = s0.addingProduct(x, load(b, V.self))
      s1 = s1.addingProduct(x, load(b + width, V.self))
      b += 2 &* width
    }
    store(s0, c)
    store(s1, c + width)
  }
}
