// SPDX-License-Identifier: Apache-2.0

/// Which inputs [B, H, W, C] an output of a convolution or pool sees: its patch of kernel h × w.
struct PatchGeometry {
  let height: Int, width: Int, channels: Int
  let kernel: (height: Int, width: Int)
  let stride: Int, padding: Int
  let outHeight: Int, outWidth: Int

  /// Precondition: at least one output.
  init(_ shape: [Int], kernel: (Int, Int), stride: Int, padding: Int) {
    precondition(
      shape.count == 4 && kernel.0 >= 1 && kernel.1 >= 1 && stride >= 1 && padding >= 0,
      "patches \(kernel), stride \(stride), padding \(padding) of \(shape)")
    (height, width, channels) = (shape[1], shape[2], shape[3])
    (self.kernel, self.stride, self.padding) = (kernel, stride, padding)
    let (h, w) = (height + 2 * padding - kernel.0, width + 2 * padding - kernel.1)
    precondition(
      h >= 0 && w >= 0, "patches \(kernel), padding \(padding), do not fit images \(shape)")
    (outHeight, outWidth) = (h / stride + 1, w / stride + 1)
  }

  /// Entries of a patch.
  var terms: Int { kernel.height * kernel.width * channels }

  /// Calls inside(row of the patch, offset of the first input, first entry of the patch, entries) for what patches of outputs
  /// `range` (numbered image by image, row by row) have inside an image, a row of the kernel at a time, and
  /// outside(row, first entry, entries) for the rest.
  @inline(__always)
  private func forRuns(
    _ range: Range<Int>, _ inside: (Int, Int, Int, Int) -> Void, outside: (Int, Int, Int) -> Void
  ) {
    for index in range {
      let image = index / (outHeight &* outWidth)
      let rest = index &- image &* outHeight &* outWidth
      let row = rest / outWidth
      let top = row &* stride &- padding
      let left = (rest &- row &* outWidth) &* stride &- padding
      // Columns of the kernel that are left of the image, then inside.
      let before = min(kernel.width, max(0, -left))
      let count = max(0, min(kernel.width, width &- left) &- before)
      let after = kernel.width &- before &- count
      for i in 0..<kernel.height {
        let (y, first) = (top &+ i, i &* kernel.width &* channels)
        let r = index &- range.lowerBound
        guard y >= 0, y < height, count > 0 else {
          outside(r, first, kernel.width &* channels)
          continue
        }
        if before > 0 { outside(r, first, before &* channels) }
        inside(
          r, ((image &* height &+ y) &* width &+ left &+ before) &* channels,
          first &+ before &* channels, count &* channels)
        if after > 0 {
          outside(r, first &+ (before &+ count) &* channels, after &* channels)
        }
      }
    }
  }

  /// Lays the patches of outputs `range` out as rows `step` floats apart, in panels of `panel` entries, a power of two, each
  /// of which has `depth` rows; zeros from `terms` to the next multiple of 8.
  func gather(
    _ x: UnsafePointer<Float>, _ range: Range<Int>, into patches: UnsafeMutablePointer<Float>,
    stride step: Int, panel: Int = 1 << 40, depth: Int = 1
  ) {
    /// Calls body(where, entries so far, entries) for the parts of a run that lie in one panel.
    @inline(__always)
    func forParts(
      _ row: Int, _ first: Int, _ count: Int,
      _ body: (UnsafeMutablePointer<Float>, Int, Int) -> Void
    ) {
      var done = 0
      while done < count {
        let inPanel = (first &+ done) & (panel &- 1)
        let part = min(panel &- inPanel, count &- done)
        body(
          patches + ((first &+ done &- inPanel) &* depth &+ row &* step &+ inPanel), done, part)
        done &+= part
      }
    }
    @inline(__always)
    func zero(_ row: Int, _ first: Int, _ count: Int) {
      forParts(row, first, count) { to, _, part in to.update(repeating: 0, count: part) }
    }
    forRuns(range) { row, source, first, count in
      forParts(row, first, count) { to, done, part in
        let from = x + (source &+ done)
        for j in 0..<part { to[j] = from[j] }
      }
    } outside: { row, first, count in
      zero(row, first, count)
    }
    let rest = -terms & 7
    if rest > 0 { for row in 0..<range.count { zero(row, terms, rest) } }
  }

  /// Adds the patches of outputs `range` to the inputs they came from.
  func scatter(
    _ patches: UnsafePointer<Float>, stride step: Int, _ range: Range<Int>,
    addingTo x: UnsafeMutablePointer<Float>
  ) {
    forRuns(range) { row, target, first, count in
      let (from, to) = (patches + (row &* step &+ first), x + target)
      for j in 0..<count { to[j] += from[j] }
    } outside: { _, _, _ in
    }
  }
}
