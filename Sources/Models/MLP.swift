// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra

/// A multilayer perceptron with ReLU between linear layers without biases: the paper's §6.4 model is
/// `MLP(inputs: 100, hidden: [100, 100, 100], outputs: 1)`.
///
/// Parameters are named network.W_1.weight … as in the authors' code.
public struct MLP: Model {
  /// One weight[out, in] a layer.
  public let parameters: [Parameter]

  /// An MLP of zeros.
  public init(inputs: Int, hidden: [Int], outputs: Int) {
    let widths = [inputs] + hidden + [outputs]
    parameters = (1..<widths.count).map { layer in
      Parameter("network.W_\(layer).weight", shape: [widths[layer], widths[layer - 1]])
    }
  }

  /// Draws the weights as PyTorch does by default, uniform on ±1/√in.
  public func initialize(_ stream: RandomStream) {
    for weight in parameters { weight.initializeLinear(fanIn: weight.shape[1], stream) }
  }

  /// The prediction [rows, outputs] for x[rows, inputs].
  public func callAsFunction(_ tape: Tape, _ x: Tensor) -> Tensor {
    var hidden = x
    for (layer, weight) in parameters.enumerated() {
      hidden = tape.linear(hidden, weight)
      if layer < parameters.count - 1 { hidden = tape.relu(hidden) }
    }
    return hidden
  }
}
