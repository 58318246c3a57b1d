// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Testing

@testable import Autodiff

/// Each operation: the twin's gradient against central differences in Double, then the kernel against
/// the twin, on one and on three threads.
@Suite struct OperationTests {
  private func inputs(_ twin: Twin, seed: UInt64 = 1) -> [[Double]] {
    twin.shapes.enumerated().map { index, shape in
      // Values away from the kink of ReLU.
      RandomStream(seed: seed, name: "\(twin.name)/\(index)")
        .normals(shape.reduce(1, *), as: Double.self)
        .map { Double(Float($0.magnitude < 0.05 ? $0 + 0.1 : $0)) }
    }
  }

  private func weights(_ count: Int, _ twin: Twin) -> [Double] {
    RandomStream(seed: 2, name: twin.name).normals(count, as: Double.self)
      .map { Double(Float($0)) }
  }

  @Test(arguments: Twin.all)
  func theTwinsGradientIsTheDerivative(_ twin: Twin) {
    let x = inputs(twin)
    let dy = weights(twin.forward(x).count, twin)
    func loss(_ x: [[Double]]) -> Double { zip(dy, twin.forward(x)).reduce(0) { $0 + $1.0 * $1.1 } }
    let gradient = twin.backward(x, dy)
    // A central difference of step h is off by h² f'''/6 (zero but where a twin names a
    // bound: most are at most quadratic away from kinks) and by rounding ε |loss|/h.
    let h = 1e-4
    let scale = zip(dy, twin.forward(x)).reduce(0) { $0 + abs($1.0 * $1.1) }
    for index in x.indices {
      for i in stride(from: 0, to: x[index].count, by: max(1, x[index].count / 8)) {
        var (up, down) = (x, x)
        up[index][i] += h
        down[index][i] -= h
        let numeric = (loss(up) - loss(down)) / (2 * h)
        #expect(
          abs(numeric - gradient[index][i])
            <= 1e-11 * scale / h + 1e-9 + h * h * twin.curvature * scale,
          "\(twin.name), input \(index)[\(i)]: \(numeric) against \(gradient[index][i])")
      }
    }
  }

  @Test(
    arguments: Twin.all,
    [(1, Tape.WeightGradients.dense), (3, .dense), (2, .lowRank), (1, .perSample)])
  func theKernelIsTheTwin(_ twin: Twin, _ way: (threads: Int, gradients: Tape.WeightGradients)) {
    let x = inputs(twin)
    let parameters = zip(twin.shapes, x).enumerated().map { index, input in
      let parameter = Parameter("p\(index)", shape: input.0)
      parameter.tensor.assign(input.1.map { Float($0) })
      return parameter
    }
    let tape = Tape(pool: WorkerPool(threads: way.threads), weightGradients: way.gradients)
    let y = twin.record(tape, parameters)
    let dy = weights(y.count, twin)
    let constant = tape.input(y.shape)
    constant.assign(dy.map { Float($0) })
    let loss = tape.sum(tape.multiply(y, constant))
    tape.forward()
    tape.backward(from: loss)

    let expected = twin.forward(x)
    // A Float sum of n products is off by at most n·2⁻²⁴ of the sum of their sizes.
    let terms = Double(twin.shapes.map { $0.reduce(1, *) }.max() ?? 1)
    let tolerance = 4 * (terms + 4) * 0x1p-24
    let sizeY = max(1, expected.map(abs).max() ?? 1)
    for (i, (got, want)) in zip(y.array, expected).enumerated() {
      #expect(abs(Double(got) - want) <= tolerance * sizeY, "\(twin.name) y[\(i)]: \(got), \(want)")
    }
    for (index, want) in twin.backward(x, dy).enumerated() {
      let gradient = parameters[index].gradient.materialized
      let size = max(1, want.map(abs).max() ?? 1)
      for i in want.indices {
        #expect(
          abs(Double(gradient.base[i]) - want[i]) <= tolerance * size,
          "\(twin.name), gradient \(index)[\(i)]: \(gradient.base[i]) against \(want[i])")
      }
    }
  }

  /// Every input that is a parameter may be frozen; the others' gradients stay what they are.
  @Test(
    arguments: Twin.all.filter { $0.shapes.count > 1 },
    [Tape.WeightGradients.dense, .lowRank, .perSample])
  func aFrozenParameterGetsNoGradient(_ twin: Twin, _ way: Tape.WeightGradients) {
    func gradients(freezing frozen: Int?) -> [[Float]] {
      let parameters = zip(twin.shapes, inputs(twin)).enumerated().map { index, input in
        let parameter = Parameter("p\(index)", shape: input.0)
        parameter.tensor.assign(input.1.map { Float($0) })
        return index == frozen ? parameter.frozen : parameter
      }
      let tape = Tape(weightGradients: way)
      let loss = tape.sum(twin.record(tape, parameters))
      for _ in 0..<2 {
        tape.forward()
        tape.backward(from: loss)
      }
      return parameters.map { parameter in
        let gradient = parameter.gradient.materialized
        return (0..<gradient.count).map { gradient.base[$0] }
      }
    }
    let all = gradients(freezing: nil)
    for frozen in twin.shapes.indices {
      var expected = all
      expected[frozen] = all[frozen].map { _ in 0 }
      #expect(gradients(freezing: frozen) == expected, "\(twin.name), input \(frozen)")
    }
  }

  @Test func nanPassesThroughReLU() {
    let x = Parameter("x", shape: [3])
    x.tensor.assign([.nan, -1, 2])
    let tape = Tape()
    let y = tape.relu(x.tensor)
    tape.forward()
    #expect(y.array[0].isNaN && y.array[1] == 0 && y.array[2] == 2)
  }
}

/// What a network that diverged hands on to its products of matrices: zeros where there would be subnormal numbers.
@Suite struct SaturationTests {
  private func gradient(of parameter: Parameter) -> [Float] {
    Array(UnsafeBufferPointer(start: parameter.gradient.materialized.base, count: parameter.count))
  }

  @Test func saturatedGatesGiveZeros() {
    let (x, state) = (Parameter("x", shape: [1, 1, 1]), RecurrentState(count: 1, width: 64))
    x.tensor.assign([1])
    state.cell.assign((0..<64).map { Float($0) / 64 })
    // The output gate at -80 … -95, the others moderate or far out as well.
    let biases = (0..<256).map { (i: Int) -> Float in
      i < 192 ? Float(i % 5) * -21 : -80 - Float(i - 192) / 4
    }
    let weights = LSTMWeights(
      inputWeight: Parameter("wi", shape: [256, 1]),
      hiddenWeight: Parameter("wh", shape: [256, 64]),
      inputBias: Parameter("bi", shape: [256]), hiddenBias: Parameter("bh", shape: [256]))
    weights.inputBias.tensor.assign(biases)
    let tape = Tape()
    let y = tape.lstm(x.tensor, weights, state)
    let loss = tape.sum(y)
    tape.forward()
    tape.backward(from: loss)
    let slopes = gradient(of: weights.inputBias)
    #expect(y.array.contains { $0 != 0 } && y.array.contains(0) && slopes.contains { $0 != 0 })
    #expect((y.array + slopes).allSatisfy { !$0.isSubnormal }, "\(y.array) \(slopes)")
  }

  @Test(arguments: [false, true])
  func unlikelyClassesHaveNoSlope(fused: Bool) {
    let weight = Parameter("w", shape: [200, 1])
    weight.tensor.assign((0..<200).map { $0 == 0 ? 0 : -70 - Float($0) / 10 })
    let x = Parameter("x", shape: [1, 1])
    x.tensor.assign([1])
    let target = Indices(shape: [1])
    let tape = Tape()
    let loss =
      fused
      ? tape.linearCrossEntropy(x.tensor, weight, target, total: 1000)
      : tape.crossEntropy(tape.linear(x.tensor, weight), target)
    tape.forward()
    tape.backward(from: loss)
    let slopes = gradient(of: weight)
    #expect(slopes[1] > 0 && slopes[199] == 0 && slopes.allSatisfy { !$0.isSubnormal }, "\(slopes)")
  }
}

/// Where the operations of a variational autoencoder are on their own.
@Suite struct VariationalOperationTests {
  @Test func nanPassesAndFarArgumentsSaturate() {
    let x = Parameter("x", shape: [5])
    x.tensor.assign([.nan, -1e30, 1e30, 0, -2])
    let tape = Tape()
    let (leaky, sigmoid) = (tape.leakyReLU(x.tensor, slope: 0.5), tape.sigmoid(x.tensor))
    let loss = tape.sum(tape.add(leaky, sigmoid))
    tape.forward()
    tape.backward(from: loss)
    #expect(leaky.array[0].isNaN && sigmoid.array[0].isNaN)
    #expect(leaky.array[1...] == [-5e29, 1e30, 0, -1])
    // e^88 is the largest power: 1/(1 + e^88) is below every normal number's square root, and not negative.
    #expect(sigmoid.array[1] >= 0 && sigmoid.array[1] < 1e-37 && sigmoid.array[2] == 1)
    // The slope at 0 is that of the negative side, as in PyTorch.
    #expect(x.gradient.materialized.base[3] == 0.75)
  }

  /// A law that is standard has no divergence, and a reconstruction that is exact no error.
  @Test func nothingIsLostWhereNothingIsWrong() {
    let (mean, logVariance) = (Parameter("m", shape: [2, 3]), Parameter("v", shape: [2, 3]))
    let guess = Parameter("g", shape: [2, 4])
    let tape = Tape()
    let x = tape.input([2, 4])
    guess.tensor.value.fill(0.25)
    x.value.fill(0.25)
    let loss = tape.variationalLoss(
      guess.tensor, of: x, mean: mean.tensor, logVariance: logVariance.tensor)
    tape.forward()
    tape.backward(from: loss)
    #expect(loss.scalar == 0)
    for parameter in [mean, logVariance, guess] {
      #expect((0..<parameter.count).allSatisfy { parameter.gradient.base[$0] == 0 })
    }
    // A divergence far below its terms: ½(e^v - 1 - v) at v = 2⁻⁶ is v²/4 (1 + v/3 + …), and e^v is off by 2⁻²³ at most.
    logVariance.tensor.value.fill(0x1p-6)
    tape.forward()
    let want = 6 * 0x1p-14
    #expect(abs(Double(loss.scalar) - want) <= 0.01 * want, "\(loss.scalar), not \(want)")
  }
}

@Suite struct TapeTests {
  /// loss = Σ (W x)² by way of a value used twice.
  private func square(_ tape: Tape, _ weight: Parameter, _ x: Tensor) -> Tensor {
    let y = tape.linear(x, weight)
    return tape.sum(tape.multiply(y, y))
  }

  @Test func aValueUsedTwiceGetsBothGradients() {
    let weight = Parameter("w", shape: [2, 3])
    weight.tensor.assign([1, -2, 3, 0.5, 4, -1])
    let tape = Tape()
    let x = tape.input([1, 3])
    let loss = square(tape, weight, x)
    x.assign([2, 1, -1])
    tape.forward()
    tape.backward(from: loss)
    // y = (-3, 6), loss 45, dW = 2 y xᵀ.
    #expect(loss.scalar == 45)
    let gradient = weight.gradient.materialized
    #expect((0..<6).map { gradient.base[$0] } == [-12, -6, 6, 24, 12, -12])
  }

  @Test func gradientsOfTwoBatchesAddUp() {
    let weight = Parameter("w", shape: [2, 3])
    weight.tensor.assign([1, -2, 3, 0.5, 4, -1])
    let tape = Tape()
    let x = tape.input([1, 3])
    let loss = square(tape, weight, x)
    var separate = [Float](repeating: 0, count: 6)
    for values in [[2, 1, -1], [0, 3, 1]] as [[Float]] {
      x.assign(values)
      tape.forward()
      tape.backward(from: loss)
      for i in 0..<6 { separate[i] += weight.gradient.materialized.base[i] }
    }
    for (k, values) in ([[2, 1, -1], [0, 3, 1]] as [[Float]]).enumerated() {
      x.assign(values)
      tape.forward()
      tape.backward(from: loss, accumulating: k > 0)
    }
    #expect((0..<6).map { weight.gradient.materialized.base[$0] } == separate)
  }

  @Test func aSteadyStepAllocatesNoBuffer() {
    let weights = (0..<3).map { Parameter("w\($0)", shape: [8, 8]) }
    let tape = Tape()
    let x = tape.input([4, 8])
    var y = x
    for weight in weights { y = tape.relu(tape.linear(y, weight)) }
    let loss = tape.mean(y)
    tape.forward()
    tape.backward(from: loss)
    let after = tape.allocations
    for _ in 0..<5 {
      tape.forward()
      tape.backward(from: loss)
    }
    #expect(tape.allocations == after)
    #expect(after > 0)
  }

  @Test func gradientBuffersAreShared() {
    // Forty layers need far fewer gradient buffers than forty.
    let weight = Parameter("w", shape: [6, 6])
    func allocations(_ depth: Int) -> Int {
      let tape = Tape()
      var y = tape.input([20, 6])
      for _ in 0..<depth { y = tape.relu(tape.linear(y, weight)) }
      let loss = tape.mean(y)
      tape.forward()
      let before = tape.allocations
      tape.backward(from: loss)
      return tape.allocations - before
    }
    #expect(allocations(40) <= 4)
  }

  @Test func threadsDoNotChangeABit() {
    func gradient(_ threads: Int) -> [Float] {
      let weight = Parameter("w", shape: [40, 300])
      weight.tensor.assign(RandomStream(seed: 5, name: "w").normals(12_000))
      let tape = Tape(pool: WorkerPool(threads: threads))
      let x = tape.input([500, 300])
      x.assign(RandomStream(seed: 5, name: "x").normals(150_000))
      let loss = tape.mean(tape.relu(tape.linear(x, weight)))
      tape.forward()
      tape.backward(from: loss)
      let formed = weight.gradient.materialized
      return [loss.scalar] + (0..<formed.count).map { formed.base[$0] }
    }
    let one = gradient(1)
    #expect(one == gradient(2))
    #expect(one == gradient(3))
  }
}
