// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Clipping
import Datasets
import Lab
import LinearAlgebra
import Models
import Optimizers
import Storage
import Training

/// Settings of a CIFAR-10 network; the defaults are the paper's, its code's where the text is silent.
package struct ImageSettings: ImageEpochs {
  /// The images.
  package var images = ImageData.Source.cifar10
  /// Training images that are used, at most.
  package var trainingImages = 50_000
  /// Test images that are used, at most.
  package var testImages = 10_000
  /// Both networks' widths are the authors' divided by it.
  package var widthDivisor = 1
  /// Epochs: 8 in the text, 20 in the code.
  package var epochs = 8
  /// Epochs in which the whitening bias is trained.
  package var whiteningEpochs = 3
  /// Images a step.
  package var batchSize = 2000
  /// Parts that a batch is computed in; norms take their statistics from a part.
  package var microBatches = 1
  /// The loss is the mean over the batch times this: with the batch's 2 000 the authors' sum, with 1 the mean. Logits are
  /// divided by the head's width, so a network narrowed by n moves n times as fast; 2 000/n makes up for it.
  package var lossScale = 2000
  /// Probability that is taken from the label and spread over all classes.
  package var labelSmoothing = 0.2
  /// Mirror images.
  package var flip = ImageAugmentation.Flip.alternating
  /// Shifts up to so many pixels.
  package var translate = 2
  /// Views of a test image in the final accuracy: 0 the image, 1 with its mirror image, 2 and shifted by a pixel.
  package var finalViews = TestTimeAugmentation.mirrorAndTranslate
  /// Initial rate of shifts and biases.
  package var biasRate = 0.053
  /// Initial rate of the head.
  package var headRate = 0.67
  /// Nesterov momentum of both.
  package var headMomentum = 0.85
  /// Nesterov momentum of the convolutions, where it is not searched for.
  package var filterMomentum = 0.7716
  /// Weight decay of biases and head, already times their rate: 2e-6 for each of the authors' 2 000 images.
  package var decay = 4e-3
  /// Algorithm 2: singular values that may be clipped.
  package var rank = 10
  /// Algorithm 2: further sketch vectors.
  package var oversampling = 5
  /// Algorithm 2: power iterations.
  package var powerIterations = 1
  /// Algorithm 2: what a sketch starts from.
  package var sketchStart = SketchStart.normal

  /// The defaults.
  package init() {}

  /// Rates fall linearly to 0.
  package var schedule: Schedule { .linear() }

  package static let later = ["sketchStart": "normal"]
  package static let limits: [String: ClosedRange<Int>] = [
    "trainingImages": .positive, "testImages": .positive, "epochs": 1...100_000,
    "whiteningEpochs": 0...100_000, "batchSize": 1...1_000_000, "microBatches": 1...1_000_000,
    "lossScale": .positive, "rank": 1...100_000, "oversampling": 0...100_000,
    "powerIterations": 0...1000, "translate": 0...15,
  ]

  package func lasting(_ fraction: Double) -> ImageSettings {
    var own = self
    own.epochs = max(1, Int((fraction * Double(epochs)).rounded()))
    own.whiteningEpochs = min(whiteningEpochs, own.epochs)
    return own
  }

  package func validate() throws {
    try check(
      "widthDivisor", widthDivisor, [1, 2, 4, 8, 16, 32, 64].contains(widthDivisor), "1, 2, … 64")
    try check(
      "microBatches", microBatches, batchSize % microBatches == 0,
      "a divisor of the \(batchSize) images")
    try checkBatch()
    for (key, value) in [("biasRate", biasRate), ("headRate", headRate)] {
      try check(key, value, value > 0 && value.isFinite, "a number > 0")
    }
    try check("decay", decay, decay >= 0 && decay.isFinite, "a number >= 0")
    for (key, value) in [
      ("labelSmoothing", labelSmoothing), ("headMomentum", headMomentum),
      ("filterMomentum", filterMomentum),
    ] { try check(key, value, value >= 0 && value < 1, "a number in [0, 1)") }
  }

  package var rehearsal: Rehearsal<ImageSettings> {
    var small = self
    small.microBatches = 1
    var rehearsal = rehearsal(
      small, batch: min(200, batchSize / microBatches, 4 * widthDivisor))
    rehearsal.pass = Double(batchSize) / Double(rehearsal.settings.batchSize)
    return rehearsal
  }
}

/// Images with what is computed from them once.
package struct PreparedImages: ImageSet {
  package let data: ImageData
  /// The CifarNet's first layer [8 channels, 2, 2, channels], from the first 5 000 training images as in the authors' code.
  let whitening: [Float]

  package func holdingOut() throws -> PreparedImages {
    try PreparedImages(data: data.holdingOut(), whitening: whitening)
  }

  private init(data: ImageData, whitening: [Float]) {
    (self.data, self.whitening) = (data, whitening)
  }

  init(_ data: ImageData) throws {
    self.data = data
    let images = data.training
    let count = min(5000, images.count)
    let pixels = [Float](unsafeUninitializedCapacity: count * images.imageSize) {
      buffer, initialized in
      guard let base = buffer.baseAddress else { return }
      images.write(0..<count, normalization: data.normalization, into: base)
      initialized = buffer.count
    }
    whitening = try CifarNet.whiteningWeight(
      of: pixels, height: images.height, width: images.width, channels: images.channels)
  }
}

/// A network of Fig 2a on CIFAR-10 in the AirBench setup: the arm moves the convolutions, which alone are clipped; biases and
/// head are moved alike in all arms, by the authors' second SGD.
package final class ImageTask: Workload {
  package static let layerName = "convolution"
  package static let metrics = [
    Metric("epoch", "training epochs done"),
    Metric(
      "train_accuracy",
      "share of the augmented training images since the point before that were classified correctly"
    ),
    Metric("val_loss", "cross-entropy on the test images, nats an image"),
    Metric(
      "val_accuracy", "share of the test images classified correctly, each as it is"),
  ]
  package static func trainLossMeaning(_ settings: ImageSettings) -> String {
    "mean of the mini-batch losses since the point before (smoothed labels, nats an image)"
  }
  package static let ranksRefusal: String? =
    "normalizes over the batch, whose statistics change where it is cut"
  /// A mean loss of an image beyond this has diverged (it starts near log 10).
  package static let lossLimit = 1e3

  package static func placeholder(_ settings: ImageSettings) throws -> PreparedImages {
    try PreparedImages(settings.placeholder)
  }

  package static func load(_ settings: ImageSettings, folder: String) throws -> PreparedImages {
    try PreparedImages(settings.load(folder: folder))
  }

  package let classifier: ImageClassifier
  package var pending = [0.0, 0.0]  // images classified correctly since the last point, and images
  package let settings: ImageSettings
  private let data: ImageData
  private let network: ImageNetwork
  private let pool: WorkerPool
  private var batches: ImageBatches
  private var pass: (whitening: CifarNet.WhiteningBias, images: ImagePass)?
  private var step = 0
  private lazy var evaluation = ImageEvaluation(data, pool) { [classifier] in
    classifier.logits($0, $1, whiteningBias: .frozen)
  }

  /// Throws a `ConfigError` for a batch larger than the data.
  package init(
    _ settings: ImageSettings, _ arm: Arm, _ source: PreparedImages, seed: UInt64, pool: WorkerPool
  ) throws {
    (self.pool, data) = (pool, source.data)
    self.settings = Self.resolved(settings, source)
    try Self.checkBatch(settings, data)
    guard let network = ImageNetwork(rawValue: arm.model) else {
      preconditionFailure("arm '\(arm.name)' trains '\(arm.model)', which is no image network")
    }
    if network == .cifarNet {
      try settings.check(data, for: network.title, sides: CifarNet.imageSides)
    }
    let side = min(data.training.height, data.training.width)
    guard settings.translate < side else {
      throw ConfigError.value(
        "translate", settings.translate, "less than the images' \(side) pixels")
    }
    self.network = network
    let stream = RandomStream(seed: seed, name: "images")
    classifier = ImageClassifier(
      network, widthDivisor: settings.widthDivisor, classes: data.classes.count,
      channels: data.training.channels, whitening: source.whitening, stream.child("weights"))
    batches = ImageBatches(
      data.training, size: settings.batchSize,
      augmentation: ImageAugmentation(flip: settings.flip, translate: settings.translate),
      normalization: data.normalization, stream: stream.child("batches"))
  }

  // MARK: - Training

  /// All but the scales of norms, which stay at 1 in the AirBench setup.
  package private(set) lazy var parameters: [Parameter] = {
    let moved = Set(
      classifier.filterNames + classifier.biasNames + [classifier.headName]
        + (classifier.whiteningBiasName.map { [$0] } ?? []))
    return classifier.model.parameters.filter { moved.contains($0.name) }
  }()
  package var modelState: [[Float]] {
    get { classifier.model.values }
    set { classifier.model.values = newValue }
  }
  package var watchedLayers: [String] { classifier.filterNames }
  package var recordedLayers: [String] { classifier.filterNames }
  package var microBatches: Int { settings.microBatches }
  package var lossScale: Double { Double(settings.lossScale) }
  package var measuring: StepMeasuring { [.clip, .truncation] }
  package var defaults: Hyperparameters { ["momentum": settings.filterMomentum] }
  package var decomposition: Decomposition {
    .sketch(
      rank: settings.rank, oversampling: settings.oversampling,
      powerIterations: settings.powerIterations, start: settings.sketchStart)
  }

  /// An arm moves and clips the convolutions, whatever it calls them.
  package func names(in set: ParameterSet) -> [String] { classifier.filterNames }

  /// Biases, head and, for a few epochs, the whitening bias. The authors divide the decay by the rate, so that the product is
  /// the same for all.
  package var fixedGroups: [ParameterGroup] {
    func group(_ names: [String], _ rate: Double, epochs: Int) -> ParameterGroup {
      ParameterGroup(
        names,
        SGD(
          momentum: settings.headMomentum, weightDecay: settings.decay / rate, nesterov: true),
        rate: LearningRate(rate, .linear(), steps: epochs * settings.stepsPerEpoch))
    }
    return [
      group(classifier.biasNames, settings.biasRate, epochs: settings.epochs),
      group([classifier.headName], settings.headRate, epochs: settings.epochs),
    ]
      + (classifier.whiteningBiasName.map {
        [group([$0], settings.biasRate, epochs: settings.whiteningEpochs)]
      } ?? [])
  }

  package func load(step: Int, microBatch: Int) -> (tape: Tape, loss: Tensor) {
    self.step = step
    let pass = currentPass(step)
    let chosen = batches.batch(step: step)
    let epoch = step / settings.stepsPerEpoch
    let size = chosen.count / settings.microBatches
    let first = chosen.startIndex + microBatch * size
    pass.fill(chosen[first..<(first + size)], data) {
      batches.transform(image: $0, epoch: epoch)
    }
    return (pass.tape, pass.loss)
  }

  package func observe(step: Int, microBatch: Int) {
    pending[0] += Double(pass?.images.correct ?? 0)
    pending[1] += Double(settings.batchSize / settings.microBatches)
  }

  /// The tape of the present epoch: once the whitening bias is fixed, one that does not differentiate down to it.
  private func currentPass(_ step: Int) -> ImagePass {
    let isTrained =
      classifier.whiteningBiasName != nil
      && step < settings.whiteningEpochs * settings.stepsPerEpoch
    let whitening: CifarNet.WhiteningBias = isTrained ? .trained : .frozen
    if let pass, pass.whitening == whitening { return pass.images }
    pass = nil  // its buffers are free before the next ones are made
    let (tape, images) = (Tape(pool: pool), data.training)
    let new = ImagePass(
      tape,
      images: [
        settings.batchSize / settings.microBatches, images.height, images.width, images.channels,
      ]
    ) { [classifier, settings] images, targets in
      let logits = classifier.logits(tape, images, whiteningBias: whitening)
      let sum = tape.crossEntropy(
        logits, targets, labelSmoothing: settings.labelSmoothing, reduction: .sum)
      let weight = Float(settings.lossScale) / Float(settings.batchSize)
      return (logits, weight == 1 ? sum : tape.scale(sum, by: weight))
    }
    pass = (whitening, new)
    return new
  }

  // MARK: - Evaluation

  package func evaluate() -> [Double] {
    let trained = pending[0] / pending[1]
    pending = [0, 0]
    let held = evaluation.measure(.none, count: data.test.count)
    return [Double(step + 1) / Double(settings.stepsPerEpoch), trained, held.loss, held.accuracy]
  }

  /// The error over the final views.
  package func objective(finalTrainLoss: Double) -> Double {
    let count = data.test.count
    return Self.error(
      accuracy: evaluation.measure(settings.finalViews, count: count).accuracy, of: count)
  }

  /// The share of `count` images that are not classified correctly, at least half an image: ratios and logarithms of it exist.
  package static func error(accuracy: Double, of count: Int) -> Double {
    max(1 - accuracy, 0.5 / Double(count))
  }

  package func summary(lastMetrics: [Double]) -> Attributes {
    let hasDiverged = lastMetrics.isEmpty
    let final =
      hasDiverged ? .nan : evaluation.measure(settings.finalViews, count: data.test.count).accuracy
    return [
      "network": .string(network.rawValue),
      "parameters": .int(classifier.model.parameterCount),
      "training_images": .int(data.training.count), "test_images": .int(data.test.count),
      "steps_per_epoch": .int(settings.stepsPerEpoch),
      "final_val_loss": last(2, of: lastMetrics),
      "final_val_accuracy": .double(hasDiverged ? .nan : lastMetrics[3]),
      "final_augmented_accuracy": .double(final),
    ]
  }

  package func save(to path: String) throws { try classifier.model.save(to: path) }
}
