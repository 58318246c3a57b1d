// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

@testable import Autodiff

/// Twins of what a variational autoencoder needs beside linear layers.
extension Twin {
  static func leakyReLU(_ shape: [Int]) -> Twin {
    let slope = Double(Float(0.2))
    return Twin(
      name: "leaky relu \(shape)", shapes: [shape],
      forward: { $0[0].map { $0 > 0 ? $0 : slope * $0 } },
      backward: { inputs, dy in [zip(inputs[0], dy).map { $0 > 0 ? $1 : slope * $1 }] },
      record: { tape, p in tape.leakyReLU(p[0].tensor, slope: 0.2) })
  }

  static func sigmoid(_ shape: [Int]) -> Twin {
    Twin(
      name: "sigmoid \(shape)", shapes: [shape],
      forward: { $0[0].map { 1 / (1 + exp(-$0)) } },
      backward: { inputs, dy in
        [
          zip(inputs[0], dy).map { x, d in
            let y = 1 / (1 + exp(-x))
            return d * y * (1 - y)
          }
        ]
      }, record: { tape, p in tape.sigmoid(p[0].tensor) }, curvature: 1)
  }

  /// Inputs mean and log variance.
  static func reparametrization(_ shape: [Int]) -> Twin {
    let noise = (0..<shape.reduce(1, *)).map { (i: Int) -> Double in
      Double(Float(0.7 * Double(i % 7) - 1.9))
    }
    return Twin(
      name: "reparametrization \(shape)", shapes: [shape, shape],
      forward: { inputs in
        noise.indices.map { inputs[0][$0] + exp(inputs[1][$0] / 2) * noise[$0] }
      },
      backward: { inputs, dy in
        [dy, noise.indices.map { 0.5 * dy[$0] * exp(inputs[1][$0] / 2) * noise[$0] }]
      },
      record: { tape, p in
        let given = tape.input(shape)
        given.assign(noise.map { Float($0) })
        return tape.reparametrize(mean: p[0].tensor, logVariance: p[1].tensor, noise: given)
      }, curvature: 100)
  }

  /// Inputs reconstruction[m, n], mean[m, k] and log variance[m, k].
  static func variationalLoss(_ m: Int, _ n: Int, _ k: Int) -> Twin {
    let x = (0..<(m * n)).map { Double(Float(0.3 * Double($0 % 5) - 0.4)) }
    return Twin(
      name: "variational loss \(m)x\(n), \(k)", shapes: [[m, n], [m, k], [m, k]],
      forward: { inputs in
        let errors = zip(inputs[0], x).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        let divergence = zip(inputs[1], inputs[2]).reduce(0) { sum, law in
          sum - 0.5 * (1 + law.1 - law.0 * law.0 - exp(law.1))
        }
        return [errors + divergence]
      },
      backward: { inputs, dy in
        [
          zip(inputs[0], x).map { 2 * dy[0] * ($0 - $1) }, inputs[1].map { dy[0] * $0 },
          inputs[2].map { 0.5 * dy[0] * (exp($0) - 1) },
        ]
      },
      record: { tape, p in
        let given = tape.input([m, n])
        given.assign(x.map { Float($0) })
        return tape.variationalLoss(
          p[0].tensor, of: given, mean: p[1].tensor, logVariance: p[2].tensor)
      }, curvature: 100)
  }

  static let variational: [Twin] =
    [[1], [7], [3, 17], [130, 130]].flatMap { [leakyReLU($0), sigmoid($0)] }
    + [[1, 1], [3, 5], [2, 33]].map(reparametrization)
    + [variationalLoss(1, 1, 1), variationalLoss(3, 37, 5), variationalLoss(5, 16, 33)]
}
