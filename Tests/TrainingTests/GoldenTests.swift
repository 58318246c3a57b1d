// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Clipping
import Foundation
import LinearAlgebra
import Models
import Optimizers
import Storage
import Testing
import Training

/// The training library against PyTorch (Goldens/make_goldens.py): gradients at the paper's size, and
/// fifty steps of every method with fixed noise.
@Suite struct GoldenTests {
  private static func golden(_ name: String) throws -> SafetensorsFile {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    return try SafetensorsFile(folder.appendingPathComponent("Goldens/\(name)").path)
  }

  @Test(arguments: [Tape.WeightGradients.dense, .lowRank, .perSample])
  func gradientsOfThePapersMLP(_ way: Tape.WeightGradients) throws {
    let file = try Self.golden("mlp-gradients.safetensors")
    let model = MLP(inputs: 100, hidden: [100, 100, 100], outputs: 1)
    for parameter in model.parameters { parameter.tensor.assign(try file.floats(parameter.name)) }
    let tape = Tape(weightGradients: way)
    let (x, y) = (tape.input([32, 100]), tape.input([32, 1]))
    let loss = tape.meanSquaredError(model(tape, x), y)
    x.assign(try file.floats("input"))
    y.assign(try file.floats("target"))
    tape.forward()
    tape.backward(from: loss)
    let want = try file.floats("loss")[0]
    // Four layers of sums of a hundred products: rounding of a few √100 · 2⁻²⁴ relative to the norm.
    #expect(abs(loss.scalar - want) <= 1e-6 * want, "loss \(loss.scalar) against \(want)")
    for parameter in model.parameters {
      let want = try file.floats("grad.\(parameter.name)")
      let got = parameter.gradient.materialized
      var (error, size) = (0.0, 0.0)
      for i in want.indices {
        error += pow(Double(got.base[i]) - Double(want[i]), 2)
        size += pow(Double(want[i]), 2)
      }
      #expect(
        error.squareRoot() <= 1e-6 * size.squareRoot(), "\(parameter.name): \(error), \(size)")
    }
  }

  /// Rule and optimizer of a golden method, with the values of make_goldens.py.
  private static func make(
    _ name: String, layers: [String]
  ) throws -> (any GradientTransform, any Optimizer, Double) {
    func spectral(_ rule: ThresholdRule) throws -> LayerwiseSpectralClip {
      try LayerwiseSpectralClip(rule, .exact, layers: layers, seed: 0)
    }
    let torchNorm = try NormClip(maximumNorm: 0.8, formula: .torch)
    switch name {
    case "sgdm-none": return (NoClip(), SGD(), 0.002)
    case "sgdm-nesterov-decay":
      return (NoClip(), SGD(weightDecay: 0.05, nesterov: true), 0.002)
    case "adam-none": return (NoClip(), Adam(), 0.003)
    case "adam-norm": return (torchNorm, Adam(), 0.003)
    case "adam-decay": return (NoClip(), Adam(weightDecay: 0.05), 0.003)
    case "adamw-none": return (NoClip(), Adam(weightDecay: 0.1, isDecoupled: true), 0.003)
    case "sgdm-norm": return (torchNorm, SGD(), 0.01)
    case "sgdm-spectral": return (try spectral(.constant(0.3)), SGD(), 0.01)
    case "sgdm-ema": return (try spectral(.ema(coefficient: 0.9, .repository)), SGD(), 0.01)
    case "sgdm-ema-paper": return (try spectral(.ema(coefficient: 0.9, .paper)), SGD(), 0.01)
    case "sgdm-quantile":
      return (
        try spectral(.quantile(level: 0.85, window: 10, .lowerOrderStatistic)), SGD(), 0.01
      )
    case "muon": return (NoClip(), Muon(form: .authors, momentum: 0.9), 0.01)
    case "muon-torch":
      return (NoClip(), Muon(form: .torch, momentum: 0.95, weightDecay: 0.1), 0.01)
    case "clipped-scion": return (NoClip(), ClippedScion(radius: 0.8), 0.02)
    case "sgdm-soft-spectral": return (try SoftSpectralClip(limit: 0.3), SGD(), 0.01)
    case "sgdm-agc": return (try AdaptiveGradientClip(ratio: 0.5), SGD(), 0.01)
    case "acclip": return (NoClip(), ACClip(), 0.5)
    case "sgdm-coordinate": return (try CoordinateClip(limit: 0.1), SGD(), 0.01)
    case "sgdm-per-sample": return (try PerSampleClip(scale: 0.5, moment: 1.1), SGD(), 0.01)
    case "sgdm-micro-norm":
      return (try MicroBatchClip(microBatches: 2, inner: .norm(limit: 0.8)), SGD(), 0.01)
    case "sgdm-micro-spectral":
      return (try MicroBatchClip(microBatches: 2, inner: .spectral(tau: 0.3)), SGD(), 0.01)
    case "clipped-gd": return (try NormClip(maximumNorm: 0.8), SGD(momentum: 0), 0.05)
    case "normalized-gd": return (try NormalizedGradient(offset: 0.5), SGD(momentum: 0), 0.05)
    case "delta-gclip":
      return (
        try DeltaNormClip(maximumNorm: 0.8, minimumFactor: 0.4), SGD(momentum: 0), 0.05
      )
    default: throw StorageError("no such golden", at: name, hint: "see make_goldens.py")
    }
  }

  static let methods = [
    "sgdm-none", "sgdm-nesterov-decay", "adam-none", "adam-norm", "adam-decay", "adamw-none",
    "sgdm-norm", "sgdm-spectral", "sgdm-ema", "sgdm-ema-paper", "sgdm-quantile", "muon",
    "muon-torch", "clipped-scion", "sgdm-soft-spectral", "sgdm-agc", "acclip", "sgdm-coordinate",
    "sgdm-per-sample", "sgdm-micro-norm", "sgdm-micro-spectral", "clipped-gd", "normalized-gd",
    "delta-gclip",
  ]

  @Test(arguments: methods)
  func fiftySteps(_ method: String) throws {
    let file = try Self.golden("mlp-problem.safetensors")
    let part = try ["a", "b"].map { try Self.golden("mlp-trajectories-\($0).safetensors") }
      .first { file in file.entries.contains { $0.name == "\(method)/loss" } }
    let trajectory = try #require(part, "\(method) is in no file")
    let model = MLP(inputs: 8, hidden: [7, 6, 6], outputs: 1)
    let parameters = model.parameters
    for parameter in parameters {
      parameter.tensor.assign(try file.floats("init.\(parameter.name)"))
    }
    let (rule, optimizer, learningRate) = try Self.make(method, layers: parameters.map(\.name))
    let update = try ClippedOptimizer(
      rule, optimizer, of: parameters, rate: LearningRate(learningRate, steps: 50))
    let tape = Tape(weightGradients: .perSample)
    let (x, y) = (tape.input([5, 8]), tape.input([5, 1]))
    let loss = tape.meanSquaredError(model(tape, x), y)
    let (inputs, targets) = (try file.floats("input"), try file.floats("target"))
    let samples = try file.floats("noise.sample")
    let noise = try parameters.map { parameter in
      try ["s", "u", "v"].map { try file.floats("noise.\(parameter.name).\($0)") }
    }
    let wanted = try parameters.map { try trajectory.floats("\(method)/\($0.name)") }
    let losses = try trajectory.floats("\(method)/loss")
    var moved = 0.0
    for k in 0..<50 {
      x.assign(Array(inputs[(k * 40)..<(k * 40 + 40)]))
      y.assign(Array(targets[(k * 5)..<(k * 5 + 5)]))
      tape.forward()
      tape.backward(from: loss)
      #expect(abs(loss.scalar - losses[k]) <= 2e-5 * max(losses[k], 0.1), "\(method), loss \(k)")
      for (parameter, noise) in zip(parameters, noise) where noise[0][k] != 0 {
        let (m, n) = (parameter.shape[0], parameter.shape[1])
        noise[1].withUnsafeBufferPointer { u in
          noise[2].withUnsafeBufferPointer { v in
            guard let u = u.baseAddress, let v = v.baseAddress else { return }
            parameter.gradient.addRankOne(
              noise[0][k], u + k * m, v + k * n, sample: Int(samples[k]))
          }
        }
      }
      try update.clip()
      update.move(step: k)
      for (index, parameter) in parameters.enumerated() {
        let (count, start) = (parameter.count, k * parameter.count)
        let initial = try file.floats("init.\(parameter.name)")
        var (error, size, change) = (0.0, 0.0, 0.0)
        for i in 0..<count {
          let want = Double(wanted[index][start + i])
          error += pow(Double(parameter.base[i]) - want, 2)
          size += want * want
          change += pow(want - Double(initial[i]), 2)
        }
        // Every step adds rounding of a few 2⁻²⁴ of the weights and of the noise's largest terms; the
        // golden file shows that differences do not grow (its `drift`).
        #expect(
          error.squareRoot() <= 1e-6 * (2 + 0.2 * Double(k)) * size.squareRoot(),
          "\(method), \(parameter.name) after step \(k + 1): \(error.squareRoot() / size.squareRoot())"
        )
        if k == 49 { moved = max(moved, (change / size).squareRoot()) }
      }
    }
    #expect(moved > 1e-3, "\(method) hardly moved: nothing was compared")
  }

  @Test func theFileHasNoMethodThatIsNotCompared() throws {
    let names = Set(
      try ["a", "b"].flatMap {
        try Self.golden("mlp-trajectories-\($0).safetensors").entries.map(\.name)
      }.filter { $0.hasSuffix("/loss") }.map { String($0.dropLast(5)) })
    #expect(names == Set(Self.methods))
  }
}
