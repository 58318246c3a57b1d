// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Optimizers
import Storage
import Testing

@testable import Models

/// GPT against PyTorch in float64 (Goldens/make_goldens.py), in both forms.
@Suite struct GPTTests {
  private static func golden(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Goldens/\(name).safetensors").path
  }

  /// The forms of the paper; the third is the first under other names (ModelConfigurationTests).
  private static let withGoldens = [GPT.Form.nanoGPT, .gpt2]

  private static func heads(_ form: GPT.Form) -> Int { form == .nanoGPT ? 2 : 4 }

  private struct Fixture {
    let model: GPT
    let tape: Tape
    let tokens: Indices
    let targets: Indices
    let loss: Tensor

    init(
      _ form: GPT.Form, batch: String, threads: Int = 1, precision: ProductPrecision = .fp32
    ) throws {
      let name = form.rawValue
      model = try GPT(
        loading: golden("\(name)-weights"), form: form, heads: heads(form))
      let file = try SafetensorsFile(golden("\(name)-\(batch)"))
      let shape = try file.entry("input").shape
      tape = Tape(pool: WorkerPool(threads: threads), precision: precision)
      tokens = tape.indices(shape)
      targets = tape.indices(shape)
      loss = model.loss(tape, tokens, targets)
      tokens.assign(try file.ints("input").map { Int32($0) })
      targets.assign(try file.ints("target").map { Int32($0) })
    }
  }

  /// ‖got - want‖ / ‖want‖ with an absolute floor, for gradients that vanish exactly.
  private static func error(_ got: UnsafePointer<Float>, _ want: [Float]) -> Double {
    var (error, size) = (0.0, 0.0)
    for i in want.indices {
      error += pow(Double(got[i]) - Double(want[i]), 2)
      size += pow(Double(want[i]), 2)
    }
    return (error / (size + 1e-2)).squareRoot()
  }

  @Test(arguments: withGoldens)
  func sizesComeFromTheFile(_ form: GPT.Form) throws {
    let model = try GPT(
      loading: Self.golden("\(form.rawValue)-weights"), form: form, heads: Self.heads(form))
    let isNano = form == .nanoGPT
    #expect(
      model.shape
        == GPT.Shape(
          vocabulary: isNano ? 65 : 97, block: isNano ? 16 : 12, layers: 2, heads: isNano ? 2 : 4,
          width: 32))
  }

  @Test(arguments: withGoldens)
  func logitsAreThoseOfPyTorch(_ form: GPT.Form) throws {
    let fixture = try Fixture(form, batch: "batch")
    let want = try SafetensorsFile(Self.golden("\(form.rawValue)-gradients")).floats("logits")
    let tape = Tape(isTraining: false)
    let tokens = tape.indices(fixture.tokens.shape)
    let logits = fixture.model.logits(tape, tokens)
    tokens.assign((0..<tokens.count).map { fixture.tokens.base[$0] })
    tape.forward()
    #expect(Self.error(logits.value.base, want) <= 1e-6)
  }

  @Test(arguments: withGoldens, [("batch", "", 1), ("batch", "", 3), ("short", "short-", 2)])
  func everyGradientIsPyTorchs(
    _ form: GPT.Form, _ way: (batch: String, prefix: String, threads: Int)
  ) throws {
    let fixture = try Fixture(form, batch: way.batch, threads: way.threads)
    let file = try SafetensorsFile(Self.golden("\(form.rawValue)-\(way.prefix)gradients"))
    // Run twice: buffers are reused, results must not change.
    for _ in 0..<2 {
      fixture.tape.forward()
      fixture.tape.backward(from: fixture.loss)
    }
    let want = try file.doubles("loss")[0]
    #expect(abs(Double(fixture.loss.scalar) - want) <= 1e-6 * want)
    for parameter in fixture.model.parameters {
      let error = Self.error(
        parameter.gradient.materialized.base, try file.floats("gradient.\(parameter.name)"))
      // PyTorch in float32 is within 1.4e-7 of the same goldens; sums run in another order here.
      #expect(error <= 1e-6, "\(parameter.name): \(error)")
    }
  }

  /// The same in bfloat16: two factors are rounded in each product on the way through the layers and back.
  @Test(
    .enabled(if: BFloat16.isSupported, "this CPU has no AVX512_BF16"),
    arguments: withGoldens, [1, 3])
  func everyGradientInBFloat16(_ form: GPT.Form, _ threads: Int) throws {
    let fixture = try Fixture(form, batch: "batch", threads: threads, precision: .bf16)
    let file = try SafetensorsFile(Self.golden("\(form.rawValue)-gradients"))
    fixture.tape.forward()
    fixture.tape.backward(from: fixture.loss)
    let forward = Double(4 * fixture.model.shape.layers + 1)
    let want = try file.doubles("loss")[0]
    let error = abs(Double(fixture.loss.scalar) - want)
    #expect(error <= forward * BFloat16.unitRoundoff * want && error > 1e-6 * want)
    for parameter in fixture.model.parameters {
      let error = Self.error(
        parameter.gradient.materialized.base, try file.floats("gradient.\(parameter.name)"))
      #expect(error <= 2 * forward * BFloat16.unitRoundoff, "\(parameter.name): \(error)")
    }
    #expect(fixture.tape.precision == .bf16)
  }

  @Test(arguments: withGoldens)
  func tenStepsOfAdamW(_ form: GPT.Form) throws {
    let fixture = try Fixture(form, batch: "batch")
    let file = try SafetensorsFile(Self.golden("\(form.rawValue)-trajectory"))
    var adam = Adam(
      beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, isDecoupled: true)
    for want in try file.doubles("losses") {
      fixture.tape.forward()
      #expect(abs(Double(fixture.loss.scalar) - want) <= 1e-5 * want)
      fixture.tape.backward(from: fixture.loss)
      adam.step(fixture.model.parameters, learningRate: 3e-3)
    }
    let width = fixture.model.shape.width
    for parameter in fixture.model.parameters {
      // Key biases have no gradient, so Adam turns their rounding errors into steps.
      if parameter.name.hasSuffix("to_k.bias") { continue }
      var want = try file.floats("parameter.\(parameter.name)")
      if parameter.name.hasSuffix("c_attn.bias") {
        for i in width..<(2 * width) { want[i] = parameter.base[i] }
      }
      #expect(Self.error(parameter.base, want) <= 1e-5, "\(parameter.name)")
    }
  }

  @Test func accumulatingPiecesIsTheWholeBatch() throws {
    let whole = try Fixture(.gpt2, batch: "batch")
    whole.tape.forward()
    whole.tape.backward(from: whole.loss)
    let want = whole.model.parameters.map {
      Array(UnsafeBufferPointer(start: $0.gradient.materialized.base, count: $0.count))
    }
    let length = whole.tokens.shape[1]
    let tape = Tape()
    let (tokens, targets) = (tape.indices([1, length]), tape.indices([1, length]))
    let loss = whole.model.loss(tape, tokens, targets, total: 3 * length)
    var sum = 0.0
    for piece in 0..<3 {
      tokens.assign((0..<length).map { whole.tokens.base[piece * length + $0] })
      targets.assign((0..<length).map { whole.targets.base[piece * length + $0] })
      tape.forward()
      tape.backward(from: loss, accumulating: piece > 0)
      sum += Double(loss.scalar)
    }
    #expect(abs(sum - Double(whole.loss.scalar)) <= 1e-6 * sum)
    for (parameter, want) in zip(whole.model.parameters, want) {
      let error = Self.error(parameter.gradient.materialized.base, want)
      #expect(error <= 1e-6, "\(parameter.name): \(error)")
    }
  }

  @Test(arguments: GPT.Form.allCases)
  func filesComeBackAndPrefixesAndMasksDoNotMatter(_ form: GPT.Form) throws {
    let file = NSTemporaryDirectory() + "gpt-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: file) }
    let model = GPT(form, .init(vocabulary: 11, block: 6, layers: 1, heads: 2, width: 8))
    model.initialize(RandomStream(seed: 1, name: "init"))
    try model.save(to: file)
    let metadata = try SafetensorsFile(file).metadata
    #expect(metadata.map(\.name) == ["format", "checksum_fnv1a"] && metadata[0].value == "pt")
    #expect(try GPT(loading: file, form: form, heads: 2).values == model.values)
    // As Hugging Face's language-model class and old checkpoints write it.
    let prefix = form == .gpt2 ? "transformer." : ""
    var tensors = model.parameters.map {
      TensorFile.Tensor(
        prefix + $0.name, shape: $0.shape,
        .float(Array(UnsafeBufferPointer(start: $0.base, count: $0.count))))
    }
    let mask = (form == .gpt2 ? "transformer." : "transformer.") + "h.0.attn.bias"
    tensors.append(.init(mask, shape: [1, 1, 2, 2], .float([1, 0, 1, 1])))
    tensors.append(.init("lm_head.weight", shape: [11, 8], .float(model.values[0])))
    try TensorFile.write(tensors, format: .safetensors, to: file)
    #expect(try GPT(loading: file, form: form, heads: 2).values == model.values)
    tensors[tensors.count - 1] = .init(
      "lm_head.weight", shape: [11, 8], .float(model.values[0].map { $0 + 1 }))
    try TensorFile.write(tensors, format: .safetensors, to: file)
    #expect(try GPT(loading: file, form: form, heads: 2).head == .untied)
    #expect(throws: StorageError.self) { try GPT(loading: file, form: form, heads: 3) }
    tensors.append(.init("lm_tail.weight", shape: [1], .float([1])))
    try TensorFile.write(tensors, format: .safetensors, to: file)
    #expect(throws: StorageError.self) { try GPT(loading: file, form: form, heads: 2) }
  }

  /// 0.02 everywhere, but for the two projections of a block that end in the residual stream: 0.02/√(2 layers).
  @Test(arguments: GPT.Form.allCases) func initialDeviations(_ form: GPT.Form) {
    let model = GPT(form, GPT.Shape(vocabulary: 300, block: 40, layers: 3, heads: 2, width: 64))
    model.initialize(RandomStream(seed: 5, name: "deviations"))
    for parameter in model.parameters where parameter.shape.count == 2 {
      let values = parameter.tensor.array.map(Double.init)
      let want = parameter.name.hasSuffix("c_proj.weight") ? 0.02 / 6.0.squareRoot() : 0.02
      let got = Statistics.sampleStandardDeviation(values)
      // The standard error of a deviation of n normals is 1/√(2n) of it.
      #expect(
        abs(got / want - 1) < 6 / (2 * Double(values.count)).squareRoot(),
        "\(parameter.name): \(got), expected \(want)")
    }
  }

  @Test func samplesFollowTheDistribution() throws {
    let model = GPT(.gpt2, .init(vocabulary: 5, block: 4, layers: 1, heads: 1, width: 4))
    model.initialize(RandomStream(seed: 2, name: "init"))
    // A model of zeros but for the final bias: logits are embedding · bias, whatever the context.
    for parameter in model.parameters where parameter.name != "wte.weight" {
      parameter.tensor.value.fill(0)
    }
    var embedding = [Float](repeating: 0, count: 20)
    for token in 0..<5 { embedding[4 * token] = Float(log(Double(token + 1))) }
    model.parameters[0].tensor.assign(embedding)
    model.parameters.last?.tensor.value.fill(1)
    let draws = model.sample(
      after: [0], count: 3000, stream: RandomStream(seed: 3, name: "sample"))
    for token in 0..<5 {
      // P(token) = (token + 1)/15; four standard errors.
      let p = Double(token + 1) / 15
      let share = Double(draws.count { $0 == token }) / 3000
      #expect(abs(share - p) <= 4 * (p * (1 - p) / 3000).squareRoot(), "\(token): \(share)")
    }
    let top = model.sample(
      after: [1, 2], count: 50, top: 1, stream: RandomStream(seed: 3, name: "sample"))
    #expect(top == Array(repeating: 4, count: 50))
  }
}
