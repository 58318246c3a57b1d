// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra

/// Muon: momentum whose singular values are set near one by five Newton-Schulz steps (Jordan et al. 2024).
///
/// Parameters of order four are taken as matrices [out, rest]; every parameter must have two axes or more.
public struct Muon: Optimizer {
  /// The two forms in circulation.
  public enum Form: String, Codable, Sendable, CaseIterable {
    /// The authors' (their NanoGPT code): m ← lerp(m, g, 1-β), no Nesterov, step η · 0.2 √max(rows, columns).
    case authors
    /// torch.optim.Muon: the same average, Nesterov, step η √max(1, rows/columns).
    case torch
  }

  /// Which form.
  public let form: Form
  /// β.
  public let momentum: Double
  /// λ, decoupled: x ← (1 - ηλ)x first.
  public let weightDecay: Double
  /// Newton-Schulz steps.
  public let iterations: Int
  private var buffers = StateBuffers()
  /// The averages that are orthogonalized, one a parameter: kept so that a step does not allocate them, no state.
  private var directions: [Matrix<Float>] = []

  private enum CodingKeys: String, CodingKey {
    case form, momentum, weightDecay, iterations, buffers
  }

  /// Muon in one of its forms.
  public init(
    form: Form = .authors, momentum: Double = 0.9, weightDecay: Double = 0, iterations: Int = 5
  ) {
    self.form = form
    (self.momentum, self.weightDecay) = (momentum, weightDecay)
    self.iterations = iterations
  }

  /// See `Optimizer`.
  public var state: [StateBuffers] {
    get { [buffers] }
    set { buffers = newValue[0] }
  }

  /// Products of five Newton-Schulz steps.
  public func cost(rows: Int, columns: Int) -> Double {
    let smaller = Double(min(rows, columns))
    return Double(iterations) * smaller * smaller * (2 * Double(max(rows, columns)) + smaller)
  }

  /// One step.
  public mutating func step(
    _ parameters: [Parameter], learningRate: Double, pool: WorkerPool
  ) {
    let beta = Float(momentum)
    let shrink = Float(1 - learningRate * weightDecay)
    let form = form
    if directions.isEmpty {
      directions = parameters.map {
        precondition($0.shape.count >= 2, "Muon on \($0.name)\($0.shape)")
        return Matrix(rows: $0.gradient.rows, columns: $0.gradient.columns)
      }
    }
    for (index, parameter) in parameters.enumerated() {
      let (g, count) = (parameter.gradient.materialized, parameter.count)
      directions[index].withMutableView { direction in
        buffers.with(index, of: parameters) { m in
          pool.forRanges(of: count, size: pieceSize) { range in
            for i in range {
              let next = m[i].addingProduct(1 - beta, g.base[i] - m[i])
              m[i] = next
              direction.base[i] =
                form == .torch ? g.base[i].addingProduct(beta, next - g.base[i]) : next
            }
          }
        }
      }
    }
    // Matrices are shared out, the largest first.
    let order = parameters.indices.sorted { parameters[$0].count > parameters[$1].count }
    directions.withUnsafeBufferPointer { directions in
      pool.forEach(pieces: order.count) { (piece: Int) in
        let (parameter, index) = (parameters[order[piece]], order[piece])
        let update = newtonSchulz(
          directions[index], iterations: iterations,
          dividingBy: form == .torch ? .clampedNorm : .offsetNorm)
        let (rows, columns) = (Double(update.rows), Double(update.columns))
        let scale =
          form == .torch
          ? max(1, rows / columns).squareRoot() : 0.2 * max(rows, columns).squareRoot()
        let (size, x) = (Float(learningRate * scale), parameter.base)
        update.withView { update in
          for i in 0..<update.count { x[i] = (shrink * x[i]).addingProduct(-size, update.base[i]) }
        }
      }
    }
  }
}
