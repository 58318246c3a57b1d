// SPDX-License-Identifier: Apache-2.0

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
    try tool.expectGradients(
      run, of: golden(way.golden), loss: 1e-6, within: 4e-6)
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
