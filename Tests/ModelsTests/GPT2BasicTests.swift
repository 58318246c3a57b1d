// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Models

/// A model in GPT2-BASIC's files, written and computed here a second time from the published layout.
private struct BasicModel {
  let vocabulary = 7, block = 5, width = 6, layers = 2, heads = 3
  /// Each part's values in file order.
  private(set) var parts: [String: [Double]] = [:]
  private(set) var values: [Float] = []

  init() {
    let stream = RandomStream(seed: 4, name: "basic")
    let (c, wide) = (width, 4 * width)
    func add(_ name: String, _ count: Int, around mean: Float = 0) {
      let own = stream.child(name).normals(count).map { mean + Float(0.5 * $0) }
      parts[name] = own.map(Double.init)
      values += own
    }
    add("token", vocabulary * c)
    add("position", block * c)
    for (part, weights, biases) in [
      ("ln1", c, c), ("q", c * c, c), ("k", c * c, c), ("v", c * c, c), ("proj", c * c, c),
      ("ln2", c, c), ("fc1", c * wide, wide), ("fc2", wide * c, c),
    ] {
      for layer in 0..<layers {
        add("\(part).\(layer).w", weights, around: part.hasPrefix("ln") ? 1 : 0)
      }
      for layer in 0..<layers { add("\(part).\(layer).b", biases) }
    }
    add("final.w", c, around: 1)
    add("final.b", c)
    add("head.w", c * vocabulary)
    add("head.b", vocabulary)
  }

  private subscript(name: String) -> [Double] { parts[name] ?? [] }

  /// y = x W + b with W[in, out].
  private func linear(_ x: [Double], _ name: String) -> [Double] {
    let (w, b) = (self[name + ".w"], self[name + ".b"])
    return b.indices.map { j in x.indices.reduce(b[j]) { $0 + x[$1] * w[$1 * b.count + j] } }
  }

  private func norm(_ x: [Double], _ name: String) -> [Double] {
    let mean = x.reduce(0, +) / Double(x.count)
    let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count)
    let (w, b) = (self[name + ".w"], self[name + ".b"])
    return x.indices.map { (x[$0] - mean) / (variance + 1e-5).squareRoot() * w[$0] + b[$0] }
  }

  private func sum(_ x: [Double], _ y: [Double]) -> [Double] { zip(x, y).map { $0 + $1 } }

  private func attention(_ q: [[Double]], _ k: [[Double]], _ v: [[Double]]) -> [[Double]] {
    let size = width / heads
    return q.indices.map { i in
      (0..<heads).flatMap { head -> [Double] in
        let part = (head * size)..<((head + 1) * size)
        let weights = (0...i).map { j in
          exp(part.reduce(0) { $0 + q[i][$1] * k[j][$1] } / Double(size).squareRoot())
        }
        let total = weights.reduce(0, +)
        return part.map { c in (0...i).reduce(0) { $0 + weights[$1] / total * v[$1][c] } }
      }
    }
  }

  /// The logits of every position, from the formulas.
  func logits(_ tokens: [Int]) -> [[Double]] {
    var x = tokens.enumerated().map { place, token in
      (0..<width).map { self["token"][token * width + $0] + self["position"][place * width + $0] }
    }
    for l in 0..<layers {
      let h = x.map { norm($0, "ln1.\(l)") }
      let mixed = attention(
        h.map { linear($0, "q.\(l)") }, h.map { linear($0, "k.\(l)") },
        h.map { linear($0, "v.\(l)") })
      x = zip(x, mixed).map { sum($0, linear($1, "proj.\(l)")) }
      x = x.map { row in
        let wide = linear(norm(row, "ln2.\(l)"), "fc1.\(l)")
        return sum(row, linear(wide.map { $0 / 2 * erfc(-$0 / 2.0.squareRoot()) }, "fc2.\(l)"))
      }
    }
    return x.map { linear(norm($0, "final"), "head") }
  }

  var configuration: String {
    """
    # a comment
    profile=test
    vocab_size=\(vocabulary)
    n_positions=\(block)
    n_embd=\(width)
    n_head=\(heads)
    n_layer=\(layers)
    hidden_dim=\(4 * width)

    """
  }
}

@Suite struct GPT2BasicTests {
  private let folder = NSTemporaryDirectory() + "gpt2-basic-\(UUID().uuidString)"
  private let basic = BasicModel()

  private func load(_ configuration: String, _ values: [Float], cutTo bytes: Int? = nil) throws
    -> GPT
  {
    let files = FileManager.default
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? files.removeItem(atPath: folder) }
    try configuration.write(toFile: folder + "/GPT2CFG.TXT", atomically: true, encoding: .utf8)
    let words = values.map(\.bitPattern.littleEndian)
    let data = words.withUnsafeBytes { Data($0) }
    try data.prefix(bytes ?? data.count).write(to: URL(fileURLWithPath: folder + "/GPT2WT.BIN"))
    return try GPT(gpt2Basic: folder)
  }

  /// A configuration of any size is held against the file before anything is built.
  @Test(arguments: [
    ("n_layer", "200000000"), ("n_layer", "9223372036854775807"),
    ("vocab_size", "9223372036854775807"),
    ("n_positions", "100000000000"), ("n_layer", "3"),
  ])
  func aModelLargerThanItsFileIsRefused(_ name: String, _ value: String) {
    let text = basic.configuration.split(separator: "\n")
      .map { $0.hasPrefix(name + "=") ? "\(name)=\(value)" : $0 }.joined(separator: "\n")
    let error = #expect(throws: StorageError.self) { try load(text, basic.values) }
    #expect(
      "\(error.map(String.init(describing:)) ?? "")".contains("where the model of GPT2CFG.TXT has"))
  }

  @Test func everyValueLandsInItsPlace() throws {
    let model = try load(basic.configuration, basic.values)
    #expect(
      model.shape == GPT.Shape(vocabulary: 7, block: 5, layers: 2, heads: 3, width: 6)
        && model.form == .nanoGPT && model.head == .untiedWithBias)
    #expect(model.parameterCount == basic.values.count)
    #expect(model.values.flatMap { $0 }.sorted() == basic.values.sorted())
    for tokens in [[3], [0, 6, 6, 2, 5]] {
      let tape = Tape(isTraining: false)
      let indices = tape.indices([1, tokens.count])
      let logits = model.logits(tape, indices)
      indices.assign(tokens.map { Int32($0) })
      tape.forward()
      let want = basic.logits(tokens).flatMap { $0 }
      let size = want.map(abs).max() ?? 0
      for (i, value) in want.enumerated() {
        // GPTTests holds the forward pass to 1e-6 in norm; 35 logits.
        let error = abs(Double(logits.value.base[i]) - value)
        #expect(error <= 6e-6 * size, "\(tokens), logit \(i): \(value), off by \(error)")
      }
    }
  }

  @Test func linesMayEndInBothWays() throws {
    let windows = basic.configuration.replacingOccurrences(of: "\n", with: "\r\n")
    #expect(
      try load(windows, basic.values).values == load(basic.configuration, basic.values).values)
  }

  @Test func damagedFilesAreOneClearLine() throws {
    func message(_ configuration: String, cutTo bytes: Int? = nil, more: [Float] = []) -> String {
      do {
        _ = try load(configuration, basic.values + more, cutTo: bytes)
        return ""
      } catch { return error is StorageError ? "\(error)" : "another error: \(error)" }
    }
    let good = basic.configuration
    let size = 4 * basic.values.count
    #expect(message(good) == "")
    for bytes in [size - 1, size - 4, 0] {
      let text = message(good, cutTo: bytes)
      #expect(text.contains("GPT2WT.BIN: \(bytes) bytes") && text.contains("\(size)"), "\(text)")
    }
    #expect(message(good, more: [1]).contains("GPT2WT.BIN: \(size + 4) bytes"))
    for key in ["vocab_size", "n_positions", "n_embd", "n_head", "n_layer"] {
      let lines = good.split(separator: "\n")
      let without = lines.filter { !$0.hasPrefix(key + "=") }.joined(separator: "\n")
      for text in [
        without, without + "\n\(key)=0\n", without + "\n\(key)=many\n",
      ] {
        #expect(message(text).contains("GPT2CFG.TXT: no \(key) above 0"), "\(key)")
      }
    }
    #expect(message(good.replacing("n_head=3", with: "n_head=4")).contains("n_head divide n_embd"))
    // Four times the width is no number.
    let wide = good.split(separator: "\n").filter { !$0.hasPrefix("n_embd=") }.joined(
      separator: "\n")
    #expect(message(wide + "\nn_embd=\(Int.max)\n").contains("hidden_dim"))
    for other in ["hidden_dim=12", ""] {
      #expect(message(good.replacing("hidden_dim=24", with: other)).contains("hidden_dim"))
    }
    #expect(throws: StorageError.self) { try GPT(gpt2Basic: folder + "-nowhere") }
  }
}
