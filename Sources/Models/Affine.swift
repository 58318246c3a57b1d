// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra
import Storage

/// NAME.weight[out, …] and NAME.bias[out]: of a linear layer, a convolution or a layer norm.
struct Affine: Sendable {
  let weight: Parameter, bias: Parameter

  init(_ name: String, _ weight: [Int]) {
    self.weight = Parameter("\(name).weight", shape: weight)
    bias = Parameter("\(name).bias", shape: [weight[0]])
  }

  var parameters: [Parameter] { [weight, bias] }
  /// Values of x that an output sees.
  var fanIn: Int { weight.count / weight.shape[0] }

  /// torch.nn.Linear's default, and a convolution's: both uniform on ±1/√fan-in.
  func initialize(_ stream: RandomStream) {
    for parameter in parameters { parameter.initializeLinear(fanIn: fanIn, stream) }
  }

  /// x[…, in] · weightᵀ + bias.
  func callAsFunction(_ tape: Tape, _ x: Tensor) -> Tensor {
    tape.linear(x, weight, bias: bias)
  }

  /// Rows of x[…, C] with mean 0 and variance 1, times weight[C], plus bias[C].
  func norm(_ tape: Tape, _ x: Tensor, epsilon: Float) -> Tensor {
    tape.layerNorm(x, weight, bias, epsilon: epsilon)
  }
}

/// The shapes in a weight file, under a model's own names.
struct NamedShapes {
  private let entries: [String: (name: String, shape: [Int])]
  /// The file.
  let file: TensorFile
  private let path: String
  private let model: String

  /// `model` is what errors call it; `parameterName` its name of a tensor that the file calls otherwise.
  init(_ path: String, model: String, _ parameterName: (String) -> String = { $0 }) throws {
    (self.path, self.model) = (path, model)
    file = try TensorFile(path)
    entries = Dictionary(
      file.entries.map { (parameterName($0.name), ($0.name, $0.shape)) },
      uniquingKeysWith: { a, _ in a })
  }

  func contains(_ name: String) -> Bool { entries[name] != nil }

  /// How many of `name(0)`, `name(1)`, … there are in a row.
  func count(_ name: (Int) -> String) -> Int {
    var count = 0
    while contains(name(count)) { count += 1 }
    return count
  }

  /// The shape of a tensor with `axes` axes, none of them empty. Throws a `StorageError` where there is no such one.
  func shape(_ name: String, axes: Int) throws -> [Int] {
    guard let entry = entries[name] else {
      throw StorageError("no tensor \(name)", at: path, hint: "is it a file of a \(model)?")
    }
    guard entry.shape.count == axes, !entry.shape.contains(0) else {
      throw StorageError(
        "the tensor \(entry.name) has the shape \(entry.shape)", at: path,
        hint: "is it a file of a \(model)?")
    }
    return entry.shape
  }
}
