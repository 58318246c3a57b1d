// SPDX-License-Identifier: Apache-2.0

import Lab
import LinearAlgebra
import Storage

// The claims of Figs 2a and 5b.

/// The claims.
enum ImageClaims {
  /// What arms are compared by; a run that has diverged tells nothing right.
  private static let error = Measure(
    "validation error", note: "test images as they are", final: "final_val_accuracy",
    series: "val_accuracy", limit: 1
  ) { try ImageTask.error(accuracy: $0, of: $1.int(attribute: "test_images")) }

  /// Both networks, clipped by each rule.
  static let summary = ImageNetwork.allCases.map { network in
    let name = network.rawValue
    return SummaryRow(
      "\(network.title), CIFAR-10", by: error, tuning: "searched, Table 2",
      [
        .none: "\(name)-none", .norm: "\(name)-norm", .delta: "\(name)-delta",
        .spectralConstant: "\(name)-spectral", .spectralEMA: "\(name)-ema",
        .spectralQuantile: "\(name)-quantile",
      ])
  }

  /// Of Fig 2a, for each network, and of CifarNet at its own size.
  static let accuracy: [Claim] = ImageNetwork.allCases.flatMap { comparisons($0) } + fullSize

  private static func comparisons(_ network: ImageNetwork) -> [Claim] {
    let (name, title) = (network.rawValue, network.title)
    let family = "fig2a-\(name)"
    return [
      Claim(
        "fig2a-best-\(name)", "§6.1, Fig 2a",
        "\(title), SGDM: spectral clipping ends with the best validation accuracy.",
        family: family, best(name)),
      Claim(
        "fig2a-start-\(name)", "§6.1, Fig 2a",
        "\(title), SGDM: spectral clipping has the faster start.", family: family,
        best(name, start)),
      Claim(
        "fig2a-muon-\(name)", "authors' plots",
        "\(title): Muon ends with a better accuracy than spectral SGDM.", family: family,
        Comparison(
          ["\(name)-muon"], over: ["\(name)-spectral"], by: [error], acting: ["\(name)-spectral"])),
      Claim(
        "fig2a-adaptive-\(name)", "§5",
        "\(title): EMA and quantile thresholds end with a better accuracy than norm clipping.",
        family: family,
        Comparison(["\(name)-ema", "\(name)-quantile"], over: ["\(name)-norm"], by: [error])),
    ]
  }

  private static let start = Comparison.Moment.epochs([1, 2, 3])
  private static let startChange = "each of the three epochs had to hold for itself at first"

  private static func best(_ name: String, _ moment: Comparison.Moment = .end) -> Comparison {
    Comparison(
      ["\(name)-spectral"], over: ["\(name)-none", "\(name)-norm"], by: [error], at: moment)
  }

  private static let fullSize: [Claim] = [
    Claim(
      "fig2a-best-jpeg", "§6.1, Fig 2a",
      "CifarNet at full width on JPEG images: spectral clipping ends with the best accuracy.",
      profile: "jpeg", best("cifarnet")),
    Claim(
      "fig2a-start-jpeg", "§6.1, Fig 2a", "And it has the faster start.", profile: "jpeg",
      changed: startChange, best("cifarnet", start)),
    Claim(
      id: "fig2a-authors", item: "authors' plots", profile: "jpeg",
      statement: "CifarNet at full width reaches the accuracies of the authors' curves.",
      criterion:
        "the validation accuracy after the last epoch less the authors', in percentage points, lies "
        + "\(authorsMargin.words) with its whole interval, for each arm; JPEG pixels and fewer images are "
        + "expected to cost 2 to 3",
      evaluate: nearAuthors),
  ]

  private static let authorsMargin = Bound.within(-5, 5)

  /// The accuracies of CifarNet's arms less the authors', in percentage points.
  @Sendable private static func nearAuthors(_ set: RecordSet) throws -> Evidence {
    let arms = [("none", "no_clip"), ("norm", "norm_clip"), ("spectral", "spectral_const")]
      .map { ("cifarnet-\($0.0)", $0.1) }
    return try Comparison.judge(set, arms: arms.map(\.0), acting: [arms[2].0]) {
      let curve = try ReferenceCurve("cifar10_val_acc.csv")
      return try arms.map { name, column in
        let theirs = try curve.column(column).last ?? .nan
        return .mean(
          part: name,
          "percentage points of \(name) above the authors' \(significant(100 * theirs, 3))",
          try set.values("final_val_accuracy", of: name).map {
            100 * (RunStatistics.bounded($0, limit: 0) - theirs)
          }, authorsMargin)
      }
    }
  }

  /// Of Fig 5b, for each network.
  static let truncation: [Claim] = ImageNetwork.allCases.flatMap { network in
    let (name, title) = (network.rawValue, network.title)
    func onPar(_ ranks: [Int]) -> Comparison {
      Comparison(
        ranks.map { "\(name)-rank\($0)" }, over: ["\(name)-exact"], by: [error],
        // The gap that it protects, between clipping by norm and by spectrum, is a tenth of an error.
        .equalErrors, acting: ["\(name)-exact"])
    }
    return [
      Claim(
        "fig5b-rank10-\(name)", "Fig 5b",
        "\(title): a truncated SVD of rank 10 clips like the full SVD.",
        family: "fig5b-\(name)", onPar([10])),
      Claim(
        "fig5b-ranks-\(name)", "Fig 5b", "\(title): the same for ranks from 1 to 20.",
        family: "fig5b-\(name)", onPar([1, 5, 10, 20])),
    ]
  }
}
