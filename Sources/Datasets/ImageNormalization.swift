// SPDX-License-Identifier: Apache-2.0

/// Intensities to network inputs, a channel at a time: (intensity / 255 - mean) / deviation.
public struct ImageNormalization: Sendable, Equatable {
  /// Mean of intensity / 255, [channels].
  public let mean: [Float]
  /// Standard deviation of intensity / 255, [channels].
  public let deviation: [Float]
  /// The outcome for every intensity, [channels, 256].
  let table: [Float]

  /// Mean and standard deviation of the 50 000 training images of CIFAR-10, as the authors' code and
  /// airbench have them, to four digits.
  public static let cifar10 = ImageNormalization(
    mean: [0.4914, 0.4822, 0.4465], deviation: [0.2470, 0.2435, 0.2616])

  /// The same means with deviations that many training scripts for CIFAR-10 carry: of each image by itself, averaged over
  /// the images (0.2023, 0.1994, 0.2010).
  public static let cifar10ByImage = ImageNormalization(
    mean: [0.4914, 0.4822, 0.4465], deviation: [0.2023, 0.1994, 0.2010])

  /// Gray intensities as they are, in [0, 1].
  public static let unit = ImageNormalization(mean: [0], deviation: [1])

  /// The given constants, one pair a channel; deviations must be positive.
  public init(mean: [Float], deviation: [Float]) {
    precondition(
      mean.count == deviation.count && !mean.isEmpty && deviation.allSatisfy { $0 > 0 },
      "normalization by means \(mean), deviations \(deviation)")
    (self.mean, self.deviation) = (mean, deviation)
    table = zip(mean, deviation).flatMap { mean, deviation in
      (0..<256).map { (Float($0) / 255 - mean) / deviation }
    }
  }

  /// The mean and the standard deviation (divisor: the number of pixels) of `images`, of which there must
  /// be some; a channel without variation keeps its scale, deviation 1.
  public init(of images: LabeledImages) {
    precondition(images.count > 0, "normalization by no images")
    let channels = images.channels
    var counts = [Int](repeating: 0, count: 256 * channels)
    counts.withUnsafeMutableBufferPointer { counts in
      images.pixels.withUnsafeBufferPointer { pixels in
        for channel in 0..<channels {
          var place = channel
          while place < pixels.count {
            counts[channel &<< 8 | Int(pixels[place])] &+= 1
            place &+= channels
          }
        }
      }
    }
    let count = Double(images.pixels.count / channels)
    func mean(_ channel: Int, _ power: (Int) -> Int) -> Double {
      Double((0..<256).reduce(0) { $0 + counts[256 * channel + $1] * power($1) }) / count
    }
    let means = (0..<channels).map { mean($0) { $0 } }
    let deviations = (0..<channels).map { channel in
      max(0, mean(channel) { $0 * $0 } - means[channel] * means[channel]).squareRoot() / 255
    }
    self.init(
      mean: means.map { Float($0 / 255) }, deviation: deviations.map { $0 > 0 ? Float($0) : 1 })
  }

  /// Number of channels.
  public var channels: Int { mean.count }
}
