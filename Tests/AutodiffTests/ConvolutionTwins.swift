// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

@testable import Autodiff

/// The operations of a convolutional network as formulas in Double.
extension Twin {
  static let convolutional: [Twin] =
    [
      // By patches: one weight, 1×1, 2×2, strides, padding beyond the kernel's half, more outputs than a block.
      convolution(1, 1, 1, 1, 1, kernel: (1, 1)),
      convolution(2, 3, 5, 3, 4, kernel: (2, 2), bias: true),
      convolution(2, 5, 4, 9, 10, kernel: (1, 1), stride: 2),
      convolution(2, 5, 7, 3, 8, kernel: (3, 3), stride: 2, padding: 1),
      convolution(1, 3, 3, 2, 17, kernel: (3, 3), padding: 1, bias: true),
      convolution(1, 3, 2, 2, 3, kernel: (2, 3), stride: 3, padding: 2),
      convolution(1, 12, 13, 2, 3, kernel: (2, 2)),
      // 3×3 by tiles: whole tiles, cut ones, a single output, ragged channels, no padding and more than usual.
      convolution(1, 1, 1, 8, 8, kernel: (3, 3), padding: 1),
      convolution(2, 4, 6, 8, 16, kernel: (3, 3), padding: 1),
      convolution(1, 5, 3, 17, 9, kernel: (3, 3), padding: 1, bias: true),
      convolution(2, 5, 6, 9, 25, kernel: (3, 3)),
      convolution(1, 2, 3, 8, 11, kernel: (3, 3), padding: 2),
      convolution(1, 13, 14, 8, 8, kernel: (3, 3), padding: 1),
      // The same and the largest of 2×2.
      convolution(2, 4, 6, 8, 16, kernel: (3, 3), padding: 1, bias: true, pooled: true),
      convolution(2, 5, 7, 9, 11, kernel: (3, 3), padding: 1, pooled: true),
      convolution(1, 5, 4, 3, 3, kernel: (2, 2), pooled: true),
    ]
    + [
      maxPool(1, 1, 1, 1, 1), maxPool(2, 4, 6, 3, 2), maxPool(2, 7, 5, 17, 3),
      globalAveragePool(2, 4, 6, 3), globalAveragePool(1, 1, 1, 2),
      globalAveragePool(2, 3, 5, 18),
    ]
    + [
      batchNorm(2, 1), batchNorm(5, 3, .relu), batchNorm(40, 17, .gelu),
      batchNorm(33, 16, .relu, residual: true), batchNorm(7, 20, .gelu, residual: true),
      batchNorm(300, 9), batchNorm(34, 8, .relu, residual: true), batchNorm(20, 4, .gelu),
      batchNorm(1200, 8),
    ]
    + [
      smoothedCrossEntropy(1, 2, 0, .mean), smoothedCrossEntropy(5, 10, 0.2, .sum),
      smoothedCrossEntropy(9, 33, 0.1, .mean),
    ]
    + [scaling([3, 2, 2, 4])]

  /// One patch entry: output index, filter-independent (place in the image, place in the kernel).
  private struct Patches {
    let (b, h, w, c): (Int, Int, Int, Int)
    let kernel: (Int, Int)
    let (stride, padding): (Int, Int)
    var outHeight: Int { (h + 2 * padding - kernel.0) / stride + 1 }
    var outWidth: Int { (w + 2 * padding - kernel.1) / stride + 1 }

    /// Calls body(output's place, input's place, kernel's place), places being numbers of pixels.
    func forEach(_ body: (Int, Int, Int) -> Void) {
      for image in 0..<b {
        for y in 0..<outHeight {
          for x in 0..<outWidth {
            for i in 0..<kernel.0 {
              for j in 0..<kernel.1 {
                let (v, u) = (y * stride + i - padding, x * stride + j - padding)
                guard v >= 0, v < h, u >= 0, u < w else { continue }
                body(
                  (image * outHeight + y) * outWidth + x, (image * h + v) * w + u,
                  i * kernel.1 + j)
              }
            }
          }
        }
      }
    }
  }

  static func convolution(
    _ b: Int, _ h: Int, _ w: Int, _ c: Int, _ o: Int, kernel: (Int, Int), stride: Int = 1,
    padding: Int = 0, bias: Bool = false, pooled: Bool = false
  ) -> Twin {
    let patches = Patches(
      b: b, h: h, w: w, c: c, kernel: kernel, stride: stride, padding: padding)
    let (rows, terms) = (b * patches.outHeight * patches.outWidth, kernel.0 * kernel.1)
    let plain = Twin(
      name:
        "convolution \(b)x\(h)x\(w)x\(c) by \(o)x\(kernel)/\(stride)+\(padding)\(bias ? " with bias" : "")",
      shapes: [[b, h, w, c], [o, kernel.0, kernel.1, c]] + (bias ? [[o]] : []),
      forward: { x in
        var y = (0..<(rows * o)).map { bias ? x[2][$0 % o] : 0 }
        patches.forEach { out, pixel, place in
          for filter in 0..<o {
            for k in 0..<c {
              y[out * o + filter] += x[0][pixel * c + k] * x[1][(filter * terms + place) * c + k]
            }
          }
        }
        return y
      },
      backward: { x, dy in
        var g = x.map { [Double](repeating: 0, count: $0.count) }
        patches.forEach { out, pixel, place in
          for filter in 0..<o {
            let d = dy[out * o + filter]
            for k in 0..<c {
              g[0][pixel * c + k] += d * x[1][(filter * terms + place) * c + k]
              g[1][(filter * terms + place) * c + k] += d * x[0][pixel * c + k]
            }
          }
        }
        if bias { for i in dy.indices { g[2][i % o] += dy[i] } }
        return g
      },
      record: { tape, p in
        tape.convolution(
          p[0].tensor, p[1], bias: bias ? p[2] : nil, stride: stride, padding: padding)
      })
    guard pooled else { return plain }
    let pool = maxPool(b, patches.outHeight, patches.outWidth, o, 2)
    return Twin(
      name: plain.name + ", pooled", shapes: plain.shapes,
      forward: { pool.forward([plain.forward($0)]) },
      backward: { x, dy in plain.backward(x, pool.backward([plain.forward(x)], dy)[0]) },
      record: { tape, p in
        tape.convolution(
          p[0].tensor, p[1], bias: bias ? p[2] : nil, stride: stride, padding: padding,
          pooling: .maximum2)
      })
  }

  static func maxPool(_ b: Int, _ h: Int, _ w: Int, _ c: Int, _ size: Int) -> Twin {
    let patches = Patches(
      b: b, h: h, w: w, c: c, kernel: (size, size), stride: size, padding: 0)
    let count = b * patches.outHeight * patches.outWidth * c
    /// Which input each output is.
    @Sendable func winners(_ x: [Double]) -> [Int] {
      var winners = [Int](repeating: -1, count: count)
      patches.forEach { out, pixel, _ in
        for k in 0..<c where winners[out * c + k] < 0 || x[pixel * c + k] > x[winners[out * c + k]]
        { winners[out * c + k] = pixel * c + k }
      }
      return winners
    }
    return Twin(
      name: "max pool \(size) of \(b)x\(h)x\(w)x\(c)", shapes: [[b, h, w, c]],
      forward: { x in winners(x[0]).map { x[0][$0] } },
      backward: { x, dy in
        var g = [Double](repeating: 0, count: x[0].count)
        for (place, d) in zip(winners(x[0]), dy) { g[place] += d }
        return [g]
      },
      record: { tape, p in tape.maxPool(p[0].tensor, size) })
  }

  static func globalAveragePool(_ b: Int, _ h: Int, _ w: Int, _ c: Int) -> Twin {
    let places = h * w
    return Twin(
      name: "global average pool of \(b)x\(h)x\(w)x\(c)", shapes: [[b, h, w, c]],
      forward: { x in
        (0..<(b * c)).map { i in
          let (image, channel) = (i / c, i % c)
          let values = (0..<places).map { x[0][(image * places + $0) * c + channel] }
          return values.reduce(0, +) / Double(places)
        }
      },
      backward: { x, dy in
        [x[0].indices.map { dy[$0 / (places * c) * c + $0 % c] / Double(places) }]
      },
      record: { tape, p in tape.globalAveragePool(p[0].tensor) })
  }

  static func batchNorm(
    _ m: Int, _ c: Int, _ activation: Activation = .none, residual: Bool = false
  ) -> Twin {
    /// x̂ and 1/√(variance + ε) of each channel.
    @Sendable func normal(_ x: [Double]) -> (values: [Double], scales: [Double]) {
      var (values, scales) = (x, [Double](repeating: 0, count: c))
      for j in 0..<c {
        let column = (0..<m).map { x[$0 * c + j] }
        let mean = column.reduce(0, +) / Double(m)
        let variance = column.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(m)
        scales[j] = 1 / (variance + 1e-5).squareRoot()
        for i in 0..<m { values[i * c + j] = (column[i] - mean) * scales[j] }
      }
      return (values, scales)
    }
    @Sendable func before(_ x: [[Double]]) -> [Double] {
      let values = normal(x[0]).values
      return values.indices.map { i in
        values[i] * x[1][i % c] + x[2][i % c] + (residual ? x[3][i] : 0)
      }
    }
    let shape = [1, m, 1, c]
    let activated: Twin? =
      switch activation {
      case .none: nil
      case .relu: relu(shape)
      case .gelu: gelu(shape, .erf)
      }
    return Twin(
      name: "batch norm \(m)x\(c), \(activation)\(residual ? ", residual" : "")",
      shapes: [shape, [c], [c]] + (residual ? [shape] : []),
      forward: { x in activated?.forward([before(x)]) ?? before(x) },
      backward: { x, dy in
        let dz = activated?.backward([before(x)], dy)[0] ?? dy
        let (values, scales) = normal(x[0])
        var g = x.map { [Double](repeating: 0, count: $0.count) }
        if residual { g[3] = dz }
        for i in dz.indices {
          g[1][i % c] += dz[i] * values[i]
          g[2][i % c] += dz[i]
        }
        for i in dz.indices {
          let j = i % c
          g[0][i] =
            scales[j] * x[1][j] * (dz[i] - g[2][j] / Double(m) - values[i] * g[1][j] / Double(m))
        }
        return g
      },
      record: { tape, p in
        tape.batchNorm(
          p[0].tensor, p[1], p[2], RunningStatistics(channels: c),
          adding: residual ? p[3].tensor : nil, then: activation)
      }, curvature: m == 2 ? 1e4 : 100)
  }

  static func smoothedCrossEntropy(
    _ m: Int, _ n: Int, _ smoothing: Double, _ reduction: LossReduction
  ) -> Twin {
    let targets = (0..<m).map { ($0 * 5 + 1) % n }
    let factor = reduction == .sum ? 1 : 1 / Double(m)
    @Sendable func weight(_ i: Int, _ j: Int) -> Double {
      (targets[i] == j ? 1 - smoothing : 0) + smoothing / Double(n)
    }
    @Sendable func logSum(_ z: ArraySlice<Double>) -> Double {
      let top = z.max() ?? 0
      return top + log(z.reduce(0) { $0 + exp($1 - top) })
    }
    return Twin(
      name: "cross-entropy \(m)x\(n), smoothing \(smoothing), \(reduction)", shapes: [[m, n]],
      forward: { x in
        [
          (0..<m).reduce(0.0) { total, i in
            let z = x[0][(i * n)..<(i * n + n)]
            return total
              + factor
              * (0..<n).reduce(0) { $0 + weight(i, $1) * (logSum(z) - x[0][i * n + $1]) }
          }
        ]
      },
      backward: { x, dy in
        [
          (0..<(m * n)).map { k in
            let (i, j) = (k / n, k % n)
            let z = x[0][(i * n)..<(i * n + n)]
            return factor * dy[0] * (exp(x[0][k] - logSum(z)) - weight(i, j))
          }
        ]
      },
      record: { tape, p in
        let labels = tape.indices([m])
        labels.assign(targets.map { Int32($0) })
        return tape.crossEntropy(
          p[0].tensor, labels, labelSmoothing: smoothing, reduction: reduction)
      }, curvature: 10)
  }

  static func scaling(_ shape: [Int]) -> Twin {
    Twin(
      name: "scaling and flattening \(shape)", shapes: [shape],
      forward: { $0[0].map { -0.75 * $0 } },
      backward: { _, dy in [dy.map { -0.75 * $0 }] },
      record: { tape, p in tape.flatten(tape.scale(p[0].tensor, by: -0.75)) })
  }
}
