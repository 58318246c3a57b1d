// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// A rectangle of an image.
public struct ImageCrop: Sendable, Equatable {
  /// Its first row and column.
  public let top: Int, left: Int
  /// Its sides, at least a pixel.
  public let height: Int, width: Int

  /// A rectangle.
  public init(top: Int, left: Int, height: Int, width: Int) {
    (self.top, self.left, self.height, self.width) = (top, left, height, width)
  }

  /// The rectangle of torchvision's RandomResizedCrop in an image[height, width]: its part of the area is uniform on `scale`, the
  /// logarithm of its aspect ratio on ±log 4/3, its place uniform; after ten tries that do not fit, the largest square in the middle
  /// (torchvision keeps all of an image that is nearly square, which square images, ours, are).
  public static func random(
    height: Int, width: Int, scale: ClosedRange<Double>, using generator: inout RandomCursor
  ) -> ImageCrop {
    func uniform() -> Double { Double(generator.next() >> 11) * 0x1p-53 }
    for _ in 0..<10 {
      let area =
        Double(height * width)
        * (scale.lowerBound + (scale.upperBound - scale.lowerBound) * uniform())
      let aspect = exp(log(4.0 / 3) * (2 * uniform() - 1))
      let (h, w) = (
        Int((area / aspect).squareRoot().rounded(.toNearestOrEven)),
        Int((area * aspect).squareRoot().rounded(.toNearestOrEven))
      )
      if h >= 1, w >= 1, h <= height, w <= width {
        return ImageCrop(
          top: generator.integer(below: height - h + 1),
          left: generator.integer(below: width - w + 1), height: h, width: w)
      }
    }
    let side = min(height, width)
    return ImageCrop(
      top: (height - side) / 2, left: (width - side) / 2, height: side, width: side)
  }
}

extension LabeledImages {
  /// x[B·side·side, C] = the images `indices` (B of them), each cut to `crop(position in indices)` and brought to side×side pixels,
  /// intensities in [0, 1]: channels last, bilinear with the half-pixel centers of torch's interpolate, edges repeated. Crops must be no
  /// larger than `side`: nothing is smoothed before it is made smaller.
  ///
  /// Eight images are a piece of work, whatever the pool.
  public func writeResized(
    _ indices: some RandomAccessCollection<Int>, side: Int, into x: UnsafeMutablePointer<Float>,
    pool: WorkerPool = .single, crop: (Int) -> ImageCrop
  ) {
    pixels.withUnsafeBufferPointer { pixels in
      guard let pixels = pixels.baseAddress else { return }
      pool.forRanges(of: indices.count, size: 8) { piece in
        for b in piece {
          let index = indices[indices.index(indices.startIndex, offsetBy: b)]
          let crop = crop(b)
          precondition(
            index >= 0 && index < count && crop.top >= 0 && crop.left >= 0
              && crop.top + crop.height <= height && crop.left + crop.width <= width,
            "\(crop) of image \(index) of \(count)[\(height), \(width)]")
          resize(
            pixels + index &* imageSize, crop, side, into: x + b &* side &* side &* channels)
        }
      }
    }
  }

  private func resize(
    _ image: UnsafePointer<UInt8>, _ crop: ImageCrop, _ side: Int,
    into x: UnsafeMutablePointer<Float>
  ) {
    /// The two places that a new one lies between, and how far it is from the first.
    func place(_ i: Int, _ count: Int) -> (first: Int, second: Int, part: Float) {
      let center = max(0, (Float(i) + 0.5) * Float(count) / Float(side) - 0.5)
      let first = min(Int(center), count - 1)
      return (first, min(first + 1, count - 1), center - Float(first))
    }
    var target = x
    for i in 0..<side {
      let (top, bottom, down) = place(i, crop.height)
      let upper = image + (crop.top &+ top) &* width &* channels
      let lower = image + (crop.top &+ bottom) &* width &* channels
      for j in 0..<side {
        let (left, right, across) = place(j, crop.width)
        let (l, r) = ((crop.left &+ left) &* channels, (crop.left &+ right) &* channels)
        for c in 0..<channels {
          let (a, b) = (Float(upper[l &+ c]), Float(upper[r &+ c]))
          let (d, e) = (Float(lower[l &+ c]), Float(lower[r &+ c]))
          let (above, below) = (a + across * (b - a), d + across * (e - d))
          target[c] = (above + down * (below - above)) / 255
        }
        target += channels
      }
    }
  }
}
