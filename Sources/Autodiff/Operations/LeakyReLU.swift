// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y = x where x > 0, else slope · x, any shape; the derivative at 0 is the slope, as in PyTorch.
final class LeakyReLU: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let slope: Float

  init(_ x: Tensor, slope: Float, on tape: Tape) {
    self.x = x
    self.slope = slope
    inputs = [x]
    output = tape.output(x.shape, of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let (source, target, slope) = (x.value.base, output.value.base, slope)
    pool.forRanges(of: x.count, size: pieceSize) { range in
      for i in range { target[i] = source[i] > 0 ? source[i] : slope * source[i] }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = x.gradient?.base, let dy = output.gradient?.base else { return }
    let (source, slope) = (x.value.base, slope)
    pool.forRanges(of: x.count, size: pieceSize) { range in
      accumulate(range, into: dx, beta: beta[0]) { source[$0] > 0 ? dy[$0] : slope * dy[$0] }
    }
  }
}

extension Tape {
  /// x where it is positive, else slope · x, elementwise: torch.nn.LeakyReLU.
  public func leakyReLU(_ x: Tensor, slope: Float) -> Tensor {
    record(LeakyReLU(x, slope: slope, on: self))
  }
}
