// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra
import Testing

/// What a batch knows of its samples against a backward pass for each sample alone.
@Suite struct SampleNormTests {
  struct Case: CustomStringConvertible, Sendable {
    let height: Int, width: Int, channels: Int, filters: Int
    var kernel = 3, stride = 1, padding = 1
    var pooling = Tape.Pooling.none

    var description: String {
      "\(height)×\(width)×\(channels) to \(filters), kernel \(kernel), stride \(stride), padding \(padding), \(pooling)"
    }
  }

  /// Both ways to a norm (many outputs an image, few of them), both kinds of convolution, odd sizes that a pool cuts off.
  static let cases = [
    Case(height: 7, width: 6, channels: 3, filters: 5, stride: 2),
    Case(height: 5, width: 3, channels: 2, filters: 3, kernel: 2, padding: 0, pooling: .maximum2),
    Case(height: 9, width: 7, channels: 8, filters: 8, pooling: .maximum2),
    Case(height: 4, width: 4, channels: 24, filters: 40),
    Case(height: 5, width: 3, channels: 33, filters: 24, pooling: .maximum2),
    Case(height: 1, width: 1, channels: 1, filters: 1, kernel: 1, padding: 0),
  ]

  private static let batch = 3

  /// Σ c ⊙ relu(convolution) of images x, c alike for all images, after a backward pass: the tape, which must live as long as the
  /// gradients are products, and weight and bias.
  private func run(
    _ given: Case, images: ArraySlice<Int>, threads: Int, _ gradients: Tape.WeightGradients
  ) -> (tape: Tape, parameters: [Parameter]) {
    let stream = RandomStream(seed: 3, name: "samples")
    let size = given.height * given.width * given.channels
    let weight = Parameter(
      "weight", shape: [given.filters, given.kernel, given.kernel, given.channels])
    let bias = Parameter("bias", shape: [given.filters])
    for parameter in [weight, bias] {
      parameter.tensor.assign(
        stream.child(parameter.name).normals(parameter.count, as: Float.self))
    }
    let tape = Tape(pool: WorkerPool(threads: threads), weightGradients: gradients)
    let x = tape.input([images.count, given.height, given.width, given.channels])
    let all = stream.child("x").normals(Self.batch * size, as: Float.self)
    x.assign(images.flatMap { all[($0 * size)..<(($0 + 1) * size)] })
    let y = tape.relu(
      tape.convolution(
        x, weight, bias: bias, stride: given.stride, padding: given.padding,
        pooling: given.pooling))
    let constant = tape.input(y.shape)
    let one = stream.child("c").normals(y.count / images.count, as: Float.self)
    constant.assign(images.flatMap { _ in one })
    let loss = tape.sum(tape.multiply(y, constant))
    tape.forward()
    tape.backward(from: loss)
    return (tape, [weight, bias])
  }

  private func values(_ parameter: Parameter) -> [Double] {
    let formed = parameter.gradient.materialized
    return (0..<parameter.count).map { Double(formed.base[$0]) }
  }

  @Test(arguments: cases, [1, 3])
  func normsAndWeightedSumsAreThoseOfSingleImages(_ given: Case, _ threads: Int) {
    let alone = (0..<Self.batch).map {
      run(given, images: [$0][...], threads: 1, .dense).parameters.map(values)
    }
    let whole = run(given, images: Array(0..<Self.batch)[...], threads: threads, .perSample)
    let weights = [0.5, 1, 0]
    // Sums of at most h·w·C or P products of Floats; a norm from inner products adds two such errors.
    let tolerance = 4 * Double(given.kernel * given.kernel * given.channels + 64) * 0x1p-24
    for (index, parameter) in whole.parameters.enumerated() {
      var squares = [Double](repeating: 0, count: Self.batch)
      #expect(parameter.gradient.sampleCount == Self.batch)
      #expect(parameter.gradient.addSquaredNorms(to: &squares))
      for k in 0..<Self.batch {
        let want = alone[k][index].reduce(0) { $0 + $1 * $1 }
        #expect(
          abs(squares[k] - want) <= tolerance * max(1, want),
          "\(given), \(parameter.name), image \(k): \(squares[k]) against \(want)")
      }
      parameter.gradient.scaleSamples(by: weights)
      let size = alone.flatMap { $0[index].map(abs) }.max() ?? 1
      for (i, got) in values(parameter).enumerated() {
        let want = zip(alone, weights).reduce(0) { $0 + $1.1 * $1.0[index][i] }
        #expect(
          abs(got - want) <= tolerance * max(1, size),
          "\(given), \(parameter.name)[\(i)]: \(got) against \(want)")
      }
    }
    withExtendedLifetime(whole.tape) {}
  }
}
