// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

/// `spectral grad` on the convolutional networks as a user runs it.
@Suite struct ImageGradTests {
  let tool: SpectralTool

  init() throws { tool = try SpectralTool() }

  private func golden(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("ModelsTests/Goldens/\(name).safetensors").path
  }

  private func run(_ model: String, weights: String? = nil, batch: String) throws
    -> SpectralTool.Run
  {
    try tool.run([
      "grad", "--model", model, "--weights", weights ?? golden("\(model)-weights"), "--batch",
      batch, "--threads", "2", "--out", tool.file("g.safetensors"),
    ])
  }

  @Test(arguments: ["cifarnet", "resnet18", "resnet20", "alexnet"])
  func givesPyTorchsGradients(_ model: String) throws {
    let run = try run(model, batch: golden("\(model)-batch"))
    #expect(run.status == 0, "\(run.errors)")
    // F(4x4, 3x3) rounds some three times as much as F(2x2, 3x3) did (`WinogradErrorTests`).
    try tool.expectGradients(
      run, of: golden("\(model)-gradients"), loss: 1e-6, within: 1.5e-5)
  }

  @Test func wrongBatchesAndWeightsAreRefusedByName() throws {
    func batch(_ shape: [Int], _ targets: [Int]) throws -> String {
      let path = tool.file("b.safetensors")
      try SafetensorsFile.write(
        [
          SafetensorsTensor(
            "input", shape: shape,
            floats: (0..<shape.reduce(1, *)).map { Float($0 * 7 % 11) / 11 }),
          SafetensorsTensor("target", shape: [targets.count], ints: targets, as: .i32),
        ], to: path)
      return path
    }
    func message(_ model: String, _ batch: String, weights: String? = nil) throws -> String {
      let run = try run(model, weights: weights, batch: batch)
      #expect(run.status != 0 && run.errors.count == 1)
      #expect(!tool.names.contains("g.safetensors"))
      return run.errors.joined(separator: " ")
    }
    #expect(
      try message("cifarnet", batch([1, 3, 32, 32], [10])).contains("target[0] is the label 10"))
    #expect(try message("resnet18", batch([1, 3, 32, 32], [-1])).contains("label -1"))
    #expect(try message("cifarnet", batch([2, 3, 16, 32], [1, 1])).contains("images of 16×32"))
    #expect(try message("cifarnet", batch([2, 32, 32, 3], [1, 1])).contains("[2, 32, 32, 3]"))
    #expect(try message("resnet18", batch([2, 3, 32, 32], [1])).contains("target [1]"))
    #expect(try message("resnet18", batch([1, 3, 8, 8], [1])).contains("one image of 8×8"))
    #expect(try message("resnet20", batch([1, 3, 4, 4], [1])).contains("one image of 4×4"))
    #expect(
      try message("resnet20", batch([2, 3, 32, 32], [1, 1]), weights: golden("resnet18-weights"))
        .contains("layer1"))
    #expect(try message("alexnet", batch([1, 3, 30, 32], [1])).contains("images of 30×32"))
    #expect(
      try message("alexnet", batch([1, 3, 32, 32], [10])).contains("target[0] is the label 10"))
    #expect(try message("alexnet", batch([2, 3, 32, 32], [1])).contains("target [1]"))
    #expect(try message("alexnet", batch([1, 1, 32, 32], [1])).contains("[1, 1, 32, 32]"))
    let other = golden("resnet18-weights")
    #expect(
      try message("alexnet", batch([1, 3, 32, 32], [1]), weights: other)
        .contains("no tensor features.0.weight"))
    #expect(
      try message("cifarnet", batch([1, 3, 32, 32], [1]), weights: other)
        .contains("no tensor layers.1.conv1.weight"))
    // A filter of another shape.
    let file = try SafetensorsFile(other)
    let path = tool.file("w.safetensors")
    try SafetensorsFile.write(
      try file.entries.map {
        $0.name == "layer2.0.conv2.weight"
          ? SafetensorsTensor(
            $0.name, shape: [8, 8, 3, 1], floats: Array(repeating: 1, count: 192))
          : SafetensorsTensor($0, bytes: try file.bytes($0.name))
      }, to: path)
    #expect(
      try message("resnet18", batch([2, 3, 32, 32], [1, 1]), weights: path)
        .contains("layer2.0.conv2.weight has the shape [8, 8, 3, 1]"))
  }
}
