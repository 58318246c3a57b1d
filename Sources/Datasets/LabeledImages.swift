// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Images of one size with the numbers of their classes.
public struct LabeledImages: Sendable, Equatable {
  /// Rows of an image, H.
  public let height: Int
  /// Columns of an image, W.
  public let width: Int
  /// Colour channels, C.
  public let channels: Int
  /// Intensities 0, …, 255 in channels-last order, [count, height, width, channels].
  public let pixels: [UInt8]
  /// The class of each image, [count].
  public let labels: [UInt8]

  /// Wraps pixels[labels.count, height, width, channels].
  public init(height: Int, width: Int, channels: Int, pixels: [UInt8], labels: [UInt8]) {
    precondition(
      height > 0 && width > 0 && channels > 0
        && pixels.count == labels.count * height * width * channels,
      "\(labels.count) images[\(height), \(width), \(channels)] from \(pixels.count) pixels")
    (self.height, self.width, self.channels) = (height, width, channels)
    (self.pixels, self.labels) = (pixels, labels)
  }

  /// Number of images.
  public var count: Int { labels.count }

  /// Intensities of an image, H·W·C.
  public var imageSize: Int { height * width * channels }

  /// Some of the images, copied.
  public func images(_ range: Range<Int>) -> LabeledImages {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= count, "images \(range) of \(count)")
    let bytes = (range.lowerBound * imageSize)..<(range.upperBound * imageSize)
    return LabeledImages(
      height: height, width: width, channels: channels, pixels: Array(pixels[bytes]),
      labels: Array(labels[range]))
  }

  /// The middle `side`×`side` pixels of every image, the mean of their channels rounded down.
  func gray(side: Int) -> LabeledImages {
    precondition(side <= min(height, width), "\(side)×\(side) of images[\(height), \(width)]")
    let (top, left) = ((height - side) / 2, (width - side) / 2)
    var gray: [UInt8] = []
    gray.reserveCapacity(count * side * side)
    pixels.withUnsafeBufferPointer { pixels in
      for image in 0..<count {
        for row in top..<(top + side) {
          for column in left..<(left + side) {
            let place = ((image &* height &+ row) &* width &+ column) &* channels
            var sum = 0
            for channel in 0..<channels { sum &+= Int(pixels[place &+ channel]) }
            gray.append(UInt8(sum / channels))
          }
        }
      }
    }
    return LabeledImages(height: side, width: side, channels: 1, pixels: gray, labels: labels)
  }

  /// x[B·H·W, C] = the images `indices` (B of them), each moved by `transform(position in indices)`, then
  /// normalised: channels last, image after image, without allocation.
  ///
  /// Eight images are a piece of work, whatever the pool.
  public func write(
    _ indices: some RandomAccessCollection<Int>, normalization: ImageNormalization,
    into x: UnsafeMutablePointer<Float>, pool: WorkerPool = .single,
    transform: (Int) -> ImageTransform
  ) {
    precondition(
      normalization.channels == channels,
      "images of \(channels) channels, normalization of \(normalization.channels)")
    pixels.withUnsafeBufferPointer { pixels in
      normalization.table.withUnsafeBufferPointer { table in
        guard let pixels = pixels.baseAddress, let table = table.baseAddress else { return }
        pool.forRanges(of: indices.count, size: 8) { piece in
          for b in piece {
            let index = indices[indices.index(indices.startIndex, offsetBy: b)]
            precondition(index >= 0 && index < count, "image \(index) of \(count)")
            writeImage(pixels + index * imageSize, transform(b), table, into: x + b * imageSize)
          }
        }
      }
    }
  }

  /// The images `range` as they are, normalised, into x[range.count·H·W, C].
  public func write(
    _ range: Range<Int>, normalization: ImageNormalization, into x: UnsafeMutablePointer<Float>,
    pool: WorkerPool = .single
  ) {
    write(range, normalization: normalization, into: x, pool: pool) { _ in .identity }
  }

  private func writeImage(
    _ image: UnsafePointer<UInt8>, _ transform: ImageTransform, _ table: UnsafePointer<Float>,
    into x: UnsafeMutablePointer<Float>
  ) {
    precondition(
      transform.fits(height: height, width: width), "\(transform) of [\(height), \(width)]")
    if transform == .identity {
      for channel in 0..<channels {
        let values = table + channel &<< 8
        for pixel in 0..<(height &* width) {
          let i = pixel &* channels &+ channel
          x[i] = values[Int(image[i])]
        }
      }
      return
    }
    for row in 0..<height {
      let sourceRow = transform.sourceRow(row, height: height)
      let source = image + max(0, sourceRow) &* width &* channels
      var target = x + row &* width &* channels
      for column in 0..<width {
        let sourceColumn = transform.sourceColumn(column, width: width)
        let pixel = source + max(0, sourceColumn) &* channels
        let isThere = sourceRow >= 0 && sourceColumn >= 0
        for channel in 0..<channels {
          target[channel] = table[channel &<< 8 | (isThere ? Int(pixel[channel]) : 0)]
        }
        target += channels
      }
    }
  }
}
