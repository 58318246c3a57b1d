import LinearAlgebra

/// A function between two bounds whose slope can be told from its value.
protocol SquashingFunction {
  static func value(_ x: VectorMath.Vector) -> VectorMath.Vector
  /// Its slope where it is y.
  static func slope(_ y: Float) -> Float
}

/// tanh x, with slope 1 - y².
enum HyperbolicTangent: SquashingFunction {
  @inline(__always)
  static func value(_ x: VectorMath.Vector) -> VectorMath.Vector { VectorMath.tanh(x) }
  @inline(__always)
  static func slope(_ y: Float) -> Float { 1 - y * y }
}

/// 1/(1 + e⁻ˣ), with slope y(1 - y).
enum LogisticFunction: SquashingFunction {
  @inline(__always)
  static func value(_ x: VectorMath.Vector) -> VectorMath.Vector { 1 / (1 + VectorMath.exp(-x)) }
  @inline(__always)
  static func slope(_ y: Float) -> Float { y * (1 - y) }
}

/// y = f(x), any shape; dx = dy · f'(x), from y.
final class Squashing<Function: SquashingFunction>: Operation {
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
        Function.value($0)
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = inputs[0].gradient?.base, let dy = output.gradient?.base else { return }
    let (y, beta) = (output.value.base, beta[0])
    pool.forRanges(of: output.count, size: pieceSize) { range in
      if beta == 0 {
        for i in range { dx[i] = dy[i] * Function.slope(y[i]) }
      } else {
        for i in range { dx[i] += dy[i] * Function.slope(y[i]) }
      }
    }
  }
}

extension Tape {
  /// The logistic function of x, elementwise: torch.sigmoid.
  public func sigmoid(_ x: Tensor) -> Tensor { record(Squashing<LogisticFunction>(x, on: self)) }

  /// The hyperbolic tangent of x, elementwise: torch.tanh.
  public func tanh(_ x: Tensor) -> Tensor { record(Squashing<HyperbolicTangent>(x, on: self)) }
}
