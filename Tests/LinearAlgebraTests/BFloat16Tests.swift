// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import LinearAlgebra

@Suite(.enabled(if: BFloat16.isSupported, "this CPU has no AVX512_BF16"))
struct BFloat16Tests {
  /// x to 8 bits of significand, ties to even.
  private func rounded(_ x: Float) -> Double {
    let bits = x.bitPattern
    return Double(Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000))
  }

  private func matrix(_ rows: Int, _ columns: Int, _ name: String) -> Matrix<Float> {
    Matrix(
      rows: rows, columns: columns,
      elements: RandomStream(seed: 5, name: name).normals(rows * columns, as: Float.self))
  }

  @Test func roundingIsToTheNearest() {
    #expect(rounded(1 + 0x1p-8) == 1 && rounded(1 + 0x1.8p-8) == 1 + 0x1p-7)
    #expect(BFloat16.unitRoundoff == (rounded(1 + 0x1.8p-8) - 1) / 2)
  }

  /// Ragged and whole panels, one and several blocks of terms, factors as they stand and transposed.
  @Test(
    arguments: [
      (1, 1, 1), (12, 32, 2), (13, 33, 3), (7, 40, 65), (30, 70, 401), (150, 31, 17), (3, 1100, 9),
    ], [(false, false), (true, false), (false, true), (true, true)])
  func itIsTheProductOfTheRoundedFactors(
    _ shape: (m: Int, n: Int, k: Int), _ transposed: (left: Bool, right: Bool)
  ) {
    let (m, n, k) = shape
    let left = transposed.left ? matrix(k, m, "left") : matrix(m, k, "left")
    let right = transposed.right ? matrix(k, n, "right") : matrix(n, k, "right")
    let (bias, old) = (matrix(1, n, "bias"), matrix(m, n, "old"))
    func product(
      _ threads: Int, bias isBiased: Bool, beta: Float, inBlocks: Bool = false
    ) -> Matrix<Float> {
      let pool = WorkerPool(threads: threads)
      var c = beta == 1 ? old : Matrix(rows: m, columns: n, repeating: .nan)
      let room = max(BFloat16.size(.left, m, k), BFloat16.blockSize(k, pool))
      withUnsafeTemporaryAllocation(of: Float.self, capacity: room) { a in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: BFloat16.size(.right, n, k)) { b in
          guard let a = a.baseAddress, let b = b.baseAddress else { return }
          let other = right.withView {
            BFloat16.pack(.right, $0, transposed: transposed.right, into: b, pool)
          }
          if inBlocks {
            return left.withView { left in
              bias.withView { bias in
                c.withMutableView {
                  BFloat16.multiply(
                    left, other, bias: isBiased ? bias.base : nil, beta: beta, in: a,
                    into: $0.base, ldc: n, pool)
                }
              }
            }
          }
          let packed = left.withView {
            BFloat16.pack(.left, $0, transposed: transposed.left, into: a, pool)
          }
          bias.withView { bias in
            c.withMutableView {
              BFloat16.multiply(
                packed, other, bias: isBiased ? bias.base : nil, beta: beta, into: $0.base, ldc: n,
                pool)
            }
          }
        }
      }
      return c
    }
    for (isBiased, beta) in [(false, Float(0)), (true, 0), (false, 1)] {
      let got = product(1, bias: isBiased, beta: beta)
      for i in 0..<m {
        for j in 0..<n {
          var sum = isBiased ? Double(bias[0, j]) : beta == 1 ? Double(old[i, j]) : 0
          var size = abs(sum)
          for p in 0..<k {
            let term =
              rounded(transposed.left ? left[p, i] : left[i, p])
              * rounded(transposed.right ? right[p, j] : right[j, p])
            sum += term
            size += abs(term)
          }
          // One rounding to Float, of either direction, a term.
          let error = abs(Double(got[i, j]) - sum)
          #expect(
            error <= Double(k + 1) * 0x1p-23 * size,
            "[\(i), \(j)] of \(shape): \(got[i, j]), not \(sum), bias \(isBiased), beta \(beta)")
        }
      }
      #expect(product(3, bias: isBiased, beta: beta) == got, "three threads")
      guard !transposed.left else { continue }
      for threads in [1, 3] {
        #expect(product(threads, bias: isBiased, beta: beta, inBlocks: true) == got, "in blocks")
      }
    }
  }

  @Test func whatIsNotANumberShows() {
    var left = matrix(13, 5, "left")
    left[3, 4] = .nan
    left[12, 0] = .infinity
    let right = matrix(2, 5, "right")
    var c = Matrix<Float>(rows: 13, columns: 2)
    var (a, b) = (
      [Float](repeating: 0, count: BFloat16.size(.left, 13, 5)),
      [Float](repeating: 0, count: BFloat16.size(.right, 2, 5))
    )
    a.withUnsafeMutableBufferPointer { a in
      b.withUnsafeMutableBufferPointer { b in
        guard let a = a.baseAddress, let b = b.baseAddress else { return }
        let packed = left.withView {
          BFloat16.pack(.left, $0, transposed: false, into: a, .single)
        }
        let other = right.withView {
          BFloat16.pack(.right, $0, transposed: false, into: b, .single)
        }
        c.withMutableView {
          BFloat16.multiply(packed, other, into: $0.base, ldc: 2, .single)
        }
      }
    }
    for i in 0..<13 {
      #expect(c[i, 0].isNaN == (i == 3) && c[i, 0].isInfinite == (i == 12), "row \(i)")
    }
  }
}
