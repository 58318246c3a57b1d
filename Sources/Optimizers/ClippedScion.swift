// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra

/// Clipped Scion in the spectral norm (arXiv 2506.01913): d ← αg + (1-α)d; V_l = polar factor of d_l, the
/// steepest direction of unit spectral norm, by five quintic Newton-Schulz steps as Scion's users do;
/// x ← x - η min{ρ, Σ_l ⟨d_l, V_l⟩} V.
///
/// The sum is the nuclear norm of d over all layers, the norm dual to max_l ‖·‖₂.
public struct ClippedScion: Optimizer {
  /// ρ, the largest dual norm that counts.
  public let radius: Double
  /// α, the weight of the present gradient.
  public let averaging: Double
  private var buffers = StateBuffers()

  /// Clipped Scion with radius ρ.
  public init(radius: Double, averaging: Double = 0.1) {
    (self.radius, self.averaging) = (radius, averaging)
  }

  /// See `Optimizer`.
  public var state: [StateBuffers] {
    get { [buffers] }
    set { buffers = newValue[0] }
  }

  /// The dual norm is that of all parameters.
  public var isShareable: Bool { false }

  /// One step.
  public mutating func step(
    _ parameters: [Parameter], learningRate: Double, pool: WorkerPool
  ) {
    let weight = Float(averaging)
    var directions: [Matrix<Float>] = []
    var dual = 0.0
    for (index, parameter) in parameters.enumerated() {
      let g = parameter.gradient.materialized
      var d = Matrix<Float>(rows: g.rows, columns: g.columns)
      d.withMutableView { d in
        buffers.with(index, of: parameters) { state in
          for i in 0..<g.count {
            state[i] = state[i].addingProduct(weight, g.base[i] - state[i])
            d.base[i] = state[i]
          }
        }
      }
      let v = newtonSchulz(d, iterations: 5, dividingBy: .offsetNorm)
      for i in 0..<d.elements.count {
        dual.addProduct(Double(d.elements[i]), Double(v.elements[i]))
      }
      directions.append(v)
    }
    let size = Float(learningRate * min(radius, dual))
    for (parameter, v) in zip(parameters, directions) {
      let x = parameter.base
      v.withView { v in
        for i in 0..<v.count { x[i].addProduct(-size, v.base[i]) }
      }
    }
  }
}
