// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

@testable import Autodiff

/// The operations of a transformer as formulas in Double.
extension Twin {
  static let transformer: [Twin] =
    [GELUForm.erf, .tanh].flatMap { form in [[1], [19], [3, 40]].map { gelu($0, form) } }
    + [layerNorm(1, 2), layerNorm(3, 5), layerNorm(40, 16), layerNorm(70, 35)]
    + [
      attention(1, 1, heads: 1, size: 1, isFused: false),
      attention(2, 5, heads: 2, size: 3, isFused: false),
      attention(1, 37, heads: 2, size: 16, isFused: false),
      attention(2, 33, heads: 3, size: 8, isFused: true),
      attention(1, 70, heads: 1, size: 5, isFused: true),
      attention(2, 5, heads: 2, size: 3, isFused: true, .everywhere),
      attention(1, 70, heads: 2, size: 8, isFused: false, .everywhere),
      attention(3, 7, heads: 2, size: 3, isFused: false, .masked),
      attention(2, 40, heads: 1, size: 4, isFused: true, .masked),
      classToken(batch: 3, places: 4, sources: 5, width: 3),
    ]
    + [
      embedding(batch: 1, length: 1, rows: 3, width: 2),
      embedding(batch: 3, length: 4, rows: 5, width: 70),
    ]
    + [conv1D(5, 3, 7, bias: true), conv1D(33, 25, 17, bias: false)]
    + [
      crossEntropy(1, classes: 2, width: 3), crossEntropy(7, classes: 33, width: 5),
      crossEntropy(40, classes: 1100, width: 3),
      crossEntropy(1, classes: 2, width: 3, bias: true),
      crossEntropy(40, classes: 1100, width: 3, bias: true),
    ]
    + [lastPosition(1, 1, 3), lastPosition(3, 5, 17)]

  static func gelu(_ shape: [Int], _ form: GELUForm) -> Twin {
    let k = (2 / Double.pi).squareRoot()
    @Sendable func value(_ x: Double) -> Double {
      switch form {
      case .erf: x * 0.5 * erfc(-x / 2.0.squareRoot())
      case .tanh: 0.5 * x * (1 + tanh(k * (x + 0.044715 * x * x * x)))
      }
    }
    @Sendable func slope(_ x: Double) -> Double {
      switch form {
      case .erf:
        return 0.5 * erfc(-x / 2.0.squareRoot()) + x * exp(-x * x / 2)
          / (2 * Double.pi).squareRoot()
      case .tanh:
        let t = tanh(k * (x + 0.044715 * x * x * x))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x)
      }
    }
    return Twin(
      name: "\(form.rawValue) GELU \(shape)", shapes: [shape], forward: { $0[0].map(value) },
      backward: { inputs, dy in [zip(inputs[0], dy).map { slope($0) * $1 }] },
      record: { tape, p in tape.gelu(p[0].tensor, form) }, curvature: 10)
  }

  static func layerNorm(_ m: Int, _ n: Int) -> Twin {
    @Sendable func normal(_ row: ArraySlice<Double>) -> (values: [Double], scale: Double) {
      let mean = row.reduce(0, +) / Double(n)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(n)
      let scale = 1 / (variance + 1e-5).squareRoot()
      return (row.map { ($0 - mean) * scale }, scale)
    }
    return Twin(
      name: "layer norm \(m)x\(n)", shapes: [[m, n], [n], [n]],
      forward: { inputs in
        (0..<m).flatMap { i in
          let x = normal(inputs[0][(i * n)..<(i * n + n)]).values
          return (0..<n).map { (j: Int) -> Double in x[j] * inputs[1][j] + inputs[2][j] }
        }
      },
      backward: { inputs, dy in
        var dx = [Double](repeating: 0, count: m * n)
        var (dw, db) = ([Double](repeating: 0, count: n), [Double](repeating: 0, count: n))
        for i in 0..<m {
          let (x, scale) = normal(inputs[0][(i * n)..<(i * n + n)])
          let g = zip(dy[(i * n)..<(i * n + n)], inputs[1]).map(*)
          let first = g.reduce(0, +) / Double(n)
          let second = zip(g, x).map(*).reduce(0, +) / Double(n)
          for j in 0..<n {
            dx[i * n + j] = scale * (g[j] - first - x[j] * second)
            dw[j] += dy[i * n + j] * x[j]
            db[j] += dy[i * n + j]
          }
        }
        return [dx, dw, db]
      },
      record: { tape, p in tape.layerNorm(p[0].tensor, p[1], p[2]) }, curvature: n == 2 ? 1e4 : 100)
  }

  /// Keys that a twin's queries meet; masked: those of hidden samples' own pattern, no sample without a key.
  enum Keys: String { case causal, everywhere, masked }

  static func attention(
    _ batch: Int, _ t: Int, heads: Int, size d: Int, isFused: Bool, _ keys: Keys = .causal
  ) -> Twin {
    @Sendable func isMet(_ b: Int, _ i: Int, _ j: Int) -> Bool {
      switch keys {
      case .causal: j <= i
      case .everywhere: true
      case .masked: j == b || (j + b) % 3 == 0 && j < t - b
      }
    }
    let width = heads * d
    let stride = isFused ? 3 * width : width
    /// Entry of q, k or v (index 0, 1, 2): which input, which element.
    @Sendable func place(_ index: Int, _ b: Int, _ h: Int, _ i: Int, _ c: Int) -> (Int, Int) {
      isFused
        ? (0, (b * t + i) * stride + index * width + h * d + c)
        : (index, (b * t + i) * stride + h * d + c)
    }
    @Sendable func at(_ inputs: [[Double]], _ place: (Int, Int)) -> Double {
      inputs[place.0][place.1]
    }
    @Sendable func probabilities(_ x: [[Double]], _ b: Int, _ h: Int, _ i: Int) -> [Double] {
      let scores = (0..<t).map { (j: Int) -> Double in
        guard isMet(b, i, j) else { return -.infinity }
        var sum = 0.0
        for c in 0..<d { sum += at(x, place(0, b, h, i, c)) * at(x, place(1, b, h, j, c)) }
        return sum / Double(d).squareRoot()
      }
      let top = scores.max() ?? 0
      let weights = scores.map { exp($0 - top) }
      let sum = weights.reduce(0, +)
      return weights.map { $0 / sum }
    }
    return Twin(
      name: "attention \(batch)x\(t), \(heads) heads of \(d)\(isFused ? ", fused" : ""), \(keys)",
      shapes: Array(repeating: [batch, t, stride], count: isFused ? 1 : 3),
      forward: { x in
        var y = [Double](repeating: 0, count: batch * t * width)
        for b in 0..<batch {
          for h in 0..<heads {
            for i in 0..<t {
              let p = probabilities(x, b, h, i)
              for c in 0..<d {
                y[(b * t + i) * width + h * d + c] =
                  p.indices.reduce(0) { $0 + p[$1] * at(x, place(2, b, h, $1, c)) }
              }
            }
          }
        }
        return y
      },
      backward: { x, dy in
        var g = x.map { [Double](repeating: 0, count: $0.count) }
        for b in 0..<batch {
          for h in 0..<heads {
            for i in 0..<t {
              let p = probabilities(x, b, h, i)
              let dyi = (0..<d).map { dy[(b * t + i) * width + h * d + $0] }
              let dp = p.indices.map { j in
                (0..<d).reduce(0.0) { $0 + dyi[$1] * at(x, place(2, b, h, j, $1)) }
              }
              let mean = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
              for j in p.indices {
                let ds = p[j] * (dp[j] - mean) / Double(d).squareRoot()
                for c in 0..<d {
                  let (q, k, v) = (place(0, b, h, i, c), place(1, b, h, j, c), place(2, b, h, j, c))
                  g[q.0][q.1] += ds * at(x, k)
                  g[k.0][k.1] += ds * at(x, q)
                  g[v.0][v.1] += p[j] * dyi[c]
                }
              }
            }
          }
        }
        return g
      },
      record: { tape, p in
        if keys == .causal {
          return isFused
            ? tape.attention(p[0].tensor, heads: heads, scope: .causal)
            : tape.attention(p[0].tensor, p[1].tensor, p[2].tensor, heads: heads, scope: .causal)
        }
        let mask = tape.indices([batch, t])
        mask.assign((0..<(batch * t)).map { isMet($0 / t, 0, $0 % t) ? 1 : 0 })
        let scope: AttentionScope = keys == .masked ? .among(mask) : .everywhere
        return isFused
          ? tape.attention(p[0].tensor, heads: heads, scope: scope)
          : tape.attention(p[0].tensor, p[1].tensor, p[2].tensor, heads: heads, scope: scope)
      }, curvature: 30)
  }

  static func classToken(batch: Int, places: Int, sources: Int, width: Int) -> Twin {
    let map: [Double] = (0..<((places + 1) * sources)).map { (i: Int) -> Double in
      i % 3 == 0 ? 0 : 0.25 * Double(i % 7) - 0.5
    }
    return Twin(
      name: "class token \(batch)x\(places)x\(width) of \(sources)",
      shapes: [[batch, places, width], [width], [sources, width]],
      forward: { x in
        var y: [Double] = []
        for row in 0..<(batch * (places + 1)) {
          let (sample, place) = (row / (places + 1), row % (places + 1))
          for j in 0..<width {
            var sum = place == 0 ? x[1][j] : x[0][(sample * places + place - 1) * width + j]
            for source in 0..<sources {
              sum += map[place * sources + source] * x[2][source * width + j]
            }
            y.append(sum)
          }
        }
        return y
      },
      backward: { x, dy in
        var g = x.map { [Double](repeating: 0, count: $0.count) }
        for (index, d) in dy.enumerated() {
          let (j, place) = (index % width, index / width % (places + 1))
          let sample = index / width / (places + 1)
          if place == 0 {
            g[1][j] += d
          } else {
            g[0][(sample * places + place - 1) * width + j] += d
          }
          for source in 0..<sources {
            g[2][source * width + j] += map[place * sources + source] * d
          }
        }
        return g
      },
      record: { tape, p in
        tape.classToken(p[0].tensor, p[1], positions: p[2], map: map.map { Float($0) })
      })
  }

  static func embedding(batch: Int, length: Int, rows: Int, width: Int) -> Twin {
    let indices = (0..<(batch * length)).map { ($0 * 7 + 1) % rows }
    return Twin(
      name: "embedding \(batch)x\(length) of \(rows)x\(width)",
      shapes: [[rows, width], [length + 1, width]],
      forward: { x in
        indices.enumerated().flatMap { i, index in
          (0..<width).map { x[0][index * width + $0] + x[1][i % length * width + $0] }
        }
      },
      backward: { x, dy in
        var g = x.map { [Double](repeating: 0, count: $0.count) }
        for (i, index) in indices.enumerated() {
          for j in 0..<width {
            g[0][index * width + j] += dy[i * width + j]
            g[1][i % length * width + j] += dy[i * width + j]
          }
        }
        return g
      },
      record: { tape, p in
        let tokens = tape.indices([batch, length])
        tokens.assign(indices.map { Int32($0) })
        return tape.embedding(tokens, p[0], positions: p[1])
      })
  }

  static func conv1D(_ m: Int, _ n: Int, _ k: Int, bias: Bool) -> Twin {
    let twin = linear(m, n, k, bias: bias)
    @Sendable func flipped(_ x: [Double], _ rows: Int) -> [Double] {
      let columns = x.count / rows
      return (0..<x.count).map { x[$0 % rows * columns + $0 / rows] }
    }
    @Sendable func turned(_ x: [[Double]]) -> [[Double]] {
      [x[0], flipped(x[1], k)] + x.dropFirst(2)
    }
    return Twin(
      name: "Conv1D " + twin.name, shapes: [[m, k], [k, n]] + (bias ? [[n]] : []),
      forward: { twin.forward(turned($0)) },
      backward: { x, dy in
        let g = twin.backward(turned(x), dy)
        return [g[0], flipped(g[1], n)] + g.dropFirst(2)
      },
      record: { tape, p in tape.conv1D(p[0].tensor, p[1], bias: bias ? p[2] : nil) })
  }

  static func lastPosition(_ batch: Int, _ length: Int, _ width: Int) -> Twin {
    @Sendable func place(_ i: Int, _ j: Int) -> Int { (i * length + length - 1) * width + j }
    return Twin(
      name: "last of \(length) positions", shapes: [[batch, length, width]],
      forward: { x in
        (0..<batch).flatMap { i in (0..<width).map { x[0][place(i, $0)] } }
      },
      backward: { x, dy in
        var dx = [Double](repeating: 0, count: x[0].count)
        for i in 0..<batch { for j in 0..<width { dx[place(i, j)] = dy[i * width + j] } }
        return [dx]
      },
      record: { tape, p in tape.lastPosition(p[0].tensor) })
  }

  static func crossEntropy(
    _ m: Int, classes: Int, width: Int, bias: Bool = false
  ) -> Twin {
    let targets = (0..<m).map { ($0 * 5 + 1) % classes }
    @Sendable func probabilities(_ x: [[Double]], _ i: Int) -> [Double] {
      let z = (0..<classes).map { c in
        (0..<width).reduce(bias ? x[2][c] : 0) { $0 + x[0][i * width + $1] * x[1][c * width + $1] }
      }
      let top = z.max() ?? 0
      let sum = z.reduce(0) { $0 + exp($1 - top) }
      return z.map { exp($0 - top) / sum }
    }
    return Twin(
      name: "cross-entropy \(m)x\(width) of \(classes)\(bias ? " with bias" : "")",
      shapes: [[m, width], [classes, width]] + (bias ? [[classes]] : []),
      forward: { x in
        [(0..<m).reduce(0.0) { $0 - log(probabilities(x, $1)[targets[$1]]) } / Double(m)]
      },
      backward: { x, dy in
        var g = x.map { [Double](repeating: 0, count: $0.count) }
        for i in 0..<m {
          var dz = probabilities(x, i)
          dz[targets[i]] -= 1
          for c in 0..<classes {
            let factor = dy[0] * dz[c] / Double(m)
            if bias { g[2][c] += factor }
            for j in 0..<width {
              g[0][i * width + j] += factor * x[1][c * width + j]
              g[1][c * width + j] += factor * x[0][i * width + j]
            }
          }
        }
        return g
      },
      record: { tape, p in
        let labels = tape.indices([m])
        labels.assign(targets.map { Int32($0) })
        return tape.linearCrossEntropy(
          p[0].tensor, p[1], bias: bias ? p[2] : nil, labels)
      }, curvature: 100)
  }
}
