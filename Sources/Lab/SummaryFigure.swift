// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage

/// What a column of the summary figure stands for.
package enum SummaryRule: String, CaseIterable, Sendable {
  case none = "no clip"
  case norm = "norm"
  case sameSet = "norm, spectral's set"
  case delta = "δ-GClip"
  case perSample = "per-sample"
  case spectralConstant = "spectral, constant"
  case spectralEMA = "spectral, EMA"
  case spectralQuantile = "spectral, quantile"
  case adam = "Adam, no clip"
}

/// A row of the summary figure: one workload under one optimizer, and its arms by their rule.
package struct SummaryRow: Sendable {
  let title: String
  let measure: Measure
  /// How the arms came by their hyper-parameters.
  let tuning: String
  let arms: [(rule: SummaryRule, arm: String)]

  var isSearched: Bool { tuning.hasPrefix("searched") }

  /// A row of the workload `title`, by the final value of `measure`.
  package init(
    _ title: String, by measure: Measure, tuning: String, _ arms: KeyValuePairs<SummaryRule, String>
  ) {
    (self.title, self.measure, self.tuning) = (title, measure, tuning)
    self.arms = arms.map { (rule: $0.key, arm: $0.value) }
  }
}

/// Every clipping rule on every workload, each over the best of its row: a figure of all experiments' records.
package struct SummaryFigure: Sendable {
  /// What one arm ended at over what the row's best did.
  package struct Cell: Sendable, Equatable {
    package let rule: SummaryRule
    package let isBest: Bool
    /// The geometric mean of the ratios, paired by seed, with Student's t interval; without one for the best (1) and where no
    /// seeds are shared (the ratio of the means).
    package let ratio: RunSummary
    /// The geometric mean over the arm's own seeds.
    package let value: Double
    /// How many seeds it shares with the best.
    package let seeds: Int
    /// How many runs it has.
    package let runs: Int

    /// The two lines of the cell: "best" and the value, or the ratio and its interval.
    var text: (first: String, second: String) {
      if isBest { return ("best", significant(value, 3)) }
      let (first, second) = withInterval(ratio.mean, ratio.low, ratio.high)
      return (first, seeds == 0 ? "other seeds" : second.isEmpty ? "no interval" : second)
    }
  }

  /// A row with its records.
  package struct Line: Sendable {
    package let row: SummaryRow
    package let set: RecordSet
    package let cells: [Cell]
  }

  package let lines: [Line]

  /// Reads what the suite's experiments list; a row takes the longest runs that there are, of equally long ones those with the
  /// most seeds, as the claims do. Rows of which fewer than two arms have records are left out.
  package init(_ suite: Suite, results: String) throws {
    let folder = ResultsFolder(results)
    lines = try suite.experiments.flatMap { experiment -> [Line] in
      guard !experiment.summary.isEmpty else { return [] }
      let sets = try folder.usualRecords(of: experiment.name)
      return try experiment.summary.compactMap { row in
        for set in sets {
          let cells = try Self.cells(row, set)
          if cells.count >= 2 { return Line(row: row, set: set, cells: cells) }
        }
        return nil
      }
    }
    guard !lines.isEmpty else {
      throw StorageError(
        "holds no records of a workload with clipping rules", at: results,
        hint: "run an experiment first (make fig2b)")
    }
  }

  static func cells(_ row: SummaryRow, _ set: RecordSet) throws -> [Cell] {
    let arms = row.arms.filter { set.methods.contains($0.arm) }
    let finals = try arms.map { arm in
      try Dictionary(
        uniqueKeysWithValues: set.records(of: arm.arm).map {
          (try $0.int(attribute: "seed"), try row.measure.atEnd($0))
        })
    }
    let means = finals.map { RunStatistics.geometricMean(Array($0.values)).mean }
    // Diverged runs count as the measure's limit, so there is a mean.
    guard let best = means.indices.min(by: { means[$0] < means[$1] }) else { return [] }
    return arms.indices.map { index in
      let seeds = finals[index].keys.filter { finals[best][$0] != nil }.sorted()
      let ratios = seeds.map { finals[index][$0, default: .nan] / finals[best][$0, default: .nan] }
      let hasPairs = index != best && !seeds.isEmpty
      return Cell(
        rule: arms[index].rule, isBest: index == best,
        ratio: hasPairs
          ? RunStatistics.geometricMean(ratios)
          : RunSummary(mean: means[index] / means[best], low: .nan, high: .nan, diverged: 0),
        value: means[index], seeds: seeds.count, runs: finals[index].count)
    }
  }

  /// A block `cells` (row and column from 1, ratio with its interval, value, shared seeds, both lines of its text), and the names
  /// of rows and columns.
  package var table: Table {
    var table = Table()
    var block = Table.Block("cells")
    let rules = SummaryRule.allCases.filter { rule in
      lines.contains { $0.cells.contains { $0.rule == rule } }
    }
    let cells = lines.enumerated().flatMap { row, line in line.cells.map { (row, $0) } }
    block.add("row", cells.map { Double($0.0 + 1) })
    block.add("column", cells.map { Double((rules.firstIndex(of: $0.1.rule) ?? 0) + 1) })
    block.add("ratio", cells.map(\.1.ratio.mean))
    block.add("low", cells.map(\.1.ratio.low))
    block.add("high", cells.map(\.1.ratio.high))
    block.add("value", cells.map(\.1.value))
    block.add("seeds", cells.map { Double($0.1.seeds) })
    block.add("best", cells.map { $0.1.isBest ? 1 : 0 })
    block.add("first", text: cells.map(\.1.text.first))
    block.add("second", text: cells.map(\.1.text.second))
    table.add(block)
    table.set("rules", .texts(rules.map(\.rawValue)))
    table.set("rows", .texts(lines.map(\.row.title)))
    table.set(
      "notes",
      .texts(
        lines.map { line in
          "\(line.row.measure.name), \(line.set.horizon.isEmpty ? line.set.profile : line.set.horizon)"
            + (line.row.isSearched ? "" : " †")
        }))
    return table
  }

  /// Where it comes from, for the corner of the picture.
  package var stamp: String {
    let runs = lines.reduce(0) { $0 + $1.cells.reduce(0) { $0 + $1.runs } }
    return "\(lines.count) workloads · \(runs) runs · of each the longest recorded profile: "
      + Set(lines.map(\.set.profile)).sorted().joined(separator: ", ")
  }

  /// The numbers of its caption.
  package var captionValues: [(String, String)] {
    let rows = lines.map { line in
      let seeds = line.cells.map(\.seeds)
      let few = seeds.min() ?? 0, many = seeds.max() ?? 0
      return
        "\(line.row.title) (profile \(line.set.profile), n = \(few == many ? "\(few)" : "\(few) to \(many)"); "
        + "\(line.row.tuning))"
    }
    let wins = Dictionary(
      grouping: lines.compactMap { $0.cells.first(where: \.isBest)?.rule }, by: { $0 })
    return [
      ("rows", rows.map(escaped).joined(separator: "; ")),
      (
        "wins",
        SummaryRule.allCases.compactMap { rule in
          wins[rule].map { "\(rule.rawValue) \($0.count)" }
        }.joined(separator: ", ")
      ), ("stamp", stamp),
    ]
  }
}
