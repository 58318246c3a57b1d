// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra

/// Stochastic gradient descent with momentum in PyTorch's form (torch.optim.SGD, no dampening):
/// g ← g + λx; m ← βm + g (m ← g at first); x ← x - η m, or x ← x - η (g + βm) with Nesterov.
///
/// With a clipped gradient this is the update of Algorithms 1 and 3.
public struct SGD: Optimizer {
  /// β.
  public let momentum: Double
  /// λ, coupled: part of the gradient.
  public let weightDecay: Double
  /// Whether the gradient of the present step is looked ahead.
  public let nesterov: Bool
  private var buffers = StateBuffers()

  /// SGD; β = 0 is plain gradient descent.
  public init(momentum: Double = 0.9, weightDecay: Double = 0, nesterov: Bool = false) {
    (self.momentum, self.weightDecay, self.nesterov) = (momentum, weightDecay, nesterov)
  }

  /// See `Optimizer`.
  public var state: [StateBuffers] {
    get { [buffers] }
    set { buffers = newValue[0] }
  }

  /// One step.
  public mutating func step(
    _ parameters: [Parameter], learningRate: Double, pool: WorkerPool
  ) {
    let (rate, beta, decay) = (Float(learningRate), Float(momentum), Float(weightDecay))
    for (index, parameter) in parameters.enumerated() {
      let (x, g, count) = (parameter.base, parameter.gradient.materialized.base, parameter.count)
      if momentum == 0 {
        pool.forRanges(of: count, size: pieceSize) { range in
          for i in range { x[i].addProduct(-rate, g[i] + decay * x[i]) }
        }
        continue
      }
      // m = 0 at first, so that β·0 + g is the g PyTorch starts from.
      let nesterov = nesterov
      buffers.with(index, of: parameters) { m in
        pool.forRanges(of: count, size: pieceSize) { range in
          if decay == 0 && !nesterov {
            for i in range {
              let next = g[i].addingProduct(beta, m[i])
              m[i] = next
              x[i].addProduct(-rate, next)
            }
          } else {
            for i in range {
              let gradient = g[i].addingProduct(decay, x[i])
              let next = gradient.addingProduct(beta, m[i])
              m[i] = next
              x[i].addProduct(-rate, nesterov ? gradient.addingProduct(beta, next) : next)
            }
          }
        }
      }
    }
  }
}
