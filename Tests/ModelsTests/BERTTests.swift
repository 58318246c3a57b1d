// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Optimizers
import Storage
import Testing

@testable import Models

/// The BERT classifier against Hugging Face's with eager attention (Goldens/make_bert_goldens.py).
@Suite struct BERTTests {
  private static func path(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Goldens/bert-\(name).safetensors").path
  }

  private struct Fixture {
    let model: BERT
    let tape: Tape
    let logits: Tensor, loss: Tensor

    init(threads: Int = 1) throws {
      model = try BERT.load(path("weights"), heads: 3).model
      let file = try SafetensorsFile(path("batch"))
      tape = Tape(pool: WorkerPool(threads: threads))
      let tape = tape
      let given = try ["input_ids", "attention_mask", "labels"].map { name in
        let indices = tape.indices(try file.entry(name).shape)
        indices.assign(try file.ints(name).map { Int32($0) })
        return indices
      }
      logits = model.logits(tape, given[0], mask: given[1])
      loss = model.loss(tape, logits, given[2])
    }
  }

  @Test(arguments: [1, 3]) func everyGradientIsPyTorchs(_ threads: Int) throws {
    let fixture = try Fixture(threads: threads)
    let file = try SafetensorsFile(Self.path("gradients"))
    fixture.tape.forward()
    fixture.tape.backward(from: fixture.loss)
    let want = try file.doubles("loss")[0]
    #expect(abs(Double(fixture.loss.scalar) - want) <= 2e-6 * want)
    #expect(relativeError(fixture.logits.array, try file.floats("logits"), floor: 1e-2) <= 4e-6)
    // Sums of a few dozen terms through a dozen layers, each rounded to 2⁻²⁴.
    try expectGradients(of: fixture.model.parameters, in: file, within: 8e-6, floor: 1e-2)
  }

  @Test func tenStepsOfAdamW() throws {
    let fixture = try Fixture()
    let file = try SafetensorsFile(Self.path("trajectory"))
    var adam = Adam(weightDecay: 0.01, isDecoupled: true)
    for (k, want) in try file.doubles("losses").enumerated() {
      fixture.tape.forward()
      #expect(abs(Double(fixture.loss.scalar) - want) <= 2e-5 * want, "step \(k)")
      fixture.tape.backward(from: fixture.loss)
      adam.step(fixture.model.parameters, learningRate: 1e-3)
    }
    for parameter in fixture.model.parameters {
      // The gradient of the keys' bias is zero but for rounding, and Adam makes steps of it all the same.
      if parameter.name.hasSuffix("key.bias") { continue }
      let error = relativeError(
        parameter.tensor.array, try file.floats("state.\(parameter.name)"), floor: 1e-2)
      #expect(error <= 1e-4, "\(parameter.name): \(error)")
    }
  }

  @Test func anEncoderIsCompletedAndSaid() throws {
    let path = NSTemporaryDirectory() + "bert-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let good = try SafetensorsFile(Self.path("weights"))
    func write(_ keep: (String) -> Bool, prefix: String) throws {
      try SafetensorsFile.write(
        try good.entries.filter { keep($0.name) }.map {
          let name = $0.name.hasPrefix("bert.") ? prefix + $0.name.dropFirst(5) : $0.name
          return SafetensorsTensor(name, shape: $0.shape, floats: try good.floats($0.name))
        }, to: path)
    }
    let stream = RandomStream(seed: 1, name: "complete")
    let whole = try BERT.load(Self.path("weights"), heads: 3, completing: stream)
    #expect(whole.completed.isEmpty)
    // BertModel's names, no classifier.
    try write({ !$0.hasPrefix("classifier") }, prefix: "")
    let (model, completed) = try BERT.load(path, heads: 3, labels: 4, completing: stream)
    #expect(completed == ["classifier.weight", "classifier.bias"])
    for (own, given) in zip(model.parameters, whole.model.parameters) {
      #expect(
        own.name == given.name
          && (own.tensor.array == given.tensor.array) != completed.contains(own.name))
    }
    let again = try BERT.load(path, heads: 3, labels: 4, completing: stream).model
    #expect(again.values == model.values)
    try write({ !$0.contains("pooler") }, prefix: "bert.")
    #expect(
      try BERT.load(path, heads: 3, completing: stream).completed
        == ["bert.pooler.dense.weight", "bert.pooler.dense.bias"])
    // Without a stream, and for a layer of which a part is there, it is an error that names the tensor.
    func message(_ stream: RandomStream?) -> String {
      do {
        _ = try BERT.load(path, heads: 3, completing: stream)
        return ""
      } catch { return "\(error)" }
    }
    #expect(message(nil).contains("bert.pooler.dense.weight"))
    try write({ $0 != "classifier.bias" }, prefix: "bert.")
    #expect(message(stream).contains("classifier.bias"))
    try write({ !$0.contains("layer.1.output.dense.bias") }, prefix: "bert.")
    #expect(message(stream).contains("layer.1.output.dense.bias"))
  }
}
