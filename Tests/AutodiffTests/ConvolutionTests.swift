// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Testing

@testable import Autodiff

/// What the twins do not see: running averages, evaluation, frozen weights, ties, NaN, accumulation, threads.
@Suite struct ConvolutionTests {
  private func parameter(_ name: String, _ shape: [Int], isTrained: Bool = true) -> Parameter {
    let parameter = Parameter(name, shape: shape, isTrained: isTrained)
    parameter.tensor.assign(
      RandomStream(seed: 4, name: name).normals(parameter.count, as: Float.self))
    return parameter
  }

  private func gradient(_ parameter: Parameter) -> [Float] {
    (0..<parameter.count).map { parameter.gradient.materialized.base[$0] }
  }

  /// A small network with every kind of operation, on 20 images so that there are several blocks and pieces.
  private func network(_ tape: Tape, _ p: [Parameter]) -> (x: Tensor, loss: Tensor) {
    let x = tape.input([20, 12, 11, 3])
    x.assign(RandomStream(seed: 5, name: "x").normals(x.count))
    let statistics = RunningStatistics(channels: 16)
    var y = tape.gelu(tape.convolution(x, p[0], bias: p[1]), .erf)
    y = tape.convolution(y, p[2], padding: 1, pooling: .maximum2)
    y = tape.batchNorm(y, p[3], p[4], statistics, then: .relu)
    y = tape.batchNorm(
      tape.convolution(y, p[5], padding: 1), p[3], p[4], statistics, adding: y, then: .gelu)
    y = tape.globalAveragePool(tape.convolution(y, p[6], stride: 2, padding: 1))
    let labels = tape.indices([20])
    labels.assign((0..<20).map { Int32($0 * 3 % 7) })
    return (x, tape.crossEntropy(tape.flatten(y), labels, labelSmoothing: 0.2, reduction: .sum))
  }

  private func parameters() -> [Parameter] {
    [
      ("a", [9, 2, 2, 3]), ("b", [9]), ("c", [16, 3, 3, 9]), ("d", [16]), ("e", [16]),
      ("f", [16, 3, 3, 16]), ("g", [7, 3, 3, 16]),
    ].map { parameter($0.0, $0.1) }
  }

  @Test func threadsDoNotChangeABit() {
    func run(_ threads: Int) -> [[Float]] {
      let p = parameters()
      let tape = Tape(pool: WorkerPool(threads: threads))
      let loss = network(tape, p).loss
      for _ in 0..<2 {
        tape.forward()
        tape.backward(from: loss)
      }
      return [[loss.scalar]] + p.map(gradient)
    }
    let one = run(1)
    #expect(one.allSatisfy { $0.allSatisfy(\.isFinite) })
    #expect(one == run(2))
    #expect(one == run(3))
  }

  @Test(arguments: [false, true])
  func neitherVectorsNorStepsOfTilesChangeABit(_ isPooled: Bool) {
    func run(isWide: Bool, span: Int) -> [[Float]] {
      let (x, weight) = (parameter("x", [5, 6, 9, 11]), parameter("w", [21, 3, 3, 11]))
      let tape = Tape()
      let y = tape.record(
        WinogradConvolution(
          x.tensor, weight, nil, padding: 1, isPooled: isPooled, isWide: isWide, span: span,
          on: tape))
      let loss = tape.sum(tape.multiply(y, y))
      tape.forward()
      tape.backward(from: loss)
      return [y.array, gradient(x), gradient(weight)]
    }
    let want = run(isWide: false, span: 1 << 22)
    #expect(want.allSatisfy { $0.contains { $0 != 0 } })
    for (isWide, span) in [(hasWideVectors, 1 << 22), (false, 1), (hasWideVectors, 100_000)] {
      #expect(run(isWide: isWide, span: span) == want, "\(isWide), \(span)")
    }
  }

  @Test func gradientsOfTwoBatchesAddUp() {
    let p = parameters()
    let tape = Tape()
    let (x, loss) = network(tape, p)
    tape.forward()
    tape.backward(from: loss)
    let first = p.map(gradient)
    x.assign(RandomStream(seed: 6, name: "x").normals(x.count))
    tape.forward()
    tape.backward(from: loss)
    let second = p.map(gradient)
    tape.backward(from: loss)
    #expect(p.map(gradient) == second, "a second backward pass is another one")
    x.assign(RandomStream(seed: 5, name: "x").normals(x.count))
    tape.forward()
    tape.backward(from: loss, accumulating: true)
    for (index, parameter) in p.enumerated() {
      let size = second[index].map(\.magnitude).max() ?? 0
      for (i, got) in gradient(parameter).enumerated() {
        let want = first[index][i] + second[index][i]
        // The sum may be rounded in another order: a few units of the larger addend.
        #expect(abs(got - want) <= 1e-5 * size, "\(parameter.name)[\(i)]: \(got), \(want)")
      }
    }
  }

  @Test func aFrozenWeightGetsNoGradient() {
    for shape in [[4, 2, 2, 3], [8, 3, 3, 8]] {
      let weight = parameter("w", shape, isTrained: false)
      let (input, bias) = (parameter("x", [2, 5, 5, shape[3]]), parameter("b", [shape[0]]))
      let tape = Tape()
      let loss = tape.sum(tape.convolution(input.tensor, weight, bias: bias))
      tape.forward()
      tape.backward(from: loss)
      #expect(gradient(weight).allSatisfy { $0 == 0 })
      #expect(gradient(input).contains { $0 != 0 })
      let outputs = Float(2 * (6 - shape[1]) * (6 - shape[2]))
      #expect(gradient(bias) == Array(repeating: outputs, count: shape[0]))
    }
  }

  @Test func runningAveragesAreThoseOfPyTorch() {
    let x = parameter("x", [3, 1, 1, 2])
    x.tensor.assign([1, 10, 2, 10, 6, 13])
    let (weight, bias) = (parameter("w", [2], isTrained: false), parameter("b", [2]))
    weight.tensor.assign([2, 3])
    bias.tensor.assign([1, 0])
    let statistics = RunningStatistics(channels: 2, momentum: 0.25)
    let tape = Tape()
    let y = tape.batchNorm(x.tensor, weight, bias, statistics, epsilon: 0)
    tape.forward()
    tape.forward()
    // Means 3 and 11, unbiased variances 7 and 3; two steps of a quarter.
    let share = Float(1 - 0.75 * 0.75)
    #expect(statistics.batches == 2)
    #expect((0..<2).map { statistics.mean.base[$0] } == [3 * share, 11 * share])
    #expect(
      (0..<2).map { statistics.variance.base[$0] } == [1 + 6 * share, 1 + 2 * share])
    // Biased variance 14/3: (6 - 3)/√(14/3) · 2 + 1.
    #expect(abs(y.array[4] - (1 + 6 / Float(14.0 / 3).squareRoot())) <= 1e-6)
    let loss = tape.sum(tape.multiply(y, y))
    tape.forward()
    tape.backward(from: loss)
    #expect(gradient(weight) == [0, 0])
    #expect(gradient(bias).contains { $0 != 0 })
  }

  @Test func aTapeThatDoesNotTrainUsesTheRunningAverages() {
    let x = parameter("x", [2, 1, 2, 1])
    x.tensor.assign([1, 2, 3, 4])
    let (weight, bias) = (parameter("w", [1]), parameter("b", [1]))
    weight.tensor.assign([3])
    bias.tensor.assign([0.5])
    let statistics = RunningStatistics(channels: 1)
    statistics.mean.fill(2)
    statistics.variance.fill(4)
    let tape = Tape(isTraining: false)
    let y = tape.batchNorm(x.tensor, weight, bias, statistics, epsilon: 0)
    let loss = tape.sum(y)
    tape.forward()
    tape.backward(from: loss)
    #expect(y.array == [-1, 0.5, 2, 3.5])
    #expect(statistics.batches == 0 && statistics.mean.base[0] == 2)
    // dy/dx = weight/√variance, dw = Σ x̂, db = number of rows.
    #expect(gradient(x) == [1.5, 1.5, 1.5, 1.5])
    #expect(gradient(weight) == [1] && gradient(bias) == [4])
  }

  @Test func theFirstOfEqualsWinsAndNaNOverAll() {
    // One channel, two windows: a tie, and a NaN that is not the last.
    let x = parameter("x", [1, 2, 4, 1])
    x.tensor.assign([1, 5, 0, .nan, 5, 2, 7, 1])
    let tape = Tape()
    let y = tape.maxPool(x.tensor, 2)
    let loss = tape.sum(y)
    tape.forward()
    tape.backward(from: loss)
    #expect(y.array[0] == 5 && y.array[1].isNaN)
    #expect(gradient(x) == [0, 1, 0, 1, 0, 0, 0, 0])
    // A convolution whose outputs are all equal: the pool that is part of it chooses the first as well.
    let (input, weight) = (parameter("i", [1, 4, 4, 8]), parameter("w", [8, 3, 3, 8]))
    input.tensor.value.fill(0)
    let fused = Tape()
    let sum = fused.sum(fused.convolution(input.tensor, weight, padding: 0, pooling: .maximum2))
    fused.forward()
    fused.backward(from: sum)
    // The first output sees places (0, 0) to (2, 2): none of the last row.
    let dx = gradient(input)
    let largest = dx[..<(3 * 32)].map(\.magnitude).max() ?? 0
    // Tiles cancel what lies outside to rounding: eight terms and the transforms, some 40 units of what is cancelled.
    #expect(largest > 0.1 && dx[(3 * 32)...].allSatisfy { abs($0) <= 2e-5 * largest })
  }

  @Test func aSteadyStepAllocatesNoBuffer() {
    let tape = Tape()
    let loss = network(tape, parameters()).loss
    tape.forward()
    tape.backward(from: loss)
    let after = tape.allocations
    tape.forward()
    tape.backward(from: loss)
    #expect(tape.allocations == after && after > 0)
  }
}
