// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra

/// ACClip, coordinate-wise adaptive clipping of the momentum (Zhang et al., arXiv 1912.03194, with
/// their α = 1): m ← β₁m + (1-β₁)g; τ ← β₂τ + (1-β₂)|g|; x ← x - η min{τ/(|m| + ε), 1} m.
public struct ACClip: Optimizer {
  /// β₁ and β₂.
  public let betas: [Double]
  /// ε.
  public let epsilon: Double
  private var first = StateBuffers()
  private var thresholds = StateBuffers()

  /// ACClip.
  public init(beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-5) {
    betas = [beta1, beta2]
    self.epsilon = epsilon
  }

  /// See `Optimizer`.
  public var state: [StateBuffers] {
    get { [first, thresholds] }
    set { (first, thresholds) = (newValue[0], newValue[1]) }
  }

  /// One step.
  public mutating func step(
    _ parameters: [Parameter], learningRate: Double, pool: WorkerPool
  ) {
    let (w1, w2, epsilon) = (Float(1 - betas[0]), Float(1 - betas[1]), Float(epsilon))
    let rate = Float(learningRate)
    for (index, parameter) in parameters.enumerated() {
      let (x, g, count) = (parameter.base, parameter.gradient.materialized.base, parameter.count)
      first.with(index, of: parameters) { m in
        thresholds.with(index, of: parameters) { tau in
          pool.forRanges(of: count, size: pieceSize) { range in
            for i in range {
              let mean = m[i].addingProduct(w1, g[i] - m[i])
              let limit = tau[i].addingProduct(w2, g[i].magnitude - tau[i])
              m[i] = mean
              tau[i] = limit
              let factor = limit / (mean.magnitude + epsilon)
              x[i].addProduct(-rate * (factor < 1 ? factor : 1), mean)
            }
          }
        }
      }
    }
  }
}
