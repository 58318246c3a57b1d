// SPDX-License-Identifier: Apache-2.0

import Clipping
import LinearAlgebra
import Models
import Storage
import Testing
import Training

@testable import Datasets
@testable import Experiments
@testable import Lab

/// The arms of the CIFAR-10 experiments at toy size. Everything that these tests know of the image networks' training is
/// here.
enum ImageHarness {
  /// Three epochs with the whitening bias, and one step beyond.
  static let steps = 10
  private static let seed: UInt64 = 7

  static var names: [String] { CIFAR10ResNet18.arms.map(\.name) }

  /// The experiments' settings but for sizes and the loss's factor, which would be far too large for these widths.
  private static func problem(_ network: ImageNetwork) -> ImageSettings {
    var config = CIFAR10ResNet18.defaults.settings
    config.widthDivisor = network == .cifarNet ? 64 : 32
    config.batchSize = network == .cifarNet ? 2 : 4
    (config.trainingImages, config.testImages) = (3 * config.batchSize, 4)
    (config.epochs, config.lossScale) = (4, 1)
    // A sketch that holds everything does not depend on its random numbers.
    config.oversampling = 64
    return config
  }

  /// The smallest images that a CifarNet takes; a ResNet takes any.
  private static func side(_ network: ImageNetwork) -> Int { network == .cifarNet ? 25 : 9 }

  private static func data(_ network: ImageNetwork) -> ImageData {
    let side = side(network)
    func part(_ name: String, _ count: Int) -> LabeledImages {
      LabeledImages(
        height: side, width: side, channels: 3,
        pixels: ClosedForm.integers("\(name).pixels", count * side * side * 3, below: 256)
          .map { UInt8($0) },
        labels: ClosedForm.integers("\(name).labels", count, below: 10).map { UInt8($0) })
    }
    return ImageData(
      name: "closed form", isStandIn: true, classes: (0..<10).map(String.init),
      training: part("train", problem(network).batchSize * 3), test: part("test", 4),
      normalization: .cifar10, digest: "")
  }

  /// What a debug build takes longest for, once a network.
  private static let prepared = Dictionary(
    uniqueKeysWithValues: ImageNetwork.allCases.map { network in
      (network, Result { try PreparedImages(data(network)) })
    })

  /// `steps` steps of an arm from the closed-form weights; norms' scales begin at 1.
  static func train(
    _ arm: String, _ hyperparameters: [String: Double], steps: Int
  ) throws -> ArmTrajectory {
    let (method, network) = try named(arm)
    guard let images = try prepared[network]?.get() else { return ArmTrajectory() }
    let training = try TrainingRun<ImageTask>(
      problem(network), method, Hyperparameters(hyperparameters), images, seed: seed)
    for case .parameter(let parameter) in training.task.classifier.model.state {
      if parameter.shape.count == 1 && parameter.name.hasSuffix("weight") { continue }
      parameter.tensor.assign(ClosedForm.weights(parameter.name, shape: parameter.shape))
    }
    var trajectory = ArmTrajectory()
    for _ in 0..<steps { trajectory.losses.append(try training.advance().loss) }
    for case .parameter(let parameter) in training.task.classifier.model.state {
      trajectory.weights.append((parameter.name, parameter.tensor.array))
    }
    return trajectory
  }

  private static func named(_ arm: String) throws -> (arm: Arm, network: ImageNetwork) {
    let found = try CIFAR10ResNet18.arms.named(arm, place: "test")
    return (found, try #require(ImageNetwork(rawValue: found.model)))
  }

  /// How many of 24 singular values an arm's rule clips that lie far above those before: the rank of its SVD.
  static func clippedCount(_ arm: String, _ hyperparameters: [String: Double]) throws -> Int {
    let (method, network) = try named(arm)
    let settings = problem(network)
    var rule = try method.clip(
      ArmSite(
        values: Hyperparameters(hyperparameters), layers: ["a"],
        decomposition: .sketch(
          rank: settings.rank, oversampling: settings.oversampling,
          powerIterations: settings.powerIterations), seed: seed))
    let gradient = LayerGradient(rows: 24, columns: 25)
    let weights = Matrix<Float>(rows: 24, columns: 25)
    return try weights.withView { weights in
      let gradients = Gradients([Layer(name: "a", gradient: gradient, weights: weights)])
      var count = 0
      for size: Float in [0.5, 2] {
        for i in 0..<24 { gradient.base[26 * i] = size * (1 + 0.02 * Float(i)) }
        try rule.apply(to: gradients)
        count = (0..<24).count { gradient.base[26 * $0] < 0.9 * size * (1 + 0.02 * Float($0)) }
        for i in 0..<600 where i % 26 != 0 { gradient.base[i] = 0 }
      }
      return count
    }
  }

  /// The validation accuracy and loss that a record reports of one epoch on the first generated images, whose weights are
  /// left at the path, and the images.
  static func reported(
    _ folder: String
  ) throws -> (accuracy: Double, loss: Double, weights: String, data: ImageData) {
    var config = CIFAR10ResNet18.defaults
    (config.images, config.trainingImages, config.testImages) = (.standIn, 4, 3)
    (config.widthDivisor, config.lossScale, config.batchSize) = (64, 31, 2)
    (config.epochs, config.finalViews) = (1, .none)
    (config.methods, config.seeds) = (["cifarnet-none"], [1])
    config.hyperparameters["cifarnet-none"] = ["learningRate": 0.05, "momentum": 0.6]
    let runner = Runner<CIFAR10ResNet18>(
      config: config, profile: "test", results: folder, dataFolder: "nowhere",
      telemetry: Telemetry(root: nil, threads: 1, jobs: 1), keepWeights: true)
    _ = try runner.run()
    let record = try RecordSet(folder: runner.folder).records[0]
    return (
      try record.doubles("val_accuracy").last ?? .nan, try record.doubles("val_loss").last ?? .nan,
      runner.weightsPath("cifarnet-none", 1),
      try ImageTask.load(config.settings, folder: "nowhere").data
    )
  }

  /// Settings that toy sizes replace.
  static var defaults: [String: Double] {
    let config = CIFAR10ResNet18.defaults.settings
    return [
      "widths' divisor": Double(config.widthDivisor), "epochs": Double(config.epochs),
      "batch": Double(config.batchSize), "images summed": Double(config.lossScale),
      "parts": Double(config.microBatches), "shift": Double(config.translate),
      "flips": config.flip == .alternating ? 1 : 0,
      "rank": Double(config.rank), "oversampling": Double(config.oversampling),
      "power iterations": Double(config.powerIterations),
      "views": Double(config.finalViews.rawValue),
    ]
  }

  /// The images of the batches, and how each is moved: rows down, columns right, mirrored.
  static func inputs() throws -> [SafetensorsTensor] {
    ImageNetwork.allCases.flatMap { network in
      let (problem, data) = (problem(network), data(network))
      var batches = ImageBatches(
        data.training, size: problem.batchSize,
        augmentation: ImageAugmentation(flip: problem.flip, translate: problem.translate),
        normalization: data.normalization,
        stream: RandomStream(seed: seed, name: "images").child("batches"))
      var (order, moves) = ([Int](), [Int]())
      for step in 0..<steps {
        for image in batches.batch(step: step) {
          let move = batches.transform(image: image, epoch: step / batches.batchesPerEpoch)
          order.append(image)
          moves += [move.rowShift, move.columnShift, move.isMirrored ? 1 : 0]
        }
      }
      let (name, size) = (network.rawValue, problem.batchSize)
      return [
        SafetensorsTensor("\(name).order", shape: [steps, size], ints: order, as: .i32),
        SafetensorsTensor("\(name).moves", shape: [steps, size, 3], ints: moves, as: .i32),
      ]
    }
  }
}
