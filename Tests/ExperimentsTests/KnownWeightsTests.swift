// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

@testable import Models

/// `spectral grad` and `spectral sample` on weights that know themselves, and `spectral spectrum --svg`, as a user runs them.
@Suite struct KnownWeightsTests {
  let tool: SpectralTool

  init() throws { tool = try SpectralTool() }

  private var goldens: String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
      + "/ModelsTests/Goldens/"
  }

  /// The golden model, four heads on 32 channels, in a folder of its own.
  private func gpt2(_ name: String) throws -> (GPT, path: String) {
    let model = try GPT(
      loading: goldens + "gpt2-weights.safetensors", form: .gpt2, heads: 4)
    return (model, tool.file("\(name)/model.safetensors"))
  }

  private func grad(_ weights: String, _ more: String...) throws -> SpectralTool.Run {
    try tool.run(
      [
        "grad", "--model", "gpt2", "--weights", weights, "--batch",
        goldens + "gpt2-batch.safetensors", "--out", tool.file("g.safetensors"),
      ] + more)
  }

  @Test func headsComeFromTheMetadataOrTheFileBeside() throws {
    let (model, path) = try gpt2("own")
    try model.save(to: path, configuration: model.configuration)
    let own = try grad(path)
    #expect(own.status == 0 && own.errors.isEmpty, "\(own)")
    let want = try SafetensorsFile(goldens + "gpt2-gradients.safetensors").doubles("loss")[0]
    let text = try #require(own.output.first?.words.last?.dropLast())
    #expect(abs((Double(text) ?? .nan) - want) <= 1e-5)
    let (_, bare) = try gpt2("bare")
    try model.save(to: bare)
    // 64 channels a head, which 32 are not: one head, another loss, and a note.
    let guessed = try grad(bare)
    #expect(guessed.status == 0 && guessed.output != own.output)
    #expect(guessed.errors.count == 1 && guessed.errors[0].contains("1 taken"), "\(guessed)")
    try AtomicFile.write(
      #"{"model_type": "gpt2", "n_head": 4, "n_embd": 32}"#,
      to: tool.file("bare/config.json"))
    let beside = try grad(bare)
    #expect(beside.output == own.output && beside.errors.isEmpty)
    #expect(try grad(bare, "--heads", "4").output == own.output)
    try AtomicFile.write(#"{"n_head": 4, "n_embd": 768}"#, to: tool.file("bare/config.json"))
    expectFault(try grad(bare), "n_embd 768", "--heads")
  }

  @Test func aModelOfCharactersWritesWithoutItsText() throws {
    let model = try GPT(
      loading: goldens + "nanogpt-weights.safetensors", form: .nanoGPT, heads: 2)
    let characters = String((0..<65).map { Character(Unicode.Scalar(UInt8(33 + $0))) })
    var configuration = model.configuration
    configuration.members += [
      .init(name: "tokenizer", value: .string("characters")),
      .init(name: "characters", value: .string(characters)),
    ]
    let path = tool.file("n.safetensors")
    try model.save(to: path, configuration: configuration)
    func sample(_ more: String...) throws -> SpectralTool.Run {
      try tool.run(
        [
          "sample", "--model", "nanogpt", "--weights", path, "--count", "20", "--prompt", "ABC",
        ] + more)
    }
    let run = try sample()
    #expect(run.status == 0 && run.output.first?.hasPrefix("ABC") == true, "\(run)")
    let text = tool.file("t.txt")
    try characters.write(toFile: text, atomically: true, encoding: .utf8)
    #expect(try sample("--text", text, "--heads", "2").output == run.output)
    try FileManager.default.removeItem(atPath: tool.file("config.json"))
    try model.save(to: path)
    expectFault(try sample(), "heads", "give --heads, one of 1, 2, 4, 8, 16, 32")
    expectFault(try sample("--heads", "2"), "characters", "--text")
  }

  @Test func aSpectrumIsDrawn() throws {
    let input = tool.file("g.safetensors")
    var tensors = (0..<9).map { index in
      let sigma = Float(index + 1)
      return SafetensorsTensor("m<\(index)&", shape: [2, 2], floats: [sigma, 0, 0, sigma / 10])
    }
    tensors.append(SafetensorsTensor("zero", shape: [2, 2], floats: [0, 0, 0, 0]))
    try SafetensorsFile.write(tensors, to: input)
    let run = try tool.run("spectrum", input, "--svg", tool.file("new/s.svg"))
    #expect(run.status == 0 && run.output.count == 11, "\(run)")
    #expect(run.errors.count == 1 && run.errors[0].contains("2 more"))
    let text = String(decoding: try content(tool.file("new/s.svg")), as: UTF8.self)
    let lines = text.split(separator: "\n").filter { $0.hasPrefix("<polyline") }
    #expect(lines.count == 7 && text.hasPrefix("<svg ") && text.contains("<title>"))
    #expect(text.contains("m&lt;8&amp;") && !text.contains("m<"))
    // A factor of ten between the two values is a tenth power on the axis: one of two decades of 360 units.
    let path = try #require(lines.first).split(separator: "\"")[1]
    let points = path.split(separator: " ").map { point in
      point.split(separator: ",").compactMap { Double($0) }
    }
    #expect(points.count == 2 && points[0][0] == 70 && points[1][0] == 530)
    #expect(abs(points[1][1] - points[0][1] - 360 / 2) < 0.02, "\(points)")
    let parsed = XMLCheck.isWellFormed(text)
    #expect(parsed)
    try SafetensorsFile.write([tensors[9]], to: input)
    let empty = try tool.run("spectrum", input, "--svg", tool.file("none.svg"))
    expectFault(empty, "nothing to draw")
    #expect(!tool.names.contains("none.svg"))
  }
}

/// Tags that open and close in order.
enum XMLCheck {
  static func isWellFormed(_ text: String) -> Bool {
    var open: [Substring] = []
    for part in text.split(separator: "<", omittingEmptySubsequences: false).dropFirst() {
      guard let end = part.firstIndex(of: ">") else { return false }
      let tag = part[..<end]
      if tag.hasPrefix("/") {
        guard open.popLast() == tag.dropFirst() else { return false }
      } else if !tag.hasSuffix("/") {
        open.append(tag.prefix { $0 != " " })
      }
    }
    return open.isEmpty
  }
}
