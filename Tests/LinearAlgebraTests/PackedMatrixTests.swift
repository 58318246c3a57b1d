// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Testing

@Suite struct PackedMatrixTests {
  /// Sizes around the tile (6 rows, 16 or 32 columns), the depth of 256, and the degenerate ones.
  @Test(arguments: [
    (1, 1, 1), (5, 15, 3), (6, 16, 7), (7, 17, 255), (13, 33, 256), (12, 31, 257), (20, 64, 600),
    (3, 40, 0), (0, 8, 4),
  ])
  func theProductIsTheSumOfProducts(_ m: Int, _ n: Int, _ k: Int) {
    let a = Matrix<Float>(
      rows: m, columns: k, elements: RandomStream(seed: 1, name: "a").normals(m * k))
    let b = Matrix<Float>(
      rows: k, columns: n, elements: RandomStream(seed: 1, name: "b").normals(k * n))
    let bias: [Float] = RandomStream(seed: 1, name: "bias").normals(n)
    let room = UnsafeMutablePointer<Float>.allocate(capacity: max(1, PackedMatrix.size(k, n)))
    defer { room.deallocate() }
    let pool = WorkerPool(threads: 2)
    for isTransposed in [false, true] {
      let source = isTransposed ? b.transposed : b
      let packed = source.withView {
        PackedMatrix(packing: $0, transposed: isTransposed, into: room, pool)
      }
      for start in ["zero", "bias", "old"] {
        var c = Matrix<Float>(
          rows: m, columns: n, elements: RandomStream(seed: 1, name: "c").normals(m * n))
        let old = c
        a.withView { a in
          c.withMutableView { c in
            bias.withUnsafeBufferPointer { bias in
              packed.multiply(
                a, bias: start == "bias" ? bias.baseAddress : nil, beta: start == "old" ? 1 : 0,
                into: c)
            }
          }
        }
        for i in 0..<m {
          for j in 0..<n {
            // The kernel's own chain: fused, ascending in k.
            var want: Float = start == "bias" ? bias[j] : start == "old" ? old[i, j] : 0
            for p in 0..<k { want.addProduct(a[i, p], b[p, j]) }
            #expect(c[i, j] == want, "\(m)x\(n)x\(k), \(start), \(isTransposed), [\(i), \(j)]")
          }
        }
      }
    }
  }

  /// A part of the packed rows and columns, times rows or columns of a larger matrix.
  @Test(arguments: [(8, 12, 9), (32, 64, 32), (11, 300, 40)])
  func partsOfAPackedMatrixMultiplyRowsAndColumns(_ m: Int, _ k: Int, _ n: Int) {
    let (lda, ldc) = (k + m + 5, n + 3)
    let a: [Float] = RandomStream(seed: 2, name: "a").normals(lda * lda)
    let b: [Float] = RandomStream(seed: 2, name: "b").normals((k + 2) * (n + 4))
    let old: [Float] = RandomStream(seed: 2, name: "c").normals(m * ldc)
    var room = [Float](repeating: .nan, count: PackedMatrix.size(k + 2, n + 4))
    for (isColumn, accumulate) in [(false, false), (false, true), (true, false), (true, true)] {
      var c = old
      room.withUnsafeMutableBufferPointer { room in
        let packed = PackedMatrix(
          k + 2, n + 4, packing: b, stride: n + 4, transposed: false, into: room.baseAddress!)
        packed.multiply(
          m, a, rowStride: isColumn ? 1 : lda, columnStride: isColumn ? lda : 1, depth: k,
          count: n, accumulate: accumulate, into: &c, ldc: ldc)
      }
      for i in 0..<m {
        for j in 0..<ldc {
          var want: Float = accumulate || j >= n ? old[i * ldc + j] : 0
          if j < n {
            for p in 0..<k {
              want.addProduct(isColumn ? a[p * lda + i] : a[i * lda + p], b[p * (n + 4) + j])
            }
          }
          #expect(c[i * ldc + j] == want, "\(m)x\(n)x\(k), \(isColumn), [\(i), \(j)]")
        }
      }
    }
  }
}
