// SPDX-License-Identifier: Apache-2.0

// Products of matrices that fit in the first two cache levels, where a BLAS spends much of its time on
// packing. B is read in place, row by row. Every entry of C is one chain of fused multiply-adds over k in
// ascending order, whatever the vector width (of a single column sixteen interleaved ones), so results do not
// depend on the machine's widest registers.

import CKernels

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
    if n == 1 && ldb == 1 && columnStride == 1 {
      // Two contiguous rows of numbers a product.
      for i in 0..<m {
        let old = accumulate ? c[i &* ldc] : 0
        c[i &* ldc] = old + contiguousDot(a + i &* rowStride, b, k)
      }
    } else {
      small_multiply(
        Panel.width, m, n, k, a, rowStride, columnStride, b, ldb, accumulate ? 1 : 0, c, ldc)
    }
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
