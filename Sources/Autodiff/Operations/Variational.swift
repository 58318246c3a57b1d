// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// z = mean + e^(logVariance/2) ⊙ noise, all of one shape: a sample of the normal law of that mean and variance from a standard
/// normal one (Kingma & Welling 2014). The noise is given and has no gradient.
final class Reparametrization: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let noise: Tensor

  init(_ mean: Tensor, _ logVariance: Tensor, _ noise: Tensor, on tape: Tape) {
    precondition(
      mean.shape == logVariance.shape && mean.shape == noise.shape,
      "reparametrization: mean\(mean.shape), log variance\(logVariance.shape), noise\(noise.shape)")
    self.noise = noise
    inputs = [mean, logVariance]
    output = tape.output(mean.shape, of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let (mean, noise, z) = (inputs[0].value.base, noise.value.base, output.value.base)
    let half = inputs[1].value.base
    pool.forRanges(of: output.count, size: pieceSize) { range in
      VectorMath.map(half + range.lowerBound, range.count, into: z + range.lowerBound) {
        VectorMath.exp(0.5 * $0)
      }
      for i in range { z[i] = mean[i].addingProduct(z[i], noise[i]) }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dz = output.gradient?.base else { return }
    let (mean, z) = (inputs[0].value.base, output.value.base)
    let (dMean, dLog) = (inputs[0].gradient?.base, inputs[1].gradient?.base)
    pool.forRanges(of: output.count, size: pieceSize) { range in
      if let dMean {
        for i in range { dMean[i] = (beta[0] == 0 ? 0 : dMean[i]) + dz[i] }
      }
      if let dLog {
        // Half of e^(logVariance/2) · noise is half of z - mean.
        for i in range {
          dLog[i] = (beta[1] == 0 ? 0 : dLog[i]) + 0.5 * dz[i] * (z[i] - mean[i])
        }
      }
    }
  }
}

/// loss[1] = Σ (x̂ - x)² - ½ Σ (1 + logVariance - mean² - e^logVariance): the squared errors of a reconstruction x̂[B, n] of x[B, n]
/// plus the Kullback-Leibler divergence of normal laws mean[B, k], logVariance[B, k] from the standard one, summed over all
/// entries. x has no gradient.
final class VariationalLoss: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  /// x̂ - x of the last forward pass.
  private let difference: Buffer
  /// e^logVariance likewise.
  private let variance: Buffer

  init(
    _ reconstruction: Tensor, _ x: Tensor, _ mean: Tensor, _ logVariance: Tensor, on tape: Tape
  ) {
    precondition(
      reconstruction.shape == x.shape && mean.shape == logVariance.shape,
      "variational loss: reconstruction\(reconstruction.shape) of x\(x.shape), "
        + "mean\(mean.shape), log variance\(logVariance.shape)")
    self.x = x
    inputs = [reconstruction, mean, logVariance]
    output = tape.output([1], of: inputs)
    difference = tape.scratch(x.count)
    variance = tape.scratch(mean.count)
  }

  func forward(_ pool: WorkerPool) {
    let (guess, x, difference) = (inputs[0].value.base, x.value.base, difference.base)
    for i in 0..<self.difference.count { difference[i] = guess[i] - x[i] }
    let errors = Float._sumOfSquares(difference, self.difference.count)
    let (mean, logVariance) = (inputs[1].value.base, inputs[2].value.base)
    let (variance, count) = (variance.base, variance.count)
    VectorMath.map(logVariance, count, into: variance) { VectorMath.exp($0) }
    // In Double: where the law is nearly standard the terms cancel.
    var sums = SIMD8<Double>(repeating: 0)
    for i in 0..<count {
      sums[i & 7] += Double(variance[i]) - 1 - Double(logVariance[i])
    }
    let divergence = 0.5 * (sums.sum() + Float._sumOfSquares(mean, count))
    output.value.base[0] = Float(errors + divergence)
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let scale = output.gradient?.base[0] else { return }
    let (difference, variance, mean) = (difference.base, variance.base, inputs[1].value.base)
    @inline(__always) func add(_ index: Int, _ term: (Int) -> Float) {
      guard let target = inputs[index].gradient?.base else { return }
      accumulate(0..<inputs[index].count, into: target, beta: beta[index]) { scale * term($0) }
    }
    add(0) { 2 * difference[$0] }
    add(1) { mean[$0] }
    add(2) { 0.5 * (variance[$0] - 1) }
  }
}

extension Tape {
  /// mean + e^(logVariance/2) ⊙ noise of one shape; the noise has no gradient.
  public func reparametrize(mean: Tensor, logVariance: Tensor, noise: Tensor) -> Tensor {
    record(Reparametrization(mean, logVariance, noise, on: self))
  }

  /// Squared errors of `reconstruction` of x plus the divergence of the normal laws from the standard one, both summed, [1].
  public func variationalLoss(
    _ reconstruction: Tensor, of x: Tensor, mean: Tensor, logVariance: Tensor
  ) -> Tensor {
    record(VariationalLoss(reconstruction, x, mean, logVariance, on: self))
  }
}
