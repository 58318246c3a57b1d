// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Datasets
import Lab
import LinearAlgebra
import Models
import Storage
import Training

/// Settings of the variational autoencoder of arXiv 2404.08624; the defaults are its authors'.
package struct VAESettings: ImageEpochs, DecayingEpochs {
  /// The images, gray.
  package var images = ImageData.Source.fashionMNISTOrStandIn
  /// Training images that are used, at most.
  package var trainingImages = 60_000
  /// Test images that are used, at most.
  package var testImages = 10_000
  /// Width of the hidden layers.
  package var hidden = 50
  /// Values of an image's code.
  package var latent = 50
  /// Epochs.
  package var epochs = 200
  /// Epochs, counted from 0, from which the rate is a tenth of what it was.
  package var decayEpochs = [99, 149]
  /// Images a step.
  package var batchSize = 100

  /// The defaults.
  package init() {}

  package static let limits: [String: ClosedRange<Int>] = [
    "trainingImages": .positive, "testImages": .positive, "epochs": 1...100_000,
    "decayEpochs": 0...100_000, "batchSize": 1...1_000_000, "hidden": 1...100_000,
    "latent": 1...100_000,
  ]

  package func validate() throws {
    try checkBatch()
  }

  /// An evaluation is on all images.
  package var rehearsal: Rehearsal<VAESettings> {
    var rehearsal = rehearsal(self, batch: min(batchSize, 200))
    let small = rehearsal.settings
    rehearsal.evaluation =
      Double(trainingImages + testImages) / Double(small.trainingImages + small.testImages)
    return rehearsal
  }
}

/// The variational autoencoder on Fashion-MNIST (arXiv 2404.08624): the loss that is differentiated is summed over the batch, what
/// is reported is an image's.
package final class VAETask: ModelTask {
  package static let metrics = [
    Metric("epoch", "training epochs done"),
    Metric(
      "train_set_loss",
      "loss on all training images at the weights of the point: squared errors and divergence, an image"
    ),
    Metric("val_loss", "the same on the test images"),
  ]
  package static func trainLossMeaning(_ settings: VAESettings) -> String {
    "mean of the mini-batch losses since the point before (squared errors and divergence, an image)"
  }
  /// A loss of an image beyond this has diverged (it starts near 200, and a gray image of noise has about 65).
  package static let lossLimit = 1e5

  package static func load(_ settings: VAESettings, folder: String) throws -> LoadedImages {
    let data = try settings.load(folder: folder)
    guard data.training.channels == 1 else {
      throw ConfigError(
        "setting 'images'", "\(data.name) has \(data.training.channels) channels",
        hint: "the autoencoder takes gray images: choose fashion-mnist")
    }
    return LoadedImages(data: data)
  }

  package let model: VAE
  package let settings: VAESettings
  private let data: ImageData
  private let pool: WorkerPool
  private let pass: VAEPass
  private var sampler: BatchSampler
  private let noise: RandomStream, evaluationNoise: RandomStream
  private var step = 0
  private lazy var evaluation = VAEEvaluation(model, evaluationNoise, pool)

  /// Throws a `ConfigError` for a batch larger than the data.
  package init(
    _ settings: VAESettings, _ arm: Arm, _ source: LoadedImages, seed: UInt64, pool: WorkerPool
  ) throws {
    (data, self.pool) = (source.data, pool)
    self.settings = Self.resolved(settings, source)
    try Self.checkBatch(settings, data)
    let stream = RandomStream(seed: seed, name: "vae")
    model = VAE(
      inputs: data.training.imageSize, hidden: settings.hidden, latent: settings.latent)
    model.initialize(stream.child("weights"))
    pass = VAEPass(
      model,
      Tape(pool: pool, weightGradients: arm.needsSamples ? .perSample : .lowRank),
      rows: settings.batchSize)
    sampler = BatchSampler(
      count: data.training.count, size: settings.batchSize, order: .reshuffled,
      stream: stream.child("batches"))
    noise = stream.child("noise")
    evaluationNoise = stream.child("evaluation noise")
  }

  // MARK: - Training

  package var lossScale: Double { Double(settings.batchSize) }

  package func load(step: Int, microBatch: Int) -> (tape: Tape, loss: Tensor) {
    self.step = step
    pass.fill(sampler.batch(step: step), data.training, noise: noise.at(step: step))
    return (pass.tape, pass.loss)
  }

  // MARK: - Evaluation

  /// Both sets with the same draws at every point.
  package func evaluate() -> [Double] {
    [
      Double(step + 1) / Double(settings.stepsPerEpoch), evaluation.loss(data.training, "training"),
      evaluation.loss(data.test, "test"),
    ]
  }

  package func objective(finalTrainLoss: Double) -> Double { evaluation.loss(data.test, "test") }

  package func summary(lastMetrics: [Double]) -> Attributes {
    [
      "training_images": .int(data.training.count), "test_images": .int(data.test.count),
      "steps_per_epoch": .int(settings.stepsPerEpoch),
      "final_train_set_loss": last(1, of: lastMetrics),
      "final_val_loss": last(2, of: lastMetrics),
    ]
  }
}

/// A recorded pass over some images.
private final class VAEPass {
  let tape: Tape
  /// Summed over the images.
  let loss: Tensor
  private let x: Tensor, noise: Tensor

  init(_ model: VAE, _ tape: Tape, rows: Int) {
    self.tape = tape
    x = tape.input([rows, model.inputs])
    noise = tape.input([rows, model.latent])
    loss = model.loss(tape, x, noise: noise)
  }

  /// Writes the images of these numbers and draws the noise of their codes.
  func fill(
    _ numbers: some RandomAccessCollection<Int>, _ images: LabeledImages, noise stream: RandomStream
  ) {
    images.write(numbers, normalization: .unit, into: x.value.base, pool: tape.pool) { _ in
      .identity
    }
    stream.fill(
      normal: UnsafeMutableBufferPointer(start: noise.value.base, count: noise.count))
  }
}

/// The loss of a network on images that it is not trained on at the moment.
private final class VAEEvaluation {
  private let model: VAE
  private let noise: RandomStream
  private let pool: WorkerPool
  /// By the number of images; there are two at most for a set: full batches, and what is left over.
  private var passes: [Int: VAEPass] = [:]

  /// Images that are evaluated at a time.
  private static let rows = 200

  init(_ model: VAE, _ noise: RandomStream, _ pool: WorkerPool) {
    (self.model, self.noise, self.pool) = (model, noise, pool)
  }

  /// The mean loss of an image; the codes' noise is a function of the stream, `name` and the image's number.
  func loss(_ images: LabeledImages, _ name: String) -> Double {
    let stream = noise.child(name)
    var sum = 0.0
    for start in stride(from: 0, to: images.count, by: Self.rows) {
      let range = start..<min(start + Self.rows, images.count)
      let pass = pass(rows: range.count)
      pass.fill(range, images, noise: stream.at(step: start / Self.rows))
      pass.tape.forward()
      sum += Double(pass.loss.scalar)
    }
    return sum / Double(images.count)
  }

  private func pass(rows: Int) -> VAEPass {
    if let pass = passes[rows] { return pass }
    let pass = VAEPass(model, Tape(pool: pool, isTraining: false), rows: rows)
    passes[rows] = pass
    return pass
  }
}
