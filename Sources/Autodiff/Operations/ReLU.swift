// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y = max(x, 0), any shape; the derivative at 0 is 0, as in PyTorch.
final class ReLU: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor

  init(_ x: Tensor, on tape: Tape) {
    self.x = x
    inputs = [x]
    output = tape.output(x.shape, of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let (source, target) = (x.value.base, output.value.base)
    pool.forRanges(of: x.count, size: pieceSize) { range in
      // Written so that NaN passes: it is not <= 0.
      for i in range { target[i] = source[i] <= 0 ? 0 : source[i] }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = x.gradient?.base, let dy = output.gradient?.base else { return }
    let source = x.value.base
    pool.forRanges(of: x.count, size: pieceSize) { range in
      if beta[0] == 0 {
        for i in range { dx[i] = source[i] > 0 ? dy[i] : 0 }
      } else {
        for i in range { dx[i] += source[i] > 0 ? dy[i] : 0 }
      }
    }
  }
}

/// Elements that one thread takes at a time in elementwise operations.
let pieceSize = 1 << 14

extension Tape {
  /// max(x, 0) elementwise; NaN stays NaN.
  public func relu(_ x: Tensor) -> Tensor { record(ReLU(x, on: self)) }
}
