// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Optimizers
import Storage
import Testing

@testable import Models

/// The vision transformer against PyTorch in float64 (Goldens/make_vit_goldens.py).
@Suite struct ViTTests {
  private static func path(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Goldens/vit-\(name).safetensors").path
  }

  private struct Fixture {
    let model: ViT
    let tape: Tape
    let loss: Tensor

    init(positions: PositionGrid = .bicubic, threads: Int = 1) throws {
      model = try ViT(loading: path("weights"), heads: 3, positions: positions)
      let file = try SafetensorsFile(path("batch"))
      let shape = try file.entry("input").shape
      tape = Tape(pool: WorkerPool(threads: threads))
      let x = tape.input([shape[0], shape[2], shape[3], shape[1]])
      x.assign(Parameter.values(try file.floats("input"), fromFileShape: shape))
      let targets = tape.indices([shape[0]])
      targets.assign(try file.ints("target").map { Int32($0) })
      loss = model.loss(tape, model.logits(tape, x), targets)
    }
  }

  @Test(arguments: [
    ("gradients", PositionGrid.bicubic, 1), ("gradients", .bicubic, 3),
    ("authors", .authorsCode, 1),
  ])
  func everyGradientIsPyTorchs(
    _ way: (golden: String, positions: PositionGrid, threads: Int)
  ) throws {
    let fixture = try Fixture(positions: way.positions, threads: way.threads)
    let file = try SafetensorsFile(Self.path(way.golden))
    fixture.tape.forward()
    fixture.tape.backward(from: fixture.loss)
    let want = try file.doubles("loss")[0]
    #expect(abs(Double(fixture.loss.scalar) - want) <= 1e-6 * want)
    // Sums of a few dozen terms through a dozen layers, each rounded to 2⁻²⁴.
    try expectGradients(of: fixture.model.parameters, in: file, within: 4e-6)
  }

  @Test func tenStepsOfAdam() throws {
    let fixture = try Fixture()
    let file = try SafetensorsFile(Self.path("trajectory"))
    var adam = Adam()
    for (k, want) in try file.doubles("losses").enumerated() {
      fixture.tape.forward()
      #expect(abs(Double(fixture.loss.scalar) - want) <= 2e-5 * want, "step \(k)")
      fixture.tape.backward(from: fixture.loss)
      adam.step(fixture.model.parameters, learningRate: 1e-3)
    }
    for parameter in fixture.model.parameters {
      // The gradient of the keys' bias is zero but for rounding, and Adam makes steps of it all the same.
      if parameter.name.hasSuffix("qkv.bias") { continue }
      let got = parameter.fileValues(parameter.tensor.array)
      let error = relativeError(got, try file.floats("state.\(parameter.name)"))
      #expect(error <= 1e-4, "\(parameter.name): \(error)")
    }
  }

  /// Weights of an interpolation sum to one and are PyTorch's, and a grid of the same size stays itself.
  @Test func positionsAreInterpolated() {
    for grid in [PositionGrid.bicubic, .authorsCode] {
      let map = grid.map(side: 14, rows: 4, columns: 3)
      #expect(map.count == 13 * 197 && map[0] == 1)
      for place in 1..<13 {
        let row = map[(place * 197)..<((place + 1) * 197)]
        #expect(row.first == 0 && abs(row.reduce(0, +) - 1) <= 1e-6)
      }
    }
    // torch.nn.functional.interpolate of a ramp down 14 rows, at place (1, 1) of 4×4 (a = -0.75 does not keep ramps).
    for (grid, want) in [(PositionGrid.bicubic, 4.703125), (.authorsCode, 4.593277)] {
      let map = grid.map(side: 14, rows: 4, columns: 4)
      var row = 0.0
      for source in 0..<196 { row += Double(map[6 * 197 + 1 + source]) * Double(source / 14) }
      #expect(abs(row - want) <= 1e-5)
    }
    let same = PositionGrid.own.map(side: 3, rows: 3, columns: 3)
    #expect(same == (0..<100).map { $0 % 11 == 0 ? 1 : 0 })
  }

  @Test func theStateComesBackFromAFile() throws {
    var shape = ViT.Shape()
    (shape.layers, shape.width, shape.hidden, shape.heads, shape.grid) = (1, 6, 10, 2, 2)
    let model = ViT(shape)
    model.initialize(RandomStream(seed: 1, name: "init"))
    let path = NSTemporaryDirectory() + "vit-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try model.save(to: path)
    let again = try ViT(loading: path, heads: 2)
    #expect(again.values == model.values && again.shape == shape)
    // timm's vit_tiny_patch16_224 has 5 526 346 parameters with a head of ten classes.
    #expect(ViT().parameterCount == 5_526_346)
  }

  @Test func filesOfOtherModelsAreRefusedByName() throws {
    let path = NSTemporaryDirectory() + "vit-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let good = try SafetensorsFile(Self.path("weights"))
    func message(
      heads: Int = 3, _ change: (TensorEntry) throws -> SafetensorsTensor?
    ) throws -> String {
      try SafetensorsFile.write(try good.entries.compactMap(change), to: path)
      do {
        _ = try ViT(loading: path, heads: heads)
        return ""
      } catch { return "\(error)" }
    }
    func same(_ entry: TensorEntry) throws -> SafetensorsTensor {
      SafetensorsTensor(entry, bytes: try good.bytes(entry.name))
    }
    #expect(try message(same) == "")
    #expect(try message(heads: 5, same).contains("5 heads"))
    for name in ["pos_embed", "head.bias", "blocks.1.attn.qkv.weight"] {
      #expect(try message { $0.name == name ? nil : try same($0) }.contains(name))
    }
    for shape in [[1, 25, 12], [26, 12], [1, 0, 12], [1, 1, 12]] {
      let text = try message {
        $0.name == "pos_embed"
          ? SafetensorsTensor(
            $0.name, shape: shape, floats: .init(repeating: 1, count: shape.reduce(1, *)))
          : try same($0)
      }
      #expect(text.contains("pos"), "\(shape): \(text)")
    }
  }
}
