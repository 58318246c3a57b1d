// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y = (x - mean)/√(variance + ε) · weight + bias over the last axis (Ba, Kiros & Hinton 2016), the
/// variance being the biased one, as in torch.nn.LayerNorm.
final class LayerNorm: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let weight: Parameter
  private let bias: Parameter
  private let epsilon: Float
  /// Mean and 1/√(variance + ε) of each row.
  private let means: Buffer, scales: Buffer
  /// Sums of weight and bias gradients over the rows of each piece.
  private let partial: Buffer
  private let pieceRows: Int

  init(
    _ x: Tensor, _ weight: Parameter, _ bias: Parameter, epsilon: Float, on tape: Tape
  ) {
    precondition(
      weight.shape == [x.columns] && bias.shape == [x.columns],
      "layer norm: x\(x.shape), weight\(weight.shape), bias\(bias.shape)")
    self.x = x
    self.weight = weight
    self.bias = bias
    self.epsilon = epsilon
    inputs = [x, weight.tensor, bias.tensor]
    output = tape.output(x.shape, of: inputs)
    means = tape.scratch(x.rows)
    scales = tape.scratch(x.rows)
    pieceRows = max(32, (x.rows + 31) / 32)
    partial = tape.scratch((x.rows + pieceRows - 1) / pieceRows * 2 * x.columns)
  }

  private typealias Vector = VectorMath.Vector

  func forward(_ pool: WorkerPool) {
    let n = x.columns
    pool.forRanges(of: x.rows, size: pieceRows) { range in
      for row in range {
        let source = x.value.base + row &* n
        let target = output.value.base + row &* n
        let mean = sum(n) { j, k in VectorMath.loadPadded(source + j, k) } / Float(n)
        let variance =
          sum(n) { j, k in
            var d = VectorMath.loadPadded(source + j, k) - mean
            if k < 16 { for i in k..<16 { d[i] = 0 } }
            return d * d
          } / Float(n)
        let scale = 1 / (variance + epsilon).squareRoot()
        means.base[row] = mean
        scales.base[row] = scale
        for j in 0..<n {
          target[j] = bias.base[j].addingProduct((source[j] - mean) * scale, weight.base[j])
        }
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dy = output.gradient?.base else { return }
    let n = x.columns
    let dx = x.gradient?.base
    pool.forRanges(of: x.rows, size: pieceRows) { range in
      let dWeight = partial.base + range.lowerBound / pieceRows &* 2 &* n
      let dBias = dWeight + n
      dWeight.update(repeating: 0, count: 2 &* n)
      for row in range {
        let source = x.value.base + row &* n
        let given = dy + row &* n
        let (mean, scale) = (means.base[row], scales.base[row])
        for j in 0..<n {
          dWeight[j].addProduct(given[j], (source[j] - mean) * scale)
          dBias[j] += given[j]
        }
        guard let dx else { continue }
        let target = dx + row &* n
        let first =
          sum(n) { j, k in
            VectorMath.loadPadded(given + j, k) * VectorMath.loadPadded(weight.base + j, k)
          } / Float(n)
        let second =
          sum(n) { j, k in
            VectorMath.loadPadded(given + j, k) * VectorMath.loadPadded(weight.base + j, k)
              * ((VectorMath.loadPadded(source + j, k) - mean) * scale)
          } / Float(n)
        if beta[0] == 0 {
          for j in 0..<n {
            let normal = (source[j] - mean) * scale
            target[j] = scale * (given[j] * weight.base[j] - first - normal * second)
          }
        } else {
          for j in 0..<n {
            let normal = (source[j] - mean) * scale
            target[j] += scale * (given[j] * weight.base[j] - first - normal * second)
          }
        }
      }
    }
    let pieces = (x.rows + pieceRows - 1) / pieceRows
    for (parameter, offset, beta) in [(weight, 0, beta[1]), (bias, n, beta[2])]
    where parameter.tensor.needsGradient {
      parameter.gradient.setMaterialized()
      let target = parameter.gradient.base
      if beta == 0 { target.update(repeating: 0, count: n) }
      for piece in 0..<pieces {
        let source = partial.base + (2 &* piece &* n &+ offset)
        for j in 0..<n { target[j] += source[j] }
      }
    }
  }

  /// Σ of body(j, k) over j = 0, 16, …, where k <= 16 entries from j on are there.
  @inline(__always)
  private func sum(_ n: Int, _ body: (Int, Int) -> Vector) -> Float {
    var total = Vector(repeating: 0)
    var j = 0
    while j < n {
      total += body(j, min(16, n &- j))
      j &+= 16
    }
    return total.sum()
  }
}

extension Tape {
  /// Layer normalization over the last axis with a trained scale and shift.
  public func layerNorm(
    _ x: Tensor, _ weight: Parameter, _ bias: Parameter, epsilon: Float = 1e-5
  ) -> Tensor {
    record(LayerNorm(x, weight, bias, epsilon: epsilon, on: self))
  }
}
