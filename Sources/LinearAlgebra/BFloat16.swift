// SPDX-License-Identifier: Apache-2.0

import CKernels

/// Products of matrices whose entries are rounded to bfloat16 (8 bits of significand) and whose sums are kept in `Float`:
/// AVX512_BF16's, not emulated elsewhere. Denormal numbers count as zero.
public enum BFloat16 {
  /// Whether this CPU has the instructions; elsewhere nothing of this may be called.
  public static let isSupported = bf16_is_supported()

  /// The half of the distance from 1 to the next number: what one rounding adds, relative.
  public static let unitRoundoff = 0x1p-8

  /// A factor op(x)[outer, depth] of a product over `depth`, rounded and packed in the memory of the caller, which it must not
  /// outlive.
  public struct Operand {
    fileprivate let words: UnsafePointer<UInt32>
    fileprivate let outer: Int, depth: Int
    fileprivate let side: Side
  }

  /// The place of a factor in left[m, k] · right[n, k]ᵀ.
  public enum Side: Sendable {
    /// The rows of the product.
    case left
    /// Its columns.
    case right

    fileprivate var width: Int { self == .left ? BF16_LEFT : BF16_RIGHT }
    fileprivate func panels(_ outer: Int) -> Int { (outer + width - 1) / width }
  }

  /// Left panels that are worked through at a time: 144 rows.
  private static let block = 12

  /// Floats of memory that the blocks of a left factor of `depth` terms take, one a thread.
  public static func blockSize(_ depth: Int, _ pool: WorkerPool) -> Int {
    pool.threads * size(.left, block * Side.left.width, depth)
  }

  /// Floats of memory that a factor[outer, depth] takes.
  public static func size(_ side: Side, _ outer: Int, _ depth: Int) -> Int {
    side.panels(outer) * side.width * ((depth + 1) / 2)
  }

  /// Packs x[outer, depth], or the transpose of x[depth, outer]; the threads share out the panels.
  public static func pack(
    _ side: Side, _ x: MatrixView<Float>, transposed: Bool,
    into room: UnsafeMutablePointer<Float>, _ pool: WorkerPool
  ) -> Operand {
    precondition(isSupported, "bfloat16 on a CPU without it")
    let (outer, depth) = transposed ? (x.columns, x.rows) : (x.rows, x.columns)
    let words = UnsafeMutableRawPointer(room).assumingMemoryBound(to: UInt32.self)
    pool.forRanges(of: side.panels(outer), size: max(1, 192 / side.width)) { range in
      bf16_pack(
        x.base, outer, depth, transposed ? 1 : x.columns, transposed ? x.columns : 1, side.width,
        range.lowerBound, range.upperBound, words)
    }
    return Operand(words: words, outer: outer, depth: depth, side: side)
  }

  /// c[m, n] = left[m, k] · right[n, k]ᵀ + (beta = 1: c; else bias[n], or nothing); rows of c begin `ldc` apart. The threads
  /// share out its blocks, which changes no bit.
  public static func multiply(
    _ left: Operand, _ right: Operand, bias: UnsafePointer<Float>? = nil, beta: Float = 0,
    into c: UnsafeMutablePointer<Float>, ldc: Int, _ pool: WorkerPool
  ) {
    precondition(
      left.side == .left && right.side == .right && left.depth == right.depth
        && (beta == 0 || beta == 1),
      "[\(left.outer), \(left.depth)] times [\(right.outer), \(right.depth)]ᵀ, beta \(beta)")
    // Where there are few rows, also blocks of 1024 columns.
    let (rows, columns) = (left.side.panels(left.outer), right.side.panels(right.outer))
    let (high, wide) = (block, rows >= 8 * block ? columns : 32)
    let across = (columns + wide - 1) / wide
    pool.forEach(pieces: (rows + high - 1) / high * across) { (piece: Int) in
      let (i, j) = (piece / across * high, piece % across * wide)
      bf16_multiply(
        left.words, right.words, left.outer, right.outer, left.depth, i, min(rows, i + high), j,
        min(columns, j + wide), bias, beta == 1, c, ldc)
    }
  }

  /// The same for left[m, k] as it stands: a thread packs a block of its rows into `room` (`blockSize`) and multiplies it while
  /// it is in the cache. Same bits.
  public static func multiply(
    _ left: MatrixView<Float>, _ right: Operand, bias: UnsafePointer<Float>? = nil,
    beta: Float = 0, in room: UnsafeMutablePointer<Float>, into c: UnsafeMutablePointer<Float>,
    ldc: Int, _ pool: WorkerPool
  ) {
    let height = block * Side.left.width
    pool.forEach(pieces: (left.rows + height - 1) / height) { piece, worker in
      let range = (piece * height)..<min(left.rows, (piece + 1) * height)
      let packed = pack(
        .left, left.rows(range), transposed: false,
        into: room + worker * size(.left, height, left.columns), .single)
      multiply(
        packed, right, bias: bias, beta: beta, into: c + range.lowerBound * ldc, ldc: ldc, .single)
    }
  }
}
