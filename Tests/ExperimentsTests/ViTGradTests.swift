import Foundation
import Storage
import Testing

/// `spectral grad --model vit` as a user runs it.
@Suite struct ViTGradTests {
  let tool: SpectralTool

  init() throws { tool = try SpectralTool() }

  private func golden(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("ModelsTests/Goldens/vit-\(name).safetensors").path
  }

  private func run(batch: String, _ more: String...) throws -> SpectralTool.Run {
    try tool.run(
      [
        "grad", "--model", "vit", "--weights", golden("weights"), "--batch", batch, "--heads", "3",
        "--out", tool.file("g.safetensors"),
      ] + more)
  }

  @Test(arguments: [("gradients", "bicubic"), ("authors", "authors-code")])
  func givesPyTorchsGradients(_ way: (golden: String, positions: String)) throws {
    let run = try run(batch: golden("batch"), "--positions", way.positions, "--threads", "2")
    #expect(run.status == 0, "\(run.errors)")
    let want = try SafetensorsFile(golden(way.golden))
    let file = try SafetensorsFile(tool.file("g.safetensors"))
    let line = try #require(run.output.first)
    let json = try #require(
      JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Double])
    let loss = try want.doubles("loss")[0]
    #expect(abs((json["loss"] ?? .nan) - loss) <= 1e-6 * loss)
    #expect(file.entries.count == want.entries.count - 1)
    for entry in file.entries {
      let (got, golden) = (try file.floats(entry.name), try want.floats("gradient.\(entry.name)"))
      #expect(try want.entry("gradient.\(entry.name)").shape == entry.shape)
      let size = golden.reduce(0) { $0 + Double($1 * $1) }.squareRoot()
      let error = zip(got, golden).reduce(0) { $0 + pow(Double($1.0 - $1.1), 2) }.squareRoot()
      #expect(error <= 4e-6 * size, "\(entry.name): \(error) of \(size)")
    }
  }

  @Test func wrongBatchesAreRefusedByName() throws {
    func expectRefusal(
      _ shape: [Int], _ labels: [Int], _ words: String..., more: [String] = []
    ) throws {
      let path = tool.file("b.safetensors")
      try SafetensorsFile.write(
        [
          SafetensorsTensor(
            "input", shape: shape, floats: .init(repeating: 0.5, count: shape.reduce(1, *))),
          SafetensorsTensor("target", shape: [labels.count], ints: labels),
        ], to: path)
      let run = try tool.run(
        [
          "grad", "--model", "vit", "--weights", golden("weights"), "--batch", path, "--out",
          tool.file("g.safetensors"),
        ] + (more.isEmpty ? ["--heads", "3"] : more))
      #expect(run.status != 0 && run.errors.count == 1, "\(run.errors)")
      #expect(!tool.names.contains("g.safetensors"))
      for word in words { #expect(run.errors.joined().contains(word), "\(word): \(run.errors)") }
    }
    try expectRefusal([1, 3, 10, 8], [0], "10×8", "4×4")
    try expectRefusal([1, 2, 8, 8], [0], "[1, 2, 8, 8]")
    try expectRefusal([2, 3, 8, 8], [0], "target [1]")
    try expectRefusal([1, 3, 8, 8], [4], "label 4", "0 ..< 4")
    try expectRefusal([1, 3, 8, 8], [-1], "label -1")
    try expectRefusal([1, 3, 8, 8], [0], "5 heads", more: ["--heads", "5"])
    try expectRefusal(
      [1, 3, 8, 8], [0], "5×5", more: ["--heads", "3", "--positions", "own"])
  }
}
