// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Optimizers
import Storage
import Testing

@testable import Models

/// The variational autoencoder against PyTorch in float64 (Goldens/make_vae_goldens.py).
@Suite struct VAETests {
  private static func golden(_ name: String) throws -> SafetensorsFile {
    try SafetensorsFile(path(name))
  }

  private static func path(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Goldens/vae-\(name).safetensors").path
  }

  private struct Fixture {
    let model: VAE
    let tape: Tape
    let noise: Tensor
    let loss: Tensor

    init(threads: Int = 1, weightGradients: Tape.WeightGradients = .dense) throws {
      model = try VAE(loading: path("weights"))
      let file = try golden("batch")
      let rows = try file.entry("input").shape[0]
      tape = Tape(pool: WorkerPool(threads: threads), weightGradients: weightGradients)
      let x = tape.input([rows, model.inputs])
      noise = tape.input([rows, model.latent])
      x.assign(try file.floats("input"))
      noise.assign(try file.floats("noise"))
      loss = model.loss(tape, x, noise: noise)
    }
  }

  @Test(arguments: [(1, Tape.WeightGradients.dense), (3, .dense), (2, .lowRank), (1, .perSample)])
  func everyGradientIsPyTorchs(_ way: (threads: Int, gradients: Tape.WeightGradients)) throws {
    let fixture = try Fixture(threads: way.threads, weightGradients: way.gradients)
    let file = try Self.golden("gradients")
    fixture.tape.forward()
    fixture.tape.backward(from: fixture.loss)
    let want = try file.doubles("loss")[0]
    #expect(abs(Double(fixture.loss.scalar) - want) <= 1e-6 * want)
    try expectGradients(of: fixture.model.parameters, in: file, within: 2e-6)
  }

  @Test func tenStepsOfAdam() throws {
    let fixture = try Fixture()
    let file = try Self.golden("trajectory")
    let noises = try file.floats("noise")
    var adam = Adam()
    for (k, want) in try file.doubles("losses").enumerated() {
      let count = fixture.noise.count
      fixture.noise.assign(Array(noises[(k * count)..<((k + 1) * count)]))
      fixture.tape.forward()
      #expect(abs(Double(fixture.loss.scalar) - want) <= 1e-6 * want, "step \(k)")
      fixture.tape.backward(from: fixture.loss)
      adam.step(fixture.model.parameters, learningRate: 1e-3)
    }
    for parameter in fixture.model.parameters {
      let error = relativeError(
        parameter.tensor.array, try file.floats("state.\(parameter.name)"))
      #expect(error <= 1e-5, "\(parameter.name): \(error)")
    }
  }

  @Test func theStateComesBackFromAFile() throws {
    let model = VAE(inputs: 12, hidden: 4, latent: 3)
    model.initialize(RandomStream(seed: 1, name: "init"))
    let path = NSTemporaryDirectory() + "vae-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try model.save(to: path)
    #expect(try VAE(loading: path).values == model.values)
    #expect(
      try SafetensorsFile(path).entries.map(\.name).sorted()
        == Self.golden("weights").entries.map(\.name).sorted())
    // torch's default: uniform on ±1/√in, biases too.
    for parameter in model.parameters where parameter.name.hasPrefix("Encoder.FC_layer_1") {
      let bound = 1 / Float(12).squareRoot()
      #expect(parameter.tensor.array.allSatisfy { abs($0) <= bound && $0 != 0 })
    }
    #expect(VAE().parameterCount == 2 * 784 * 50 + 5 * 2500 + 6 * 50 + 784)
  }

  @Test func filesOfOtherModelsAreRefusedByName() throws {
    let path = NSTemporaryDirectory() + "vae-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let good = try Self.golden("weights")
    func message(_ change: (TensorEntry) throws -> SafetensorsTensor?) throws -> String {
      try SafetensorsFile.write(try good.entries.compactMap(change), to: path)
      do {
        _ = try VAE(loading: path)
        return ""
      } catch { return "\(error)" }
    }
    func same(_ entry: TensorEntry) throws -> SafetensorsTensor {
      SafetensorsTensor(entry, bytes: try good.bytes(entry.name))
    }
    #expect(try message(same) == "")
    for name in ["Encoder.FC_mean.weight", "Decoder.FC_output.bias"] {
      #expect(try message { $0.name == name ? nil : try same($0) }.contains(name))
    }
    for shape in [[3], [1, 3, 1], [0, 3]] {
      let text = try message {
        $0.name == "Encoder.FC_layer_1.weight"
          ? SafetensorsTensor(
            $0.name, shape: shape, floats: .init(repeating: 1, count: shape.reduce(1, *)))
          : try same($0)
      }
      #expect(text.contains("Encoder.FC_layer_1.weight") && text.contains("\(shape)"), "\(text)")
    }
  }
}
