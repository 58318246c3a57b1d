// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

@testable import Autodiff

/// A plain twin of an operation in Double: forward and vector-Jacobian product written as the formulas
/// stand, for arrays in row-major order.
struct Twin: Sendable {
  let name: String
  /// Shapes of the inputs.
  let shapes: [[Int]]
  let forward: @Sendable ([[Double]]) -> [Double]
  /// Gradients of Σ dy·y with respect to every input.
  let backward: @Sendable ([[Double]], [Double]) -> [[Double]]
  /// The operation under test, on parameters of `shapes`.
  let record: @Sendable (Tape, [Parameter]) -> Tensor
  /// A bound on the third derivative along one input, relative to the size of the outputs.
  var curvature = 0.0
}

extension Twin {
  static func linear(_ m: Int, _ n: Int, _ k: Int, bias: Bool) -> Twin {
    Twin(
      name: "linear \(m)x\(k) to \(n)\(bias ? " with bias" : "")",
      shapes: [[m, k], [n, k]] + (bias ? [[n]] : []),
      forward: { inputs in
        (0..<(m * n)).map { index in
          let (i, j) = (index / n, index % n)
          var sum = bias ? inputs[2][j] : 0
          for p in 0..<k { sum += inputs[0][i * k + p] * inputs[1][j * k + p] }
          return sum
        }
      },
      backward: { inputs, dy in
        var dx = [Double](repeating: 0, count: m * k)
        var dw = [Double](repeating: 0, count: n * k)
        var db = [Double](repeating: 0, count: n)
        for i in 0..<m {
          for j in 0..<n {
            let d = dy[i * n + j]
            db[j] += d
            for p in 0..<k {
              dx[i * k + p] += d * inputs[1][j * k + p]
              dw[j * k + p] += d * inputs[0][i * k + p]
            }
          }
        }
        return bias ? [dx, dw, db] : [dx, dw]
      },
      record: { tape, p in tape.linear(p[0].tensor, p[1], bias: bias ? p[2] : nil) })
  }

  static func relu(_ shape: [Int]) -> Twin {
    Twin(
      name: "relu \(shape)", shapes: [shape], forward: { $0[0].map { max($0, 0) } },
      backward: { inputs, dy in [zip(inputs[0], dy).map { $0 > 0 ? $1 : 0 }] },
      record: { tape, p in tape.relu(p[0].tensor) })
  }

  static func sum(_ shape: [Int], mean: Bool) -> Twin {
    let count = Double(shape.reduce(1, *))
    let factor = mean ? 1 / count : 1
    return Twin(
      name: "\(mean ? "mean" : "sum") \(shape)", shapes: [shape],
      forward: { [factor * $0[0].reduce(0, +)] },
      backward: { inputs, dy in [inputs[0].map { _ in factor * dy[0] }] },
      record: { tape, p in mean ? tape.mean(p[0].tensor) : tape.sum(p[0].tensor) })
  }

  static func binary(_ kind: String, _ shape: [Int]) -> Twin {
    Twin(
      name: "\(kind) \(shape)", shapes: [shape, shape],
      forward: { inputs in
        zip(inputs[0], inputs[1]).map { x, y in
          kind == "add" ? x + y : x * y
        }
      },
      backward: { inputs, dy in
        switch kind {
        case "add": return [dy, dy]
        default: return [zip(dy, inputs[1]).map { $0 * $1 }, zip(dy, inputs[0]).map { $0 * $1 }]
        }
      },
      record: { tape, p in
        switch kind {
        case "add": return tape.add(p[0].tensor, p[1].tensor)
        default: return tape.multiply(p[0].tensor, p[1].tensor)
        }
      })
  }

  static func meanSquaredError(_ shape: [Int]) -> Twin {
    let target = (0..<shape.reduce(1, *)).map { 0.3 * Double($0 % 5) - 0.4 }
    return Twin(
      name: "mean squared error \(shape)", shapes: [shape],
      forward: { inputs in
        [
          zip(inputs[0], target).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            / Double(target.count)
        ]
      },
      backward: { inputs, dy in
        [zip(inputs[0], target).map { 2 * dy[0] * ($0 - $1) / Double(target.count) }]
      },
      record: { tape, p in
        let constant = tape.input(shape)
        constant.assign(target.map { Float($0) })
        return tape.meanSquaredError(p[0].tensor, constant)
      })
  }

  /// Every operation over ragged and degenerate shapes.
  static let all: [Twin] =
    [
      linear(1, 1, 1, bias: false), linear(5, 3, 7, bias: false), linear(5, 3, 7, bias: true),
      linear(33, 25, 17, bias: false), linear(4, 48, 13, bias: true),
      linear(31, 1, 20, bias: false),
      linear(9, 20, 1, bias: true), linear(40, 50, 30, bias: true),
    ]
    + [relu([1]), relu([7]), relu([3, 5]), relu([130, 130])]
    + [sum([1], mean: false), sum([19], mean: false), sum([4, 9], mean: true)]
    + [[1], [3, 4]].flatMap { shape in
      ["add", "multiply"].map { binary($0, shape) }
    }
    + [meanSquaredError([1, 1]), meanSquaredError([6, 2])] + transformer + convolutional
    + recurrent + variational
}
