// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Testing

@testable import Autodiff

/// Masks of dropout, which has no twin: it is linear with random factors.
@Suite struct DropoutTests {
  private func run(
    _ p: Double, count: Int, step: UInt64, threads: Int = 1
  ) -> (y: [Float], gradient: [Float]) {
    let x = Parameter("x", shape: [count])
    x.tensor.value.fill(1)
    let tape = Tape(
      pool: WorkerPool(threads: threads), dropoutStream: RandomStream(seed: 5, name: "d"))
    tape.step = step
    let y = tape.dropout(x.tensor, probability: p)
    let loss = tape.sum(y)
    tape.forward()
    tape.backward(from: loss)
    let gradient = x.gradient.materialized
    return (y.array, (0..<count).map { gradient.base[$0] })
  }

  @Test func theShareDroppedIsP() {
    let count = 200_000
    let (y, gradient) = run(0.2, count: count, step: 3)
    let dropped = Double(y.count { $0 == 0 }) / Double(count)
    #expect(abs(dropped - 0.2) <= 4 * (0.16 / Double(count)).squareRoot(), "\(dropped)")
    // Survivors are divided by 1 - p, p being the nearest multiple of 1/65536.
    #expect(Set(y) == [0, Float(65536.0 / (65536 - 13107))])
    #expect(gradient == y)
    // Neighbours are independent: both dropped with p².
    let pairs = Double((0..<(count - 1)).count { y[$0] == 0 && y[$0 + 1] == 0 }) / Double(count - 1)
    #expect(abs(pairs - 0.04) <= 0.002, "\(pairs)")
  }

  @Test func masksDependOnTheStepAndNotOnTheThreads() {
    let one = run(0.5, count: 70_001, step: 1)
    #expect(run(0.5, count: 70_001, step: 1, threads: 3) == one)
    #expect(run(0.5, count: 70_001, step: 2).y != one.y)
  }

  @Test func aTapeThatDoesNotTrainDropsNothing() {
    let x = Parameter("x", shape: [3])
    let tape = Tape(isTraining: false)
    #expect(tape.dropout(x.tensor, probability: 0.5) === x.tensor)
  }

  /// x + dropout(y), differentiated.
  private func residual(_ x: Parameter, _ y: Parameter) -> Tensor {
    let tape = Tape()
    let z = tape.add(x.tensor, y.tensor, dropout: 0.5)
    let loss = tape.sum(z)
    tape.forward()
    tape.backward(from: loss)
    return z
  }

  /// Both shares of x's gradient arrive.
  @Test func anInputThatIsDroppedAndKeptGetsBothGradients() {
    let x = Parameter("x", shape: [4096])
    x.tensor.value.fill(1)
    let y = residual(x, x)
    let gradient = (0..<4096).map { x.gradient.base[$0] }
    #expect(gradient == y.array && Set(gradient) == [1, 3])
  }

  @Test func aResidualDropsTheBranchOnly() {
    let (x, y) = (Parameter("x", shape: [500]), Parameter("y", shape: [500]))
    x.tensor.value.fill(2)
    y.tensor.value.fill(1)
    let z = residual(x, y)
    #expect(Set(z.array) == [2, 4])
    #expect((0..<500).allSatisfy { x.gradient.materialized.base[$0] == 1 })
    #expect((0..<500).allSatisfy { y.gradient.materialized.base[$0] == z.array[$0] - 2 })
  }

  /// Dropped attention probabilities: the expectation over masks is plain attention, and the gradient is
  /// the derivative at the same mask.
  @Test func droppedAttentionIsUnbiasedAndDifferentiatesItsOwnMask() {
    let shape = [1, 9, 4]
    let x = (0..<3).map { index in
      let parameter = Parameter("p\(index)", shape: shape)
      parameter.tensor.assign(RandomStream(seed: 1, name: "x\(index)").normals(36))
      return parameter
    }
    func build(_ p: Double) -> (Tape, Tensor) {
      let tape = Tape()
      return (
        tape,
        tape.attention(
          x[0].tensor, x[1].tensor, x[2].tensor, heads: 2, scope: .causal, dropout: p)
      )
    }
    let (plain, want) = build(0)
    plain.forward()
    let (tape, y) = build(0.3)
    let factors = tape.input(shape)
    factors.assign(RandomStream(seed: 2, name: "w").normals(36))
    let loss = tape.sum(tape.multiply(y, factors))
    var mean = [Double](repeating: 0, count: 36)
    for step in 0..<4000 as Range<UInt64> {
      tape.step = step
      tape.forward()
      for (i, value) in y.array.enumerated() { mean[i] += Double(value) / 4000 }
    }
    for (i, value) in want.array.enumerated() { #expect(abs(mean[i] - Double(value)) <= 0.08) }
    tape.step = 7
    tape.forward()
    tape.backward(from: loss)
    for parameter in x {
      for i in stride(from: 0, to: 36, by: 5) {
        let gradient = Double(parameter.gradient.materialized.base[i])
        let old = parameter.base[i]
        var values: [Double] = []
        for h in [Float(0.01), -0.01] {
          parameter.base[i] = old + h
          tape.forward()
          values.append(Double(loss.scalar))
        }
        parameter.base[i] = old
        let numeric = (values[0] - values[1]) / 0.02
        #expect(abs(numeric - gradient) <= 2e-3 * max(1, abs(gradient)), "\(numeric), \(gradient)")
      }
    }
  }
}
