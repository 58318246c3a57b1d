// SPDX-License-Identifier: Apache-2.0

/// What a shifted image shows beyond the border of what there is.
public enum ImageBorder: String, Codable, Sendable, CaseIterable {
  /// Its mirror image; the border pixel itself is not repeated, as in PyTorch's `pad(mode: "reflect")`.
  case reflected
  /// Intensity 0 in every channel, as torchvision's RandomCrop(padding) pads.
  case black
}

/// A shift, then perhaps a mirror image: what augmentation does to an image.
///
/// The image is padded as `border` says, a window of the image's size is cut out `rowShift` below and
/// `columnShift` right of the image, and the window is mirrored left to right if `isMirrored`.
public struct ImageTransform: Sendable, Equatable {
  /// How far below the image the window lies, in pixels.
  public let rowShift: Int
  /// How far right of the image the window lies, in pixels.
  public let columnShift: Int
  /// Whether left and right are exchanged, after the shift.
  public let isMirrored: Bool
  /// What lies beyond the image.
  public let border: ImageBorder

  /// The image as it is.
  public static let identity = ImageTransform()

  /// The given shift and mirror image.
  public init(
    rowShift: Int = 0, columnShift: Int = 0, isMirrored: Bool = false,
    border: ImageBorder = .reflected
  ) {
    (self.rowShift, self.columnShift, self.isMirrored) = (rowShift, columnShift, isMirrored)
    self.border = border
  }

  /// Whether one reflection is enough: shifts smaller than the image.
  func fits(height: Int, width: Int) -> Bool {
    rowShift.magnitude < height && columnShift.magnitude < width
  }

  /// The row of the image that the row `row` of the result shows, -1 for none.
  @inline(__always)
  func sourceRow(_ row: Int, height: Int) -> Int { place(row &+ rowShift, height) }

  /// The column of the image that the column `column` of the result shows, -1 for none.
  @inline(__always)
  func sourceColumn(_ column: Int, width: Int) -> Int {
    place((isMirrored ? width &- 1 &- column : column) &+ columnShift, width)
  }

  /// … 2 1 | 0 1 2 … n-1 | n-2 n-3 …, or nothing beyond the ends.
  @inline(__always)
  private func place(_ i: Int, _ n: Int) -> Int {
    if i >= 0 && i < n { return i }
    if border == .black { return -1 }
    return i < 0 ? 0 &- i : 2 &* (n &- 1) &- i
  }
}

/// Which views of a test image the network's outputs are averaged over: the levels of airbench.
public enum TestTimeAugmentation: Int, Codable, Sendable, CaseIterable {
  /// Level 0: the image.
  case none = 0
  /// Level 1: the image and its mirror image.
  case mirror = 1
  /// Level 2: half of it level 1, the other half level 1 of the image shifted by one pixel along the
  /// diagonal, up and left or down and right.
  case mirrorAndTranslate = 2

  /// The views, and their weights in the average of the logits, which add up to 1.
  public var views: [(transform: ImageTransform, weight: Double)] {
    func pair(shift: Int, weight: Double) -> [(transform: ImageTransform, weight: Double)] {
      [false, true].map {
        (ImageTransform(rowShift: shift, columnShift: shift, isMirrored: $0), weight / 2)
      }
    }
    return switch self {
    case .none: [(.identity, 1)]
    case .mirror: pair(shift: 0, weight: 1)
    case .mirrorAndTranslate:
      pair(shift: 0, weight: 0.5) + pair(shift: -1, weight: 0.25) + pair(shift: 1, weight: 0.25)
    }
  }
}
