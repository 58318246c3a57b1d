// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

/// `spectral grad` as a user runs it, against PyTorch's golden gradients and with wrong files.
@Suite struct SpectralGradTests {
  let tool: SpectralTool
  private let golden: SafetensorsFile

  init() throws {
    tool = try SpectralTool()
    golden = try SafetensorsFile(
      URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("TrainingTests/Goldens/mlp-gradients.safetensors").path)
  }

  private func tensor(_ name: String) throws -> TensorFile.Tensor {
    .init(name, shape: try golden.entry(name).shape, .float(try golden.floats(name)))
  }

  private func write(_ tensors: [TensorFile.Tensor], _ name: String) throws -> String {
    let path = tool.file(name)
    try TensorFile.write(
      tensors, format: name.hasSuffix("h5") ? .hdf5 : .safetensors, to: path)
    return path
  }

  private var weightNames: [String] { (1...4).map { "network.W_\($0).weight" } }

  private func run(
    _ weights: [TensorFile.Tensor], _ batch: [TensorFile.Tensor], suffix: String = "safetensors",
    _ more: String...
  ) throws -> SpectralTool.Run {
    try tool.run(
      [
        "grad", "--model", "mlp", "--weights", write(weights, "w.\(suffix)"), "--batch",
        write(batch, "b.\(suffix)"), "--out", tool.file("new/g.safetensors"),
      ] + more)
  }

  private func output(_ name: String) throws -> [Float] {
    try SafetensorsFile(tool.file("new/g.safetensors")).floats(name)
  }

  @Test(arguments: ["safetensors", "h5"])
  func givesPyTorchsGradients(_ suffix: String) throws {
    let weights = try weightNames.map(tensor)
    let batch = try ["input", "target"].map(tensor)
    let run = try run(weights, batch, suffix: suffix)
    #expect(run.status == 0 && run.output.count == 1)
    let line = try #require(run.output.first)
    let json = try #require(
      JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Double])
    let want = Double(try golden.floats("loss")[0])
    #expect(abs((json["loss"] ?? .nan) - want) <= 1e-6 * want, "\(line)")
    let file = try SafetensorsFile(tool.file("new/g.safetensors"))
    #expect(file.entries.map(\.name).sorted() == weightNames)
    for name in weightNames {
      let (got, want) = (try file.floats(name), try golden.floats("grad.\(name)"))
      let size = want.reduce(0) { $0 + Double($1 * $1) }.squareRoot()
      let error = zip(got, want).reduce(0) { $0 + pow(Double($1.0 - $1.1), 2) }.squareRoot()
      #expect(error <= 1e-6 * size, "\(name): \(error) of \(size)")
    }
  }

  @Test func threadsDoNotChangeABit() throws {
    let weights = try weightNames.map(tensor)
    let batch = try ["input", "target"].map(tensor)
    _ = try run(weights, batch)
    let one = try content(tool.file("new/g.safetensors"))
    _ = try run(weights, batch, "--threads", "3")
    #expect(try content(tool.file("new/g.safetensors")) == one)
  }

  @Test func wrongFilesAreRefusedByName() throws {
    let weights = try weightNames.map(tensor)
    let batch = try ["input", "target"].map(tensor)
    func other(_ name: String, _ shape: [Int], _ value: Float = 1) -> TensorFile.Tensor {
      .init(name, shape: shape, .float([Float](repeating: value, count: shape.reduce(1, *))))
    }
    expectFault(try run(Array(weights.dropFirst()), batch), "network.W_1.weight", "missing")
    expectFault(try run(weights + [other("extra", [2])], batch), "extra", "none of this model's")
    expectFault(
      try run([other("network.W_1.weight", [100, 99])] + weights.dropFirst(), batch), "[100, 99]",
      "[100, 100]")
    expectFault(try run(weights, [batch[0]]), "target")
    expectFault(try run(weights, [other("input", [4, 99]), other("target", [4, 1])]), "[4, 99]")
    expectFault(try run(weights, [other("input", [4, 100]), other("target", [3, 1])]), "4", "3")
    expectFault(
      try run(weights, [other("input", [0, 100]), other("target", [0, 1])]), "[0, 100]")
    expectFault(try run(weights, batch + [other("label", [1])]), "label")
    expectFault(
      try run(weights, [other("input", [2, 100], .nan), other("target", [2, 1])]), "loss", "nan")
    #expect(!tool.names.contains("new"), "something was written")
    let missing = try tool.run(
      "grad", "--model", "mlp", "--weights", tool.file("none"), "--batch", tool.file("none"),
      "--out", tool.file("g"))
    #expect(missing.status == 1 && missing.errors.count == 1)
    let usage = try tool.run("grad", "--model", "gpt9")
    #expect(usage.status == 64)
  }
}
