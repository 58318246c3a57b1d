// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Lab
import LinearAlgebra
import Training

/// What one step tells of the smoothness of a loss: the gradient where it began, and how much it changes on the way.
struct SmoothnessPoint: Codable, Sendable {
  /// Steps done before.
  var step: Int
  /// The mean loss of the step's mini-batch.
  var loss: Double
  /// ‖∇f(x_k)‖.
  var gradientNorm: Double
  /// ‖d‖ with d = x_{k+1} - x_k.
  var updateNorm: Double
  /// ‖∇f(x_k + c d) - ∇f(x_k)‖/(c ‖d‖) for c = 1/n, 2/n, …, 1.
  var ratios: [Double]

  /// The largest ratio over the grid, NaN if one is.
  var maximum: Double { ratios.contains(where: \.isNaN) ? .nan : ratios.max() ?? .nan }
  /// The ratio at the midpoint, the only point that the authors' code takes.
  var midpoint: Double { ratios[ratios.count / 2 - 1] }
}

/// Measures along the way of a run how smooth its loss is (arXiv 1905.11881), with f the mean loss over the first `batches`
/// mini-batches of the training stream, the same for every point of every run. A training step is as it would have been
/// without.
struct SmoothnessProbe<Task: Workload> {
  let run: TrainingRun<Task>
  let batches: Int
  let gridPoints: Int

  /// Does a training step and measures on its way; nil if the run diverges in it.
  func advance() throws -> SmoothnessPoint? {
    let task = run.task
    let (start, state, step) = (parameters, task.modelState, run.trainer.step)
    let gradient = gradient()
    task.modelState = state
    let report = try run.advance()
    guard !run.hasDiverged else { return nil }
    let (end, after) = (parameters, task.modelState)
    let direction = zip(start, end).map { zip($0, $1).map { Double($1) - Double($0) } }
    let updateNorm = norm(direction)
    let ratios = (1...gridPoints).map { point -> Double in
      let c = Double(point) / Double(gridPoints)
      for (index, parameter) in task.parameters.enumerated() {
        for i in 0..<parameter.count {
          parameter.base[i] = Float(Double(start[index][i]) + c * direction[index][i])
        }
      }
      let other = self.gradient()
      return norm(zip(other, gradient).map { zip($0, $1).map { Double($0) - Double($1) } })
        / (c * updateNorm)
    }
    task.modelState = after
    return SmoothnessPoint(
      step: step, loss: report.loss, gradientNorm: norm(gradient.map { $0.map(Double.init) }),
      updateNorm: updateNorm, ratios: ratios)
  }

  private var parameters: [[Float]] { run.task.parameters.map(\.tensor.array) }

  /// ∇f at the present parameters.
  private func gradient() -> [[Float]] {
    let task = run.task
    var sum = task.parameters.map { [Float](repeating: 0, count: $0.count) }
    let weight = Float(1 / (Double(batches) * task.lossScale))
    for batch in 0..<batches {
      for part in 0..<task.microBatches {
        let (tape, loss) = task.load(step: batch, microBatch: part)
        tape.step = UInt64(batch * task.microBatches + part)
        tape.forward()
        tape.backward(from: loss)
        for (index, parameter) in task.parameters.enumerated() {
          let own = parameter.gradient.materialized.base
          sum[index].withUnsafeMutableBufferPointer { sum in
            for i in 0..<sum.count { sum[i].addProduct(weight, own[i]) }
          }
        }
      }
    }
    return sum
  }

  private func norm(_ values: [[Double]]) -> Double {
    var square = 0.0
    for part in values { for value in part { square.addProduct(value, value) } }
    return square.squareRoot()
  }
}
