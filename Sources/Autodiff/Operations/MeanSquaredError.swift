// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// loss[1] = mean of (prediction - target)² over all elements, both of one shape; targets get no gradient.
final class MeanSquaredError: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let target: Tensor

  init(_ prediction: Tensor, _ target: Tensor, on tape: Tape) {
    precondition(
      prediction.shape == target.shape,
      "mean squared error of tensors\(prediction.shape) and \(target.shape)")
    self.target = target
    inputs = [prediction]
    output = tape.output([1], of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let (p, t) = (inputs[0].value.base, target.value.base)
    var sum = 0.0
    for i in 0..<target.count {
      let difference = Double(p[i] - t[i])
      sum.addProduct(difference, difference)
    }
    output.value.base[0] = Float(sum / Double(target.count))
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dp = inputs[0].gradient?.base, let dLoss = output.gradient?.base else { return }
    let (p, t) = (inputs[0].value.base, target.value.base)
    let factor = 2 * dLoss[0] / Float(target.count)
    for i in 0..<target.count {
      let own = factor * (p[i] - t[i])
      dp[i] = beta[0] == 0 ? own : dp[i] + own
    }
  }
}

extension Tape {
  /// torch.nn.MSELoss: the mean of (prediction - target)², [1].
  public func meanSquaredError(_ prediction: Tensor, _ target: Tensor) -> Tensor {
    record(MeanSquaredError(prediction, target, on: self))
  }
}
