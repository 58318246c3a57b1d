// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y[B, C] = x[B, T, C] at one t.
final class OnePosition: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let batch: Int, length: Int, width: Int
  private let place: Int

  init(_ x: Tensor, at place: (Int) -> Int, on tape: Tape) {
    precondition(x.shape.count == 3, "a position of a tensor\(x.shape): needs [B, T, C]")
    self.place = place(x.shape[1])
    (batch, length, width) = (x.shape[0], x.shape[1], x.shape[2])
    inputs = [x]
    output = tape.output([batch, width], of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    for i in 0..<batch {
      (output.value.base + i &* width).update(
        from: inputs[0].value.base + (i &* length &+ place) &* width, count: width)
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = inputs[0].gradient, let dy = output.gradient?.base else { return }
    if beta[0] == 0 { dx.fill(0) }
    for i in 0..<batch {
      let row = dx.base + (i &* length &+ place) &* width
      for j in 0..<width { row[j] += dy[i &* width &+ j] }
    }
  }
}

extension Tape {
  /// The last of the T positions, [B, C], of x[B, T, C].
  public func lastPosition(_ x: Tensor) -> Tensor {
    record(OnePosition(x, at: { $0 - 1 }, on: self))
  }

  /// The first of the T positions, [B, C], of x[B, T, C].
  public func firstPosition(_ x: Tensor) -> Tensor {
    record(OnePosition(x, at: { _ in 0 }, on: self))
  }
}
