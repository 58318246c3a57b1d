// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Datasets
import Lab
import LinearAlgebra
import Models
import Storage
import Training

/// Settings of the vision transformer of arXiv 2404.08624; the defaults are its authors', ViT-tiny.
package struct ViTSettings: ImageEpochs {
  /// The images, in color.
  package var images = ImageData.Source.cifar10
  /// Training images that are used, at most.
  package var trainingImages = 50_000
  /// Test images that are used, at most.
  package var testImages = 10_000
  /// Pixels of an image's side when the network sees it.
  package var imageSide = 64
  /// The least part of an image's area that is cut out of it in training; 1 leaves images whole.
  package var smallestCrop = 0.05
  /// Channels of a token.
  package var width = 192
  /// Transformer blocks.
  package var layers = 12
  /// Attention heads.
  package var heads = 3
  /// How positions, 14×14 of them and the class token's, serve the grid of patches; `own` has as many as there are patches.
  package var positions = PositionGrid.authorsCode
  /// Epochs.
  package var epochs = 100
  /// Images a step.
  package var batchSize = 64

  /// The defaults.
  package init() {}

  /// Pixels of a patch's side.
  static let patch = 16

  package static let limits: [String: ClosedRange<Int>] = [
    "trainingImages": .positive, "testImages": .positive, "epochs": 1...100_000,
    "batchSize": 1...1_000_000, "width": 1...100_000, "layers": 1...1000, "heads": 1...1000,
    "imageSide": 32...4096,
  ]

  package func validate() throws {
    try check("heads", heads, width % heads == 0, "a divisor of the width \(width)")
    // 32 pixels are the images' own, and larger crops would have to be smoothed first.
    try check(
      "imageSide", imageSide, imageSide % Self.patch == 0,
      "a multiple of \(Self.patch) from 32 on")
    try check(
      "smallestCrop", smallestCrop, smallestCrop > 0 && smallestCrop <= 1, "a number in (0, 1]")
    try checkBatch()
  }

  /// As few images as are some hundred million multiplications.
  package var rehearsal: Rehearsal<ViTSettings> {
    let tokens = Double(imageSide / Self.patch * (imageSide / Self.patch) + 1)
    let each = tokens * Double(width) * (12 * Double(width) + tokens) * Double(layers)
    return rehearsal(self, batch: min(batchSize, max(1, Int(1e9 / each))))
  }
}

/// The vision transformer on CIFAR-10 (arXiv 2404.08624): pieces of the images, resized, intensities in [0, 1] and not normalized.
package final class ViTTask: EpochClassifier {
  package static let sample = (one: "an image", many: "images")
  package static let testNote = ", each whole and resized"

  package static func load(_ settings: ViTSettings, folder: String) throws -> LoadedImages {
    let data = try settings.load(folder: folder)
    let images = data.training
    guard images.channels == 3, max(images.height, images.width) <= settings.imageSide else {
      throw ConfigError(
        "setting 'images'",
        "\(data.name) has images[\(images.height), \(images.width), \(images.channels)]",
        hint:
          "the transformer takes images of three channels and at most \(settings.imageSide) pixels a side: choose cifar10"
      )
    }
    return LoadedImages(data: data)
  }

  package let model: ViT
  package let settings: ViTSettings
  package private(set) var step = 0
  private let data: ImageData
  private let pass: ImagePass
  private let crops: RandomStream
  private var sampler: BatchSampler
  private let pool: WorkerPool
  private lazy var evaluation = ViTEvaluation(model, settings, data.test, pool)

  /// Throws a `ConfigError` for a batch larger than the data.
  package init(
    _ settings: ViTSettings, _ arm: Arm, _ source: LoadedImages, seed: UInt64, pool: WorkerPool
  ) throws {
    (data, self.pool) = (source.data, pool)
    self.settings = Self.resolved(settings, source)
    try Self.checkBatch(settings, data)
    var shape = ViT.Shape()
    (shape.layers, shape.heads, shape.width) = (settings.layers, settings.heads, settings.width)
    (shape.hidden, shape.classes) = (4 * settings.width, data.classes.count)
    if settings.positions == .own { shape.grid = settings.imageSide / ViTSettings.patch }
    let stream = RandomStream(seed: seed, name: "vit")
    model = ViT(shape, positions: settings.positions)
    model.initialize(stream.child("weights"))
    pass = ImagePass(
      model, Tape(pool: pool), rows: settings.batchSize, side: settings.imageSide)
    sampler = BatchSampler(
      count: data.training.count, size: settings.batchSize, order: .reshuffled,
      stream: stream.child("batches"))
    crops = stream.child("crops")
  }

  package func load(step: Int, microBatch: Int) -> (tape: Tape, loss: Tensor) {
    self.step = step
    let chosen = sampler.batch(step: step)
    let (images, epoch) = (data.training, crops.at(step: step / settings.stepsPerEpoch))
    let scale = settings.smallestCrop...1
    pass.fill(chosen, images, side: settings.imageSide) { b in
      var generator = epoch.element(chosen[chosen.startIndex + b])
      return scale.lowerBound == 1
        ? ImageCrop(top: 0, left: 0, height: images.height, width: images.width)
        : .random(
          height: images.height, width: images.width, scale: scale, using: &generator)
    }
    return (pass.tape, pass.loss)
  }

  package var testCount: Int { data.test.count }
  package func measure() -> (loss: Double, accuracy: Double) { evaluation.measure() }
  package var particulars: Attributes {
    [
      "training_images": .int(data.training.count), "test_images": .int(data.test.count),
    ]
  }

  package func save(to path: String) throws {
    try model.save(to: path, configuration: model.configuration)
  }
}

extension ImagePass {
  /// A pass of `model` over `rows` images of `side` pixels; the loss is the mean over them.
  fileprivate convenience init(_ model: ViT, _ tape: Tape, rows: Int, side: Int) {
    self.init(tape, images: [rows, side, side, model.shape.channels]) { images, targets in
      let logits = model.logits(tape, images)
      return (logits, model.loss(tape, logits, targets))
    }
  }
}

/// Loss and accuracy on images that are shown whole.
private final class ViTEvaluation {
  private let model: ViT
  private let side: Int
  private let images: LabeledImages
  private let pool: WorkerPool
  /// By the number of images; there are two at most: full batches, and what is left over.
  private var passes: [Int: ImagePass] = [:]

  /// Images that are evaluated at a time.
  private static let rows = 128

  init(_ model: ViT, _ settings: ViTSettings, _ images: LabeledImages, _ pool: WorkerPool) {
    (self.model, side, self.images, self.pool) = (model, settings.imageSide, images, pool)
  }

  func measure() -> (loss: Double, accuracy: Double) {
    var (loss, correct) = (0.0, 0)
    let whole = ImageCrop(top: 0, left: 0, height: images.height, width: images.width)
    for start in stride(from: 0, to: images.count, by: Self.rows) {
      let range = start..<min(start + Self.rows, images.count)
      let pass =
        passes[range.count]
        ?? ImagePass(model, Tape(pool: pool, isTraining: false), rows: range.count, side: side)
      passes[range.count] = pass
      pass.fill(range, images, side: side) { _ in whole }
      pass.tape.forward()
      loss += Double(pass.loss.scalar) * Double(range.count)
      correct += pass.correct
    }
    return (loss / Double(images.count), Double(correct) / Double(images.count))
  }
}
