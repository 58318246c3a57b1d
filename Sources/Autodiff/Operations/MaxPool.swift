// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y[B, H/k, W/k, C] = the largest of each k×k of x[B, H, W, C], stride k; rows and columns that fill no window are
/// left out.
final class MaxPool: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let size: Int
  private let geometry: PatchGeometry
  /// Which element of its window each output is, row by row.
  private let winners: ByteBuffer

  init(_ x: Tensor, _ size: Int, on tape: Tape) {
    precondition(size <= 16, "a window of \(size)×\(size)")
    self.x = x
    self.size = size
    geometry = PatchGeometry(x.shape, kernel: (size, size), stride: size, padding: 0)
    inputs = [x]
    output = tape.output(
      [x.shape[0], geometry.outHeight, geometry.outWidth, geometry.channels], of: inputs)
    winners = ByteBuffer(count: output.count)
  }

  /// Rows of outputs that one thread takes at a time.
  private var pieceRows: Int { max(1, pieceSize / max(1, output.columns)) }

  /// Where the window of an output begins in x.
  @inline(__always)
  private func origin(_ row: Int) -> Int {
    let line = row / geometry.outWidth
    let image = line / geometry.outHeight
    let (y, x) = (line &- image &* geometry.outHeight, row &- line &* geometry.outWidth)
    return ((image &* geometry.height &+ y &* size) &* geometry.width &+ x &* size)
      &* geometry.channels
  }

  func forward(_ pool: WorkerPool) {
    let (source, target, c) = (x.value.base, output.value.base, geometry.channels)
    pool.forRanges(of: output.rows, size: pieceRows) { range in
      for row in range {
        let (first, y, winner) = (
          source + origin(row), target + row &* c, winners.base + row &* c
        )
        for j in 0..<c {
          y[j] = first[j]
          winner[j] = 0
        }
        for place in 1..<max(1, size &* size) {
          let p = first + (place / size &* geometry.width &+ place % size) &* c
          // The first of equals wins, and NaN over everything.
          for j in 0..<c where p[j] > y[j] || p[j].isNaN {
            y[j] = p[j]
            winner[j] = UInt8(truncatingIfNeeded: place)
          }
        }
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = x.gradient?.base, let dy = output.gradient?.base else { return }
    let c = geometry.channels
    if beta[0] == 0 {
      pool.forRanges(of: x.count, size: pieceSize) { range in
        (dx + range.lowerBound).update(repeating: 0, count: range.count)
      }
    }
    pool.forRanges(of: output.rows, size: pieceRows) { range in
      for row in range {
        let (first, given, winner) = (dx + origin(row), dy + row &* c, winners.base + row &* c)
        for j in 0..<c {
          let place = Int(winner[j])
          first[(place / size &* geometry.width &+ place % size) &* c &+ j] += given[j]
        }
      }
    }
  }
}

extension Tape {
  /// The maximum over windows of size × size that do not overlap, torch.nn.functional.max_pool2d(x, size), for
  /// channels-last x[B, H, W, C] with H, W >= size.
  public func maxPool(_ x: Tensor, _ size: Int) -> Tensor { record(MaxPool(x, size, on: self)) }
}
