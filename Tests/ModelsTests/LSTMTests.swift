// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Clipping
import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Models

/// The LSTM against PyTorch in float64 (Goldens/make_lstm_goldens.py).
@Suite struct LSTMTests {
  private static func golden(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Goldens/\(name).safetensors").path
  }

  private struct Fixture {
    let model: LSTM
    let tape: Tape
    let states: [RecurrentState]
    let loss: Tensor

    init(threads: Int = 1, activation: Double = 0, temporal: Double = 0) throws {
      model = try LSTM(loading: golden("lstm-weights"))
      let file = try SafetensorsFile(golden("lstm-batch"))
      let shape = try file.entry("input").shape
      tape = Tape(pool: WorkerPool(threads: threads))
      let (tokens, targets) = (tape.indices(shape), tape.indices(shape))
      tokens.assign(try file.ints("input").map { Int32($0) })
      targets.assign(try file.ints("target").map { Int32($0) })
      states = model.states(count: shape[1])
      loss = model.loss(
        tape, tokens, targets, states, activation: activation, temporal: temporal)
    }
  }

  /// ‖got - want‖ / ‖want‖.
  private static func error(_ got: UnsafePointer<Float>, _ want: [Float]) -> Double {
    var (error, size) = (0.0, 0.0)
    for i in want.indices {
      error += pow(Double(got[i]) - Double(want[i]), 2)
      size += pow(Double(want[i]), 2)
    }
    return (error / size).squareRoot()
  }

  @Test func sizesComeFromTheFile() throws {
    let model = try LSTM(loading: Self.golden("lstm-weights"))
    #expect(model.shape == LSTM.Shape(vocabulary: 23, embedding: 6, hidden: 19))
  }

  @Test(arguments: [("", 1), ("", 3), ("regularized-", 2)])
  func everyGradientAndTheLastStateArePyTorchs(_ prefix: String, _ threads: Int) throws {
    let isPlain = prefix.isEmpty
    let fixture = try Fixture(
      threads: threads, activation: isPlain ? 0 : 2, temporal: isPlain ? 0 : 1)
    let file = try SafetensorsFile(Self.golden("lstm-gradients"))
    // Run twice: buffers are reused, results must not change.
    for _ in 0..<2 {
      fixture.tape.forward()
      fixture.tape.backward(from: fixture.loss)
    }
    let want = try file.doubles(prefix + "loss")[0]
    #expect(abs(Double(fixture.loss.scalar) - want) <= 1e-6 * want)
    for parameter in fixture.model.parameters {
      let error = Self.error(
        parameter.gradient.materialized.base,
        try file.floats("\(prefix)gradient.\(parameter.name)"))
      #expect(error <= 2e-6, "\(parameter.name): \(error)")
    }
    for (layer, state) in fixture.states.enumerated() {
      #expect(Self.error(state.lastHidden.base, try file.floats("hidden.\(layer)")) <= 1e-6)
      #expect(Self.error(state.lastCell.base, try file.floats("cell.\(layer)")) <= 1e-6)
    }
  }

  @Test func tenClippedStepsThatCarryTheState() throws {
    let fixture = try Fixture()
    let file = try SafetensorsFile(Self.golden("lstm-trajectory"))
    let gradients = Gradients(
      fixture.model.parameters.map {
        Layer(name: $0.name, gradient: $0.gradient, weights: $0.matrix.readOnly)
      })
    let clip = try NormClip(maximumNorm: 0.25, formula: .torch)
    for want in try file.doubles("losses") {
      fixture.tape.forward()
      #expect(abs(Double(fixture.loss.scalar) - want) <= 1e-5 * want)
      fixture.tape.backward(from: fixture.loss)
      try clip.apply(to: gradients)
      for parameter in fixture.model.parameters {
        let gradient = parameter.gradient.materialized
        for i in 0..<parameter.count { parameter.base[i] -= 30 * gradient.base[i] }
      }
      for state in fixture.states { state.carry() }
    }
    for parameter in fixture.model.parameters {
      let want = try file.floats("parameter.\(parameter.name)")
      #expect(Self.error(parameter.base, want) <= 1e-4, "\(parameter.name)")
    }
  }

  @Test func aDecoderInTheFileMustBeTheEmbedding() throws {
    let file = NSTemporaryDirectory() + "lstm-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: file) }
    let source = try LSTM(loading: Self.golden("lstm-weights"))
    func write(embedding name: String, decoder: [Float]?) throws {
      var tensors = source.parameters.map {
        SafetensorsTensor(
          $0.name == "encoder.weight" ? name : $0.name, shape: $0.shape, floats: $0.tensor.array)
      }
      if let decoder {
        tensors.append(SafetensorsTensor("decoder.weight", shape: [23, 6], floats: decoder))
      }
      try SafetensorsFile.write(tensors, to: file)
    }
    let embedding = source.parameters[0].tensor.array
    try write(embedding: "encoder.weight", decoder: embedding)
    #expect(try LSTM(loading: file).values == source.values)
    // Of two names for one matrix some writers keep only the second.
    try write(embedding: "decoder.weight", decoder: nil)
    #expect(try LSTM(loading: file).values == source.values)
    try write(embedding: "encoder.weight", decoder: embedding.map { $0 + 1 })
    #expect(throws: StorageError.self) { try LSTM(loading: file) }
    try source.save(to: file)
    #expect(try LSTM(loading: file).values == source.values)
  }

  @Test func theStartIsTheAuthors() {
    let model = LSTM(.init(vocabulary: 50, embedding: 8, hidden: 25))
    model.initialize(RandomStream(seed: 5, name: "lstm"))
    for parameter in model.parameters {
      let largest = parameter.tensor.array.map(abs).max() ?? 0
      let bound: Float =
        switch parameter.name {
        case "encoder.weight": 0.1
        case "decoder.bias": 0
        case let name where name.hasPrefix("rnns.0"): 1 / Float(25).squareRoot()
        default: 1 / Float(8).squareRoot()
        }
      #expect(largest <= bound && largest >= 0.8 * bound, "\(parameter.name): \(largest)")
    }
    #expect(model.matrices.count == 4 && model.parameters.count == 10)
  }
}
