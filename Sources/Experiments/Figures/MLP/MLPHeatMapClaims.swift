// SPDX-License-Identifier: Apache-2.0

import Lab
import Foundation
import LinearAlgebra
import Storage

// The claims of Fig 4.

extension MLPHeatMap {
  /// One map of one seed: cells in row-major order [step size, threshold].
  struct Map {
    let rates: [Double]
    let columns: [Double]
    /// NaN where the run diverged.
    let losses: [Double]
    let updateNorms: [Double]

    init(_ record: Record) throws {
      rates = try record.doubles("learning_rate")
      columns = try record.doubles(record.string(attribute: "axis"))
      let shapes: ([Int], [Int])
      (losses, shapes.0) = try record.doubles("final_train_loss", axes: 2)
      (updateNorms, shapes.1) = try record.doubles("median_update_norm", axes: 2)
      guard shapes.0 == [rates.count, columns.count], shapes.1 == shapes.0 else {
        throw StorageError(
          "its cells are not those of its step sizes and thresholds",
          at: record.source ?? "a record", hint: "compute the record anew")
      }
    }

    /// The share of cells with a loss below `level`; diverged cells are not below it.
    func share(below level: Double) -> Double {
      Double(losses.count { $0 < level }) / Double(losses.count)
    }
  }

  /// The loss below which a cell counts as a good one: a tenth of the targets' variance, which is the
  /// loss of the constant prediction.
  static let goodLoss = 0.1

  /// Bins of equal median update norm, a quarter of a decade wide: the lowest loss of each map in every bin
  /// where both have at least three cells that did not diverge.
  static func bestByUpdateNorm(_ a: Map, _ b: Map) -> [(norm: Double, a: Double, b: Double)] {
    func bins(_ map: Map) -> [Int: [Double]] {
      var found: [Int: [Double]] = [:]
      for (norm, loss) in zip(map.updateNorms, map.losses)
      where norm > 0 && norm.isFinite && loss.isFinite {
        found[Int((4 * log10(norm)).rounded(.down)), default: []].append(loss)
      }
      return found
    }
    let (own, other) = (bins(a), bins(b))
    return own.keys.sorted().compactMap { bin in
      guard let x = own[bin], let y = other[bin], x.count >= 3, y.count >= 3 else { return nil }
      return (pow(10, (Double(bin) + 0.5) / 4), x.min() ?? .nan, y.min() ?? .nan)
    }
  }

  /// The bins that every pair of maps has, with the geometric means of the lowest losses.
  static func bestByUpdateNorm(
    _ pairs: [(spectral: Map, norm: Map)]
  ) -> [(norm: Double, spectral: Double, clippedByNorm: Double)] {
    let seeds = pairs.map { bestByUpdateNorm($0.spectral, $0.norm) }
    return (seeds.first ?? []).compactMap { bin in
      let same = seeds.compactMap { $0.first { $0.norm == bin.norm } }
      guard same.count == seeds.count else { return nil }
      return (
        bin.norm, RunStatistics.geometricMean(same.map(\.a)).mean,
        RunStatistics.geometricMean(same.map(\.b)).mean
      )
    }
  }

  // MARK: - Claims

  /// The seed on which the map was first seen: it is shown, and tests nothing.
  static let seenSeed = 1
  private static let larger = Bound.above(0)
  private static let lower = Bound.below(1)
  private static let seedsNeeded = 3

  /// The maps of both rules, seed by seed, of the seeds that test: all but the one that was seen first, which stands in
  /// where there is no other.
  static func maps(
    _ set: RecordSet
  ) throws -> (seeds: Set<Int>, maps: [(spectral: Map, norm: Map)]) {
    let pairs = try set.pairs("spectral", "norm")
    let fresh = try pairs.filter { try $0.0.int(attribute: "seed") != seenSeed }
    let used = fresh.isEmpty ? pairs : fresh
    return (
      Set(try used.map { try $0.0.int(attribute: "seed") }),
      try used.map { (try Map($0.0), try Map($0.1)) }
    )
  }

  private static func evidence(
    _ set: RecordSet, _ finding: ([(spectral: Map, norm: Map)]) -> Finding
  ) throws -> Evidence {
    guard set.methods.contains("norm"), set.methods.contains("spectral") else {
      return Evidence(obstacle: .noRecords("norm and spectral"))
    }
    let (seeds, maps) = try maps(set)
    let seen = seeds == [seenSeed] ? ["only the seed on which the map was first seen"] : []
    return Evidence([finding(maps)], remarks: seen, seeds: seeds)
  }

  /// Share of good cells, spectral minus norm.
  static func shareDifference(_ spectral: Map, _ norm: Map) -> Double {
    spectral.share(below: goodLoss) - norm.share(below: goodLoss)
  }

  /// The geometric mean over bins of equal update norm of the lowest loss of spectral over that of norm clipping.
  static func equalUpdateRatio(_ spectral: Map, _ norm: Map) -> Double {
    let logs = bestByUpdateNorm(spectral, norm).map { log($0.a / $0.b) }
    return logs.isEmpty ? .nan : exp(Statistics.mean(logs))
  }

  package static let claims: [Claim] = [
    Claim(
      id: "fig4-larger-region", item: "§6.4, Fig 4",
      statement:
        "Spectral clipping reaches low losses in a larger region of step size and threshold than norm clipping.",
      criterion:
        "the share of the map's cells (equal rates and thresholds) with a final training loss below \(goodLoss), "
        + "spectral minus norm, a value a seed, lies \(larger.words) with its whole interval; at least "
        + "\(seedsNeeded) seeds, without seed \(seenSeed), on which the map was first seen",
      family: "fig4"
    ) { set in
      try evidence(set) { maps in
        .mean(
          "share of cells with a loss below \(goodLoss), spectral minus norm",
          maps.map(shareDifference), larger, needed: seedsNeeded)
      }
    },
    Claim(
      id: "fig4-equal-update", item: "§6.4, Fig 4 (our reading)",
      statement: "The advantage remains when cells of equal median update norm are compared.",
      criterion:
        "the lowest final training loss of spectral over that of norm clipping, the geometric mean over bins (a "
        + "quarter of a decade of the median update norm, at least three finite cells of each map), a value a "
        + "seed, lies \(lower.words) with its whole interval; seeds as for fig4-larger-region",
      family: "fig4"
    ) { set in
      try evidence(set) { maps in
        .ratios(
          "lowest loss at equal update norm, spectral over norm", maps.map(equalUpdateRatio),
          lower, needed: seedsNeeded)
      }
    },
  ]
}
