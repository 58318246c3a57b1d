// SPDX-License-Identifier: Apache-2.0

import Lab
import LinearAlgebra
import Storage

/// A figure of arXiv 2404.08624 on a network that classifies: what is measured, compared and said is the same for all of them.
package protocol DeltaGClipClassifier: CurveExperiment where Task: EpochClassifier {
  /// The network, in ids ("vit") and in words ("ViT").
  static var network: (key: String, title: String) { get }
  /// The arm of δ-GClip that is compared with the others.
  static var chosen: String { get }
}

extension DeltaGClipClassifier {
  /// What is compared.
  static var error: Measure {
    Measure(
      "error",
      note: "share of the test \(Task.sample.many) classified wrongly after the last epoch",
      final: "final_val_error", series: "val_error", limit: 1)
  }
  /// What "competitive" is held against: at most a twentieth more errors.
  static var competitive: Bound { .below(1.05) }

  /// A claim of their paper about δ-GClip.
  static func claim(
    _ suffix: String, _ statement: String, note: String = "", _ comparison: Comparison
  ) -> Claim {
    Claim(
      "deltagclip-\(network.key)-\(suffix)", "2404.08624, \(network.title)\(note)", statement,
      family: "deltagclip-\(network.key)", comparison)
  }

  /// That a lower bound on the step costs nothing.
  static var gclipClaim: Claim {
    claim(
      "gclip", "A lower bound on the step costs nothing: δ-GClip errs no more than GClip.",
      Comparison([chosen], over: ["gclip"], by: [error], competitive))
  }

  /// That the spectral clip does as well in its place.
  static func spectralClaim(
    _ statement: String, _ arms: [String], id suffix: String = "spectral"
  ) -> Claim {
    Claim(
      "deltagclip-\(network.key)-\(suffix)", "2605.11838 on 2404.08624's \(network.title)",
      statement, family: "deltagclip-\(network.key)-spectral",
      Comparison(arms, over: [chosen], by: [error], competitive))
  }

  /// The curves of training loss and of accuracy on the test samples by epoch, and final accuracies.
  static func curves(
    of set: RecordSet, groups: [String] = [],
    group: (String) -> String = { _ in "optimizers and clips" }
  ) throws -> Table {
    try set.curveTable(
      axis: RecordSet.epochs,
      series: [.init("train_loss", .geometricMean), .init("val_accuracy", .mean)],
      finals: [.init("final_val_accuracy", .mean)], group: group, groups: groups)
  }

  /// Final accuracies and the time of a step, method by method.
  static func finals(of set: RecordSet) throws -> String {
    try set.ends("final_val_accuracy") { method, accuracy in
      let time = try 1000 * RunStatistics.secondsPerStep(set.records(of: method))
      return "\(significant(100 * accuracy, 3)) % (\(significant(time, 2)) ms a step)"
    }
  }
}

// MARK: - On images

/// Such a figure on images, with the arms of `DeltaGClipArms.images`.
package protocol DeltaGClipImages: DeltaGClipClassifier where Task.Settings: ImageEpochs {
  /// 10 to this power: δ of each arm; one of them is -3, which is `chosen`.
  static var exponents: [Int] { get }
  /// What the summary figure calls the row.
  static var rowTitle: String { get }
}

extension DeltaGClipImages {
  package static var chosen: String { DeltaGClipArms.deltaName(-3) }
  static var ablation: [String] {
    exponents.filter { $0 != -3 }.map(DeltaGClipArms.deltaName)
  }

  /// Whether δ ever acted: arms of the ablation whose curves are equal to the last digit differ in nothing.
  private static func idle(_ set: RecordSet) throws -> String {
    let arms = set.methods.filter { $0.hasPrefix("delta-gclip") }
    guard arms.count > 1 else { return "whether δ acts, one arm alone does not tell" }
    // By their bits: what diverged is filled up with NaN.
    let curves = try arms.map {
      try set.records(of: $0).map { try $0.doubles("val_loss").map(\.bitPattern) }
    }
    guard curves.allSatisfy({ $0 == curves[0] }) else { return "δ made a difference in some run" }
    return
      "δ never acted: no gradient was so large that its factor would have fallen below δ, and the \(arms.count) arms of the ablation are the same runs"
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    [
      ("idle", try idle(set)), ("finals", try finals(of: set)),
      ("parameters", "\(try set.records[0].int(attribute: "parameters"))"),
    ]
  }

  package static var summary: [SummaryRow] {
    [
      SummaryRow(
        rowTitle, by: error, tuning: "authors' values, the spectral clips searched: uneven",
        [
          .none: "sgd", .norm: "gclip", .delta: chosen, .spectralConstant: "spectral-const",
          .spectralQuantile: "spectral-quantile", .adam: "adam",
        ])
    ]
  }

  package static var claims: [Claim] {
    let powers = exponents.map { "1e\($0)" }
    return [
      claim(
        "error", "δ-GClip is competitive with Adam and SGD in its error on test images.",
        Comparison([chosen], over: ["adam", "sgd"], by: [error], competitive)),
      claim(
        "ablation",
        "The error does not depend on δ from \(powers[0]) to \(powers[powers.count - 1]).",
        note: ", ablation", Comparison(ablation, over: [chosen], by: [error], .equalErrors)),
      gclipClaim,
      spectralClaim(
        "Searched spectral clipping is competitive with δ-GClip at its authors' values.",
        ["spectral-const", "spectral-quantile"]),
    ]
  }
}

extension SearchExperiment where Task: EpochClassifier, Task.Settings: ImageEpochs {
  package static var objective: String { "final_val_error" }

  package static func objectiveMeaning(_ config: Config) -> String {
    "share of the \(config.selection == .heldOut ? "held-out training" : "test") images classified wrongly"
  }
}
