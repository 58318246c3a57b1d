import LinearAlgebra

/// y[B, C] = x[B, T, C] at t = T - 1.
final class LastPosition: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let batch: Int, length: Int, width: Int

  init(_ x: Tensor, on tape: Tape) {
    precondition(x.shape.count == 3, "the last position of a tensor\(x.shape): needs [B, T, C]")
    (batch, length, width) = (x.shape[0], x.shape[1], x.shape[2])
    inputs = [x]
    output = tape.output([batch, width], of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    for i in 0..<batch {
      (output.value.base + i &* width).update(
        from: inputs[0].value.base + (i &* length &+ length &- 1) &* width, count: width)
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = inputs[0].gradient, let dy = output.gradient?.base else { return }
    if beta[0] == 0 { dx.fill(0) }
    for i in 0..<batch {
      let row = dx.base + (i &* length &+ length &- 1) &* width
      for j in 0..<width { row[j] += dy[i &* width &+ j] }
    }
  }
}

extension Tape {
  /// The last of the T positions, [B, C], of x[B, T, C].
  public func lastPosition(_ x: Tensor) -> Tensor { record(LastPosition(x, on: self)) }
}
