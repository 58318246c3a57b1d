import Autodiff
import Clipping
import Datasets
import Foundation
import LinearAlgebra
import Models

/// Batches, rates and schedule of a CIFAR-10 run: what all its methods share.
struct ImageProblem: Sendable {
  /// The authors' widths are divided by it.
  var narrowing: Int
  /// Images a step.
  var batchSize: Int
  /// Parts that a batch is computed in, one after another; norms take their statistics from a part.
  var parts: Int
  /// Epochs of training, and of those the first in which the whitening bias is trained.
  var epochs: Int
  var whiteningEpochs: Int
  /// The loss is the mean over a batch times this: with the batch size, the authors' sum.
  var imagesSummed: Int
  var labelSmoothing: Double
  var augmentation: ImageAugmentation
  /// Initial rates of biases and head, their momentum, that of the convolutions, and the decay of biases and head times
  /// their rate.
  var biasRate: Double
  var headRate: Double
  var headMomentum: Double
  var filterMomentum: Double
  var decay: Double
  /// Algorithm 2.
  var rank: Int
  var oversampling: Int
  var powerIterations: Int

  /// Algorithm 2 at some rank.
  func sketch(rank: Int) throws -> SpectralClip {
    try .randomized(rank: rank, oversampling: oversampling, powerIterations: powerIterations)
  }

  /// Steps of an epoch over `count` images.
  func stepsPerEpoch(_ count: Int) -> Int { count / batchSize }
}

/// Images with what is computed from them once.
struct PreparedImages: Sendable {
  let data: ImageData
  /// The CifarNet's first layer [24, 2, 2, 3], from the first 5 000 training images as in the authors' code.
  let whitening: [Float]

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
      of: pixels, height: images.height, width: images.width)
  }
}
