// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

@testable import Autodiff

/// Recurrent operations as formulas in Double.
extension Twin {
  static let recurrent: [Twin] =
    [
      lstm(1, batch: 1, inputs: 1, width: 1), lstm(3, batch: 2, inputs: 4, width: 3),
      lstm(4, batch: 7, inputs: 5, width: 16), lstm(2, batch: 33, inputs: 3, width: 21),
      lstm(3, batch: 5, inputs: 40, width: 35),
    ]
    + [[1, 2, 3], [4, 3, 5], [3, 20, 40]].map(activationPenalty)
    + [lookup(count: 1, rows: 2, width: 3), lookup(count: 9, rows: 4, width: 70)]

  /// Values that a recurrent layer begins with.
  private static func initial(_ name: String, _ count: Int) -> [Double] {
    RandomStream(seed: 3, name: name).normals(count, as: Double.self)
      .map { Double(Float(0.5 * $0)) }
  }

  /// Inputs: x[T, B, I], weights [4H, I] and [4H, H], two biases [4H].
  static func lstm(_ length: Int, batch: Int, inputs width: Int, width n: Int) -> Twin {
    let (h0, c0) = (initial("hidden", batch * n), initial("cell", batch * n))
    @Sendable func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
    /// Activated gates [T][B][4][H], cells and outputs [T + 1][B][H].
    @Sendable func run(_ x: [[Double]]) -> (gates: [Double], cells: [Double], hidden: [Double]) {
      var (cells, hidden, gates) = (c0, h0, [Double]())
      for t in 0..<length {
        for b in 0..<batch {
          let row = (t * batch + b)
          var own = [Double](repeating: 0, count: 4 * n)
          for k in 0..<(4 * n) {
            var sum = x[3][k] + x[4][k]
            for p in 0..<width { sum += x[0][row * width + p] * x[1][k * width + p] }
            for p in 0..<n { sum += hidden[row * n + p] * x[2][k * n + p] }
            own[k] = k / n == 2 ? tanh(sum) : sigmoid(sum)
          }
          gates += own
          for j in 0..<n {
            cells.append(own[n + j] * cells[row * n + j] + own[j] * own[2 * n + j])
            hidden.append(own[3 * n + j] * tanh(cells[cells.count - 1]))
          }
        }
      }
      return (gates, cells, hidden)
    }
    return Twin(
      name: "LSTM \(length)x\(batch), \(width) to \(n)",
      shapes: [[length, batch, width], [4 * n, width], [4 * n, n], [4 * n], [4 * n]],
      forward: { Array(run($0).hidden[(batch * n)...]) },
      backward: { x, dy in
        let (gates, cells, hidden) = run(x)
        var d = x.map { [Double](repeating: 0, count: $0.count) }
        var (dh, dc) = (
          [Double](repeating: 0, count: hidden.count), [Double](repeating: 0, count: cells.count)
        )
        for i in dy.indices { dh[batch * n + i] = dy[i] }
        for row in (0..<(length * batch)).reversed() {
          let (old, new) = (row * n, (row + batch) * n)
          for j in 0..<n {
            let at = 4 * row * n + j
            let (i, f, g, o) = (gates[at], gates[at + n], gates[at + 2 * n], gates[at + 3 * n])
            let u = tanh(cells[new + j])
            dc[new + j] += dh[new + j] * o * (1 - u * u)
            dc[old + j] += dc[new + j] * f
            let slopes = [
              dc[new + j] * g * i * (1 - i), dc[new + j] * cells[old + j] * f * (1 - f),
              dc[new + j] * i * (1 - g * g), dh[new + j] * u * o * (1 - o),
            ]
            for (gate, slope) in slopes.enumerated() {
              let k = gate * n + j
              d[3][k] += slope
              d[4][k] += slope
              for p in 0..<width {
                d[0][row * width + p] += slope * x[1][k * width + p]
                d[1][k * width + p] += slope * x[0][row * width + p]
              }
              for p in 0..<n {
                dh[old + p] += slope * x[2][k * n + p]
                d[2][k * n + p] += slope * hidden[old + p]
              }
            }
          }
        }
        return d
      },
      record: { tape, p in
        let state = RecurrentState(count: batch, width: n)
        state.hidden.assign(h0.map { Float($0) })
        state.cell.assign(c0.map { Float($0) })
        return tape.lstm(
          p[0].tensor,
          LSTMWeights(inputWeight: p[1], hiddenWeight: p[2], inputBias: p[3], hiddenBias: p[4]),
          state)
      }, curvature: 100)
  }

  static func activationPenalty(_ shape: [Int]) -> Twin {
    let step = shape[1] * shape[2]
    let (all, pairs) = (Double(step * shape[0]), Double(step * max(1, shape[0] - 1)))
    return Twin(
      name: "activation penalty \(shape)", shapes: [shape],
      forward: { x in
        let h = x[0]
        var sum = 2 * h.reduce(0) { $0 + $1 * $1 } / all
        for i in 0..<(h.count - step) { sum += 0.5 * pow(h[i + step] - h[i], 2) / pairs }
        return [sum]
      },
      backward: { x, dy in
        let h = x[0]
        var d = h.map { 4 * dy[0] * $0 / all }
        for i in 0..<(h.count - step) {
          let slope = dy[0] * (h[i + step] - h[i]) / pairs
          d[i + step] += slope
          d[i] -= slope
        }
        return [d]
      },
      record: { tape, p in tape.activationPenalty(p[0].tensor, activation: 2, temporal: 0.5) })
  }

  /// Rows of a table, some of them more than once.
  static func lookup(count: Int, rows: Int, width: Int) -> Twin {
    let indices = (0..<count).map { ($0 * $0 + 1) % rows }
    return Twin(
      name: "lookup of \(count) in \(rows)x\(width)", shapes: [[rows, width]],
      forward: { x in indices.flatMap { Array(x[0][($0 * width)..<(($0 + 1) * width)]) } },
      backward: { _, dy in
        var d = [Double](repeating: 0, count: rows * width)
        for (i, index) in indices.enumerated() {
          for j in 0..<width { d[index * width + j] += dy[i * width + j] }
        }
        return [d]
      },
      record: { tape, p in
        let tokens = tape.indices([count])
        tokens.assign(indices.map { Int32($0) })
        return tape.embedding(tokens, p[0])
      })
  }
}
