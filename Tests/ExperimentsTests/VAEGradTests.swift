// SPDX-License-Identifier: Apache-2.0

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
    try tool.expectGradients(
      run, of: golden("gradients"), loss: 1e-6, within: 2e-6)
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
