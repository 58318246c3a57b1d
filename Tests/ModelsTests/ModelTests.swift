// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Models

@Suite struct ModelTests {
  private struct Scratch: ~Copyable {
    let path = NSTemporaryDirectory() + "models-\(UUID().uuidString)"
    init() throws {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  @Test func thePapersMLPHasItsNamesAndShapes() {
    let model = MLP(inputs: 100, hidden: [100, 100, 100], outputs: 1)
    #expect(model.parameters.map(\.name) == (1...4).map { "network.W_\($0).weight" })
    #expect(model.parameters.map(\.shape) == [[100, 100], [100, 100], [100, 100], [1, 100]])
    #expect(model.parameterCount == 30_100)
  }

  @Test func weightsStartUniformOnOneOverRootOfTheInputs() {
    let model = MLP(inputs: 100, hidden: [400], outputs: 1)
    model.initialize(RandomStream(seed: 1, name: "init"))
    let values = model.values[0].map(Double.init)
    #expect(values.allSatisfy { abs($0) <= 0.1 })
    // Mean 0 ± 0.1/√3/√40000, variance 0.01/3 within four standard errors.
    let mean = values.reduce(0, +) / 40_000
    let variance = values.reduce(0) { $0 + $1 * $1 } / 40_000
    #expect(abs(mean) <= 0.00116, "mean \(mean)")
    #expect(abs(300 * variance - 1) <= 0.018, "variance \(variance)")
    let other = MLP(inputs: 100, hidden: [400], outputs: 1)
    other.initialize(RandomStream(seed: 2, name: "init"))
    #expect(other.values != model.values)
    other.initialize(RandomStream(seed: 1, name: "init"))
    #expect(other.values == model.values)
  }

  @Test func savedWeightsComeBackBitForBit() throws {
    let scratch = try Scratch()
    let model = MLP(inputs: 5, hidden: [4, 3], outputs: 2)
    model.initialize(RandomStream(seed: 3, name: "init"))
    try model.save(to: scratch.path + "/w.safetensors")
    let copy = MLP(inputs: 5, hidden: [4, 3], outputs: 2)
    try copy.load(from: scratch.path + "/w.safetensors")
    #expect(copy.values == model.values)
  }

  private struct WithBuffer: Model {
    let parameters = [Parameter("a", shape: [2, 2]), Parameter("b", shape: [2])]
    let bufferNames: Set<String> = ["mask"]
  }

  @Test func otherTensorsThanTheModelsAreRefused() throws {
    let scratch = try Scratch()
    let file = scratch.path + "/w.safetensors"
    func message(_ tensors: [(String, [Int])]) throws -> String {
      try TensorFile.write(
        tensors.map { name, shape in
          TensorFile.Tensor(
            name, shape: shape, .float([Float](repeating: 1, count: shape.reduce(1, *))))
        }, format: .safetensors, to: file)
      let model = WithBuffer()
      do { try model.load(from: file) } catch {
        #expect(model.values == [[0, 0, 0, 0], [0, 0]], "changed by a refused file")
        return "\(error)"
      }
      #expect(model.values == [[1, 1, 1, 1], [1, 1]])
      return ""
    }
    #expect(try message([("a", [2, 2]), ("b", [2])]) == "")
    #expect(try message([("a", [2, 2]), ("mask", [7]), ("b", [2])]) == "")
    #expect(try message([("a", [2, 2])]).contains("b[2] is missing"))
    #expect(try message([("a", [2, 2]), ("b", [2]), ("c", [1])]).contains("c is none"))
    #expect(try message([("a", [4]), ("b", [2])]).contains("shape [4]"))
    #expect(throws: StorageError.self) { try WithBuffer().load(from: scratch.path + "/none") }
  }
}
