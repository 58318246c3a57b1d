// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// How the losses of samples make one loss.
public enum LossReduction: Sendable {
  /// Added up.
  case sum
  /// Their mean.
  case mean
}

/// Σ over rows of -Σ_k q_k log softmax(logits[rows, K])_k with q = (1 - smoothing) · onehot(target) + smoothing/K
/// (Szegedy et al. 2016), or its mean. Losses are added up in Double, in order.
final class CrossEntropy: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let logits: Tensor
  private let targets: Indices
  private let smoothing: Float
  private let reduction: LossReduction
  /// log Σ e^logit, and the loss, of each row.
  private let logSums: Buffer, losses: Buffer

  init(
    _ logits: Tensor, _ targets: Indices, smoothing: Double, _ reduction: LossReduction,
    on tape: Tape
  ) {
    precondition(
      targets.count == logits.rows && smoothing >= 0 && smoothing <= 1,
      "cross-entropy: logits\(logits.shape), targets\(targets.shape), smoothing \(smoothing)")
    self.logits = logits
    self.targets = targets
    self.smoothing = Float(smoothing)
    self.reduction = reduction
    inputs = [logits]
    output = tape.output([1], of: inputs)
    (logSums, losses) = (tape.scratch(logits.rows), tape.scratch(logits.rows))
  }

  private var pieceRows: Int { max(1, pieceSize / max(1, logits.columns)) }

  func forward(_ pool: WorkerPool) {
    let n = logits.columns
    pool.forRanges(of: logits.rows, size: pieceRows) { range in
      for row in range {
        let z = logits.value.base + row &* n
        let target = Int(targets.base[row])
        precondition(target >= 0 && target < n, "target \(target) of \(n) classes")
        let logSum = VectorMath.logSumExp(z, count: n, scale: 1)
        logSums.base[row] = logSum
        var rest: Float = 0
        for j in 0..<n { rest += logSum - z[j] }
        losses.base[row] = (1 - smoothing) * (logSum - z[target]) + smoothing / Float(n) * rest
      }
    }
    var sum = 0.0
    for row in 0..<logits.rows { sum += Double(losses.base[row]) }
    output.value.base[0] = Float(reduction == .sum ? sum : sum / Double(logits.rows))
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dz = logits.gradient?.base, let seed = output.gradient?.base[0] else { return }
    let n = logits.columns
    let factor = reduction == .sum ? seed : seed / Float(logits.rows)
    let floor = smoothing / Float(n)
    pool.forRanges(of: logits.rows, size: pieceRows) { range in
      for row in range {
        let (z, given) = (logits.value.base + row &* n, dz + row &* n)
        let logSum = logSums.base[row]
        var j = 0
        while j < n {
          let count = min(16, n &- j)
          let p = VectorMath.exp(VectorMath.loadPadded(z + j, count) - logSum)
          let old =
            beta[0] == 0
            ? VectorMath.Vector(repeating: 0) : VectorMath.loadPadded(given + j, count)
          let new = old.addingProduct(p - floor, VectorMath.Vector(repeating: factor))
          VectorMath.store(VectorMath.flushed(new), given + j, first: count)
          j &+= 16
        }
        given[Int(targets.base[row])] -= factor * (1 - smoothing)
      }
    }
  }
}

extension Tape {
  /// The cross-entropy of softmax(logits[…, K]) against targets in 0 ..< K, with label smoothing:
  /// torch.nn.functional.cross_entropy. A scalar.
  public func crossEntropy(
    _ logits: Tensor, _ targets: Indices, labelSmoothing: Double = 0,
    reduction: LossReduction = .mean
  ) -> Tensor {
    record(CrossEntropy(logits, targets, smoothing: labelSmoothing, reduction, on: self))
  }
}
