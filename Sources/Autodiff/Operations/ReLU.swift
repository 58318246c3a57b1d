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
      accumulate(range, into: dx, beta: beta[0]) { source[$0] > 0 ? dy[$0] : 0 }
    }
  }
}

/// Elements that one thread takes at a time in elementwise operations.
let pieceSize = 1 << 14

/// target[i] = beta · target[i] + value(i) for i in `range`, beta 0 or 1: how a gradient is handed on.
@inline(__always)
func accumulate(
  _ range: Range<Int>, into target: UnsafeMutablePointer<Float>, beta: Float,
  _ value: (Int) -> Float
) {
  if beta == 0 {
    for i in range { target[i] = value(i) }
  } else {
    for i in range { target[i] += value(i) }
  }
}

extension Tape {
  /// max(x, 0) elementwise; NaN stays NaN.
  public func relu(_ x: Tensor) -> Tensor { record(ReLU(x, on: self)) }
}
