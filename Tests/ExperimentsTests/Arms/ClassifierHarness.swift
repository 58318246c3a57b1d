// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra
import Models
import Storage
import Training

@testable import Datasets
@testable import Experiments
@testable import Lab

/// The arms of δ-GClip's classifiers at toy size: the residual network, the vision transformer and BERT. Everything that these
/// tests know of their training is here.
enum ClassifierHarness {
  /// Three epochs of three steps, and one.
  static let steps = 10
  private static let seed: UInt64 = 10

  /// Which network, by the name of its goldens.
  enum Kind: String, CaseIterable, Sendable {
    case resNet = "resnet"
    case vit, bert

    var names: [String] {
      switch self {
      case .resNet: DeltaGClipResNet18.arms.map(\.name)
      case .vit: DeltaGClipViT.arms.map(\.name)
      case .bert: DeltaGClipBERT.arms.map(\.name)
      }
    }
  }

  // MARK: - Settings and data

  private static var resNet: ResNetSettings {
    var settings = DeltaGClipResNet18.defaults.settings
    (settings.trainingImages, settings.testImages, settings.batchSize) = (12, 4, 4)
    // At most eight filters: a sketch that holds everything does not depend on its random numbers.
    (settings.widthDivisor, settings.epochs, settings.decayEpochs) = (64, 4, [1, 2])
    return settings
  }

  private static var vit: ViTSettings {
    var settings = DeltaGClipViT.defaults.settings
    (settings.trainingImages, settings.testImages, settings.batchSize) = (12, 4, 4)
    (settings.imageSide, settings.width, settings.layers, settings.heads) = (32, 6, 1, 2)
    settings.epochs = 4
    return settings
  }

  private static var bert: BERTSettings {
    var settings = DeltaGClipBERT.defaults.settings
    (settings.texts, settings.encoder, settings.length) = (.standIn, .seeded, 12)
    (settings.trainingTexts, settings.testTexts, settings.batchSize) = (12, 4, 4)
    (settings.width, settings.layers, settings.heads, settings.epochs) = (6, 1, 2, 4)
    return settings
  }

  private static func images(
    _ kind: Kind, side: Int, normalization: ImageNormalization
  ) -> LoadedImages {
    func part(_ name: String, _ count: Int) -> LabeledImages {
      LabeledImages(
        height: side, width: side, channels: 3,
        pixels: ClosedForm.integers(
          "\(kind.rawValue).\(name).pixels", count * side * side * 3, below: 256
        ).map { UInt8($0) },
        labels: ClosedForm.integers("\(kind.rawValue).\(name).labels", count, below: 10)
          .map { UInt8($0) })
    }
    return LoadedImages(
      data: ImageData(
        name: "closed form", isStandIn: true, classes: (0..<10).map(String.init),
        training: part("train", 12), test: part("test", 4), normalization: normalization,
        digest: ""))
  }

  private static let resNetImages = images(.resNet, side: 9, normalization: .cifar10ByImage)
  private static let vitImages = images(.vit, side: 32, normalization: .cifar10)
  private static let texts = Result { try EncodedTexts(bert, folder: "nowhere") }

  // MARK: - Training

  /// `steps` steps of an arm from the closed-form weights.
  static func train(
    _ kind: Kind, _ arm: String, _ hyperparameters: [String: Double], steps: Int
  ) throws -> ArmTrajectory {
    func trained<Experiment: CurveExperiment>(
      _ experiment: Experiment.Type, _ settings: Experiment.Task.Settings,
      _ source: Experiment.Task.Source
    ) throws -> ArmTrajectory {
      let run = try TrainingRun<Experiment.Task>(
        settings, Experiment.arms.named(arm, place: "test"), Hyperparameters(hyperparameters),
        source, seed: seed)
      for parameter in run.task.parameters { initialize(parameter, kind) }
      var trajectory = ArmTrajectory()
      for _ in 0..<steps { trajectory.losses.append(try run.advance().loss) }
      trajectory.weights = run.task.parameters.map {
        ($0.name, withoutKeys($0.name, $0.tensor.array))
      }
      return trajectory
    }
    switch kind {
    case .resNet: return try trained(DeltaGClipResNet18.self, resNet, resNetImages)
    case .vit: return try trained(DeltaGClipViT.self, vit, vitImages)
    case .bert: return try trained(DeltaGClipBERT.self, bert, texts.get())
    }
  }

  /// Scales of layer norms lie around 1, those of batch norms stay there.
  private static func initialize(_ parameter: Parameter, _ kind: Kind) {
    let isVectorOfWeights = parameter.shape.count == 1 && parameter.name.hasSuffix("weight")
    if kind == .resNet && isVectorOfWeights { return }
    let values = ClosedForm.weights(parameter.name, shape: parameter.shape)
    let isScale = isVectorOfWeights && parameter.name.lowercased().contains("norm")
    parameter.tensor.assign(isScale ? values.map { Float(1 + Double($0)) } : values)
  }

  /// A bias of the keys shifts all scores of a query alike: its gradient is rounding, which Adam takes for a sign.
  private static func withoutKeys(_ name: String, _ values: [Float]) -> [Float] {
    if name.hasSuffix("key.bias") { return values.map { _ in 0 } }
    guard name.hasSuffix("qkv.bias") else { return values }
    let third = values.count / 3
    return values[..<third] + Array(repeating: 0, count: third) + values[(2 * third)...]
  }

  /// How singular values are found, by network.
  static func decompositions() throws -> [Decomposition] {
    func of<Experiment: CurveExperiment>(
      _ experiment: Experiment.Type, _ settings: Experiment.Task.Settings,
      _ source: Experiment.Task.Source
    ) throws -> Decomposition {
      try Experiment.Task(settings, Experiment.arms[0], source, seed: seed, pool: .single)
        .decomposition
    }
    return [
      try of(DeltaGClipResNet18.self, resNet, resNetImages),
      try of(DeltaGClipViT.self, vit, vitImages), try of(DeltaGClipBERT.self, bert, texts.get()),
    ]
  }

  // MARK: - Inputs

  /// Batches, moves, pieces and tokens, which all arms of a network share.
  static func inputs() throws -> [SafetensorsTensor] {
    try resNetInputs() + vitInputs() + bertInputs()
  }

  private static func resNetInputs() throws -> [SafetensorsTensor] {
    var batches = ImageBatches(
      resNetImages.data.training, size: 4,
      augmentation: ImageAugmentation(flip: .random, translate: 4, border: .black),
      normalization: .cifar10ByImage,
      stream: RandomStream(seed: seed, name: "resnet").child("batches"))
    var (order, moves) = ([Int](), [Int]())
    for step in 0..<steps {
      for image in batches.batch(step: step) {
        let move = batches.transform(image: image, epoch: step / batches.batchesPerEpoch)
        order.append(image)
        moves += [move.rowShift, move.columnShift, move.isMirrored ? 1 : 0]
      }
    }
    return [
      SafetensorsTensor("resnet.order", shape: [steps, 4], ints: order, as: .i32),
      SafetensorsTensor("resnet.moves", shape: [steps, 4, 3], ints: moves, as: .i32),
    ]
  }

  /// The texts or images of each step's batch.
  private static func chosen(_ name: String) -> [[Int]] {
    var sampler = BatchSampler(
      count: 12, size: 4, order: .reshuffled,
      stream: RandomStream(seed: seed, name: name).child("batches"))
    return (0..<steps).map { Array(sampler.batch(step: $0)) }
  }

  private static func vitInputs() throws -> [SafetensorsTensor] {
    let crops = RandomStream(seed: seed, name: "vit").child("crops")
    let order = chosen("vit")
    let pieces = order.enumerated().flatMap { step, images in
      images.flatMap { image -> [Int] in
        var generator = crops.at(step: step / 3).element(image)
        let crop = ImageCrop.random(height: 32, width: 32, scale: 0.05...1, using: &generator)
        return [crop.top, crop.left, crop.height, crop.width]
      }
    }
    return [
      SafetensorsTensor("vit.order", shape: [steps, 4], ints: order.flatMap { $0 }, as: .i32),
      SafetensorsTensor("vit.crops", shape: [steps, 4, 4], ints: pieces, as: .i32),
    ]
  }

  private static func bertInputs() throws -> [SafetensorsTensor] {
    let (source, length, order) = (try texts.get(), bert.length, chosen("bert").flatMap { $0 })
    var tokens = [Int32](repeating: 0, count: order.count * length)
    var (mask, labels) = (tokens, [Int32](repeating: 0, count: order.count))
    tokens.withUnsafeMutableBufferPointer { tokens in
      mask.withUnsafeMutableBufferPointer { mask in
        labels.withUnsafeMutableBufferPointer { labels in
          guard let a = tokens.baseAddress, let b = mask.baseAddress, let c = labels.baseAddress
          else { return }
          source.training.fill(order, length: length, tokens: a, mask: b, labels: c)
        }
      }
    }
    func tensor(_ name: String, _ shape: [Int], _ values: [Int32]) -> SafetensorsTensor {
      SafetensorsTensor("bert.\(name)", shape: shape, ints: values.map { Int($0) }, as: .i32)
    }
    return [
      tensor("sizes", [2], [Int32(source.pieces.count), Int32(length)]),
      tensor("tokens", [steps, 4, length], tokens), tensor("mask", [steps, 4, length], mask),
      tensor("labels", [steps, 4], labels),
    ]
  }

  // MARK: - Defaults

  /// Settings that toy sizes replace, of each network.
  static var defaults: [[String: Double]] {
    let (resNet, vit, bert) = (
      DeltaGClipResNet18.defaults.settings, DeltaGClipViT.defaults.settings,
      DeltaGClipBERT.defaults.settings
    )
    return [
      [
        "training images": Double(resNet.trainingImages), "test images": Double(resNet.testImages),
        "widths' divisor": Double(resNet.widthDivisor), "epochs": Double(resNet.epochs),
        "first decay": Double(resNet.decayEpochs[0]),
        "second decay": Double(resNet.decayEpochs[1]),
        "batch": Double(resNet.batchSize), "eighteen layers": resNet.network == .resNet18 ? 1 : 0,
      ],
      [
        "training images": Double(vit.trainingImages), "test images": Double(vit.testImages),
        "side": Double(vit.imageSide), "smallest crop": vit.smallestCrop,
        "layers": Double(vit.layers), "heads": Double(vit.heads), "width": Double(vit.width),
        "epochs": Double(vit.epochs), "batch": Double(vit.batchSize),
        "authors' positions": vit.positions == .authorsCode ? 1 : 0,
      ],
      [
        "training texts": Double(bert.trainingTexts), "test texts": Double(bert.testTexts),
        "length": Double(bert.length), "epochs": Double(bert.epochs),
        "batch": Double(bert.batchSize),
      ],
    ]
  }
}
