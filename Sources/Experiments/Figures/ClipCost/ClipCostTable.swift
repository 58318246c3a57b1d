// SPDX-License-Identifier: Apache-2.0

import Lab

/// The figure of §5.2: its table and the numbers of its caption.
extension ClipCost {
  /// A block a size: rank, seconds of the truncated clip and of that from a warm start, seconds that grow as m n r from its largest
  /// rank back, and the seconds of a full SVD and of the exact clip, which no rank changes.
  package static func table(of set: RecordSet) throws -> Table {
    func size(_ row: Row) -> String { "\(row.rows)×\(row.columns)" }
    var table = Table()
    let (full, exact) = (try rows("svd", set), try rows("exact", set))
    let truncated = try rows("randomized", set).sorted { $0.rank < $1.rank }
    let warm = set.methods.contains("warm") ? try rows("warm", set) : []
    var sizes: [Row] = []
    for row in truncated where !sizes.contains(where: { size($0) == size(row) }) {
      sizes.append(row)
    }
    sizes.sort { ($0.rows * $0.columns, $0.rows) < ($1.rows * $1.columns, $1.rows) }
    for entry in sizes.map(size) {
      let own = truncated.filter { size($0) == entry }
      func constant(_ rows: [Row]) -> [Double] {
        let seconds = rows.first { size($0) == entry }?.seconds ?? .nan
        return own.map { _ in seconds }
      }
      var block = Table.Block(entry)
      block.add("rank", own.map { Double($0.rank) })
      block.add("truncated", own.map(\.seconds))
      block.add("relative_error", own.map(\.error))
      block.add(
        "warm",
        own.map { row in
          warm.first { size($0) == entry && $0.rank == row.rank }?.seconds ?? .nan
        })
      let last = own.last.map { $0.seconds / Double($0.rank) } ?? .nan
      block.add("order", own.map { last * Double($0.rank) })
      block.add("svd", constant(full))
      block.add("exact", constant(exact))
      table.add(block)
    }
    table.set("size", .texts(sizes.map(size)))
    return table
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    var values: [(String, String)] = []
    if let (size, ratio) = try largestRatio(set) {
      values += [("largest", size), ("ratio", short(ratio))]
    } else {
      values += [("largest", "the largest matrix"), ("ratio", "(not measured)")]
    }
    if let warm = try warmStart(set) {
      values.append(
        (
          "warm",
          "\(short(warm.ratio)) times faster at \(warm.size) and rank 5, at a relative error of \(short(warm.error)) in place of "
            + short(warm.cold)
        ))
    } else {
      values.append(("warm", "(not measured)"))
    }
    values.append(("slope", try slope(set).map { short($0.slope) } ?? "(not measured)"))
    return values
  }
}
