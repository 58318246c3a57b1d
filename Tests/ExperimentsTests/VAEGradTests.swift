import Foundation
import Storage
import Testing

/// `spectral grad --model vae` as a user runs it.
@Suite struct VAEGradTests {
  let tool: SpectralTool

  init() throws { tool = try SpectralTool() }

  private func golden(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("ModelsTests/Goldens/vae-\(name).safetensors").path
  }

  private func run(weights: String? = nil, batch: String) throws -> SpectralTool.Run {
    try tool.run([
      "grad", "--model", "vae", "--weights", weights ?? golden("weights"), "--batch", batch,
      "--threads", "2", "--out", tool.file("g.safetensors"),
    ])
  }

  @Test func givesPyTorchsGradients() throws {
    let run = try run(batch: golden("batch"))
    #expect(run.status == 0, "\(run.errors)")
    let want = try SafetensorsFile(golden("gradients"))
    let file = try SafetensorsFile(tool.file("g.safetensors"))
    let line = try #require(run.output.first)
    let json = try #require(
      JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Double])
    let loss = try want.doubles("loss")[0]
    #expect(abs((json["loss"] ?? .nan) - loss) <= 1e-6 * loss)
    let gradients = want.entries.filter { $0.name.hasPrefix("gradient.") }
    #expect(
      file.entries.map { "gradient." + $0.name }.sorted() == gradients.map(\.name).sorted())
    for entry in file.entries {
      let (got, golden) = (try file.floats(entry.name), try want.floats("gradient.\(entry.name)"))
      #expect(try want.entry("gradient.\(entry.name)").shape == entry.shape)
      let size = golden.reduce(0) { $0 + Double($1 * $1) }.squareRoot()
      let error = zip(got, golden).reduce(0) { $0 + pow(Double($1.0 - $1.1), 2) }.squareRoot()
      #expect(error <= 2e-6 * size, "\(entry.name): \(error) of \(size)")
    }
  }

  @Test func wrongBatchesAndWeightsAreRefusedByName() throws {
    typealias Part = (name: String, shape: [Int], value: Float)
    func batch(_ parts: [Part]) throws -> String {
      let path = tool.file("b.safetensors")
      try SafetensorsFile.write(
        parts.map {
          SafetensorsTensor(
            $0.name, shape: $0.shape,
            floats: Array(repeating: $0.value, count: $0.shape.reduce(1, *)))
        }, to: path)
      return path
    }
    func expectRefusal(_ parts: [Part], _ words: String..., weights: String? = nil) throws {
      let run = try run(weights: weights, batch: batch(parts))
      #expect(run.status != 0 && run.errors.count == 1, "\(run.errors)")
      #expect(!tool.names.contains("g.safetensors"))
      for word in words { #expect(run.errors.joined().contains(word), "\(word): \(run.errors)") }
    }
    let (input, noise): (Part, Part) = (("input", [2, 37], 0.5), ("noise", [2, 6], 1))
    try expectRefusal([input], "noise")
    try expectRefusal([input, noise, ("target", [2, 1], 0)], "target")
    try expectRefusal([input, ("noise", [3, 6], 1)], "2 rows", "noise 3")
    try expectRefusal([input, ("noise", [2, 7], 1)], "noise", "[2, 7]")
    try expectRefusal([("input", [2, 36], 0), noise], "input", "[2, 36]")
    try expectRefusal([("input", [0, 37], 0), ("noise", [0, 6], 0)], "[0, 37]")
    try expectRefusal([("input", [2, 37], 1.5), noise], "input[0, 0] is 1.5", "[0, 1]")
    try expectRefusal([("input", [2, 37], .nan), noise], "input[0, 0] is nan")
    try expectRefusal([input, ("noise", [2, 6], .infinity)], "the loss of this batch is")
    try expectRefusal([input, noise], "Encoder.FC_layer_1.weight", weights: golden("batch"))
    // One image is a batch.
    #expect(try run(batch: batch([("input", [1, 37], 1), ("noise", [1, 6], 0)])).status == 0)
  }
}
