// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Models

/// Heads of their own, and the loss of the next token alone.
@Suite struct GPTHeadTests {
  private static let shape = GPT.Shape(vocabulary: 11, block: 6, layers: 2, heads: 2, width: 8)

  /// Normals of deviation 0.4 around PyTorch's ones and zeros: every parameter has a gradient.
  private static func model(_ form: GPT.Form, _ head: GPT.Head, seed: UInt64 = 1) -> GPT {
    let model = GPT(form, shape, head: head)
    model.initialize(RandomStream(seed: seed, name: "init"))
    let stream = RandomStream(seed: seed, name: "shift")
    for parameter in model.parameters {
      let shifts = stream.child(parameter.name).normals(parameter.count).map { Float(0.4 * $0) }
      parameter.tensor.assign((0..<parameter.count).map { parameter.base[$0] + shifts[$0] })
    }
    return model
  }

  private static let ways = GPT.Form.allCases.flatMap { form in
    GPT.Head.allCases.map { (form, $0) }
  }

  private static func gradients(_ model: GPT) -> [[Float]] {
    model.parameters.map {
      Array(UnsafeBufferPointer(start: $0.gradient.materialized.base, count: $0.count))
    }
  }

  private static let contexts: [[Int32]] = [[1, 2, 3, 4], [0, 10, 10, 5], [7, 7, 7, 7]]
  private static let next: [Int32] = [9, 0, 7]

  private static func file() -> String {
    NSTemporaryDirectory() + "gpt-head-\(UUID().uuidString).safetensors"
  }

  @Test(arguments: ways)
  func theBatchsGradientIsTheSumOfTheSamples(_ form: GPT.Form, _ head: GPT.Head) throws {
    let model = Self.model(form, head)
    func run(_ rows: Range<Int>, total: Int?) -> (loss: Double, gradients: [[Float]]) {
      let tape = Tape(pool: WorkerPool(threads: 2))
      let (tokens, targets) = (tape.indices([rows.count, 4]), tape.indices([rows.count]))
      let loss = model.nextLoss(tape, tokens, targets, total: total)
      tokens.assign(Self.contexts[rows].flatMap { $0 })
      targets.assign(Self.next[rows])
      tape.forward()
      tape.backward(from: loss)
      return (Double(loss.scalar), Self.gradients(model))
    }
    let whole = run(0..<3, total: nil)
    let singles = (0..<3).map { run($0..<($0 + 1), total: 3) }
    let loss = singles.reduce(0) { $0 + $1.loss }
    #expect(abs(loss - whole.loss) <= 4 * 0x1p-24 * whole.loss)  // four roundings to Float
    for (i, parameter) in model.parameters.enumerated() {
      var (error, size) = (0.0, 0.0)
      for j in 0..<parameter.count {
        let sum = singles.reduce(0.0) { $0 + Double($1.gradients[i][j]) }
        error += pow(sum - Double(whole.gradients[i][j]), 2)
        size = singles.reduce(size) { $0 + pow(Double($1.gradients[i][j]), 2) }
      }
      // Each of the four gradients is within 1e-6 of the exact one (GPTTests, every gradient is PyTorch's);
      // key biases have none but rounding errors.
      #expect(error.squareRoot() <= 4e-6 * (size + 1e-2).squareRoot(), "\(parameter.name)")
      #expect(
        size > 1e-6 || parameter.name.hasSuffix("to_k.bias"), "\(parameter.name) has no gradient")
    }
  }

  @Test(arguments: ways)
  func theNextTokensLossIsThatOfTheLastPosition(_ form: GPT.Form, _ head: GPT.Head) throws {
    let model = Self.model(form, head)
    let tape = Tape(isTraining: false)
    let (tokens, targets) = (tape.indices([3, 4]), tape.indices([3]))
    let (all, last) = (model.logits(tape, tokens), model.nextLogits(tape, tokens))
    let loss = model.nextLoss(tape, tokens, targets)
    tokens.assign(Self.contexts.flatMap { $0 })
    targets.assign(Self.next)
    tape.forward()
    #expect(last.shape == [3, 11])
    var want = 0.0
    for row in 0..<3 {
      let scores = (0..<11).map { Double(all.value.base[(row * 4 + 3) * 11 + $0]) }
      for (token, score) in scores.enumerated() {
        let got = Double(last.value.base[row * 11 + token])
        // Sums of 8 products in any order.
        #expect(abs(got - score) <= 9 * 0x1p-23 * (1 + abs(score)), "row \(row), token \(token)")
      }
      want += log(scores.reduce(0) { $0 + exp($1) }) - scores[Int(Self.next[row])]
    }
    #expect(abs(Double(loss.scalar) - want / 3) <= 40 * 0x1p-24 * (1 + want))
  }

  /// (loss(+h) - loss(-h)) / 2h of every entry of a head of its own.
  @Test(arguments: GPT.Form.allCases)
  func theHeadsGradientsAreTheDerivative(_ form: GPT.Form) throws {
    let model = Self.model(form, .untiedWithBias)
    let tape = Tape()
    let (tokens, targets) = (tape.indices([3, 4]), tape.indices([3, 4]))
    let loss = model.loss(tape, tokens, targets)
    tokens.assign(Self.contexts.flatMap { $0 })
    targets.assign((0..<12).map { Int32($0 * 5 % 11) })
    tape.forward()
    tape.backward(from: loss)
    let gradients = Self.gradients(model)
    let h: Float = 0x1p-6
    for (parameter, gradient) in zip(model.parameters, gradients).suffix(2) {
      #expect(parameter.name.hasPrefix("lm_head."))
      for i in 0..<parameter.count {
        let start = parameter.base[i]
        func at(_ value: Float) -> (place: Double, loss: Double) {
          parameter.base[i] = value
          tape.forward()
          return (Double(value), Double(loss.scalar))
        }
        let (above, below) = (at(start + h), at(start - h))
        parameter.base[i] = start
        let slope = (above.loss - below.loss) / (above.place - below.place)
        // h²/6 |f'''|, with f''' ≤ x³ and |x| ≤ 6 of a logit's derivative, and the loss's rounding / h.
        let limit = pow(Double(h), 2) + 8 * 0x1p-24 * abs(above.loss) / Double(h)
        #expect(abs(slope - Double(gradient[i])) <= limit, "\(parameter.name)[\(i)]")
      }
      #expect(gradient.contains { abs($0) > 0.02 }, "\(parameter.name)")
    }
  }

  @Test(arguments: ways) func aHeadComesBack(_ form: GPT.Form, _ head: GPT.Head) throws {
    let model = Self.model(form, head)
    let names = model.parameters.map(\.name)
    #expect(names.contains("lm_head.weight") == (head != .tied))
    #expect(names.contains("lm_head.bias") == (head == .untiedWithBias))
    #expect(!model.matrixNames.contains { $0.contains("lm_head") || $0.contains("emb") })
    #expect(model.matrixNames.count == (form == .nanoGPT ? 6 : 4) * 2)
    let path = Self.file()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try model.save(to: path)
    let loaded = try GPT(loading: path, form: form, heads: 2)
    #expect(loaded.head == head && loaded.shape == Self.shape && loaded.values == model.values)
  }

  @Test(arguments: GPT.Form.allCases)
  func aHeadThatIsTheEmbeddingStaysTied(_ form: GPT.Form) throws {
    let model = Self.model(form, .tied)
    let path = Self.file()
    defer { try? FileManager.default.removeItem(atPath: path) }
    func load(_ more: SafetensorsTensor...) throws -> GPT {
      let own = model.parameters.map { parameter in
        SafetensorsTensor(
          parameter.name, shape: parameter.shape,
          floats: Array(UnsafeBufferPointer(start: parameter.base, count: parameter.count)))
      }
      try SafetensorsFile.write(own + more, to: path)
      return try GPT(loading: path, form: form, heads: 2)
    }
    let embedding = model.values[0]
    func weight(_ values: [Float]) -> SafetensorsTensor {
      SafetensorsTensor("lm_head.weight", shape: [11, 8], floats: values)
    }
    let bias = SafetensorsTensor("lm_head.bias", shape: [11], floats: (0..<11).map { Float($0) })
    #expect(try load(weight(embedding)).head == .tied)
    var other = embedding
    other[87] = other[87].nextUp
    let untied = try load(weight(other))
    #expect(untied.head == .untied && untied.values.last == other)
    // Equal to the embedding, but with a bias: a tied model would lose it.
    let biased = try load(weight(embedding), bias)
    #expect(biased.head == .untiedWithBias && biased.values.last == (0..<11).map { Float($0) })
    #expect(throws: StorageError.self) { try load(bias) }
    #expect(throws: StorageError.self) {
      try load(
        SafetensorsTensor("lm_head.weight", shape: [10, 8], floats: Array(other.prefix(80))))
    }
  }

  /// Of a tied matrix with two names some writers keep the head's, which comes first in the alphabet.
  @Test(arguments: GPT.Form.allCases)
  func anEmbeddingUnderTheHeadsNameIsRead(_ form: GPT.Form) throws {
    let model = Self.model(form, .tied)
    let path = Self.file()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let tensors = model.parameters.map { parameter in
      SafetensorsTensor(
        parameter.name == model.embeddingNames[0] ? "lm_head.weight" : parameter.name,
        shape: parameter.shape,
        floats: Array(UnsafeBufferPointer(start: parameter.base, count: parameter.count)))
    }
    try SafetensorsFile.write(tensors, to: path)
    let loaded = try GPT(loading: path, form: form, heads: 2)
    #expect(loaded.head == .tied && loaded.values == model.values)
  }

  @Test func emptyEmbeddingsAreOneLine() throws {
    let path = Self.file()
    defer { try? FileManager.default.removeItem(atPath: path) }
    for (token, position) in [
      ([5, 0], [4, 0]), ([0, 8], [4, 8]), ([5, 8], [0, 8]), ([5, 8], [4, 6]),
    ] {
      func tensor(_ name: String, _ shape: [Int]) -> SafetensorsTensor {
        SafetensorsTensor(
          name, shape: shape, floats: Array(repeating: 0, count: shape.reduce(1, *)))
      }
      try SafetensorsFile.write(
        [tensor("wte.weight", token), tensor("wpe.weight", position)], to: path)
      let error = #expect(throws: StorageError.self) {
        try GPT(loading: path, form: .gpt2, heads: nil)
      }
      #expect("\(error.map(String.init(describing:)) ?? "")".contains("embeddings of the shapes"))
    }
  }

  @Test func samplesUseTheHeadAndItsBias() {
    let model = GPT(.nanoGPT, Self.shape, head: .untiedWithBias)
    let stream = RandomStream(seed: 3, name: "sample")
    func mostLikely() -> [Int] { model.sample(after: [4], count: 3, top: 1, stream: stream) }
    let (weight, bias) = (
      model.parameters[model.parameters.count - 2], model.parameters[model.parameters.count - 1]
    )
    bias.base[6] = 1
    #expect(mostLikely() == [6, 6, 6])
    // The last norm's bias is what a model of zeros leaves: ones, times the head's row of token 2.
    model.parameters.first { $0.name.hasSuffix("ln_f.bias") }?.tensor.value.fill(1)
    for c in 0..<8 { weight.base[2 * 8 + c] = 0.25 }
    #expect(mostLikely() == [2, 2, 2])
  }
}
