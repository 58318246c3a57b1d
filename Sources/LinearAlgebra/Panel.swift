// SPDX-License-Identifier: Apache-2.0

import CKernels

// Products of some rows and a panel, a strip of a matrix two vectors wide that is packed row after row. Every entry is one chain of
// fused multiply-adds over its terms in ascending order, whatever the vector width and however rows and terms are blocked.

enum Panel {
  /// Columns: two vectors.
  static let width = hasWideVectors ? 32 : 16
  /// Terms that are worked through at a time: a panel of so many takes half of the first cache level.
  static let depth = 256
  /// Rows that are worked through at a time, so that they stay in the second cache level for all panels.
  static let rows = 48

  /// Where the sums begin.
  enum Start {
    case zero
    /// At one row for all: the bias of a layer.
    case row(UnsafePointer<Float>)
    /// At the entries that are there.
    case old

    /// The same for columns from `column` on.
    @inline(__always)
    func advanced(by column: Int) -> Start {
      if case .row(let row) = self { .row(row + column) } else { self }
    }
  }

  /// Packs `depth` rows of `count` floats that begin `stride` apart into panels of `depth` rows; what the last
  /// panel lacks becomes zeros.
  @inline(__always)
  static func pack(
    _ source: UnsafePointer<Float>, stride: Int, depth: Int, count: Int,
    into panels: UnsafeMutablePointer<Float>
  ) {
    // Row by row, as the source lies.
    let whole = count / width &* width
    for p in 0..<depth {
      let (row, target) = (source + p &* stride, panels + p &* width)
      for column in Swift.stride(from: 0, to: whole, by: width) {
        for j in Swift.stride(from: 0, to: width, by: 16) {
          VectorMath.store(
            VectorMath.load(row + (column &+ j)), target + (column &* depth &+ j))
        }
      }
      if whole < count {
        let last = target + whole &* depth
        for j in 0..<width { last[j] = whole &+ j < count ? row[whole &+ j] : 0 }
      }
    }
  }

  /// c[m, count] = start + op(a)[m, depth] · the first `count` columns of panel[depth, width], where
  /// op(a)[i, p] = a[i · rowStride + p · columnStride] and rows of c begin `ldc` apart.
  @inline(__always)
  static func multiply(
    _ m: Int, _ depth: Int, _ a: UnsafePointer<Float>, rowStride: Int, columnStride: Int,
    _ panel: UnsafePointer<Float>, _ start: Start, into c: UnsafeMutablePointer<Float>, ldc: Int,
    count: Int
  ) {
    let (first, step): (UnsafePointer<Float>?, Int) =
      switch start {
      case .zero: (nil, 0)
      case .row(let row): (row, 0)
      case .old: (UnsafePointer(c), ldc)
      }
    panel_multiply(
      width, m, depth, a, rowStride, columnStride, panel, first, step, c, ldc, count)
  }
}
