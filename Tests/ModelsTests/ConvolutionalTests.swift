// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Optimizers
import Storage
import Testing

@testable import Models

/// CifarNet, ResNet-18 and ResNet-20 against PyTorch in float64 (Goldens/make_convolutional_goldens.py).
@Suite struct ConvolutionalTests {
  enum Network: String, CaseIterable { case cifarnet, resnet18, resnet20 }

  private static func golden(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Goldens/\(name).safetensors").path
  }

  private struct Fixture {
    let model: any Model
    let tape: Tape
    let logits: Tensor
    let loss: Tensor

    init(_ network: Network, threads: Int = 1, isTraining: Bool = true) throws {
      let weights = golden("\(network.rawValue)-weights")
      let file = try SafetensorsFile(golden("\(network.rawValue)-batch"))
      let shape = try file.entry("input").shape
      tape = Tape(pool: WorkerPool(threads: threads), isTraining: isTraining)
      let images = tape.input([shape[0], shape[2], shape[3], 3])
      images.assign(
        Parameter.values(try file.floats("input"), fromFileShape: shape))
      let targets = tape.indices([shape[0]])
      targets.assign(try file.ints("target").map { Int32($0) })
      switch network {
      case .cifarnet:
        let model = try CifarNet(loading: weights)
        logits = model.logits(tape, images)
        loss = model.loss(tape, logits, targets)
        self.model = model
      case .resnet18, .resnet20:
        let model = try ResNet(loading: weights)
        logits = model.logits(tape, images)
        loss = model.loss(tape, logits, targets)
        self.model = model
      }
    }
  }

  /// Every tensor of a file with that prefix against the model's state as it would be saved.
  private func expectState(
    _ model: some Model, _ file: SafetensorsFile, _ prefix: String, within tolerance: Double
  ) throws {
    let path = NSTemporaryDirectory() + "state-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try model.save(to: path)
    let saved = try SafetensorsFile(path)
    let wanted = file.entries.filter { $0.name.hasPrefix(prefix) }
    #expect(!wanted.isEmpty)
    for entry in wanted {
      let name = String(entry.name.dropFirst(prefix.count))
      #expect(try saved.entry(name).shape == entry.shape)
      if entry.type == .i64 {
        #expect(try saved.ints(name) == file.ints(entry.name), "\(name)")
      } else {
        let error = relativeError(try saved.floats(name), try file.floats(entry.name))
        #expect(error <= tolerance, "\(name): \(error)")
      }
    }
  }

  @Test(arguments: Network.allCases, [1, 3])
  func everyGradientIsPyTorchs(_ network: Network, _ threads: Int) throws {
    let fixture = try Fixture(network, threads: threads)
    let file = try SafetensorsFile(Self.golden("\(network.rawValue)-gradients"))
    fixture.tape.forward()
    fixture.tape.backward(from: fixture.loss)
    let want = try file.doubles("loss")[0]
    #expect(abs(Double(fixture.loss.scalar) - want) <= 1e-6 * want)
    // Three times the 2e-6 and 5e-6 that tiles of 2×2 keep, which round so much finer than those of 4×4 (WinogradErrorTests).
    #expect(relativeError(fixture.logits.array, try file.floats("logits")) <= 6e-6)
    try expectGradients(of: fixture.model.parameters, in: file, within: 1.5e-5)
    try expectState(fixture.model, file, "after.", within: 2e-6)
  }

  @Test(arguments: Network.allCases)
  func fiveStepsOfNesterov(_ network: Network) throws {
    let fixture = try Fixture(network)
    let file = try SafetensorsFile(Self.golden("\(network.rawValue)-trajectory"))
    var sgd = SGD(momentum: 0.85, nesterov: true)
    for want in try file.doubles("losses") {
      fixture.tape.forward()
      #expect(abs(Double(fixture.loss.scalar) - want) <= 1e-5 * want)
      fixture.tape.backward(from: fixture.loss)
      sgd.step(
        fixture.model.parameters, learningRate: network == .cifarnet ? 0.01 : 0.005, pool: .single)
    }
    try expectState(fixture.model, file, "state.", within: 1e-5)
  }

  @Test(arguments: Network.allCases)
  func theStateComesBackFromAFile(_ network: Network) throws {
    let fixture = try Fixture(network)
    fixture.tape.forward()
    let path = NSTemporaryDirectory() + "conv-\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try fixture.model.save(to: path)
    // Names in torch's order, as the golden state dict has them.
    let weights = try SafetensorsFile(Self.golden("\(network.rawValue)-weights"))
    let saved = try SafetensorsFile(path)
    #expect(saved.entries.map(\.name).sorted() == weights.entries.map(\.name).sorted())
    let copy: any Model =
      network == .cifarnet ? try CifarNet(loading: path) : try ResNet(loading: path)
    #expect(copy.values == fixture.model.values)
    // A checkpoint is the values.
    let fresh: any Model =
      network == .cifarnet
      ? CifarNet(widths: [9, 20, 12])
      : network == .resnet18
        ? ResNet(widths: [8, 8, 16, 16]) : ResNet(.twenty, widths: [4, 8, 16])
    fresh.values = copy.values
    #expect(fresh.values == copy.values)
    // Without running statistics they stay; with some of them only, the file is refused.
    func write(_ isKept: (String) -> Bool) throws {
      try SafetensorsFile.write(
        try saved.entries.filter { isKept($0.name) }.map {
          SafetensorsTensor($0, bytes: try saved.bytes($0.name))
        }, to: path)
    }
    try write { !$0.contains("running") && !$0.contains("tracked") }
    try fresh.load(from: path)
    #expect(fresh.values == copy.values)
    let first = try #require(saved.entries.first { $0.name.hasSuffix("running_var") }).name
    try write { $0 != first }
    #expect(throws: StorageError.self) { try fresh.load(from: path) }
    try write { !$0.hasSuffix("1.conv2.weight") }
    #expect(throws: StorageError.self) { try fresh.load(from: path) }
    // A number of batches that is none: 2^63 - 1, NaN.
    let counter = try #require(saved.entries.first { $0.name.hasSuffix("tracked") }).name
    for count in [
      SafetensorsTensor(counter, shape: [], ints: [.max]),
      SafetensorsTensor(counter, shape: [], floats: [.nan]),
    ] {
      let others = try saved.entries.filter { $0.name != counter }.map {
        SafetensorsTensor($0, bytes: try saved.bytes($0.name))
      }
      try SafetensorsFile.write(others + [count], to: path)
      let error = #expect(throws: StorageError.self) { try fresh.load(from: path) }
      #expect(error?.what.contains(counter) == true)
    }
    #expect(fresh.values == copy.values)
  }

  @Test func evaluationUsesTheRunningStatistics() throws {
    let fixture = try Fixture(.cifarnet, isTraining: false)
    let before = fixture.model.values
    fixture.tape.forward()
    #expect(fixture.model.values == before)
    let training = try Fixture(.cifarnet)
    training.tape.forward()
    #expect(relativeError(fixture.logits.array, training.logits.array) > 0.1)
  }

  @Test func whiteningIsNumPysUpToSigns() throws {
    let file = try SafetensorsFile(Self.golden("whitening"))
    let shape = try file.entry("images").shape
    let images = Parameter.values(try file.floats("images"), fromFileShape: shape)
    let weight = Parameter("whiten.weight", shape: [24, 2, 2, 3])
    weight.tensor.assign(
      try CifarNet.whiteningWeight(of: images, height: shape[2], width: shape[3]))
    let got = weight.fileValues(weight.tensor.array)
    let want = try file.floats("weight")
    for filter in 0..<12 {
      let (a, b) = (
        got[(12 * filter)..<(12 * filter + 12)], want[(12 * filter)..<(12 * filter + 12)]
      )
      let sign: Float = zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } < 0 ? -1 : 1
      // float32 rounding of both; eigenvalues are at least 1 % apart and images exact in float32.
      #expect(relativeError(a.map { sign * $0 }, Array(b)) <= 1e-6, "filter \(filter)")
      #expect(got[(12 * filter + 144)..<(12 * filter + 156)].elementsEqual(a.map { -$0 }))
      #expect((a.max { $0.magnitude < $1.magnitude } ?? 0) > 0)
    }
  }

  @Test func whitenedPatchesAreWhite() throws {
    let images = RandomStream(seed: 1, name: "images").normals(30 * 8 * 8 * 3, as: Float.self)
    let weight = try CifarNet.whiteningWeight(of: images, height: 8, width: 8)
    // Responses of the first twelve filters over all patches: uncentred covariance λ/(λ + 5e-4), the identity but for ε.
    var moments = [Double](repeating: 0, count: 144)
    let row = 8 * 3
    for image in 0..<30 {
      for y in 0..<7 {
        for x in 0..<7 {
          let first = image * 8 * row + y * row + 3 * x
          var response = [Double](repeating: 0, count: 12)
          for k in 0..<12 {
            let value = Double(images[first + k / 6 * row + k % 6])
            for filter in 0..<12 { response[filter] += Double(weight[12 * filter + k]) * value }
          }
          for i in 0..<144 { moments[i] += response[i / 12] * response[i % 12] / (30 * 49) }
        }
      }
    }
    for i in 0..<144 {
      #expect(abs(moments[i] - (i % 13 == 0 ? 1 : 0)) <= 2e-3, "[\(i / 12), \(i % 12)]")
    }
  }

  @Test func cifarNetStartsAsTheAuthors() {
    let model = CifarNet()
    model.initialize(RandomStream(seed: 1, name: "init"))
    #expect(
      model.filterNames
        == (1...3).flatMap { ["layers.\($0).conv1.weight", "layers.\($0).conv2.weight"] })
    #expect(
      model.parameters.filter { $0.shape.count == 4 }.map(\.shape) == [
        [64, 3, 3, 24], [64, 3, 3, 64], [256, 3, 3, 64], [256, 3, 3, 256], [256, 3, 3, 256],
        [256, 3, 3, 256],
      ])
    #expect(model.parameters.map(\.name).filter { $0.hasPrefix("whiten") } == ["whiten.bias"])
    for parameter in model.parameters where parameter.shape.count == 4 {
      let (o, c) = (parameter.shape[0], parameter.shape[3])
      let values = parameter.tensor.array
      for filter in [0, c - 1] where filter < o {
        let row = values[(9 * c * filter)..<(9 * c * (filter + 1))]
        #expect(row[row.startIndex + 4 * c + filter] == 1)
        #expect(row.count { $0 != 0 } == 1)
      }
      if o > c {
        let rest = values[(9 * c * c)...]
        let bound = 1 / Float(9 * c).squareRoot()
        #expect(rest.allSatisfy { abs($0) <= bound } && rest.contains { abs($0) > 0.9 * bound })
      }
    }
    let head = model.parameters.last?.tensor.array.map(Double.init) ?? []
    let mean = head.reduce(0, +) / Double(head.count)
    let variance = head.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(head.count - 1)
    #expect(abs(variance - 1) <= 1e-5)
  }

  @Test func resNetStartsAsTorchvision() {
    let model = ResNet()
    model.initialize(RandomStream(seed: 1, name: "init"))
    #expect(model.parameterCount == 11_173_962)
    #expect(model.filterNames.count == 20)
    let filter = model.parameters.first { $0.name == "layer4.1.conv2.weight" }
    let values = filter?.tensor.array.map(Double.init) ?? []
    // 2.4 million normals of variance 2/(9·512): the mean square within four standard errors.
    let square = values.reduce(0) { $0 + $1 * $1 } / Double(values.count)
    #expect(abs(square * 9 * 256 - 1) <= 4 * (2 / Double(values.count)).squareRoot())
  }

  @Test func resNet20HasHesParameters() {
    let model = ResNet(.twenty)
    // He et al. 2016, table 6: 0.27 M; 19 convolutions of 9·in·out, their norms, and the head.
    let convolutions = 9 * (3 * 16 + 6 * 256 + 16 * 32 + 5 * 1024 + 32 * 64 + 5 * 4096)
    let norms = 2 * (7 * 16 + 6 * 32 + 6 * 64)
    #expect(model.parameterCount == convolutions + norms + 650)
    #expect(model.filterNames.count == 19)
  }

  @Test func filtersMayBeginAsPyTorchs() {
    let model = ResNet(widths: [4, 8, 8, 16])
    model.initialize(RandomStream(seed: 1, name: "init"), filters: .uniform)
    for parameter in model.parameters where parameter.shape.count == 4 {
      let bound = 1 / Float(parameter.shape.dropFirst().reduce(1, *)).squareRoot()
      let values = parameter.tensor.array.map(abs)
      #expect(values.allSatisfy { $0 <= bound }, "\(parameter.name)")
      #expect((values.max() ?? 0) > 0.8 * bound, "\(parameter.name)")
    }
  }

  @Test func aFrozenWhiteningBiasGetsNoGradient() throws {
    let model = CifarNet(widths: [8, 8, 8])
    model.initialize(RandomStream(seed: 2, name: "init"))
    func gradients(_ bias: CifarNet.WhiteningBias) -> [[Float]] {
      let tape = Tape()
      let images = tape.input([2, 25, 26, 3])
      images.assign(RandomStream(seed: 3, name: "x").normals(images.count))
      let targets = tape.indices([2])
      for parameter in model.parameters { parameter.gradient.base[0] = 123 }
      let loss = model.loss(tape, model.logits(tape, images, whiteningBias: bias), targets)
      tape.forward()
      tape.backward(from: loss)
      return model.parameters.map { p in (0..<p.count).map { p.gradient.materialized.base[$0] } }
    }
    let (trained, frozen) = (gradients(.trained), gradients(.frozen))
    #expect(frozen[0][0] == 123 && trained[0][0] != 123)
    #expect(frozen.dropFirst() == trained.dropFirst())
  }
}
