import LinearAlgebra

/// y = 1/(1 + e⁻ˣ), any shape; dx = dy · y(1 - y).
final class Sigmoid: Operation {
  let inputs: [Tensor]
  let output: Tensor

  init(_ x: Tensor, on tape: Tape) {
    inputs = [x]
    output = tape.output(x.shape, of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let (source, target) = (inputs[0].value.base, output.value.base)
    pool.forRanges(of: output.count, size: pieceSize) { range in
      VectorMath.map(source + range.lowerBound, range.count, into: target + range.lowerBound) {
        1 / (1 + VectorMath.exp(-$0))
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = inputs[0].gradient?.base, let dy = output.gradient?.base else { return }
    let (y, beta) = (output.value.base, beta[0])
    pool.forRanges(of: output.count, size: pieceSize) { range in
      if beta == 0 {
        for i in range { dx[i] = dy[i] * (y[i] * (1 - y[i])) }
      } else {
        for i in range { dx[i] += dy[i] * (y[i] * (1 - y[i])) }
      }
    }
  }
}

extension Tape {
  /// The logistic function of x, elementwise: torch.sigmoid.
  public func sigmoid(_ x: Tensor) -> Tensor { record(Sigmoid(x, on: self)) }
}
