// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage

/// A quantity along a run.
package struct CurveSeries: Sendable {
  /// How its values over the seeds become one line and a band.
  package enum Summary: Sendable {
    /// Mean and 95 % Student's t interval.
    case mean
    /// The same of the logarithms, for positive quantities.
    case geometricMean
    /// Mean, smallest and largest.
    case range
  }

  package let name: String
  package let summary: Summary
  package let values: @Sendable (Record) throws -> [Double]

  /// The data set `name` of a record, or what `values` makes of the record.
  package init(
    _ name: String, _ summary: Summary, values: (@Sendable (Record) throws -> [Double])? = nil
  ) {
    self.name = name
    self.summary = summary
    self.values = values ?? { try $0.doubles(name) }
  }
}

/// A number that a run ends with.
package struct FinalValue: Sendable {
  package let name: String
  package let summary: CurveSeries.Summary
  /// What a run that diverged counts as; nil for a gap.
  package let diverged: Double?

  /// The attribute `name` of a record.
  package init(_ name: String, _ summary: CurveSeries.Summary, diverged: Double? = nil) {
    (self.name, self.summary, self.diverged) = (name, summary, diverged)
  }
}

extension CurveSeries.Summary {
  /// Middle, low and high; NaN for what cannot be told. A run that diverged counts as `limit`.
  package func callAsFunction(_ values: [Double], limit: Double? = nil) -> RunSummary {
    let diverged = values.count { !$0.isFinite }
    let counted = values.map { RunStatistics.bounded($0, limit: limit ?? .nan) }
    func summary(_ mean: Double, _ low: Double, _ high: Double) -> RunSummary {
      RunSummary(mean: mean, low: low, high: high, diverged: diverged)
    }
    guard let first = counted.first, counted.allSatisfy(\.isFinite) else {
      return summary(.nan, .nan, .nan)
    }
    switch self {
    case .geometricMean: return RunStatistics.geometricMean(values, limit: limit)
    case .range:
      return summary(
        Statistics.mean(counted), counted.min() ?? .nan, counted.max() ?? .nan)
    case .mean:
      guard counted.count >= 2, diverged == 0 else {
        return summary(counted.count == 1 ? first : Statistics.mean(counted), .nan, .nan)
      }
      let interval = Statistics.tInterval(counted)
      return summary(interval.estimate, interval.lower, interval.upper)
    }
  }
}

extension Table.Block {
  /// The columns of one quantity: `name`.mean, .low, .high and one a seed, `name`.seed7; `rows` holds for every row
  /// a value a seed that has a record, NaN else.
  package mutating func add(
    _ name: String, _ summary: CurveSeries.Summary, seeds: [Int], rows: [[Int: Double]],
    limit: Double? = nil
  ) {
    let summaries = rows.map { row in summary(seeds.compactMap { row[$0] }, limit: limit) }
    add("\(name).mean", summaries.map(\.mean))
    add("\(name).low", summaries.map(\.low))
    add("\(name).high", summaries.map(\.high))
    for seed in seeds {
      add(
        "\(name).seed\(seed)",
        rows.map { row in
          row[seed].map { RunStatistics.bounded($0, limit: limit ?? .nan) } ?? .nan
        })
    }
  }
}

extension RecordSet {
  /// The axis of runs that go by epochs.
  package static var epochs: (name: String, values: (Record) throws -> [Double]) {
    (
      "epoch",
      { record in
        let perEpoch = try record.int(attribute: "steps_per_epoch")
        return try record.ints("step").map { Double($0) / Double(perEpoch) }
      }
    )
  }

  /// The table of training curves: a block an arm with the axis, every series (`CurveSeries`) and, if `seconds` tells
  /// them, the seconds since the start; a block "final" with a row an arm: its number and title, what it ended with, and
  /// what `more` adds. Panels come in the order of `groups`, then of their first arms.
  package func curveTable(
    axis: (name: String, values: (Record) throws -> [Double]), series: [CurveSeries],
    finals: [FinalValue], group: (String) -> String, groups: [String] = [],
    title: ((String) throws -> String)? = nil,
    seconds: (([Record]) throws -> [Double])? = nil,
    more: (inout Table.Block, [[Record]]) throws -> Void = { _, _ in }
  ) throws -> Table {
    var table = Table()
    let seeds = seeds
    let all = try methods.map { try records(of: $0) }
    let own = try all.map { try $0.map { try $0.int(attribute: "seed") } }
    func bySeed<Value>(_ arm: Int, _ values: [Value]) -> [Int: Value] {
      Dictionary(uniqueKeysWithValues: zip(own[arm], values))
    }
    for (arm, name) in methods.enumerated() {
      let x = try axis.values(all[arm][0])
      for record in all[arm] where try axis.values(record) != x {
        throw StorageError(
          "records of '\(name)' differ in their \(axis.name) axis", at: folder,
          hint: "compute them with the same settings")
      }
      let rows = x.indices.filter { Self.isDrawn($0, of: x) }
      var block = Table.Block(name)
      block.add(axis.name, rows.map { x[$0] })
      for quantity in series {
        let values = try all[arm].map { record in
          let values = try quantity.values(record)
          guard values.count == x.count else {
            throw StorageError(
              "\(quantity.name) has \(values.count) values, its \(axis.name) axis \(x.count)",
              at: record.source ?? folder, hint: "compute the record anew")
          }
          return values
        }
        block.add(
          quantity.name, quantity.summary, seeds: seeds,
          rows: rows.map { row in bySeed(arm, values.map { $0[row] }) })
      }
      if let seconds {
        let time = try seconds(all[arm])
        guard time.count == x.count else {
          throw StorageError(
            "records of '\(name)' have \(time.count) times for \(x.count) points", at: folder,
            hint: "compute them anew")
        }
        block.add("seconds", rows.map { time[$0] })
      }
      table.add(block)
    }
    let titles = try methods.map { try title?($0) ?? self.title(of: $0) }
    var last = Table.Block("final")
    last.add("number", methods.indices.map { Double($0 + 1) })
    // Records of methods without a row of their own have no title.
    last.add(
      "title", text: methods.indices.map { (try? self.title(of: methods[$0])) ?? titles[$0] })
    for final in finals {
      let values = try all.map { try $0.map { try $0.double(attribute: final.name) } }
      last.add(
        final.name, final.summary, seeds: seeds,
        rows: values.indices.map { bySeed($0, values[$0]) }, limit: final.diverged)
      let means = last.numbers("\(final.name).mean")
      let order = means.indices.sorted {
        (means[$0].isFinite ? means[$0] : .infinity, $0)
          < (means[$1].isFinite ? means[$1] : .infinity, $1)
      }
      last.add(
        "\(final.name).rank",
        means.indices.map { arm in Double(1 + (order.firstIndex(of: arm) ?? 0)) })
    }
    try more(&last, all)
    table.add(last)
    table.setArms(
      zip(methods, titles).map { TableArm(name: $0, title: $1, group: group($0)) }, first: groups)
    return table
  }

  /// All of the first hundred points, then sixty a decade: more would only make the picture's file larger.
  private static func isDrawn(_ row: Int, of x: [Double]) -> Bool {
    guard row > 0, row < x.count - 1, x[row] > 100 else { return true }
    return (60 * log10(x[row])).rounded(.down) != (60 * log10(x[row - 1])).rounded(.down)
  }
}

extension RecordSet {
  /// What the runs of every method ended with, for a caption: "title words; title: 1 of 3 runs diverged". With the `limit` that
  /// a diverged run counts as, the lowest geometric mean first; without one, of means in the methods' order.
  package func ends(
    _ attribute: String, limit: Double? = nil, title: ((_ method: String) throws -> String)? = nil,
    _ words: (_ method: String, _ mean: Double) throws -> String
  ) throws -> String {
    let lines = try methods.map { method -> (mean: Double, text: String) in
      let values = try values(attribute, of: method)
      let summary = limit.map { RunStatistics.geometricMean(values, limit: $0) }
      let mean = summary?.mean ?? Statistics.mean(values)
      let diverged = summary?.diverged ?? values.count { !$0.isFinite }
      let title = try title?(method) ?? self.title(of: method)
      return (
        mean,
        diverged > 0
          ? "\(title): \(diverged) of \(values.count) runs diverged"
          : "\(title) \(try words(method, mean))"
      )
    }
    return (limit == nil ? lines : lines.sorted { $0.mean < $1.mean }).map(\.text)
      .joined(separator: "; ")
  }
}
