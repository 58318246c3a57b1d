// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y = f(x), any shape; dx = dy · f'(x), from y.
///
/// The functions are cases rather than types: a generic class is called through tables of unspecialized code.
final class Squashing: Operation {
  enum Function {
    /// tanh x, with slope 1 - y².
    case hyperbolicTangent
    /// 1/(1 + e⁻ˣ), with slope y(1 - y).
    case logistic
  }

  let inputs: [Tensor]
  let output: Tensor
  private let function: Function

  init(_ function: Function, _ x: Tensor, on tape: Tape) {
    self.function = function
    inputs = [x]
    output = tape.output(x.shape, of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let (x, y) = (inputs[0].value.base, output.value.base)
    pool.forRanges(of: output.count, size: pieceSize) { range in
      let (x, y) = (x + range.lowerBound, y + range.lowerBound)
      switch function {
      case .hyperbolicTangent: VectorMath.map(x, range.count, into: y) { VectorMath.tanh($0) }
      case .logistic: VectorMath.map(x, range.count, into: y) { VectorMath.sigmoid($0) }
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = inputs[0].gradient?.base, let dy = output.gradient?.base else { return }
    let (y, beta) = (output.value.base, beta[0])
    pool.forRanges(of: output.count, size: pieceSize) { range in
      switch function {
      case .hyperbolicTangent:
        accumulate(range, into: dx, beta: beta) { dy[$0] * (1 - y[$0] * y[$0]) }
      case .logistic:
        accumulate(range, into: dx, beta: beta) { dy[$0] * (y[$0] * (1 - y[$0])) }
      }
    }
  }
}

extension Tape {
  /// The logistic function of x, elementwise: torch.sigmoid.
  public func sigmoid(_ x: Tensor) -> Tensor { record(Squashing(.logistic, x, on: self)) }

  /// The hyperbolic tangent of x, elementwise: torch.tanh.
  public func tanh(_ x: Tensor) -> Tensor { record(Squashing(.hyperbolicTangent, x, on: self)) }
}
