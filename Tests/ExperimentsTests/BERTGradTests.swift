// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

/// `spectral grad --model bert` as a user runs it.
@Suite struct BERTGradTests {
  let tool: SpectralTool

  init() throws { tool = try SpectralTool() }

  private func golden(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("ModelsTests/Goldens/bert-\(name).safetensors").path
  }

  private func run(batch: String, _ more: String...) throws -> SpectralTool.Run {
    try tool.run(
      [
        "grad", "--model", "bert", "--weights", golden("weights"), "--batch", batch, "--heads", "3",
        "--out", tool.file("g.safetensors"),
      ] + more)
  }

  @Test func givesHuggingFacesGradients() throws {
    let run = try run(batch: golden("batch"), "--threads", "2")
    #expect(run.status == 0, "\(run.errors)")
    try tool.expectGradients(
      run, of: golden("gradients"), loss: 2e-6, within: 8e-6, floor: 1e-2)
  }

  @Test func wrongBatchesAreRefusedByName() throws {
    func expectRefusal(
      _ ids: [Int], _ mask: [Int], _ labels: [Int], _ words: String..., rows: Int = 2
    ) throws {
      let path = tool.file("b.safetensors")
      try SafetensorsFile.write(
        [
          SafetensorsTensor("input_ids", shape: [rows, ids.count / rows], ints: ids),
          SafetensorsTensor("attention_mask", shape: [rows, mask.count / rows], ints: mask),
          SafetensorsTensor("labels", shape: [labels.count], ints: labels),
        ], to: path)
      let run = try run(batch: path)
      #expect(run.status != 0 && run.errors.count == 1, "\(run.errors)")
      #expect(!tool.names.contains("g.safetensors"))
      for word in words { #expect(run.errors.joined().contains(word), "\(word): \(run.errors)") }
    }
    let (ids, mask) = ([1, 2, 3, 4], [1, 1, 1, 0])
    try expectRefusal([1, 2, 3, 20], mask, [0, 1], "input_ids[1, 1]", "token id 20")
    try expectRefusal(ids, [1, 1, 2, 0], [0, 1], "attention_mask[1, 0]")
    try expectRefusal(ids, [1, 1, 0, 0], [0, 1], "sequence 1", "needs a token")
    try expectRefusal(ids, mask, [0, 4], "labels[1]", "0 ..< 4")
    try expectRefusal(ids, mask, [0], "labels [1]")
    try expectRefusal(ids, [1, 1], [0, 1], "attention_mask [2, 1]")
    try expectRefusal(
      [Int](repeating: 1, count: 10), [Int](repeating: 1, count: 10), [0], "10 tokens", "end at 9",
      rows: 1)
  }
}
