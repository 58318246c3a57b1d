/// A shift with reflection at the border, then perhaps a mirror image: what augmentation does to an image.
///
/// The image is padded by reflection (the border pixel itself is not repeated, as in PyTorch's
/// `pad(mode: "reflect")`), a window of the image's size is cut out `rowShift` below and `columnShift`
/// right of the image, and the window is mirrored left to right if `isMirrored`.
public struct ImageTransform: Sendable, Equatable {
  /// How far below the image the window lies, in pixels.
  public let rowShift: Int
  /// How far right of the image the window lies, in pixels.
  public let columnShift: Int
  /// Whether left and right are exchanged, after the shift.
  public let isMirrored: Bool

  /// The image as it is.
  public static let identity = ImageTransform()

  /// The given shift and mirror image.
  public init(rowShift: Int = 0, columnShift: Int = 0, isMirrored: Bool = false) {
    (self.rowShift, self.columnShift, self.isMirrored) = (rowShift, columnShift, isMirrored)
  }

  /// Whether one reflection is enough: shifts smaller than the image.
  func fits(height: Int, width: Int) -> Bool {
    rowShift.magnitude < height && columnShift.magnitude < width
  }

  /// The row of the image that the row `row` of the result shows.
  @inline(__always)
  func sourceRow(_ row: Int, height: Int) -> Int { Self.reflect(row &+ rowShift, height) }

  /// The column of the image that the column `column` of the result shows.
  @inline(__always)
  func sourceColumn(_ column: Int, width: Int) -> Int {
    Self.reflect((isMirrored ? width &- 1 &- column : column) &+ columnShift, width)
  }

  /// … 2 1 | 0 1 2 … n-1 | n-2 n-3 …
  @inline(__always)
  private static func reflect(_ i: Int, _ n: Int) -> Int {
    i < 0 ? 0 &- i : i < n ? i : 2 &* (n &- 1) &- i
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
