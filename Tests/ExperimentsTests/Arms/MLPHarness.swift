// SPDX-License-Identifier: Apache-2.0

import Datasets
import Foundation
import LinearAlgebra
import Models
import Storage
import Training

@testable import Experiments
@testable import Lab

/// The arms of the MLP experiments at toy size. Everything that these tests know of the MLP's training is here.
enum MLPHarness {
  static var names: [String] { MLPHeavyTails.arms.map(\.name) }
  /// Steps of which inputs are exported.
  static let steps = 112
  private static let seed: UInt64 = 5

  private static var problem: MLPSettings {
    var problem = MLPHeavyTails.defaults.settings
    (problem.inputs, problem.hidden) = (7, [8, 6])
    (problem.samples, problem.batchSize) = (40, 8)
    problem.noiseProbability = 0.2  // of 10 steps some have noise
    return problem
  }

  private static func training(
    _ settings: MLPSettings, _ arm: String, _ hyperparameters: [String: Double]
  ) throws -> TrainingRun<MLPTask> {
    try TrainingRun(
      settings, MLPHeavyTails.arms.named(arm, place: "test"), Hyperparameters(hyperparameters),
      MLPTask.Source(settings), seed: seed)
  }

  /// `steps` steps of an arm from the closed-form weights.
  static func train(
    _ arm: String, _ hyperparameters: [String: Double], steps: Int
  ) throws -> ArmTrajectory {
    let training = try training(problem, arm, hyperparameters)
    for parameter in training.task.parameters {
      parameter.tensor.assign(ClosedForm.weights(parameter.name, shape: parameter.shape))
    }
    var trajectory = ArmTrajectory()
    for _ in 0..<steps { trajectory.losses.append(try training.advance().loss) }
    trajectory.weights = training.task.parameters.map { ($0.name, $0.tensor.array) }
    return trajectory
  }

  /// The validation loss that a record of two steps reports, and the mean squared errors of the weights then, by
  /// arithmetic of its own, on the samples held out and on those trained on.
  static func reported(_ results: String) throws -> (
    record: Double, heldOut: Double, trained: Double
  ) {
    var config = MLPHeavyTails.defaults
    (config.inputs, config.hidden, config.samples, config.batchSize) = (7, [8, 6], 40, 8)
    (config.steps, config.recordEvery, config.seeds) = (2, 1, [seed])
    config.methods = ["sgdm-none"]
    config.hyperparameters["sgdm-none"] = ["learningRate": 0.01]
    let record = try run(MLPHeavyTails.self, config, results).records[0]
    let training = try training(config.settings, "sgdm-none", ["learningRate": 0.01])
    for _ in 0..<2 { try training.advance() }
    let data = MLPTask.Source(config.settings).data(seed: seed)
    func loss(_ samples: Range<Int>) -> Double {
      samples.reduce(0) { sum, i in
        var h = data.x[(7 * i)..<(7 * i + 7)].map(Double.init)
        for (layer, weight) in training.task.parameters.enumerated() {
          let (rows, columns) = (weight.shape[0], weight.shape[1])
          h = (0..<rows).map { o in
            (0..<columns).reduce(0) { $0 + Double(weight.base[o * columns + $1]) * h[$1] }
          }
          if layer < 2 { h = h.map { max(0, $0) } }
        }
        return sum + pow(h[0] - Double(data.y[i]), 2) / Double(samples.count)
      }
    }
    let final = try record.double(attribute: "final_val_loss")
    return (
      try record.doubles("val_loss").last == final ? final : .nan, loss(32..<40), loss(0..<32)
    )
  }

  /// The samples of a long run's batches, and how many there are to train on and to hold out.
  static func samplesSeen() -> (seen: Set<Int>, trained: Int, heldOut: Int) {
    let data = MLPTask.Source(problem).data(seed: seed)
    var sampler = BatchSampler(
      count: data.trainingCount, size: problem.batchSize, order: .reshuffled,
      stream: RandomStream(seed: seed, name: "mlp").child("batches"))
    return (
      Set((0..<200).flatMap { Array(sampler.batch(step: $0)) }), data.trainingCount,
      data.validationCount
    )
  }

  /// Steps with noise among `steps` at the paper's settings, by the samples that it falls on; and the sizes of `draws` draws.
  static func noise(steps: Int, draws: Int) -> (bySample: [Int], sizes: [Double]) {
    let problem = MLPHeavyTails.defaults.settings
    var coins = HeavyTailedNoise(
      probability: problem.noiseProbability, alpha: problem.noiseAlpha, scale: problem.noiseScale,
      layers: [], stream: RandomStream(seed: 3, name: "mlp").child("noise"))
    let hits = (0..<steps).count { coins.add(to: [], step: $0, batchSize: problem.batchSize) }
    var always = HeavyTailedNoise(
      probability: 1, alpha: problem.noiseAlpha, scale: problem.noiseScale, layers: ["a"],
      stream: RandomStream(seed: 4, name: "mlp").child("noise"))
    let gradient = LayerGradient(rows: 1, columns: 1)
    let (left, right) = (Matrix<Float>(rows: 1, columns: 1), Matrix<Float>(rows: 1, columns: 1))
    var bySample = [Int](repeating: 0, count: problem.batchSize)
    let sizes: [Double] = left.withView { left in
      right.withView { right in
        (0..<draws).map { step in
          gradient.setProduct(left: left, right: right)
          always.add(to: [gradient], step: step, batchSize: problem.batchSize)
          bySample[gradient.samples.last ?? 0] += 1
          return Double(gradient.materialized.base[0])
        }
      }
    }
    return (bySample + [hits], sizes)
  }

  /// Settings that toy sizes replace.
  static var defaults: [String: Double] {
    let problem = MLPHeavyTails.defaults.settings
    return [
      "inputs": Double(problem.inputs), "hidden layers": Double(problem.hidden.count),
      "widths": Double(problem.hidden.max() ?? 0), "least width": Double(problem.hidden.min() ?? 0),
      "samples": Double(problem.samples), "trained on": problem.trainingFraction,
      "batch": Double(problem.batchSize), "replayed": problem.order == .replayed ? 1 : 0,
      "noise probability": problem.noiseProbability, "noise exponent": problem.noiseAlpha,
      "noise scale": problem.noiseScale, "steps": Double(problem.steps),
      "losses averaged": Double(problem.smoothing),
      "steps between points": Double(problem.recordEvery),
    ]
  }

  /// Data, batches and noise, which all arms share.
  static func inputs() throws -> [SafetensorsTensor] {
    let problem = problem
    let data = MLPTask.Source(problem).data(seed: seed)
    let stream = RandomStream(seed: seed, name: "mlp")
    var sampler = BatchSampler(
      count: data.trainingCount, size: problem.batchSize, order: problem.order,
      stream: stream.child("batches"))
    let batches = (0..<steps).flatMap { Array(sampler.batch(step: $0)) }
    let widths = [problem.inputs] + problem.hidden + [1]
    let names = (1..<widths.count).map { "network.W_\($0).weight" }
    var noise = HeavyTailedNoise(
      probability: problem.noiseProbability, alpha: problem.noiseAlpha, scale: problem.noiseScale,
      layers: names, stream: stream.child("noise"))
    // Steps with noise, the sample that each belongs to, and what is added.
    var (hits, samples, added) = ([Int](), [Int](), names.map { _ in [Float]() })
    for step in 0..<steps {
      let gradients = (1..<widths.count).map {
        LayerGradient(rows: widths[$0], columns: widths[$0 - 1])
      }
      let zeros = zip(gradients, 1..<widths.count).map { _, i in
        (
          Matrix<Float>(rows: 1, columns: widths[i]), Matrix<Float>(rows: 1, columns: widths[i - 1])
        )
      }
      func withProducts(_ index: Int, _ body: () -> Void) {
        guard index < gradients.count else { return body() }
        zeros[index].0.withView { left in
          zeros[index].1.withView { right in
            gradients[index].setProduct(left: left, right: right)
            withProducts(index + 1, body)
          }
        }
      }
      withProducts(0) {
        guard noise.add(to: gradients, step: step, batchSize: problem.batchSize) else { return }
        hits.append(step)
        samples.append(gradients[0].samples.last ?? -1)
        for (index, gradient) in gradients.enumerated() {
          let formed = gradient.materialized
          added[index] += (0..<gradient.count).map { formed.base[$0] }
        }
      }
    }
    return [
      SafetensorsTensor("mlp.x", shape: [problem.samples, problem.inputs], floats: data.x),
      SafetensorsTensor("mlp.y", shape: [problem.samples], floats: data.y),
      SafetensorsTensor("mlp.batches", shape: [steps, problem.batchSize], ints: batches, as: .i32),
      SafetensorsTensor("mlp.widths", shape: [widths.count], ints: widths, as: .i32),
      SafetensorsTensor("mlp.noise.steps", shape: [hits.count], ints: hits, as: .i32),
      SafetensorsTensor("mlp.noise.samples", shape: [hits.count], ints: samples, as: .i32),
    ]
      + names.indices.map {
        SafetensorsTensor(
          "mlp.noise.\($0 + 1)", shape: [hits.count, widths[$0 + 1], widths[$0]], floats: added[$0])
      }
  }
}
