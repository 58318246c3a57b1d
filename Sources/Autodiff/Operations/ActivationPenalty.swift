// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// α · mean(h²) + β · mean((h_{t+1} - h_t)²) of h[T, B, H]: activation and temporal activation regularization (Merity et
/// al. 2017). With a single step the second term is 0. Sums in Double, in order.
final class ActivationPenalty: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let h: Tensor
  private let activation: Double, temporal: Double

  init(_ h: Tensor, activation: Double, temporal: Double, on tape: Tape) {
    precondition(h.shape.count == 3 && h.count > 0, "activation penalty of h\(h.shape)")
    self.h = h
    (self.activation, self.temporal) = (activation, temporal)
    inputs = [h]
    output = tape.output([1], of: inputs)
  }

  /// Values of one time step, and of all but the first.
  private var step: Int { h.count / h.shape[0] }
  private var pairs: Int { h.count - step }

  func forward(_ pool: WorkerPool) {
    let (x, step) = (h.value.base, step)
    var (squares, changes) = (0.0, 0.0)
    for i in 0..<h.count { squares.addProduct(Double(x[i]), Double(x[i])) }
    for i in 0..<pairs {
      let change = Double(x[i &+ step]) - Double(x[i])
      changes.addProduct(change, change)
    }
    output.value.base[0] = Float(
      activation * squares / Double(h.count) + temporal * changes / Double(max(1, pairs)))
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dh = h.gradient?.base, let seed = output.gradient?.base[0] else { return }
    let (x, step, pairs) = (h.value.base, step, pairs)
    let a = Float(2 * activation / Double(h.count)) * seed
    let b = Float(2 * temporal / Double(max(1, pairs))) * seed
    pool.forRanges(of: h.count, size: pieceSize) { range in
      for i in range {
        var slope = a * x[i]
        if i < pairs { slope -= b * (x[i &+ step] - x[i]) }
        if i >= step { slope += b * (x[i] - x[i &- step]) }
        dh[i] = beta[0] == 0 ? slope : dh[i] + slope
      }
    }
  }
}

extension Tape {
  /// `activation` · mean(h²) + `temporal` · mean((h_{t+1} - h_t)²) of h[T, B, H], a scalar.
  public func activationPenalty(
    _ h: Tensor, activation: Double, temporal: Double
  ) -> Tensor {
    record(ActivationPenalty(h, activation: activation, temporal: temporal, on: self))
  }
}
