// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// What happens to training images at random.
public struct ImageAugmentation: Codable, Sendable, Equatable {
  /// Mirror images, left to right.
  public enum Flip: String, Codable, Sendable, CaseIterable {
    /// Images as they are.
    case none
    /// A coin for each image says whether epoch 0 shows it or its mirror image, then the epochs take turns
    /// (airbench; Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, §3.6).
    case alternating
    /// A coin for each image and epoch, as torchvision's RandomHorizontalFlip.
    case random
  }

  /// Mirror images.
  public var flip: Flip
  /// Every epoch moves every image by up to this many pixels in either direction, uniformly.
  public var translate: Int
  /// What comes into sight beyond the image.
  public var border: ImageBorder

  /// The authors' setting, unless told otherwise: alternating flips, shifts up to 2 pixels with reflection.
  public init(
    flip: Flip = .alternating, translate: Int = 2, border: ImageBorder = .reflected
  ) {
    (self.flip, self.translate, self.border) = (flip, translate, border)
  }

  /// Images as they are.
  public static let none = ImageAugmentation(flip: .none, translate: 0)
}

/// Mini-batches of augmented, normalised training images: whole epochs in a new order each, the incomplete
/// batch at the end of one left out.
///
/// Everything is a function of the stream, the epoch, and the image's number, so that an epoch can be taken
/// up at any batch.
public struct ImageBatches: Sendable {
  /// The images.
  public let images: LabeledImages
  /// Images of a batch, B.
  public let size: Int
  /// What becomes of their intensities.
  public let normalization: ImageNormalization
  private let augmentation: ImageAugmentation
  private let flips: RandomStream
  private let shifts: RandomStream
  private var sampler: BatchSampler

  /// Batches of `size` among `images`, 1 <= size <= images.count, shifted by less than an image's size.
  public init(
    _ images: LabeledImages, size: Int, augmentation: ImageAugmentation = .init(),
    normalization: ImageNormalization, stream: RandomStream
  ) {
    precondition(
      augmentation.translate >= 0 && augmentation.translate < min(images.height, images.width),
      "shifts up to \(augmentation.translate) of images[\(images.height), \(images.width)]")
    (self.images, self.size) = (images, size)
    (self.augmentation, self.normalization) = (augmentation, normalization)
    (flips, shifts) = (stream.child("flip"), stream.child("translate"))
    sampler = BatchSampler(
      count: images.count, size: size, order: .reshuffled, stream: stream.child("order"))
  }

  /// Batches in an epoch.
  public var batchesPerEpoch: Int { sampler.batchesPerEpoch }

  /// The images of the batch of step k = 0, 1, …, which belongs to epoch k / batchesPerEpoch.
  public mutating func batch(step: Int) -> ArraySlice<Int> { sampler.batch(step: step) }

  /// Writes the batch of a step: x[B·H·W, C], channels last, image after image, and its labels[B].
  ///
  /// Nothing is allocated but the order of an epoch, at its first batch.
  public mutating func fill(
    step: Int, _ x: UnsafeMutablePointer<Float>, labels: UnsafeMutablePointer<Int32>,
    pool: WorkerPool = .single
  ) {
    let chosen = batch(step: step)
    let epoch = step / batchesPerEpoch
    images.write(chosen, normalization: normalization, into: x, pool: pool) { b in
      transform(image: chosen[chosen.startIndex + b], epoch: epoch)
    }
    for (b, image) in chosen.enumerated() { labels[b] = Int32(images.labels[image]) }
  }

  /// What an epoch makes of an image.
  ///
  /// In the authors' order: the coin's mirror image is padded and shifted, and the result is mirrored in odd
  /// epochs. Reflection commutes with mirroring, so a mirror image shifted right is the mirror image of a
  /// shift to the left, and both mirrors come last.
  public func transform(image: Int, epoch: Int) -> ImageTransform {
    var (isFlipped, isOdd) = (false, false)
    switch augmentation.flip {
    case .none: break
    case .alternating:
      isFlipped = flips.integer(below: 2, at: image) == 1
      isOdd = epoch % 2 == 1
    case .random: isFlipped = flips.at(step: epoch).integer(below: 2, at: image) == 1
    }
    guard augmentation.translate > 0 else {
      return ImageTransform(isMirrored: isFlipped != isOdd)
    }
    let side = 2 * augmentation.translate + 1
    let window = shifts.at(step: epoch).integer(below: side * side, at: image)
    return Self.transform(
      isFlipped: isFlipped, rowShift: window / side - augmentation.translate,
      columnShift: window % side - augmentation.translate, isOdd: isOdd,
      border: augmentation.border)
  }

  static func transform(
    isFlipped: Bool, rowShift: Int, columnShift: Int, isOdd: Bool, border: ImageBorder = .reflected
  ) -> ImageTransform {
    ImageTransform(
      rowShift: rowShift, columnShift: isFlipped ? -columnShift : columnShift,
      isMirrored: isFlipped != isOdd, border: border)
  }
}
