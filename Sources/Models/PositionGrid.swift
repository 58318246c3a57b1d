// SPDX-License-Identifier: Apache-2.0

import Foundation

/// How a vision transformer's position embedding, made for one grid of patches, serves another.
public enum PositionGrid: String, Codable, Sendable, CaseIterable {
  /// Bicubic, a = -0.75, edges repeated, not antialiased, to the new grid's size: torch.nn.functional.interpolate(size:,
  /// mode: "bicubic").
  case bicubic
  /// The same with the scale (new side + 0.1)/old side of the code of arXiv 2404.08624, which samples slightly closer.
  case authorsCode = "authors-code"
  /// The model has as many places as the grid.
  case own

  /// The row-major map [1 + rows · columns, 1 + side²] from the class token's and the grid's positions to those of
  /// another grid; the identity where the grids are equal. Precondition: so are they for `.own`.
  public func map(side: Int, rows: Int, columns: Int) -> [Float] {
    let (places, sources) = (1 + rows * columns, 1 + side * side)
    var map = [Float](repeating: 0, count: places * sources)
    map[0] = 1
    if rows == side && columns == side {
      for place in 1..<places { map[place * sources + place] = 1 }
      return map
    }
    precondition(self != .own, "\(side)×\(side) positions for \(rows)×\(columns) patches")
    let (vertical, horizontal) = (weights(side, rows), weights(side, columns))
    for (i, down) in vertical.enumerated() {
      for (j, across) in horizontal.enumerated() {
        let row = (1 + i * columns + j) * sources
        for (y, a) in down {
          for (x, b) in across { map[row + 1 + y * side + x] += Float(a * b) }
        }
      }
    }
    return map
  }

  /// Of each of `count` new places, the old ones that it is made of.
  private func weights(_ side: Int, _ count: Int) -> [[(Int, Double)]] {
    let step =
      self == .authorsCode
      ? Double(side) / (Double(count) + 0.1) : Double(side) / Double(count)
    return (0..<count).map { place in
      let center = step * (Double(place) + 0.5) - 0.5
      let first = center.rounded(.down)
      return (-1...2).map { offset in
        let source = min(max(Int(first) + offset, 0), side - 1)
        return (source, Self.cubic(abs(center - first - Double(offset))))
      }
    }
  }

  /// Keys's kernel (1981) with a = -0.75, PyTorch's.
  private static func cubic(_ x: Double) -> Double {
    let a = -0.75
    return x <= 1
      ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((x - 5) * x + 8) * x * a - 4 * a
  }
}
