// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Models

/// Weights that know what their shapes do not say.
@Suite struct ModelConfigurationTests {
  private let folder = NSTemporaryDirectory() + "configuration-\(UUID().uuidString)"

  init() throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  private func model(_ form: GPT.Form) -> GPT {
    let model = GPT(form, .init(vocabulary: 11, block: 6, layers: 2, heads: 4, width: 8))
    model.initialize(RandomStream(seed: 1, name: "configuration"))
    return model
  }

  private func saved(_ model: GPT, _ configuration: ModelConfiguration?) throws -> String {
    let path = "\(folder)/\(model.form.rawValue).safetensors"
    try model.save(to: path, configuration: configuration)
    return path
  }

  private func beside(_ text: String?) throws {
    let path = folder + "/config.json"
    try? FileManager.default.removeItem(atPath: path)
    try text.map { try AtomicFile.write($0, to: path) }
  }

  @Test(arguments: GPT.Form.allCases) func whatIsSavedComesBackWhole(_ form: GPT.Form) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let model = model(form)
    let path = try saved(model, model.configuration)
    // From the metadata, then from the file beside alone.
    let own = try GPT(loading: path, form: form)
    #expect(own.shape == model.shape && own.values == model.values)
    let text = try String(contentsOfFile: folder + "/config.json", encoding: .utf8)
    let json = try #require(
      JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    #expect(json["n_head"] as? Int == 4 && json["n_positions"] as? Int == 6)
    #expect(json["activation_function"] as? String == (form == .gpt2 ? "gelu_new" : "gelu"))
    let bare = try saved(model, nil)
    #expect(try GPT(loading: bare, form: form).shape == model.shape)
    // What is given counts for more.
    #expect(try GPT(loading: bare, form: form, heads: 2).shape.heads == 2)
  }

  @Test func withoutAnyGPT2TakesItsConventionAndSaysSo() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var notes: [String] = []
    let wide = GPT(.gpt2, .init(vocabulary: 3, block: 2, layers: 1, heads: 2, width: 128))
    let path = try saved(wide, nil)
    let found = try GPT(loading: path, form: .gpt2) { notes.append($0) }
    #expect(found.shape.heads == 2 && notes.count == 1 && notes[0].contains("2 taken"))
    #expect(try GPT(loading: path, form: .gpt2, heads: 4).shape.heads == 4)
  }

  @Test(arguments: [GPT.Form.nanoGPT, .karpathy])
  func othersWithSeveralPossibleAnswersAreRefused(_ form: GPT.Form) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = try saved(model(form), nil)
    let error = #expect(throws: StorageError.self) { try GPT(loading: path, form: form) }
    #expect(error?.hint == "give --heads, one of 1, 2, 4, 8")
    // A single channel leaves no choice.
    let thin = GPT(form, .init(vocabulary: 3, block: 2, layers: 1, heads: 1, width: 1))
    #expect(try GPT(loading: saved(thin, nil), form: form).shape.heads == 1)
  }

  @Test(arguments: [
    (#"{"n_head": 2}"#, 2), (#"{"num_attention_heads": 8, "n_layer": 2}"#, 8),
    (#"{"n_head": 1, "n_embd": 8, "other": [1, {"a": null}]}"#, 1),
    (#"{"n_head": 2, "activation_function": "gelu", "layer_norm_epsilon": 0.00001}"#, 2),
  ]) func configurationsOfOthersAreRead(_ text: String, _ heads: Int) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = try saved(model(.nanoGPT), nil)
    try beside(text)
    #expect(try GPT(loading: path, form: .nanoGPT).shape.heads == heads)
  }

  @Test(arguments: [
    (#"{"n_head": 3}"#, "3 heads"), (#"{"n_head": 2, "n_embd": 16}"#, "n_embd 16"),
    (#"{"n_head": 2, "num_hidden_layers": 3}"#, "num_hidden_layers 3"),
    (#"{"n_head": 2, "activation_function": "relu"}"#, "activation_function relu"),
    (#"{"n_head": 2, "layer_norm_epsilon": 1e-6}"#, "layer_norm_epsilon 1e-6"),
    (#"{"n_head": 2, "scale_attn_weights": false}"#, "scale_attn_weights false"),
    (#"{"n_head": 0}"#, "0 heads"), ("[]", "not an object"), (#"{"n_head": "#, "not JSON"),
    (String(repeating: "[", count: 100_000), "not JSON"), (#"{"n_head": 1e999}"#, "do not say"),
  ]) func wrongConfigurationsAreOneLine(_ text: String, _ words: String) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = try saved(model(.nanoGPT), nil)
    try beside(text)
    let error = #expect(throws: StorageError.self) { try GPT(loading: path, form: .nanoGPT) }
    let line = error.map { "\($0)" } ?? ""
    #expect(line.contains(words) && !line.contains("\n"), "\(line)")
  }

  @Test func imagesTooKnowTheirHeads() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var shape = ViT.Shape()
    (shape.grid, shape.layers, shape.heads, shape.width, shape.hidden) = (2, 1, 2, 8, 16)
    let model = ViT(shape)
    let path = folder + "/vit.safetensors"
    try model.save(to: path)
    #expect(throws: StorageError.self) { try ViT(loading: path) }
    try model.save(to: path, configuration: model.configuration)
    #expect(try ViT(loading: path).shape == shape)
  }

  /// q, k and v in one matrix, other names, no biases: the same function.
  @Test(arguments: [true, false]) func karpathysNamesAreTheSameModel(_ biased: Bool) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let golden = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Goldens/"
    let author = try GPT(loading: golden + "nanogpt-weights.safetensors", form: .nanoGPT, heads: 2)
    if !biased {
      for parameter in author.parameters where parameter.name.hasSuffix(".bias") {
        parameter.tensor.value.fill(0)
      }
    }
    let fused = Self.karpathys(author.parameters, biased: biased) { parameter in
      Array(UnsafeBufferPointer(start: parameter.base, count: parameter.count))
    }
    let path = folder + "/karpathy.safetensors"
    try SafetensorsFile.write(
      fused.map { SafetensorsTensor($0.name, shape: $0.shape, floats: $0.values) }, to: path)
    let model = try GPT(loading: path, form: .nanoGPT, heads: 2)
    #expect(model.form == .karpathy && model.shape == author.shape)
    #expect(model.parameters.contains { $0.name.hasSuffix(".bias") } == biased)
    let file = try SafetensorsFile(golden + "nanogpt-batch.safetensors")
    func gradients(_ model: GPT) throws -> (loss: Float, gradients: [String: [Float]]) {
      let tape = Tape()
      let shape = try file.entry("input").shape
      let (tokens, targets) = (tape.indices(shape), tape.indices(shape))
      let loss = model.loss(tape, tokens, targets)
      tokens.assign(try file.ints("input").map { Int32($0) })
      targets.assign(try file.ints("target").map { Int32($0) })
      tape.forward()
      tape.backward(from: loss)
      func values(_ parameter: Parameter) -> [Float] {
        Array(
          UnsafeBufferPointer(
            start: parameter.gradient.materialized.base, count: parameter.count))
      }
      let found =
        model.form == .karpathy
        ? model.parameters.map { ($0.name, values($0)) }
        : Self.karpathys(model.parameters, biased: biased, values).map { ($0.name, $0.values) }
      return (loss.scalar, Dictionary(uniqueKeysWithValues: found))
    }
    let (want, got) = (try gradients(author), try gradients(model))
    #expect(abs(want.loss - got.loss) <= 8 * Float.ulpOfOne * want.loss)
    #expect(Set(want.gradients.keys) == Set(got.gradients.keys))
    for (name, values) in want.gradients {
      let other = try #require(got.gradients[name])
      let size = values.reduce(1e-2) { $0 + Double($1 * $1) }.squareRoot()
      let error = zip(values, other).reduce(0) { $0 + pow(Double($1.0 - $1.1), 2) }.squareRoot()
      #expect(error <= 2e-6 * size, "\(name): \(error) of \(size)")
    }
  }

  /// The parameters of an author's nanoGPT under Karpathy's names: q, k and v are one.
  private static func karpathys(
    _ parameters: [Parameter], biased: Bool, _ values: (Parameter) -> [Float]
  ) -> [(name: String, shape: [Int], values: [Float])] {
    var tensors: [(name: String, shape: [Int], values: [Float])] = []
    for parameter in parameters where biased || !parameter.name.hasSuffix(".bias") {
      let name = parameter.name.replacingOccurrences(of: "token_emb", with: "wte")
        .replacingOccurrences(of: "pos_emb", with: "wpe")
      if name.contains("to_k") || name.contains("to_v") { continue }
      guard name.contains("to_q") else {
        tensors.append((name, parameter.shape, values(parameter)))
        continue
      }
      let three = ["to_q", "to_k", "to_v"].map {
        parameter.name.replacingOccurrences(of: "to_q", with: $0)
      }
      let joined = three.flatMap { name in
        parameters.first { $0.name == name }.map(values) ?? []
      }
      tensors.append(
        (
          name.replacingOccurrences(of: "to_q", with: "c_attn"),
          [3 * parameter.shape[0]] + parameter.shape.dropFirst(), joined
        ))
    }
    return tensors
  }
}
