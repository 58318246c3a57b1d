// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

/// `spectral grad` on the two GPTs as a user runs it.
@Suite struct GPTGradTests {
  let tool: SpectralTool

  init() throws { tool = try SpectralTool() }

  private func golden(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("ModelsTests/Goldens/\(name).safetensors").path
  }

  private func run(_ model: String, heads: String, batch: String) throws -> SpectralTool.Run {
    try tool.run([
      "grad", "--model", model, "--heads", heads, "--weights", golden("\(model)-weights"),
      "--batch", batch, "--out", tool.file("g.safetensors"),
    ])
  }

  @Test(arguments: [("nanogpt", "2"), ("gpt2", "4")])
  func givesPyTorchsGradients(_ model: String, _ heads: String) throws {
    let run = try run(model, heads: heads, batch: golden("\(model)-batch"))
    #expect(run.status == 0, "\(run.errors)")
    let want = try SafetensorsFile(golden("\(model)-gradients"))
    let file = try SafetensorsFile(tool.file("g.safetensors"))
    let line = try #require(run.output.first)
    let json = try #require(
      JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Double])
    #expect(abs((json["loss"] ?? .nan) - (try want.doubles("loss")[0])) <= 1e-5)
    #expect(file.entries.count == want.entries.count - 2)
    for entry in file.entries {
      let (got, golden) = (try file.floats(entry.name), try want.floats("gradient.\(entry.name)"))
      let size = golden.reduce(0.01) { $0 + Double($1 * $1) }.squareRoot()
      let error = zip(got, golden).reduce(0) { $0 + pow(Double($1.0 - $1.1), 2) }.squareRoot()
      #expect(error <= 1e-6 * size, "\(entry.name): \(error) of \(size)")
    }
  }

  @Test func theLSTMsGradientsArePyTorchs() throws {
    func grad(_ batch: String) throws -> SpectralTool.Run {
      try tool.run([
        "grad", "--model", "lstm", "--weights", golden("lstm-weights"), "--batch", batch, "--out",
        tool.file("g.safetensors"),
      ])
    }
    let run = try grad(golden("lstm-batch"))
    #expect(run.status == 0, "\(run.errors)")
    let want = try SafetensorsFile(golden("lstm-gradients"))
    let file = try SafetensorsFile(tool.file("g.safetensors"))
    #expect(run.output.first?.hasPrefix("{\"loss\": ") == true)
    #expect(file.entries.count == 10)
    for entry in file.entries {
      let (got, golden) = (try file.floats(entry.name), try want.floats("gradient.\(entry.name)"))
      let size = golden.reduce(0) { $0 + Double($1 * $1) }.squareRoot()
      let error = zip(got, golden).reduce(0) { $0 + pow(Double($1.0 - $1.1), 2) }.squareRoot()
      #expect(error <= 2e-6 * size, "\(entry.name): \(error) of \(size)")
    }
    // A token outside the embedding.
    let wrong = tool.file("b.safetensors")
    try SafetensorsFile.write(
      [
        SafetensorsTensor("input", shape: [2, 1], ints: [1, 23]),
        SafetensorsTensor("target", shape: [2, 1], ints: [1, 2]),
      ], to: wrong)
    expectFault(try grad(wrong), "token id 23", "0 ..< 23")
  }

  @Test func wrongBatchesAndWeightsAreRefusedByName() throws {
    func batch(_ input: [Int], _ shape: [Int], _ target: [Int]? = nil) throws -> String {
      let path = tool.file("b.safetensors")
      try SafetensorsFile.write(
        [
          SafetensorsTensor("input", shape: shape, ints: input, as: .i32),
          SafetensorsTensor(
            "target", shape: [1, target?.count ?? input.count], ints: target ?? input),
        ], to: path)
      return path
    }
    func message(_ heads: String, _ batch: String) throws -> String {
      let run = try run("nanogpt", heads: heads, batch: batch)
      #expect(run.status != 0)
      #expect(!tool.names.contains("g.safetensors"))
      return run.errors.joined(separator: " ")
    }
    #expect(try message("2", batch([1, 65], [1, 2])).contains("token id 65"))
    #expect(try message("2", batch([1, -1], [1, 2])).contains("token id -1"))
    #expect(try message("2", batch([1, 2, 3], [1, 3], [1, 2])).contains("[1, 3], target [1, 2]"))
    #expect(
      try message("2", batch(Array(repeating: 1, count: 17), [1, 17])).contains("17 tokens"))
    #expect(try message("3", batch([1, 2], [1, 2])).contains("3 heads do not divide"))
    let wrong = try tool.run([
      "grad", "--model", "gpt2", "--weights", golden("nanogpt-weights"), "--batch",
      batch([1], [1, 1]), "--out", tool.file("g.safetensors"),
    ])
    #expect(wrong.status != 0 && wrong.errors.joined().contains("wte.weight"))
    // Cut off in the middle.
    let cut = tool.file("cut.safetensors")
    try Data(contentsOf: URL(fileURLWithPath: golden("gpt2-weights"))).prefix(50_000)
      .write(to: URL(fileURLWithPath: cut))
    let short = try tool.run([
      "grad", "--model", "gpt2", "--weights", cut, "--batch", golden("gpt2-batch"), "--out",
      tool.file("g.safetensors"),
    ])
    #expect(short.status != 0 && short.errors.count == 1)
  }

  @Test func samplesAreTextAndRepeatable() throws {
    // Sixty-five characters, as the golden model has.
    let characters = String((0..<65).map { Character(Unicode.Scalar(UInt8(33 + $0))) })
    let text = tool.file("text.txt")
    try characters.write(toFile: text, atomically: true, encoding: .utf8)
    func sample(_ more: String...) throws -> SpectralTool.Run {
      try tool.run(
        [
          "sample", "--model", "nanogpt", "--heads", "2", "--weights", golden("nanogpt-weights"),
          "--text", text, "--count", "40",
        ] + more)
    }
    let one = try sample("--prompt", "ABC")
    #expect(one.status == 0, "\(one.errors)")
    let line = try #require(one.output.first)
    #expect(line.count == 43 && line.hasPrefix("ABC"))
    #expect(try sample("--prompt", "ABC", "--threads", "3").output == one.output)
    #expect(try sample("--prompt", "ABC", "--seed", "2").output != one.output)
    #expect(try sample("--prompt", "~").errors.count == 1)
    #expect(try sample("--prompt", "").status != 0)
    try (characters + "~").write(toFile: text, atomically: true, encoding: .utf8)
    #expect(try sample("--prompt", "A").errors.joined().contains("65 tokens"))
  }
}
