// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// The two forms of the Gaussian error linear unit x·Φ(x).
public enum GELUForm: String, Codable, Sendable, CaseIterable {
  /// Φ itself: torch.nn.GELU().
  case erf
  /// Φ(x) ≈ σ(2·√(2/π)·(x + 0.044715x³)): GPT-2's, torch.nn.GELU(approximate="tanh").
  case tanh
}

/// y = x·Φ(x), any shape (Hendrycks & Gimpel 2016).
final class GELU: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let form: GELUForm

  init(_ x: Tensor, _ form: GELUForm, on tape: Tape) {
    self.x = x
    self.form = form
    inputs = [x]
    output = tape.output(x.shape, of: inputs)
  }

  private typealias Vector = VectorMath.Vector
  private static let slope: Float = 2 * 0.797_884_6  // 2·√(2/π)
  private static let cubic: Float = 0.044_715

  /// σ(2u) for the tanh form.
  @inline(__always)
  private static func gate(_ x: Vector) -> Vector {
    let u = x * Vector(repeating: 1).addingProduct(x * x, Vector(repeating: cubic))
    return 1 / (VectorMath.exp(u * -slope) + 1)
  }

  @inline(__always)
  private static func derivative(_ x: Vector, _ form: GELUForm) -> Vector {
    switch form {
    case .erf:
      let (distribution, density) = VectorMath.normal(x)
      return distribution.addingProduct(x, density)
    case .tanh:
      let s = gate(x)
      let inner = Vector(repeating: slope)
        .addingProduct(x * x, Vector(repeating: 3 * slope * cubic))
      return s.addingProduct(x * inner, s * (1 - s))
    }
  }

  func forward(_ pool: WorkerPool) {
    let (source, target, form) = (x.value.base, output.value.base, form)
    pool.forRanges(of: x.count, size: pieceSize) { range in
      VectorMath.map(source + range.lowerBound, range.count, into: target + range.lowerBound) {
        form == .erf ? $0 * VectorMath.normal($0).distribution : $0 * Self.gate($0)
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = x.gradient?.base, let dy = output.gradient?.base else { return }
    let (source, form, beta) = (x.value.base, form, beta[0])
    pool.forRanges(of: x.count, size: pieceSize) { range in
      var i = range.lowerBound
      while i < range.upperBound {
        let count = min(16, range.upperBound &- i)
        if count == 16 {
          let slope = Self.derivative(VectorMath.load(source + i), form)
          let old = beta == 0 ? Vector(repeating: 0) : VectorMath.load(dx + i)
          VectorMath.store(old.addingProduct(slope, VectorMath.load(dy + i)), dx + i)
        } else {
          let slope = Self.derivative(VectorMath.load(source + i, count: count), form)
          for j in 0..<count {
            dx[i &+ j] = (beta == 0 ? 0 : dx[i &+ j]).addingProduct(slope[j], dy[i &+ j])
          }
        }
        i &+= 16
      }
    }
  }
}

extension Tape {
  /// The Gaussian error linear unit of x, elementwise.
  public func gelu(_ x: Tensor, _ form: GELUForm) -> Tensor { record(GELU(x, form, on: self)) }
}
