// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y[1] = factor · Σ x over all elements: 16 interleaved sums in Double, added in a fixed order.
final class Reduction: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let factor: Double

  init(_ x: Tensor, factor: Double, on tape: Tape) {
    self.factor = factor
    inputs = [x]
    output = tape.output([1], of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let x = inputs[0]
    var sums = SIMD16<Double>(repeating: 0)
    for i in 0..<x.count { sums[i & 15] += Double(x.value.base[i]) }
    output.value.base[0] = Float(factor * sums.sum())
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = inputs[0].gradient?.base, let dy = output.gradient?.base else { return }
    let value = Float(factor * Double(dy[0]))
    for i in 0..<inputs[0].count { dx[i] = beta[0] * dx[i] + value }
  }
}

extension Tape {
  /// Σ x over all elements, [1].
  public func sum(_ x: Tensor) -> Tensor { record(Reduction(x, factor: 1, on: self)) }

  /// The mean of all elements of x, [1].
  public func mean(_ x: Tensor) -> Tensor {
    record(Reduction(x, factor: 1 / Double(x.count), on: self))
  }
}
