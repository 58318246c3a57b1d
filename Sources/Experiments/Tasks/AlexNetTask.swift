// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Datasets
import Lab
import LinearAlgebra
import Models
import Storage
import Training

/// Settings of AlexNet on CIFAR-10. arXiv 2605.02701 names the network and CIFAR-100; the rest is not public, so it is ours.
package struct AlexNetSettings: ImageEpochs {
  /// The images.
  package var images = ImageData.Source.cifar10
  /// Training images that are used, at most.
  package var trainingImages = 50_000
  /// Test images that are used, at most.
  package var testImages = 10_000
  /// All widths are AlexNet's divided by it.
  package var widthDivisor = 1
  /// Epochs.
  package var epochs = 100
  /// Images a step.
  package var batchSize = 128
  /// Probability with which a value is dropped before each of the hidden linear layers.
  package var dropout = AlexNet.dropout
  /// Mirror images.
  package var flip = ImageAugmentation.Flip.alternating
  /// Shifts up to so many pixels.
  package var translate = 2
  /// Algorithm 2: singular values that may be clipped.
  package var rank = 10
  /// Algorithm 2: further sketch vectors.
  package var oversampling = 5
  /// Algorithm 2: power iterations.
  package var powerIterations = 1

  /// The defaults.
  package init() {}

  package static let limits: [String: ClosedRange<Int>] = [
    "trainingImages": .positive, "testImages": .positive, "epochs": 1...100_000,
    "batchSize": 1...1_000_000, "rank": 1...100_000, "oversampling": 0...100_000,
    "powerIterations": 0...1000, "translate": 0...15,
  ]

  package func validate() throws {
    try check(
      "widthDivisor", widthDivisor, [1, 2, 4, 8, 16, 32, 64].contains(widthDivisor), "1, 2, … 64")
    try check("dropout", dropout, dropout >= 0 && dropout < 1, "a number in [0, 1)")
    try checkBatch()
  }

  package var rehearsal: Rehearsal<AlexNetSettings> {
    rehearsal(self, batch: min(batchSize, 16 * widthDivisor))
  }
}

/// AlexNet on CIFAR-10 (arXiv 2605.02701): every parameter is moved and clipped by the arm, biases included.
package final class AlexNetTask: ModelTask {
  package static let metrics = [
    Metric("epoch", "training epochs done"),
    Metric(
      "train_accuracy",
      "share of the augmented training images since the point before that were classified correctly, with dropout"
    ),
    Metric("val_loss", "cross-entropy on the test images, nats an image"),
    Metric("val_accuracy", "share of the test images classified correctly"),
  ]
  package static func trainLossMeaning(_ settings: AlexNetSettings) -> String {
    "mean of the mini-batch losses since the point before (cross-entropy with dropout, nats an image)"
  }
  /// A mean loss of an image beyond this has diverged (it starts at log 10).
  package static let lossLimit = 1e3

  package static func load(_ settings: AlexNetSettings, folder: String) throws -> LoadedImages {
    let data = try settings.load(folder: folder)
    try settings.check(data, for: "AlexNet", sides: AlexNet.imageSides)
    return LoadedImages(data: data)
  }

  package let model: AlexNet
  package let settings: AlexNetSettings
  package let microBatches: Int
  package var pending = [0.0, 0.0]  // images classified correctly since the last point, and images
  private let data: ImageData
  private let pool: WorkerPool
  private let pass: ImagePass
  private var batches: ImageBatches
  private var step = 0
  private var ranks: any Ranks = SingleRank()
  private lazy var evaluation = ImageEvaluation(data, pool) { [model] in model.logits($0, $1) }

  /// Throws a `ConfigError` for a batch larger than the data, or one that the arm cannot cut.
  package init(
    _ settings: AlexNetSettings, _ arm: Arm, _ source: LoadedImages, seed: UInt64, pool: WorkerPool
  ) throws {
    (self.pool, data) = (pool, source.data)
    self.settings = Self.resolved(settings, source)
    try Self.checkBatch(settings, data)
    let parts = arm.clippedMicroBatches ?? arm.accumulatedMicroBatches ?? 1
    guard settings.batchSize % parts == 0 else {
      throw ConfigError(
        "setting 'batchSize'",
        "\(settings.batchSize) images do not divide into \(parts) micro-batches",
        hint: "choose a multiple of \(parts)")
    }
    microBatches = parts
    let stream = RandomStream(seed: seed, name: "alexnet")
    model = AlexNet(
      widthDivisor: settings.widthDivisor, classes: data.classes.count,
      channels: data.training.channels)
    model.initialize(stream.child("weights"))
    batches = ImageBatches(
      data.training, size: settings.batchSize,
      augmentation: ImageAugmentation(flip: settings.flip, translate: settings.translate),
      normalization: data.normalization, stream: stream.child("batches"))
    // A micro-batch that is clipped by itself has its own mean; else its part of the batch's mean.
    let (images, weight) = (
      data.training, arm.clippedMicroBatches == nil ? 1 / Float(parts) : 1
    )
    let tape = Tape(
      pool: pool, weightGradients: arm.needsSamples ? .perSample : .dense,
      dropoutStream: stream.child("dropout"))
    pass = ImagePass(
      tape, images: [settings.batchSize / parts, images.height, images.width, images.channels]
    ) { [model] images, targets in
      let logits = model.logits(tape, images, dropout: settings.dropout)
      let mean = model.loss(tape, logits, targets)
      return (logits, weight == 1 ? mean : tape.scale(mean, by: weight))
    }
  }

  // MARK: - Training

  package var decomposition: Decomposition {
    .sketch(
      rank: settings.rank, oversampling: settings.oversampling,
      powerIterations: settings.powerIterations)
  }

  package func load(step: Int, microBatch: Int) -> (tape: Tape, loss: Tensor) {
    self.step = step
    let chosen = batches.batch(step: step)
    let size = chosen.count / microBatches
    let first = chosen.startIndex + microBatch * size
    pass.fill(chosen[first..<(first + size)], data) {
      batches.transform(image: $0, epoch: step / stepsPerPoint)
    }
    return (pass.tape, pass.loss)
  }

  package func observe(step: Int, microBatch: Int) {
    pending[0] += Double(pass.correct)
    pending[1] += Double(settings.batchSize / microBatches)
  }

  // MARK: - Evaluation

  package func share(over ranks: any Ranks) { self.ranks = ranks }

  package func evaluate() -> [Double] {
    let trained = pending[0] / pending[1]
    pending = [0, 0]
    let held = evaluation.measure(.none, count: data.test.count, over: ranks)
    return [Double(step + 1) / Double(stepsPerPoint), trained, held.loss, held.accuracy]
  }

  package func objective(finalTrainLoss: Double) -> Double {
    evaluation.measure(.none, count: data.test.count, over: ranks).loss
  }

  package func summary(lastMetrics: [Double]) -> Attributes {
    [
      "training_images": .int(data.training.count), "test_images": .int(data.test.count),
      "steps_per_epoch": .int(stepsPerPoint), "micro_batches": .int(microBatches),
      "final_train_accuracy": last(1, of: lastMetrics),
      "final_val_loss": last(2, of: lastMetrics), "final_val_accuracy": last(3, of: lastMetrics),
    ]
  }
}
