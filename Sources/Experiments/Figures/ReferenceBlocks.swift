// SPDX-License-Identifier: Apache-2.0

import Lab

extension Table {
  /// A curve of the authors' as block "authors:`arm`", as far as our own runs go; nothing if there is no such arm.
  mutating func add(
    authors file: String, x: String = "x", y: String = "y", for arm: String, as name: String? = nil,
    columns: (x: String, y: String), upTo last: Double = .infinity,
    transform: (Double) -> Double = { $0 }
  ) throws {
    guard self[block: arm] != nil else { return }
    let curve = try ReferenceCurve(file)
    let points = zip(try curve.column(x).map(transform), try curve.column(y))
      .filter { $0.0 >= 0 && $0.0 <= last }
    guard !points.isEmpty else { return }
    var block = Table.Block("authors:\(name ?? arm)")
    block.add(columns.x, points.map(\.0))
    block.add(columns.y, points.map(\.1))
    add(block)
  }
}
