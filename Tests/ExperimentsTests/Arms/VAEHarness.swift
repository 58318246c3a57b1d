// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Models
import Storage
import Training

@testable import Datasets
@testable import Experiments
@testable import Lab

/// The arms of the autoencoder at toy size. Everything that these tests know of its training is here.
enum VAEHarness {
  static var names: [String] { DeltaGClipVAE.arms.map(\.name) }
  /// Steps of which inputs are exported: three epochs of three, and one.
  static let steps = 10
  private static let seed: UInt64 = 9
  private static let side = 6

  private static var problem: VAESettings {
    var settings = DeltaGClipVAE.defaults.settings
    (settings.hidden, settings.latent) = (7, 5)
    (settings.trainingImages, settings.testImages, settings.batchSize) = (12, 5, 4)
    (settings.epochs, settings.decayEpochs) = (4, [1, 2])
    return settings
  }

  /// Images in closed form.
  private static var source: LoadedImages {
    func part(_ name: String, _ count: Int) -> LabeledImages {
      LabeledImages(
        height: side, width: side, channels: 1,
        pixels: ClosedForm.integers("vae.\(name).pixels", count * side * side, below: 256)
          .map { UInt8($0) }, labels: Array(repeating: 0, count: count))
    }
    return LoadedImages(
      data: ImageData(
        name: "closed form", isStandIn: true, classes: ["0"],
        training: part("train", problem.trainingImages), test: part("test", problem.testImages),
        normalization: .unit, digest: ""))
  }

  /// `steps` steps of an arm from the closed-form weights.
  static func train(
    _ arm: String, _ hyperparameters: [String: Double], steps: Int
  ) throws -> ArmTrajectory {
    let run = try TrainingRun<VAETask>(
      problem, DeltaGClipVAE.arms.named(arm, place: "test"), Hyperparameters(hyperparameters),
      source, seed: seed)
    for parameter in run.task.parameters {
      parameter.tensor.assign(ClosedForm.weights(parameter.name, shape: parameter.shape))
    }
    var trajectory = ArmTrajectory()
    for _ in 0..<steps { trajectory.losses.append(try run.advance().loss) }
    trajectory.weights = run.task.parameters.map { ($0.name, $0.tensor.array) }
    return trajectory
  }

  /// Batches and noise, which all arms share.
  static func inputs() -> [SafetensorsTensor] {
    let (size, latent) = (problem.batchSize, problem.latent)
    let stream = RandomStream(seed: seed, name: "vae")
    var sampler = BatchSampler(
      count: problem.trainingImages, size: size, order: .reshuffled,
      stream: stream.child("batches"))
    let batches = (0..<steps).flatMap { Array(sampler.batch(step: $0)) }
    let noise = (0..<steps).flatMap { step -> [Float] in
      stream.child("noise").at(step: step).normals(size * latent)
    }
    return [
      SafetensorsTensor("vae.batches", shape: [steps, size], ints: batches, as: .i32),
      SafetensorsTensor("vae.noise", shape: [steps, size, latent], floats: noise),
    ]
  }

  /// Settings that toy sizes replace.
  static var defaults: [String: Double] {
    let settings = DeltaGClipVAE.defaults.settings
    return [
      "training images": Double(settings.trainingImages),
      "test images": Double(settings.testImages),
      "hidden": Double(settings.hidden), "latent": Double(settings.latent),
      "epochs": Double(settings.epochs), "first decay": Double(settings.decayEpochs[0]),
      "second decay": Double(settings.decayEpochs[1]), "batch": Double(settings.batchSize),
    ]
  }

  /// The losses on both sets that a record of one epoch reports; the weights at the end, and the noise of both sets.
  static func reported(_ results: String) throws -> (
    test: Double, training: Double, model: VAE, noise: (test: [Float], training: [Float]),
    data: ImageData
  ) {
    var config = DeltaGClipVAE.defaults
    (config.images, config.trainingImages, config.testImages) = (.grayStandIn, 260, 203)
    (config.hidden, config.latent, config.batchSize, config.epochs) = (6, 3, 20, 1)
    (config.methods, config.seeds) = (["adam"], [seed])
    config.hyperparameters["adam"] = ["learningRate": 0.01]
    let runner = Runner<DeltaGClipVAE>(
      config: config, profile: "test", results: results, dataFolder: "nowhere",
      telemetry: Telemetry(root: nil, threads: 1, jobs: 1), keepWeights: true)
    _ = try runner.run()
    let record = try RecordSet(folder: runner.folder).records[0]
    let stream = RandomStream(seed: seed, name: "vae").child("evaluation noise")
    func noise(_ name: String, _ count: Int) -> [Float] {
      // Batches of 200.
      let first: [Float] = stream.child(name).at(step: 0).normals(200 * 3)
      return first + stream.child(name).at(step: 1).normals((count - 200) * 3)
    }
    return (
      try record.double(attribute: "final_val_loss"),
      try record.double(attribute: "final_train_set_loss"),
      try VAE(loading: runner.weightsPath("adam", seed)),
      (noise("test", 203), noise("training", 260)),
      try VAETask.load(config.settings, folder: "nowhere").data
    )
  }
}
