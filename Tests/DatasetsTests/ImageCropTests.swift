// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Testing

@testable import Datasets

/// Cutting pieces out of images and resizing them.
@Suite struct ImageCropTests {
  /// torch.nn.functional.interpolate(torch.tensor([[[[0., 51.], [102., 255.]]]]) / 255, size=(4, 4), mode="bilinear")[0, 0].
  private static let torch: [Float] = [
    0, 0.05, 0.15, 0.2, 0.1, 0.175, 0.325, 0.4, 0.3, 0.425, 0.675, 0.8, 0.4, 0.55, 0.85, 1,
  ]

  @Test func resizingIsTorchs() {
    // The four pixels in the middle of a 4×4 image whose border is never looked at.
    var pixels = [UInt8](repeating: 77, count: 16)
    (pixels[5], pixels[6], pixels[9], pixels[10]) = (0, 51, 102, 255)
    let images = LabeledImages(height: 4, width: 4, channels: 1, pixels: pixels, labels: [0])
    var x = [Float](repeating: -1, count: 16)
    x.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      images.writeResized([0], side: 4, into: base) { _ in
        ImageCrop(top: 1, left: 1, height: 2, width: 2)
      }
    }
    for (got, want) in zip(x, Self.torch) { #expect(abs(got - want) <= 1e-6) }
  }

  @Test func wholeImagesOfTheSameSizeStayThemselves() {
    let pixels = (0..<54).map { UInt8($0 * 37 % 256) }
    let images = LabeledImages(height: 3, width: 3, channels: 3, pixels: pixels, labels: [0, 1])
    var x = [Float](repeating: -1, count: 27)
    x.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      images.writeResized([1], side: 3, into: base) { _ in
        ImageCrop(top: 0, left: 0, height: 3, width: 3)
      }
    }
    #expect(x == pixels[27...].map { Float($0) / 255 })
  }

  @Test func randomPiecesLieInsideAndHaveTheAreasAskedFor() {
    let stream = RandomStream(seed: 3, name: "crops")
    var areas: [Double] = []
    for index in 0..<4000 {
      var generator = stream.element(index)
      let crop = ImageCrop.random(height: 32, width: 32, scale: 0.05...1, using: &generator)
      #expect(crop.height >= 1 && crop.width >= 1 && crop.top >= 0 && crop.left >= 0)
      #expect(crop.top + crop.height <= 32 && crop.left + crop.width <= 32)
      let aspect = Double(crop.width) / Double(crop.height)
      // Sides are rounded to whole pixels: half a pixel of the shortest side there is, √(0.05·¾)·32 = 6.
      #expect(aspect <= 4 / 3.0 * 6.5 / 5.5 && aspect >= 3 / 4.0 * 5.5 / 6.5)
      areas.append(Double(crop.height * crop.width) / 1024)
    }
    // Uniform on (0.05, 1) but for large pieces, of which those that do not fit are drawn again: the mean lies below its middle.
    let mean = areas.reduce(0, +) / 4000
    #expect(mean > 0.45 && mean < 0.525, "\(mean)")
    #expect(areas.contains { $0 < 0.08 } && areas.contains { $0 > 0.9 })
    // The same element is the same piece.
    var (a, b) = (stream.element(7), stream.element(7))
    #expect(
      ImageCrop.random(height: 32, width: 32, scale: 0.05...1, using: &a)
        == ImageCrop.random(height: 32, width: 32, scale: 0.05...1, using: &b))
  }

  /// No piece of an image that is one pixel high has an aspect ratio near 1 and half the area: the middle square is left.
  @Test func whatNeverFitsIsTheMiddle() {
    var generator = RandomStream(seed: 1, name: "crops").element(0)
    let crop = ImageCrop.random(height: 2, width: 64, scale: 0.9...1, using: &generator)
    #expect(crop == ImageCrop(top: 0, left: 31, height: 2, width: 2))
  }
}
