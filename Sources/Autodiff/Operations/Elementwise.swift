// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// z = x + y, x and y of one shape.
final class Add: Operation {
  let inputs: [Tensor]
  let output: Tensor

  init(_ x: Tensor, _ y: Tensor, on tape: Tape) {
    precondition(x.shape == y.shape, "a sum of tensors\(x.shape) and \(y.shape)")
    inputs = [x, y]
    output = tape.output(x.shape, of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let (x, y, z) = (inputs[0].value.base, inputs[1].value.base, output.value.base)
    pool.forRanges(of: output.count, size: pieceSize) { range in
      for i in range { z[i] = x[i] + y[i] }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dz = output.gradient?.base else { return }
    for index in 0..<2 {
      guard let target = inputs[index].gradient?.base else { continue }
      pool.forRanges(of: output.count, size: pieceSize) { range in
        accumulate(range, into: target, beta: beta[index]) { dz[$0] }
      }
    }
  }
}

/// y = factor · x, seen as another shape.
final class Scaling: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let factor: Float

  init(_ x: Tensor, _ factor: Float, shape: [Int], on tape: Tape) {
    precondition(x.count == shape.reduce(1, *), "a tensor\(x.shape) as \(shape)")
    self.factor = factor
    inputs = [x]
    output = tape.output(shape, of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let (x, y, factor) = (inputs[0].value.base, output.value.base, factor)
    pool.forRanges(of: output.count, size: pieceSize) { range in
      for i in range { y[i] = factor * x[i] }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = inputs[0].gradient?.base, let dy = output.gradient?.base else { return }
    let factor = factor
    pool.forRanges(of: output.count, size: pieceSize) { range in
      if beta[0] == 0 {
        for i in range { dx[i] = factor * dy[i] }
      } else {
        for i in range { dx[i].addProduct(factor, dy[i]) }
      }
    }
  }
}

/// z = x ⊙ y, x and y of one shape.
final class Multiply: Operation {
  let inputs: [Tensor]
  let output: Tensor

  init(_ x: Tensor, _ y: Tensor, on tape: Tape) {
    precondition(x.shape == y.shape, "a product of tensors\(x.shape) and \(y.shape)")
    inputs = [x, y]
    output = tape.output(x.shape, of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let (x, y, z) = (inputs[0].value.base, inputs[1].value.base, output.value.base)
    pool.forRanges(of: output.count, size: pieceSize) { range in
      for i in range { z[i] = x[i] * y[i] }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dz = output.gradient?.base else { return }
    for index in 0..<2 {
      guard let target = inputs[index].gradient?.base else { continue }
      let other = inputs[1 - index].value.base
      pool.forRanges(of: output.count, size: pieceSize) { range in
        accumulate(range, into: target, beta: beta[index]) { dz[$0] * other[$0] }
      }
    }
  }
}

extension Tape {
  /// x + y of one shape.
  public func add(_ x: Tensor, _ y: Tensor) -> Tensor {
    record(Add(x, y, on: self))
  }

  /// x ⊙ y of one shape.
  public func multiply(_ x: Tensor, _ y: Tensor) -> Tensor { record(Multiply(x, y, on: self)) }

  /// factor · x.
  public func scale(_ x: Tensor, by factor: Float) -> Tensor {
    record(Scaling(x, factor, shape: x.shape, on: self))
  }

  /// x[B, …] as [B, product of the others], torch.flatten(x, 1).
  public func flatten(_ x: Tensor) -> Tensor {
    reshape(x, [x.shape[0], x.count / max(1, x.shape[0])])
  }

  /// x, seen as another shape of the same size.
  public func reshape(_ x: Tensor, _ shape: [Int]) -> Tensor {
    record(Scaling(x, 1, shape: shape, on: self))
  }
}
