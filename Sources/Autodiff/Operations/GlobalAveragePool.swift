// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y[B, 1, 1, C] = the mean of x[B, H, W, C] over all places.
final class GlobalAveragePool: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let places: Int
  private let channels: Int

  init(_ x: Tensor, on tape: Tape) {
    precondition(x.shape.count == 4, "a global average of \(x.shape)")
    self.x = x
    (places, channels) = (x.shape[1] * x.shape[2], x.shape[3])
    inputs = [x]
    output = tape.output([x.shape[0], 1, 1, channels], of: inputs)
  }

  private var factor: Float { 1 / Float(places) }

  func forward(_ pool: WorkerPool) {
    let (source, target, c, factor) = (x.value.base, output.value.base, channels, factor)
    pool.forEach(pieces: x.shape[0]) { (image: Int) in
      let to = target + image &* c
      to.update(repeating: 0, count: c)
      for place in (image &* places)..<((image &+ 1) &* places) {
        let from = source + place &* c
        for j in 0..<c { to[j].addProduct(factor, from[j]) }
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = x.gradient?.base, let dy = output.gradient?.base else { return }
    let (c, factor) = (channels, factor)
    pool.forEach(pieces: x.shape[0]) { (image: Int) in
      let from = dy + image &* c
      for place in (image &* places)..<((image &+ 1) &* places) {
        let to = dx + place &* c
        if beta[0] == 0 { to.update(repeating: 0, count: c) }
        for j in 0..<c { to[j].addProduct(factor, from[j]) }
      }
    }
  }
}

extension Tape {
  /// The mean over all places, [B, 1, 1, C] for x[B, H, W, C].
  public func globalAveragePool(_ x: Tensor) -> Tensor {
    record(GlobalAveragePool(x, on: self))
  }
}
