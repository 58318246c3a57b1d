// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra

/// A batch norm with its names in a state dict: NAME.weight, NAME.bias and the running statistics.
struct NormLayer: Sendable {
  let weight: Parameter
  let bias: Parameter
  let statistics: RunningStatistics
  let epsilon: Double
  private let name: String

  init(
    _ name: String, channels: Int, momentum: Double = 0.1, epsilon: Double = 1e-5,
    trainsScale: Bool = true
  ) {
    self.name = name
    self.epsilon = epsilon
    weight = Parameter(name + ".weight", shape: [channels], isTrained: trainsScale)
    bias = Parameter(name + ".bias", shape: [channels])
    statistics = RunningStatistics(channels: channels, momentum: momentum)
    weight.tensor.value.fill(1)
  }

  var state: [StateEntry] {
    [.parameter(weight), .parameter(bias), .statistics(name, statistics)]
  }

  func callAsFunction(
    _ tape: Tape, _ x: Tensor, adding residual: Tensor? = nil, then activation: Activation = .none
  ) -> Tensor {
    tape.batchNorm(
      x, weight, bias, statistics, epsilon: epsilon, adding: residual, then: activation)
  }

  /// Scale 1, shift 0, and statistics as before the first batch.
  func reset() {
    weight.tensor.value.fill(1)
    bias.tensor.value.fill(0)
    statistics.mean.fill(0)
    statistics.variance.fill(1)
    statistics.batches = 0
  }
}

extension [StateEntry] {
  /// The parameters that are trained.
  var trained: [Parameter] {
    compactMap {
      guard case .parameter(let parameter) = $0, parameter.tensor.needsGradient else { return nil }
      return parameter
    }
  }
}
