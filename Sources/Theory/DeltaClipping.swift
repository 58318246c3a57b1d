// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// δ-GClip's geometric decay (arXiv 2404.08624): for a loss ℓ >= 0 with smoothness β and ‖∇ℓ‖² >= μℓ, steps
/// h = η min{1, max(δ, γ/‖∇ℓ‖)} with η <= 1/β give ℓ_t <= (1 - ηδμ/2)^t ℓ_0 and a path no longer than 4√(ℓ_0/μ).
/// Constants derived.
public struct DeltaClipping: Sendable {
  /// η.
  public let eta: Double
  /// γ.
  public let gamma: Double
  /// δ.
  public let delta: Double

  /// Throws a `HypothesisError` for δ outside (0, 1], η or γ <= 0.
  public init(eta: Double, gamma: Double, delta: Double) throws(HypothesisError) {
    try HypothesisError.require("delta-GClip", "0 < delta <= 1", delta, delta > 0 && delta <= 1)
    try HypothesisError.require("delta-GClip", "eta > 0", eta, eta > 0)
    try HypothesisError.require("delta-GClip", "gamma > 0", gamma, gamma > 0)
    (self.eta, self.gamma, self.delta) = (eta, gamma, delta)
  }

  /// h at a gradient of norm `norm`.
  public func step(norm: Double) -> Double {
    eta * min(1, max(delta, norm > 0 ? gamma / norm : 1))
  }

  /// ℓ(w) = ½‖Aw - b‖² with b = A w*, so that min ℓ = 0: β = σ_1(A)², μ = 2 σ_min(A)² for A[n,d] of full rank.
  public struct LeastSquares: Sendable {
    /// A[n,d].
    public let design: Matrix<Double>
    /// b[n,1].
    public let targets: Matrix<Double>
    /// β.
    public let smoothness: Double
    /// μ.
    public let mu: Double

    /// A consistent problem with normal entries.
    public init(samples: Int, dimension: Int, stream: RandomStream) throws {
      design = Matrix(
        rows: samples, columns: dimension, elements: stream.normals(samples * dimension))
      let truth = Matrix<Double>(
        rows: dimension, columns: 1, elements: stream.child("truth").normals(dimension))
      targets = matmul(design, truth)
      let sigma = try singularValues(design)
      smoothness = sigma[0] * sigma[0]
      let least = sigma[min(samples, dimension) - 1]
      mu = 2 * least * least
    }

    /// ℓ(w) and ∇ℓ(w).
    public func evaluate(_ w: Matrix<Double>) -> (loss: Double, gradient: Matrix<Double>) {
      let residual = matmul(design, w) - targets
      return (0.5 * residual.norm * residual.norm, matmul(design, .yes, residual, .no))
    }
  }

  /// T steps on least squares from w = 0: the decay after each step, and the length of the path.
  public func onLeastSquares(_ problem: LeastSquares, steps: Int) throws -> [Inequality] {
    try HypothesisError.require(
      "delta-GClip, decay", "eta <= 1/beta = \(1 / problem.smoothness)", eta,
      eta <= 1 / problem.smoothness)
    var w = Matrix<Double>(rows: problem.design.columns, columns: 1)
    let start = problem.evaluate(w).loss
    var (found, path) = ([Inequality](), 0.0)
    for t in 0...steps {
      let (loss, gradient) = problem.evaluate(w)
      let bound = start * pow(1 - 0.5 * eta * delta * problem.mu, Double(t))
      found.append(
        Inequality(
          "2404.08624, geometric decay", loss, bound, carrier: 1e-16 * start,
          size: problem.design.longerSide))
      let h = step(norm: gradient.norm)
      path += h * gradient.norm
      w = w - h * gradient
    }
    found.append(
      Inequality(
        "2404.08624, length of the path", path, 4 * (start / problem.mu).squareRoot(),
        size: problem.design.longerSide))
    return found
  }

  /// A wide two-layer net f(x) = aᵀ tanh(Wx)/√width on `samples` points, trained by δ-GClip on its first
  /// layer: losses, and μ along the way, min ‖∇ℓ‖²/ℓ (empirical: nothing is asserted about it).
  public static func onWideNet(
    width: Int, samples: Int, inputs: Int, clip: DeltaClipping, steps: Int, stream: RandomStream
  ) -> (losses: [Double], mu: Double) {
    var w = Matrix<Double>(rows: width, columns: inputs, elements: stream.normals(width * inputs))
    let x = Matrix<Double>(
      rows: samples, columns: inputs, elements: stream.child("x").normals(samples * inputs))
    let y: [Double] = stream.child("y").normals(samples)
    let a = stream.child("a").normals(width).map { $0 > 0 ? 1.0 : -1 }
    let scale = 1 / Double(width).squareRoot()
    var (losses, mu) = ([Double](), Double.infinity)
    for _ in 0..<steps {
      let hidden = matmul(w, .no, x, .yes)  // [width, samples]
      var (loss, factors) = (0.0, hidden)
      for i in 0..<samples {
        var prediction = 0.0
        for j in 0..<width { prediction += scale * a[j] * tanh(hidden[j, i]) }
        let residual = prediction - y[i]
        loss += 0.5 * residual * residual
        for j in 0..<width {
          let t = tanh(hidden[j, i])
          factors[j, i] = residual * scale * a[j] * (1 - t * t)
        }
      }
      let gradient = matmul(factors, x)
      losses.append(loss)
      mu = min(mu, gradient.norm * gradient.norm / loss)
      w = w - clip.step(norm: gradient.norm) * gradient
    }
    return (losses, mu)
  }
}
