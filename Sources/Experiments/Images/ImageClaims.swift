import Lab
import Foundation
import LinearAlgebra
import Storage

// What Figs 2a and 5b are read for.

/// Comparisons of two arms by their errors on the test images, paired by seed.
enum ImageComparison {
  /// Error of `method` over that of `other` after `epoch` epochs (nil: at the end), seed by seed; a run that has diverged
  /// tells nothing right.
  static func ratios(
    _ set: RecordSet, _ method: String, over other: String, afterEpoch epoch: Int? = nil
  ) throws -> [Double] {
    try set.ratios(method, over: other) { try error($0, afterEpoch: epoch) }
  }

  private static func error(_ record: Record, afterEpoch epoch: Int?) throws -> Double {
    let accuracies = try record.doubles("val_accuracy")
    let step = try epoch.map { try $0 * record.int(attribute: "steps_per_epoch") }
    let steps = try record.ints("step")
    let row = step.flatMap { steps.firstIndex(of: $0) } ?? steps.count - 1
    let accuracy = accuracies[row]
    return ImageTable.error(
      accuracy: accuracy.isFinite ? accuracy : 0, of: try record.int(attribute: "test_images"))
  }

  /// "Ratio < 1" against each of `others`, after each of `epochs` (nil: at the end).
  static func below(
    _ set: RecordSet, _ method: String, _ others: [String], afterEpochs epochs: [Int?] = [nil],
    clipping clipped: String? = nil
  ) throws -> Finding {
    try judged(set, [method] + others, clipping: clipped ?? method) {
      try epochs.flatMap { epoch in
        try others.map { other in
          .logTest(
            "error of \(method) over \(other)" + (epoch.map { " after epoch \($0)" } ?? ""),
            try ratios(set, method, over: other, afterEpoch: epoch), below: 1,
            significantDigits: 3)
        }
      }
    }
  }

  /// Whether the accuracies of CifarNet's arms end no further than `points` percentage points from the authors'.
  static func nearAuthors(_ set: RecordSet, points: Double) throws -> Finding {
    let arms = [("none", "no_clip"), ("norm", "norm_clip"), ("spectral", "spectral_const")]
      .map { ("cifarnet-\($0.0)", $0.1) }
    return try judged(set, arms.map(\.0), clipping: arms[2].0) {
      let curve = try ReferenceCurve("cifar10_val_acc.csv")
      let distances = try arms.map { name, column in
        let own = Statistics.mean(try set.values("final_val_accuracy", of: name))
        let theirs = try curve.column(column).last ?? .nan
        return (
          text: String(
            format: "%@: %.1f %%, the authors' %.1f %%", name, 100 * own, 100 * theirs),
          distance: own.isFinite ? abs(100 * (own - theirs)) : .infinity
        )
      }
      return [
        Finding(
          evidence: distances.map(\.text).joined(separator: "; "), count: set.seeds.count,
          verdict: distances.allSatisfy { $0.distance <= points } ? .reproduced : .notReproduced)
      ]
    }
  }

  /// Whether each of `methods` is on a par with `other`: final errors within a factor of 1.25.
  static func onPar(_ set: RecordSet, _ methods: [String], with other: String) throws -> Finding {
    try judged(set, methods + [other], clipping: other) {
      try methods.map { method in
        .logTest(
          "final error of \(method) over \(other)", try ratios(set, method, over: other),
          below: 1.25, above: 0.8, significantDigits: 3)
      }
    }
  }

  /// All findings together, if all methods have records. On generated images nothing can be said of the real ones, nor of
  /// a rule that never acted.
  private static func judged(
    _ set: RecordSet, _ methods: [String], clipping method: String,
    _ findings: () throws -> [Finding]
  ) throws -> Finding {
    let missing = methods.filter { !set.methods.contains($0) }
    guard missing.isEmpty else {
      return Finding(
        evidence: "no records of \(missing.joined(separator: ", "))", count: 0,
        verdict: .needsPaper)
    }
    let finding = Finding.all(try findings())
    let shares = try set.records(of: method).flatMap { try $0.doubles("clipped_share") }
      .filter(\.isFinite)
    let share = shares.isEmpty ? 0 : Statistics.mean(shares)
    var evidence = finding.evidence + "; share of singular values clipped \(short(share))"
    var verdict = finding.verdict
    if share == 0 {
      evidence += ": the rule never acted"
      verdict = .inconclusive
    }
    if try set.records[0].int(attribute: "data_is_stand_in") == 1 {
      evidence += " (on generated images)"
      verdict = .inconclusive
    }
    return Finding(evidence: evidence, count: finding.count, verdict: verdict)
  }
}

/// The claims.
enum ImageClaims {
  /// Of Fig 2a, for each network, and of CifarNet at its own size.
  static let accuracy: [Claim] = ImageNetwork.allCases.flatMap { comparisons($0) } + fullSize

  private static func comparisons(_ network: ImageNetwork) -> [Claim] {
    let name = network.rawValue
    let others = ["\(name)-none", "\(name)-norm"]
    return [
      Claim(
        id: "fig2a-best-\(name)", item: "§6.1, Fig 2a",
        statement:
          "\(network.title), SGDM: spectral clipping ends with the best validation accuracy.",
        criterion:
          "the ratio of the validation errors after the last epoch (test images as they are), paired by seed, "
          + "lies below 1 with its whole interval, both against no clip and against norm clipping"
      ) { try ImageComparison.below($0, "\(name)-spectral", others) },
      Claim(
        id: "fig2a-start-\(name)", item: "§6.1, Fig 2a",
        statement: "\(network.title), SGDM: spectral clipping has the faster start.",
        criterion: "the same after each of the epochs 1, 2 and 3"
      ) {
        try ImageComparison.below($0, "\(name)-spectral", others, afterEpochs: [1, 2, 3])
      },
      Claim(
        id: "fig2a-muon-\(name)", item: "authors' plots",
        statement: "\(network.title): Muon ends with a better accuracy than spectral SGDM.",
        criterion: "the ratio of the validation errors after the last epoch lies below 1 likewise"
      ) { set in
        let spectral = "\(name)-spectral"
        return try ImageComparison.below(set, "\(name)-muon", [spectral], clipping: spectral)
      },
    ]
  }

  private static let fullSize: [Claim] = [
    Claim(
      id: "fig2a-best-jpeg", item: "§6.1, Fig 2a", profile: "jpeg",
      statement:
        "The same for CifarNet at full width on 42 500 JPEG images: spectral clipping ends with the best accuracy.",
      criterion: "as fig2a-best-cifarnet"
    ) {
      try ImageComparison.below($0, "cifarnet-spectral", ["cifarnet-none", "cifarnet-norm"])
    },
    Claim(
      id: "fig2a-start-jpeg", item: "§6.1, Fig 2a", profile: "jpeg",
      statement: "And it has the faster start.", criterion: "as fig2a-start-cifarnet"
    ) {
      try ImageComparison.below(
        $0, "cifarnet-spectral", ["cifarnet-none", "cifarnet-norm"], afterEpochs: [1, 2, 3])
    },
    Claim(
      id: "fig2a-authors", item: "authors' plots", profile: "jpeg",
      statement: "CifarNet at full width reaches the accuracies of the authors' curves.",
      criterion:
        "the validation accuracy after the last epoch (mean over the seeds) lies within 5 percentage points of the "
        + "authors', for each arm; JPEG pixels and 7 500 images fewer are expected to cost 2 to 3"
    ) { try ImageComparison.nearAuthors($0, points: 5) },
  ]

  /// Of Fig 5b, for each network.
  static let truncation: [Claim] = ImageNetwork.allCases.flatMap { network in
    let name = network.rawValue
    func claim(_ id: String, _ statement: String, _ ranks: [Int]) -> Claim {
      Claim(
        id: "fig5b-\(id)-\(name)", item: "Fig 5b",
        statement: "\(network.title): \(statement)",
        criterion:
          "the ratio of the final validation errors, truncated over exact, paired by seed, lies within "
          + "[0.8, 1.25] with its whole interval"
          + (ranks.count > 1 ? ", for each of the ranks \(ranks)" : "")
      ) {
        try ImageComparison.onPar($0, ranks.map { "\(name)-rank\($0)" }, with: "\(name)-exact")
      }
    }
    return [
      claim("rank10", "clipping by a truncated SVD of rank 10 performs like the full SVD.", [10]),
      claim("ranks", "the same for ranks from 1 to 20.", [1, 5, 10, 20]),
    ]
  }
}
