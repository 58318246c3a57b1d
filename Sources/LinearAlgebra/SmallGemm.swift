// SPDX-License-Identifier: Apache-2.0

// Products of matrices that fit in the first two cache levels, where a BLAS spends much of its time on
// packing. B is read in place, row by row; four rows of A times three vectors of B fill the registers.
// Every entry of C is one chain of fused multiply-adds over k in ascending order, whatever the vector
// width, so results do not depend on the machine's widest registers.

/// The largest m·n·k for which `SmallGemm` is used.
let smallGemmLimit = 1 << 20

/// Whether this CPU works on vectors of 64 bytes at once.
public let hasWideVectors = BLASEnvironment.cpuFlags().contains("avx512f")

/// c[m,n] = op(a)[m,k] · b[k,n] (+ c if `accumulate`), where op(a)[i,p] = a[i · rowStride + p · columnStride], for
/// operands that were just written and so lie in a cache: nothing is packed.
///
/// Works in blocks of 128 rows and 128 terms, which is fastest where rows begin `paddedStride` apart.
public func gemmInCache(
  _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Float>, rowStride: Int, columnStride: Int,
  _ b: UnsafePointer<Float>, ldb: Int, accumulate: Bool = false,
  into c: UnsafeMutablePointer<Float>, ldc: Int
) {
  let block = 128
  for p in Swift.stride(from: 0, to: max(1, k), by: block) {
    for i in Swift.stride(from: 0, to: m, by: block) {
      SmallGemm.multiply(
        min(block, m &- i), n, min(block, k &- p), a + (i &* rowStride &+ p &* columnStride),
        rowStride: rowStride, columnStride: columnStride, b + p &* ldb, ldb: ldb,
        accumulate: accumulate || p > 0, c + i &* ldc, ldc: ldc)
    }
  }
}

/// Where the next of rows of `n` floats should begin: whole vectors of 16 and one more, because rows a power of two
/// apart fall on the same few lines of the first cache level (a product runs at half the speed).
public func paddedStride(_ n: Int) -> Int { (n + 15) & ~15 + 16 }

enum SmallGemm {
  /// c[m,n] = op(a)[m,k] · b[k,n] (+ c if `accumulate`), where op(a)[i,p] = a[i · rowStride + p · columnStride].
  static func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Float>, rowStride: Int, columnStride: Int,
    _ b: UnsafePointer<Float>, ldb: Int, accumulate: Bool, _ c: UnsafeMutablePointer<Float>,
    ldc: Int
  ) {
    let product = Product(
      m: m, n: n, k: k, a: a, rowStride: rowStride, columnStride: columnStride, b: b, ldb: ldb,
      accumulate: accumulate, c: c, ldc: ldc)
    if hasWideVectors {
      product.run(SIMD16<Float>.self, width: 16)
    } else {
      product.run(SIMD8<Float>.self, width: 8)
    }
  }
}

private struct Product {
  let m: Int, n: Int, k: Int
  let a: UnsafePointer<Float>
  let rowStride: Int, columnStride: Int
  let b: UnsafePointer<Float>
  let ldb: Int
  let accumulate: Bool
  let c: UnsafeMutablePointer<Float>
  let ldc: Int

  @inline(__always)
  func run<V: SIMD>(_ type: V.Type, width: Int) where V.Scalar == Float {
    var column = 0
    // Three vectors at a time, or two where three would leave a single one.
    while n &- column >= 2 &* width {
      let vectors = (n &- column) / width
      if vectors == 3 || vectors > 4 {
        forRows { rows, i in
          rows == 4 ? tile4x3(V.self, width, i, column) : tile1x3(V.self, width, i, column)
        }
        column &+= 3 &* width
      } else {
        forRows { rows, i in
          if rows == 4 {
            tile4x2(V.self, width, i, column)
          } else {
            tile1x1(V.self, i, column)
            tile1x1(V.self, i, column &+ width)
          }
        }
        column &+= 2 &* width
      }
    }
    while column &+ width <= n {
      singleVector(V.self, column)
      column &+= width
    }
    while column &+ 4 <= n {
      singleVector(SIMD4<Float>.self, column)
      column &+= 4
    }
    while column < n {
      for i in 0..<m { dot(i, column) }
      column &+= 1
    }
  }

  /// One vector of columns: eight rows at a time, so that there are as many chains as a fused
  /// multiply-add takes cycles.
  @inline(__always)
  private func singleVector<V: SIMD>(_ type: V.Type, _ column: Int) where V.Scalar == Float {
    var i = 0
    while i &+ 8 <= m {
      tile8x1(V.self, i, column)
      i &+= 8
    }
    if i &+ 4 <= m {
      tile4x1(V.self, i, column)
      i &+= 4
    }
    while i < m {
      tile1x1(V.self, i, column)
      i &+= 1
    }
  }

  /// Calls `body` with (4, first row) for whole groups of four rows, then with (1, row) for the rest.
  @inline(__always)
  private func forRows(_ body: (Int, Int) -> Void) {
    var i = 0
    while i &+ 4 <= m {
      body(4, i)
      i &+= 4
    }
    while i < m {
      body(1, i)
      i &+= 1
    }
  }

  @inline(__always)
  private func load<V: SIMD>(_ p: UnsafePointer<Float>, _ type: V.Type) -> V
  where V.Scalar == Float {
    UnsafeRawPointer(p).loadUnaligned(as: V.self)
  }

  @inline(__always)
  private func start<V: SIMD>(_ p: UnsafeMutablePointer<Float>, _ type: V.Type) -> V
  where V.Scalar == Float {
    accumulate ? load(UnsafePointer(p), V.self) : V(repeating: 0)
  }

  @inline(__always)
  private func store<V: SIMD>(_ value: V, _ p: UnsafeMutablePointer<Float>)
  where V.Scalar == Float {
    UnsafeMutableRawPointer(p).storeBytes(of: value, as: V.self)
  }

  @inline(__always)
  private func tile4x3<V: SIMD>(_ type: V.Type, _ width: Int, _ i: Int, _ j: Int)
  where V.Scalar == Float {
    let c0 = c + (i &* ldc &+ j)
    let c1 = c0 + ldc
    let c2 = c1 + ldc
    let c3 = c2 + ldc
    var s00 = start(c0, V.self), s01 = start(c0 + width, V.self)
    var s02 = start(c0 + 2 &* width, V.self)
    var s10 = start(c1, V.self), s11 = start(c1 + width, V.self)
    var s12 = start(c1 + 2 &* width, V.self)
    var s20 = start(c2, V.self), s21 = start(c2 + width, V.self)
    var s22 = start(c2 + 2 &* width, V.self)
    var s30 = start(c3, V.self), s31 = start(c3 + width, V.self)
    var s32 = start(c3 + 2 &* width, V.self)
    var pa = a + i &* rowStride
    var pb = b + j
    for _ in 0..<k {
      let b0 = load(pb, V.self)
      let b1 = load(pb + width, V.self)
      let b2 = load(pb + 2 &* width, V.self)
      let a0 = V(repeating: pa[0])
      s00 = s00.plusProduct(a0, b0)
      s01 = s01.plusProduct(a0, b1)
      s02 = s02.plusProduct(a0, b2)
      let a1 = V(repeating: pa[rowStride])
      s10 = s10.plusProduct(a1, b0)
      s11 = s11.plusProduct(a1, b1)
      s12 = s12.plusProduct(a1, b2)
      let a2 = V(repeating: pa[2 &* rowStride])
      s20 = s20.plusProduct(a2, b0)
      s21 = s21.plusProduct(a2, b1)
      s22 = s22.plusProduct(a2, b2)
      let a3 = V(repeating: pa[3 &* rowStride])
      s30 = s30.plusProduct(a3, b0)
      s31 = s31.plusProduct(a3, b1)
      s32 = s32.plusProduct(a3, b2)
      pa += columnStride
      pb += ldb
    }
    store(s00, c0)
    store(s01, c0 + width)
    store(s02, c0 + 2 &* width)
    store(s10, c1)
    store(s11, c1 + width)
    store(s12, c1 + 2 &* width)
    store(s20, c2)
    store(s21, c2 + width)
    store(s22, c2 + 2 &* width)
    store(s30, c3)
    store(s31, c3 + width)
    store(s32, c3 + 2 &* width)
  }

  @inline(__always)
  private func tile4x2<V: SIMD>(_ type: V.Type, _ width: Int, _ i: Int, _ j: Int)
  where V.Scalar == Float {
    let c0 = c + (i &* ldc &+ j)
    let c1 = c0 + ldc
    let c2 = c1 + ldc
    let c3 = c2 + ldc
    var s00 = start(c0, V.self), s01 = start(c0 + width, V.self)
    var s10 = start(c1, V.self), s11 = start(c1 + width, V.self)
    var s20 = start(c2, V.self), s21 = start(c2 + width, V.self)
    var s30 = start(c3, V.self), s31 = start(c3 + width, V.self)
    var pa = a + i &* rowStride
    var pb = b + j
    for _ in 0..<k {
      let b0 = load(pb, V.self)
      let b1 = load(pb + width, V.self)
      let a0 = V(repeating: pa[0])
      s00 = s00.plusProduct(a0, b0)
      s01 = s01.plusProduct(a0, b1)
      let a1 = V(repeating: pa[rowStride])
      s10 = s10.plusProduct(a1, b0)
      s11 = s11.plusProduct(a1, b1)
      let a2 = V(repeating: pa[2 &* rowStride])
      s20 = s20.plusProduct(a2, b0)
      s21 = s21.plusProduct(a2, b1)
      let a3 = V(repeating: pa[3 &* rowStride])
      s30 = s30.plusProduct(a3, b0)
      s31 = s31.plusProduct(a3, b1)
      pa += columnStride
      pb += ldb
    }
    store(s00, c0)
    store(s01, c0 + width)
    store(s10, c1)
    store(s11, c1 + width)
    store(s20, c2)
    store(s21, c2 + width)
    store(s30, c3)
    store(s31, c3 + width)
  }

  @inline(__always)
  private func tile1x3<V: SIMD>(_ type: V.Type, _ width: Int, _ i: Int, _ j: Int)
  where V.Scalar == Float {
    let c0 = c + (i &* ldc &+ j)
    var s0 = start(c0, V.self), s1 = start(c0 + width, V.self)
    var s2 = start(c0 + 2 &* width, V.self)
    var pa = a + i &* rowStride
    var pb = b + j
    for _ in 0..<k {
      let factor = V(repeating: pa[0])
      s0 = s0.plusProduct(factor, load(pb, V.self))
      s1 = s1.plusProduct(factor, load(pb + width, V.self))
      s2 = s2.plusProduct(factor, load(pb + 2 &* width, V.self))
      pa += columnStride
      pb += ldb
    }
    store(s0, c0)
    store(s1, c0 + width)
    store(s2, c0 + 2 &* width)
  }

  @inline(__always)
  private func tile8x1<V: SIMD>(_ type: V.Type, _ i: Int, _ j: Int) where V.Scalar == Float {
    let c0 = c + (i &* ldc &+ j)
    var s0 = start(c0, V.self), s1 = start(c0 + ldc, V.self)
    var s2 = start(c0 + 2 &* ldc, V.self), s3 = start(c0 + 3 &* ldc, V.self)
    var s4 = start(c0 + 4 &* ldc, V.self), s5 = start(c0 + 5 &* ldc, V.self)
    var s6 = start(c0 + 6 &* ldc, V.self), s7 = start(c0 + 7 &* ldc, V.self)
    var pa = a + i &* rowStride
    var pb = b + j
    for _ in 0..<k {
      let b0 = load(pb, V.self)
      s0 = s0.plusProduct(V(repeating: pa[0]), b0)
      s1 = s1.plusProduct(V(repeating: pa[rowStride]), b0)
      s2 = s2.plusProduct(V(repeating: pa[2 &* rowStride]), b0)
      s3 = s3.plusProduct(V(repeating: pa[3 &* rowStride]), b0)
      s4 = s4.plusProduct(V(repeating: pa[4 &* rowStride]), b0)
      s5 = s5.plusProduct(V(repeating: pa[5 &* rowStride]), b0)
      s6 = s6.plusProduct(V(repeating: pa[6 &* rowStride]), b0)
      s7 = s7.plusProduct(V(repeating: pa[7 &* rowStride]), b0)
      pa += columnStride
      pb += ldb
    }
    store(s0, c0)
    store(s1, c0 + ldc)
    store(s2, c0 + 2 &* ldc)
    store(s3, c0 + 3 &* ldc)
    store(s4, c0 + 4 &* ldc)
    store(s5, c0 + 5 &* ldc)
    store(s6, c0 + 6 &* ldc)
    store(s7, c0 + 7 &* ldc)
  }

  @inline(__always)
  private func tile4x1<V: SIMD>(_ type: V.Type, _ i: Int, _ j: Int) where V.Scalar == Float {
    let c0 = c + (i &* ldc &+ j)
    var s0 = start(c0, V.self), s1 = start(c0 + ldc, V.self)
    var s2 = start(c0 + 2 &* ldc, V.self), s3 = start(c0 + 3 &* ldc, V.self)
    var pa = a + i &* rowStride
    var pb = b + j
    for _ in 0..<k {
      let b0 = load(pb, V.self)
      s0 = s0.plusProduct(V(repeating: pa[0]), b0)
      s1 = s1.plusProduct(V(repeating: pa[rowStride]), b0)
      s2 = s2.plusProduct(V(repeating: pa[2 &* rowStride]), b0)
      s3 = s3.plusProduct(V(repeating: pa[3 &* rowStride]), b0)
      pa += columnStride
      pb += ldb
    }
    store(s0, c0)
    store(s1, c0 + ldc)
    store(s2, c0 + 2 &* ldc)
    store(s3, c0 + 3 &* ldc)
  }

  @inline(__always)
  private func tile1x1<V: SIMD>(_ type: V.Type, _ i: Int, _ j: Int) where V.Scalar == Float {
    let c0 = c + (i &* ldc &+ j)
    var sum = start(c0, V.self)
    var pa = a + i &* rowStride
    var pb = b + j
    for _ in 0..<k {
      sum = sum.plusProduct(V(repeating: pa[0]), load(pb, V.self))
      pa += columnStride
      pb += ldb
    }
    store(sum, c0)
  }

  @inline(__always)
  private func dot(_ i: Int, _ j: Int) {
    let target = c + (i &* ldc &+ j)
    var sum = accumulate ? target.pointee : 0
    var pa = a + i &* rowStride
    var pb = b + j
    if ldb == 1 && columnStride == 1 {
      sum += contiguousDot(pa, pb, k)
      target.pointee = sum
      return
    }
    for _ in 0..<k {
      sum.addProduct(pa.pointee, pb.pointee)
      pa += columnStride
      pb += ldb
    }
    target.pointee = sum
  }
}

/// Σ x[i]·y[i] in sixteen interleaved chains.
@inline(__always)
private func contiguousDot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ k: Int) -> Float
{
  var low = SIMD8<Float>(repeating: 0)
  var high = SIMD8<Float>(repeating: 0)
  var i = 0
  while i &+ 16 <= k {
    let (p, q) = (UnsafeRawPointer(x + i), UnsafeRawPointer(y + i))
    low = low.plusProduct(
      p.loadUnaligned(as: SIMD8<Float>.self), q.loadUnaligned(as: SIMD8<Float>.self))
    high = high.plusProduct(
      (p + 32).loadUnaligned(as: SIMD8<Float>.self), (q + 32).loadUnaligned(as: SIMD8<Float>.self))
    i &+= 16
  }
  var sum = (low + high).sum()
  while i < k {
    sum.addProduct(x[i], y[i])
    i &+= 1
  }
  return sum
}

/// b[n,m] = aᵀ for a row-major a[m,n], four by four; a's rows begin `stride` (n by default) apart, those of b
/// `targetStride` (m by default).
public func transpose(
  _ a: UnsafePointer<Float>, rows m: Int, columns n: Int, stride: Int? = nil,
  into b: UnsafeMutablePointer<Float>, targetStride: Int? = nil
) {
  let step = stride ?? n
  let wide = targetStride ?? m
  let (m4, n4) = (m & ~3, n & ~3)
  for i in Swift.stride(from: 0, to: m4, by: 4) {
    for j in Swift.stride(from: 0, to: n4, by: 4) {
      func row(_ k: Int) -> SIMD4<Float> {
        UnsafeRawPointer(a + ((i &+ k) &* step &+ j)).loadUnaligned(as: SIMD4<Float>.self)
      }
      func put(_ value: SIMD4<Float>, _ k: Int) {
        UnsafeMutableRawPointer(b + ((j &+ k) &* wide &+ i)).storeBytes(
          of: value, as: SIMD4<Float>.self)
      }
      let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3))
      // Pairs of rows interleave to (0 0' 1 1') and (2 2' 3 3'); halves of two pairs make a column.
      let (p, q) = (zip4(r0, r2), zip4(r1, r3))
      let (c01, c23) = (zip4(p.0, q.0), zip4(p.1, q.1))
      put(c01.0, 0)
      put(c01.1, 1)
      put(c23.0, 2)
      put(c23.1, 3)
    }
    for j in n4..<n {
      for k in i..<(i &+ 4) { b[j &* wide &+ k] = a[k &* step &+ j] }
    }
  }
  for i in m4..<m {
    for j in 0..<n { b[j &* wide &+ i] = a[i &* step &+ j] }
  }
}

/// (x0 y0 x1 y1), (x2 y2 x3 y3).
@inline(__always)
private func zip4(
  _ x: SIMD4<Float>, _ y: SIMD4<Float>
) -> (SIMD4<Float>, SIMD4<Float>) {
  (SIMD4(x[0], y[0], x[1], y[1]), SIMD4(x[2], y[2], x[3], y[3]))
}
