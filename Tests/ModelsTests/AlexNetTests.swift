// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Clipping
import Foundation
import LinearAlgebra
import Optimizers
import Storage
import Testing

@testable import Models

/// AlexNet and per-sample clipping of it against PyTorch in float64, which takes a backward pass a sample
/// (Goldens/make_alexnet_goldens.py).
@Suite struct AlexNetTests {
  private static func golden(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Goldens/alexnet-\(name).safetensors").path
  }

  private struct Fixture {
    let model: AlexNet
    let tape: Tape
    let logits: Tensor, loss: Tensor

    init(threads: Int = 1, _ gradients: Tape.WeightGradients = .dense) throws {
      model = try AlexNet(loading: golden("weights"))
      let file = try SafetensorsFile(golden("batch"))
      let shape = try file.entry("input").shape
      tape = Tape(pool: WorkerPool(threads: threads), weightGradients: gradients)
      let images = tape.input([shape[0], shape[2], shape[3], 3])
      images.assign(Parameter.values(try file.floats("input"), fromFileShape: shape))
      let targets = tape.indices([shape[0]])
      targets.assign(try file.ints("target").map { Int32($0) })
      logits = model.logits(tape, images, dropout: 0)
      loss = model.loss(tape, logits, targets)
    }

    func differentiate() {
      tape.forward()
      tape.backward(from: loss)
    }

    var gradients: Gradients {
      Gradients(
        model.parameters.map {
          Layer(name: $0.name, gradient: $0.gradient, weights: $0.matrix.readOnly)
        }, pool: tape.pool)
    }

    /// The gradients against those of that prefix.
    func expectGradients(_ prefix: String, within tolerance: Double) throws {
      let file = try SafetensorsFile(golden("gradients"))
      try ModelsTests.expectGradients(of: model.parameters, in: file, prefix, within: tolerance)
    }
  }

  @Test(arguments: [(1, Tape.WeightGradients.dense), (3, .dense), (1, .perSample), (3, .perSample)])
  func everyGradientIsPyTorchs(_ way: (threads: Int, gradients: Tape.WeightGradients)) throws {
    let fixture = try Fixture(threads: way.threads, way.gradients)
    fixture.differentiate()
    let file = try SafetensorsFile(Self.golden("gradients"))
    let want = try file.doubles("loss")[0]
    #expect(abs(Double(fixture.loss.scalar) - want) <= 1e-6 * want)
    #expect(relativeError(fixture.logits.array, try file.floats("logits")) <= 2e-6)
    try fixture.expectGradients("gradient.", within: 5e-6)
  }

  /// The norms without a sample's gradient, and the gradient of clipped samples without a second backward pass.
  @Test(arguments: [1, 3])
  func samplesAreClippedAsInPyTorch(_ threads: Int) throws {
    let fixture = try Fixture(threads: threads, .perSample)
    fixture.differentiate()
    let want = try SafetensorsFile(Self.golden("gradients")).doubles("norms")
    var squares = [Double](repeating: 0, count: want.count)
    for parameter in fixture.model.parameters {
      #expect(parameter.gradient.sampleCount == want.count, "\(parameter.name)")
      #expect(parameter.gradient.addSquaredNorms(to: &squares), "\(parameter.name)")
    }
    for (k, square) in squares.enumerated() {
      let norm = Double(want.count) * square.squareRoot()
      #expect(abs(norm - want[k]) <= 2e-6 * want[k], "sample \(k): \(norm), \(want[k])")
    }
    let gradients = fixture.gradients
    try PerSampleClip(scale: 12, moment: 2).apply(to: gradients)
    #expect(gradients.statistics[0].valueCount == 6 && gradients.statistics[0].clippedCount == 5)
    try fixture.expectGradients("clipped.", within: 5e-6)
  }

  /// To be looked at changes nothing: the entries are those of the whole batch, and samples can still be clipped.
  @Test func aPreviewLeavesTheSamples() throws {
    let fixture = try Fixture(.perSample)
    fixture.differentiate()
    for parameter in fixture.model.parameters where parameter.gradient.isSum {
      parameter.gradient.preview()
      #expect(parameter.gradient.isSum)
    }
    try PerSampleClip(scale: 12, moment: 2).apply(to: fixture.gradients)
    try fixture.expectGradients("clipped.", within: 5e-6)
  }

  @Test func tenStepsOfPerSampleClipping() throws {
    let fixture = try Fixture(.perSample)
    let file = try SafetensorsFile(Self.golden("trajectory"))
    var sgd = SGD(momentum: 0.9)
    let (clip, gradients) = (try PerSampleClip(scale: 12, moment: 2), fixture.gradients)
    for (k, want) in try file.doubles("losses").enumerated() {
      fixture.differentiate()
      #expect(abs(Double(fixture.loss.scalar) - want) <= 1e-5 * want, "step \(k)")
      try clip.apply(to: gradients)
      sgd.step(fixture.model.parameters, learningRate: 0.01)
    }
    for parameter in fixture.model.parameters {
      let error = relativeError(
        parameter.fileValues(parameter.tensor.array), try file.floats("state.\(parameter.name)"))
      #expect(error <= 1e-5, "\(parameter.name): \(error)")
    }
  }

  @Test func aGradientThatIsNotFiniteIsThrown() throws {
    let fixture = try Fixture(.perSample)
    fixture.model.parameters[2].base[0] = .infinity
    fixture.differentiate()
    #expect(throws: LinearAlgebraError.self) {
      try PerSampleClip(scale: 1, moment: 2).apply(to: fixture.gradients)
    }
  }

  @Test func widthsAndFiles() throws {
    let full = AlexNet()
    let shapes = Dictionary(
      uniqueKeysWithValues: full.parameters.map { ($0.name, $0.fileShape) })
    #expect(shapes["features.0.weight"] == [64, 3, 3, 3])
    #expect(shapes["features.3.weight"] == [192, 64, 3, 3])
    #expect(shapes["features.10.weight"] == [256, 256, 3, 3])
    #expect(shapes["classifier.1.weight"] == [4096, 1024])
    #expect(shapes["classifier.6.bias"] == [10] && shapes.count == 16)
    let small = AlexNet(widthDivisor: 16, classes: 7, channels: 1)
    small.initialize(RandomStream(seed: 1, name: "init"))
    let path = NSTemporaryDirectory() + "alexnet-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try small.save(to: path)
    #expect(try AlexNet(loading: path).values == small.values)
    // Dropout acts on a tape that trains, and only there.
    func logits(isTraining: Bool) -> [Float] {
      let tape = Tape(isTraining: isTraining)
      let images = tape.input([1, 32, 32, 1])
      images.value.fill(1)
      let logits = small.logits(tape, images)
      tape.forward()
      return logits.array
    }
    #expect(logits(isTraining: true) != logits(isTraining: false))
  }
}
