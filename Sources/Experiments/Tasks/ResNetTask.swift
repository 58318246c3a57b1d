// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Datasets
import Lab
import LinearAlgebra
import Models
import Storage
import Training

/// Settings of a residual network on CIFAR-10 as arXiv 2404.08624 trains ResNet-18; the defaults are its authors'.
package struct ResNetSettings: ImageEpochs, DecayingEpochs {
  /// Which residual network.
  package enum Network: String, Codable, Sendable, CaseIterable {
    case resNet18 = "resnet18"
    case resNet20 = "resnet20"

    var depth: ResNet.Depth { self == .resNet18 ? .eighteen : .twenty }
  }

  /// The images, in color.
  package var images = ImageData.Source.cifar10
  /// Training images that are used, at most.
  package var trainingImages = 50_000
  /// Test images that are used, at most.
  package var testImages = 10_000
  /// The network.
  package var network = Network.resNet18
  /// All widths are the network's divided by it.
  package var widthDivisor = 1
  /// Epochs.
  package var epochs = 200
  /// Epochs, counted from 0, from which the rate is a tenth of what it was, in every arm.
  package var decayEpochs = [100, 150]
  /// Images a step.
  package var batchSize = 512

  /// The defaults.
  package init() {}

  /// ResNet-20 where arXiv 2404.08624 has ResNet-18.
  package static var resNet20: ResNetSettings {
    var settings = ResNetSettings()
    settings.network = .resNet20
    return settings
  }

  package static let limits: [String: ClosedRange<Int>] = [
    "trainingImages": .positive, "testImages": .positive, "epochs": 1...100_000,
    "decayEpochs": 0...100_000, "batchSize": 1...1_000_000, "widthDivisor": .positive,
  ]

  package func validate() throws {
    let narrowest = network.depth.widths[0]
    try check(
      "widthDivisor", widthDivisor,
      narrowest % widthDivisor == 0,
      "a divisor of \(narrowest), the width of the first stage")
    try checkBatch()
  }

  package var rehearsal: Rehearsal<ResNetSettings> {
    rehearsal(self, batch: min(batchSize, 4 * widthDivisor))
  }
}

/// A residual network on CIFAR-10 (arXiv 2404.08624): images shifted by up to four pixels beyond a black border and mirrored at
/// random, normalized by the authors' constants, mean cross-entropy; filters begin as in their code.
package final class ResNetTask: EpochClassifier {
  package static let sample = (one: "an image", many: "images")
  package static let ranksRefusal: String? =
    "normalizes over the batch, whose statistics change where it is cut"

  package static func load(_ settings: ResNetSettings, folder: String) throws -> LoadedImages {
    let data = try settings.load(folder: folder)
    guard data.training.channels == 3 else {
      throw ConfigError(
        "setting 'images'", "\(data.name) has \(data.training.channels) channels",
        hint: "the network takes images in color: choose cifar10")
    }
    return LoadedImages(data: data.isStandIn ? data : data.normalized(by: .cifar10ByImage))
  }

  package let model: ResNet
  package let settings: ResNetSettings
  package private(set) var step = 0
  private let data: ImageData
  private let pool: WorkerPool
  private let pass: ImagePass
  private var batches: ImageBatches
  private lazy var evaluation = ImageEvaluation(data, pool) { [model] in model.logits($0, $1) }

  /// Throws a `ConfigError` for a batch larger than the data.
  package init(
    _ settings: ResNetSettings, _ arm: Arm, _ source: LoadedImages, seed: UInt64, pool: WorkerPool
  ) throws {
    (self.pool, data) = (pool, source.data)
    self.settings = Self.resolved(settings, source)
    try Self.checkBatch(settings, data)
    let (stream, images) = (RandomStream(seed: seed, name: "resnet"), data.training)
    model = ResNet(
      settings.network.depth,
      widths: settings.network.depth.widths.map { $0 / settings.widthDivisor },
      classes: data.classes.count, channels: images.channels)
    model.initialize(stream.child("weights"), filters: .uniform)
    batches = ImageBatches(
      images, size: settings.batchSize,
      augmentation: ImageAugmentation(flip: .random, translate: 4, border: .black),
      normalization: data.normalization, stream: stream.child("batches"))
    let tape = Tape(pool: pool)
    pass = ImagePass(
      tape, images: [settings.batchSize, images.height, images.width, images.channels]
    ) { [model] images, targets in
      let logits = model.logits(tape, images)
      return (logits, model.loss(tape, logits, targets))
    }
  }

  package func load(step: Int, microBatch: Int) -> (tape: Tape, loss: Tensor) {
    self.step = step
    pass.fill(batches.batch(step: step), data) {
      batches.transform(image: $0, epoch: step / settings.stepsPerEpoch)
    }
    return (pass.tape, pass.loss)
  }

  package var testCount: Int { data.test.count }

  package func measure() -> (loss: Double, accuracy: Double) {
    let (accuracy, loss) = evaluation.measure(.none, count: data.test.count)
    return (loss, accuracy)
  }

  package var particulars: Attributes {
    [
      "network": .string(settings.network.rawValue),
      "training_images": .int(data.training.count), "test_images": .int(data.test.count),
    ]
  }
}
