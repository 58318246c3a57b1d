import LinearAlgebra

/// y = tanh x, any shape; dx = dy · (1 - y²).
final class Tanh: Operation {
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
        VectorMath.tanh($0)
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = inputs[0].gradient?.base, let dy = output.gradient?.base else { return }
    let (y, beta) = (output.value.base, beta[0])
    pool.forRanges(of: output.count, size: pieceSize) { range in
      for i in range {
        let slope = dy[i] * (1 - y[i] * y[i])
        dx[i] = beta == 0 ? slope : dx[i] + slope
      }
    }
  }
}

extension Tape {
  /// The hyperbolic tangent of x, elementwise: torch.tanh.
  public func tanh(_ x: Tensor) -> Tensor { record(Tanh(x, on: self)) }
}
