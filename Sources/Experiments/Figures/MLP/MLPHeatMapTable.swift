// SPDX-License-Identifier: Apache-2.0

import Foundation
import Lab
import LinearAlgebra
import Storage

/// Fig 4: its table and the numbers of its caption.
extension MLPHeatMap {
  private static let rules = ["norm", "spectral", "quantile"]

  /// Where the cells of an axis begin and end: half-way to their neighbours.
  private static func edges(_ values: [Double], isLogarithmic: Bool) -> [(
    low: Double, high: Double
  )] {
    let places = isLogarithmic ? values.map { log($0) } : values
    func back(_ x: Double) -> Double { isLogarithmic ? exp(x) : x }
    return places.indices.map { i in
      let below = i > 0 ? (places[i] - places[i - 1]) / 2 : nil
      let above = i + 1 < places.count ? (places[i + 1] - places[i]) / 2 : nil
      let half = (below: below ?? above ?? 0.5, above: above ?? below ?? 0.5)
      return (back(places[i] - half.below), back(places[i] + half.above))
    }
  }

  /// The maps of all seeds of a rule, which must be of one grid.
  private static func seeds(of name: String, in set: RecordSet) throws -> [Map] {
    let records = try set.records(of: name)
    let maps = try records.map(Map.init)
    for (record, map) in zip(records, maps)
    where map.rates != maps[0].rates || map.columns != maps[0].columns {
      throw StorageError(
        "its grid is not that of the map of another seed", at: record.source ?? set.folder,
        hint: "remove the records of one of the two grids")
    }
    return maps
  }

  /// The columns that place the cells of `map`, row by row.
  private static func places(_ name: String, _ map: Map, isLogarithmic: Bool) -> Table.Block {
    var block = Table.Block(name)
    let (rates, levels) = (
      edges(map.rates, isLogarithmic: true), edges(map.columns, isLogarithmic: isLogarithmic)
    )
    let (n, cells) = (map.columns.count, map.losses.indices)
    block.add("rate", cells.map { map.rates[$0 / n] })
    block.add("rate.low", cells.map { rates[$0 / n].low })
    block.add("rate.high", cells.map { rates[$0 / n].high })
    block.add("threshold", cells.map { map.columns[$0 % n] })
    block.add("threshold.low", cells.map { levels[$0 % n].low })
    block.add("threshold.high", cells.map { levels[$0 % n].high })
    return block
  }

  /// A block a rule with its cells (final loss, median update norm; geometric means over the seeds, NaN where a seed
  /// diverged); "gap", log10 of the losses' ratio norm over spectral; "share", the share of cells below a loss (mean over the
  /// seeds); "best", the lowest loss in a bin of the update norm (geometric mean over the seeds).
  package static func table(of set: RecordSet) throws -> Table {
    var table = Table()
    table.setArms(
      rules.filter(set.methods.contains).map { TableArm(name: $0, title: $0, group: "") })
    var maps: [String: [Map]] = [:]
    var means: [String: [Double]] = [:]
    for name in rules where set.methods.contains(name) {
      let own = try seeds(of: name, in: set)
      func mean(_ values: (Map) -> [Double]) -> [Double] {
        own[0].losses.indices.map { cell in
          CurveSeries.Summary.geometricMean(own.map { values($0)[cell] }).mean
        }
      }
      var block = places(name, own[0], isLogarithmic: name != "quantile")
      let losses = mean(\.losses)
      block.add("loss", losses)
      block.add("update_norm", mean(\.updateNorms))
      table.add(block)
      (maps[name], means[name]) = (own, losses)
    }
    var levels = Table.Block("share")
    let steps = (0...60).map { pow(10, -3 + 3.2 * Double($0) / 60) }
    levels.add("loss", steps)
    for name in rules {
      levels.add(
        name,
        steps.map { level in
          maps[name].map { Statistics.mean($0.map { $0.share(below: level) }) } ?? .nan
        })
    }
    table.add(levels)
    table.set("good_loss", .number(goodLoss))
    guard let norm = maps["norm"], let spectral = maps["spectral"],
      let normMean = means["norm"], let spectralMean = means["spectral"],
      norm[0].rates == spectral[0].rates, norm[0].columns == spectral[0].columns
    else { return table }
    var gap = places("gap", norm[0], isLogarithmic: true)
    gap.add("gap", zip(normMean, spectralMean).map { log10($0 / $1) })
    table.add(gap)
    let bins = bestByUpdateNorm(Array(zip(spectral, norm).map { (spectral: $0, norm: $1) }))
    var best = Table.Block("best")
    best.add("update_norm", bins.map(\.norm))
    best.add("norm", bins.map(\.clippedByNorm))
    best.add("spectral", bins.map(\.spectral))
    table.add(best)
    return table
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    var values: [(String, String)] = []
    for name in rules {
      guard set.methods.contains(name) else {
        values += ["share", "best", "diverged", "grid", "seeds"].map {
          ("\($0).\(name)", "not run")
        }
        continue
      }
      let maps = try seeds(of: name, in: set)
      let shares = maps.map { $0.share(below: goodLoss) }
      let lowest = maps.map { $0.losses.filter(\.isFinite).min() ?? .nan }
      let diverged = maps.map { $0.losses.count { !$0.isFinite } }
      values += [
        ("share.\(name)", String(format: "%.0f %%", 100 * Statistics.mean(shares))),
        ("best.\(name)", short(RunStatistics.geometricMean(lowest).mean)),
        ("diverged.\(name)", short(Statistics.mean(diverged.map(Double.init)))),
        ("grid.\(name)", "\(maps[0].rates.count) × \(maps[0].columns.count)"),
        ("seeds.\(name)", maps.count == 1 ? "one seed" : "\(maps.count) seeds"),
      ]
    }
    return values + [
      ("good", "\(goodLoss)"),
      ("difference", try difference(set)),
    ]
  }

  /// Share of good cells, spectral minus norm, over the seeds that test.
  private static func difference(_ set: RecordSet) throws -> String {
    guard set.methods.contains("norm"), set.methods.contains("spectral") else { return "not known" }
    let (seeds, maps) = try maps(set)
    let points = maps.map { 100 * shareDifference($0.spectral, $0.norm) }
    guard points.count > 1 else {
      return String(format: "%+.1f percentage points, one seed", points[0])
    }
    let interval = Statistics.tInterval(points)
    let names = seeds.sorted().map(String.init).joined(separator: ", ")
    return String(
      format: "%+.1f [%+.1f, %+.1f] percentage points over seeds \(names), Student's t, 95 %%",
      interval.estimate, interval.lower, interval.upper)
  }
}
