// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage

@testable import Datasets

/// What PyTorch and NumPy recorded (Goldens/make_image_goldens.py).
struct ImageGoldens: Decodable {
  struct Map: Decodable {
    let isFlipped: Bool, rowShift: Int, columnShift: Int, isOdd: Bool
    let map: [Int]
  }

  struct Views: Decodable {
    let image: [Int], weight: [Int], outputs: [Double]
  }

  struct Normalized: Decodable {
    let height: Int, width: Int, channels: Int
    let pixels: [UInt8], values: [Float]

    var images: LabeledImages {
      let count = pixels.count / (height * width * channels)
      return LabeledImages(
        height: height, width: width, channels: channels, pixels: pixels,
        labels: Array(repeating: 0, count: count))
    }
  }

  let height: Int, width: Int
  let mean: [Float], deviation: [Float]
  let maps: [Map]
  let views: Views
  let normalized: [Normalized]

  func normalization(channels: Int) -> ImageNormalization {
    ImageNormalization(
      mean: Array(mean.prefix(channels)), deviation: Array(deviation.prefix(channels)))
  }

  static func read() throws -> Self {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Goldens"
    return try JSONDecoder().decode(Self.self, from: FileBytes.read(folder + "/images.json"))
  }
}

/// Normalised images in an array.
func written(
  _ images: LabeledImages, _ indices: some RandomAccessCollection<Int>,
  _ normalization: ImageNormalization, pool: WorkerPool = .single,
  transform: (Int) -> ImageTransform = { _ in .identity }
) -> [Float] {
  var x = [Float](repeating: .nan, count: indices.count * images.imageSize)
  x.withUnsafeMutableBufferPointer { x in
    guard let x = x.baseAddress else { return }
    images.write(indices, normalization: normalization, into: x, pool: pool, transform: transform)
  }
  return x
}

/// Which pixel of a grey image[height, width] each pixel of the transformed image shows.
func indexMap(_ transform: ImageTransform, height: Int, width: Int) -> [Int] {
  precondition(height * width <= 256)
  let numbered = LabeledImages(
    height: height, width: width, channels: 1, pixels: (0..<(height * width)).map { UInt8($0) },
    labels: [0])
  let plain = ImageNormalization(mean: [0], deviation: [1])
  return written(numbered, 0..<1, plain) { _ in transform }.map { Int(($0 * 255).rounded()) }
}
