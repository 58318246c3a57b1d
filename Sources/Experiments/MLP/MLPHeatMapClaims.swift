import Lab
import Foundation
import LinearAlgebra
import Storage

// What Fig 4 is read for.

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
      losses = try record.doubles("final_train_loss")
      updateNorms = try record.doubles("median_update_norm")
    }

    /// The share of cells with a loss below `level`; diverged cells are not below it.
    func share(below level: Double) -> Double {
      Double(losses.count { $0 < level }) / Double(losses.count)
    }
  }

  /// The loss below which a cell counts as a good one: a tenth of the targets' variance, which is the
  /// loss of the constant prediction.
  static let goodLoss = 0.1

  /// Share of good cells of `a` minus that of `b`, with a bootstrap interval over the cells of the grid
  /// (pairs of cells at one place; it says how sure the grid is, not how another seed would come out).
  static func shareDifference(_ a: Map, _ b: Map, level: Double) -> ConfidenceInterval {
    let pairs = zip(a.losses, b.losses).map { (a: $0 < level ? 1.0 : 0, b: $1 < level ? 1.0 : 0) }
    var generator = RandomStream(seed: 0, name: "claims/heatmap").cursor()
    return Statistics.bootstrapInterval(pairs, resamples: 4000, using: &generator) { pairs in
      pairs.reduce(0) { $0 + $1.a - $1.b } / Double(pairs.count)
    }
  }

  /// Bins of equal median update norm, a quarter of a decade wide: the lowest loss of each map in every bin
  /// where both have at least three cells that did not diverge.
  static func bestByUpdateNorm(_ a: Map, _ b: Map) -> [(norm: Double, a: Double, b: Double)] {
    func bins(_ map: Map) -> [Int: [Double]] {
      var found: [Int: [Double]] = [:]
      for (norm, loss) in zip(map.updateNorms, map.losses) where norm > 0 && loss.isFinite {
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

  package static let claims: [Claim] = [
    Claim(
      id: "fig4-larger-region", item: "§6.4, Fig 4",
      statement:
        "Spectral clipping reaches low losses in a larger region of step size and threshold "
        + "than norm clipping.",
      criterion:
        "at equal thresholds (the paper's way), the share of cells with a final loss below "
        + "\(goodLoss) is larger for spectral clipping, with the whole bootstrap interval of the "
        + "difference over the cells above 0"
    ) { set in
      let (norm, spectral) = (
        try Map(set.records(of: "norm")[0]), try Map(set.records(of: "spectral")[0])
      )
      let interval = shareDifference(spectral, norm, level: goodLoss)
      return Finding(
        evidence: String(
          format:
            "shares %.3f (spectral) and %.3f (norm), difference %.3f [%.3f, %.3f] over %d cells",
          spectral.share(below: goodLoss), norm.share(below: goodLoss), interval.estimate,
          interval.lower, interval.upper, norm.losses.count),
        count: set.seeds.count,
        verdict: interval.lower > 0
          ? .reproduced : interval.upper <= 0 ? .notReproduced : .inconclusive)
    },
    Claim(
      id: "fig4-equal-update", item: "§6.4, Fig 4 (our reading)",
      statement: "The advantage remains when cells of equal median update norm are compared, "
        + "since one threshold means different step lengths for the two rules.",
      criterion:
        "over bins of a quarter decade of the median update norm, the lowest loss of spectral "
        + "clipping over that of norm clipping lies below 1 with its whole interval"
    ) { set in
      let (norm, spectral) = (
        try Map(set.records(of: "norm")[0]), try Map(set.records(of: "spectral")[0])
      )
      let bins = bestByUpdateNorm(spectral, norm)
      let finding = Finding.logTest(
        "lowest loss, spectral over norm, over \(bins.count) bins", bins.map { $0.a / $0.b },
        below: 1)
      return Finding(
        evidence: finding.evidence, count: set.seeds.count, verdict: finding.verdict)
    },
  ]
}
