import Foundation
import Lab
import LinearAlgebra
import Storage

/// The vision transformer of arXiv 2404.08624 on CIFAR-10: δ-GClip and its ablation against Adam and SGD, and the spectral clip
/// beside them.
package enum DeltaGClipViT: CurveExperiment {
  package typealias Task = ViTTask
  package static let name = "delta-gclip-vit"
  package static let abstract =
    "A vision transformer on CIFAR-10: δ-GClip for several δ, Adam, SGD and spectral clipping (2404.08624)."
  package static let version = 1
  package static let arms = ViTArms.all
  package static let defaults = CurveConfig(
    ViTSettings(), methods: arms.map(\.name), seeds: [1, 2, 3])
}

/// Hyper-parameters of the transformer's arms; the curves take the authors' where they have published some.
package enum DeltaGClipViTSearch: SearchExperiment {
  package typealias Task = ViTTask
  package static let name = "vit-search"
  package static let abstract = "Hyper-parameters of delta-gclip-vit's methods."
  package static let arms = ViTArms.all
  package static let command = "delta-gclip-vit search"
  package static let objective = "final_val_error"
  package static let defaults = SearchConfig(
    ViTSettings(), methods: ["spectral-const", "spectral-quantile"])

  package static func objectiveMeaning(_ config: Config) -> String {
    "share of the \(config.selection == .heldOut ? "held-out training" : "test") images classified wrongly"
  }
}

// MARK: - Table and caption

extension DeltaGClipViT {
  private static let main = "optimizers and clips"
  private static let ablation = "δ-GClip, δ from 1e-2 to 1e-6"
  private static let chosen = ViTArms.deltaName(-3)

  /// Curves of training loss and of accuracy on the test images by epoch, final accuracies; the authors'
  /// curves, whole, whatever our size.
  package static func table(of set: RecordSet) throws -> Table {
    var table = try set.curveTable(
      axis: RecordSet.epochs,
      series: [.init("train_loss", .geometricMean), .init("val_accuracy", .mean)],
      finals: [.init("final_val_accuracy", .mean)],
      group: { $0.hasPrefix("delta-gclip") && $0 != chosen ? ablation : main },
      groups: [main, ablation])
    for (arm, column) in [("adam", "adam")]
      + ViTArms.exponents.map({ (ViTArms.deltaName($0), "delta_1e\($0)") })
    {
      try table.add(
        authors: "delta_gclip_vit_tiny_acc.csv", x: "epoch", y: column, for: arm,
        columns: ("epoch", "val_accuracy"))
    }
    return table
  }

  /// Whether δ ever acted: arms of the ablation whose curves are equal to the last digit differ in nothing.
  private static func idle(_ set: RecordSet) throws -> String {
    let arms = set.methods.filter { $0.hasPrefix("delta-gclip") }
    let curves = try arms.map { try set.records(of: $0).map { try $0.doubles("val_loss") } }
    guard let first = curves.first, arms.count > 1, curves.allSatisfy({ $0 == first }) else {
      return "δ made a difference in some run"
    }
    return
      "δ never acted: no gradient was so large that its factor would have fallen below δ, and the \(arms.count) arms of the ablation are the same runs"
  }

  /// The numbers of the caption.
  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let record = set.records[0]
    let settings = try config(of: set).settings
    let lines = try set.methods.map { method in
      let accuracies = try set.values("final_val_accuracy", of: method)
      let diverged = accuracies.count { !$0.isFinite }
      let time = try 1000 * RunStatistics.secondsPerStep(set.records(of: method))
      return try set.title(of: method)
        + (diverged > 0
          ? ": \(diverged) of \(accuracies.count) runs diverged"
          : " \(significant(100 * Statistics.mean(accuracies), 3)) % (\(significant(time, 2)) ms a step)")
    }
    return [
      ("idle", try idle(set)), ("finals", lines.joined(separator: "; ")),
      ("data", escaped(try record.string(attribute: "data"))),
      ("trainingImages", "\(settings.trainingImages)"), ("testImages", "\(settings.testImages)"),
      ("imageSide", "\(settings.imageSide)"), ("smallestCrop", "\(settings.smallestCrop)"),
      ("width", "\(settings.width)"), ("layers", "\(settings.layers)"),
      ("heads", "\(settings.heads)"), ("epochs", "\(settings.epochs)"),
      ("batchSize", "\(settings.batchSize)"),
      ("parameters", "\(try record.int(attribute: "parameters"))"),
    ]
  }
}

// MARK: - Claims

extension DeltaGClipViT {
  private static let error = Measure(
    "error", note: "share of the test images classified wrongly after the last epoch",
    final: "final_val_error", series: "val_error", limit: 1)

  package static let summary = [
    SummaryRow(
      "vision transformer, CIFAR-10", by: error,
      tuning: "authors' values, the spectral clips searched: uneven",
      [
        .none: "sgd", .norm: "gclip", .delta: chosen, .spectralConstant: "spectral-const",
        .spectralQuantile: "spectral-quantile", .adam: "adam",
      ])
  ]

  /// What "competitive" is held against: at most a twentieth more errors.
  private static let competitive = Bound.below(1.05)
  /// What "flat" is held against: within a twentieth, either way, of the arm with δ = 1e-3.
  private static let flat = Bound.within(0.9524, 1.05)

  package static let claims = [
    Claim(
      "deltagclip-vit-error", "2404.08624, ViT",
      "δ-GClip is competitive with Adam and SGD in its error on test images.",
      family: "deltagclip-vit",
      Comparison([chosen], over: ["adam", "sgd"], by: [error], competitive)),
    Claim(
      "deltagclip-vit-ablation", "2404.08624, ViT, ablation",
      "The error does not depend on δ from 1e-2 to 1e-6.", family: "deltagclip-vit",
      Comparison(
        ViTArms.exponents.filter { $0 != -3 }.map(ViTArms.deltaName), over: [chosen],
        by: [error], flat)),
    Claim(
      "deltagclip-vit-gclip", "2404.08624, ViT",
      "A lower bound on the step costs nothing: δ-GClip errs no more than GClip.",
      family: "deltagclip-vit",
      Comparison([chosen], over: ["gclip"], by: [error], competitive)),
    Claim(
      "deltagclip-vit-spectral", "2605.11838 on 2404.08624's ViT",
      "Spectral clipping, constant or by quantile, searched, is competitive with δ-GClip at its authors' values.",
      family: "deltagclip-vit-spectral",
      Comparison(
        ["spectral-const", "spectral-quantile"], over: [chosen], by: [error], competitive)),
  ]
}
