// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra
import Foundation

/// Adam and AdamW in PyTorch's form (Kingma & Ba 2015; Loshchilov & Hutter 2019): bias-corrected first
/// and second moments, x ← x - η m̂/(√v̂ + ε); the decay is part of the gradient or decoupled.
public struct Adam: Optimizer {
  /// β₁ and β₂.
  public let betas: [Double]
  /// ε.
  public let epsilon: Double
  /// λ.
  public let weightDecay: Double
  /// AdamW: x ← (1 - ηλ)x before the step.
  public let isDecoupled: Bool
  private var step = 0
  private var first = StateBuffers()
  private var second = StateBuffers()

  /// Adam with PyTorch's defaults; `isDecoupled` makes it AdamW.
  public init(
    beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0,
    isDecoupled: Bool = false
  ) {
    betas = [beta1, beta2]
    (self.epsilon, self.weightDecay) = (epsilon, weightDecay)
    self.isDecoupled = isDecoupled
  }

  /// See `Optimizer`.
  public var state: [StateBuffers] {
    get { [first, second] }
    set { (first, second) = (newValue[0], newValue[1]) }
  }

  /// One step.
  public mutating func step(
    _ parameters: [Parameter], learningRate: Double, pool: WorkerPool
  ) {
    step += 1
    // Complements are taken in Double, as PyTorch does: 1 - Float(0.999) is off by 1.3e-5 of it.
    let (w1, b2, w2) = (Float(1 - betas[0]), Float(betas[1]), Float(1 - betas[1]))
    let size = Float(learningRate / (1 - pow(betas[0], Double(step))))
    let root = Float(1 / (1 - pow(betas[1], Double(step))).squareRoot())
    let (epsilon, decay) = (Float(epsilon), Float(weightDecay))
    let shrink = isDecoupled ? Float(1 - learningRate * weightDecay) : 1
    let coupled = isDecoupled ? 0 : decay
    for (index, parameter) in parameters.enumerated() {
      let (x, g, count) = (parameter.base, parameter.gradient.materialized.base, parameter.count)
      first.with(index, of: parameters) { m in
        second.with(index, of: parameters) { v in
          pool.forRanges(of: count, size: pieceSize) { range in
            for i in range {
              let gradient = g[i].addingProduct(coupled, x[i])
              let mean = m[i].addingProduct(w1, gradient - m[i])
              let square = (b2 * v[i]).addingProduct(w2 * gradient, gradient)
              m[i] = mean
              v[i] = square
              x[i] = shrink * x[i] - size * mean / (square.squareRoot() * root + epsilon)
            }
          }
        }
      }
    }
  }
}
