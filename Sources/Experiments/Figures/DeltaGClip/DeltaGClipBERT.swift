import Foundation
import Lab
import LinearAlgebra
import Storage

/// BERT fine-tuned on Emotion after arXiv 2404.08624: δ-GClip against AdamW, and norm and spectral clipping beside them.
package enum DeltaGClipBERT: CurveExperiment {
  package typealias Task = BERTTask
  package static let name = "delta-gclip-bert"
  package static let abstract =
    "BERT fine-tuned on Emotion: δ-GClip, AdamW, norm and spectral clipping (2404.08624)."
  package static let version = 1
  package static let arms = BERTArms.all
  package static let defaults = CurveConfig(
    BERTSettings(), methods: arms.map(\.name), seeds: [1, 2, 3])
}

/// Hyper-parameters of all arms, AdamW's included: the authors' are not public but for one rate, of a longer run.
package enum DeltaGClipBERTSearch: SearchExperiment {
  package typealias Task = BERTTask
  package static let name = "bert-search"
  package static let abstract = "Hyper-parameters of delta-gclip-bert's methods."
  package static let arms = BERTArms.all
  package static let command = "delta-gclip-bert search"
  package static let objective = "final_val_error"
  package static let defaults = SearchConfig(
    BERTSettings(), methods: arms.map(\.name))

  package static var selectionMeaning: String {
    "on Emotion's validation texts, which the curves do not use"
  }

  package static func objectiveMeaning(_ config: Config) -> String {
    "share of the \(config.selection == .heldOut ? "validation" : "test") texts classified wrongly"
  }

  package static func captionSettings(_ config: Config) -> [(String, String)] {
    let s = config.settings
    return [
      ("epochs", "\(s.epochs)"), ("batchSize", "\(s.batchSize)"),
      ("trainingTexts", "\(s.trainingTexts)"), ("layers", "\(s.layers)"),
    ]
  }
}

// MARK: - Table and caption

extension DeltaGClipBERT {
  /// Curves of training loss and of accuracy on the test texts by epoch, final accuracies; the authors' two runs of
  /// DistilBERT, whole, whatever our size.
  package static func table(of set: RecordSet) throws -> Table {
    var table = try set.curveTable(
      axis: RecordSet.epochs,
      series: [.init("train_loss", .geometricMean), .init("val_accuracy", .mean)],
      finals: [.init("final_val_accuracy", .mean)], group: { _ in "optimizers and clips" })
    for (arm, column) in [("adamw", "adamw"), ("delta-gclip", "delta_gclip")] {
      try table.add(
        authors: "delta_gclip_bert_acc.csv", x: "epoch", y: column, for: arm,
        columns: ("epoch", "val_accuracy"))
    }
    return table
  }

  /// What the encoder is.
  private static func encoder(_ record: Record, layers: Int) throws -> String {
    guard try record.int(attribute: "encoder_is_trained") == 1 else {
      return
        "an encoder of seeded weights, not MiniLM, for a vocabulary of the training texts' words"
    }
    let completed = try record.string(attribute: "completed")
    return "MiniLM, its first \(layers) blocks"
      + (completed.isEmpty
        ? ", all weights from the checkpoint"
        : ", of which the checkpoint lacks \(completed): drawn from the seed")
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
      ("finals", lines.joined(separator: "; ")),
      ("encoder", escaped(try encoder(record, layers: settings.layers))),
      ("data", escaped(try record.string(attribute: "data"))),
      ("trainingTexts", "\(settings.trainingTexts)"), ("testTexts", "\(settings.testTexts)"),
      ("cutTexts", "\(try record.int(attribute: "cut_texts"))"), ("length", "\(settings.length)"),
      ("layers", "\(settings.layers)"), ("heads", "\(settings.heads)"),
      ("width", "\(try record.int(attribute: "width"))"), ("epochs", "\(settings.epochs)"),
      ("vocabulary", "\(try record.int(attribute: "vocabulary"))"),
      ("batchSize", "\(settings.batchSize)"),
      ("parameters", "\(try record.int(attribute: "parameters"))"),
    ]
  }
}

// MARK: - Claims

extension DeltaGClipBERT {
  private static let error = Measure(
    "error", note: "share of the test texts classified wrongly after the last epoch",
    final: "final_val_error", series: "val_error", limit: 1)

  package static let summary = [
    SummaryRow(
      "BERT, Emotion", by: error, tuning: "searched",
      [
        .norm: "gclip", .delta: "delta-gclip", .spectralConstant: "spectral-const",
        .spectralQuantile: "spectral-quantile", .adam: "adamw",
      ])
  ]

  /// What "competitive" is held against: at most a twentieth more errors.
  private static let competitive = Bound.below(1.05)

  package static let claims = [
    Claim(
      "deltagclip-bert-error", "2404.08624, BERT",
      "δ-GClip is competitive with AdamW in its error on test texts.", family: "deltagclip-bert",
      Comparison(["delta-gclip"], over: ["adamw"], by: [error], competitive)),
    Claim(
      "deltagclip-bert-gclip", "2404.08624, BERT",
      "A lower bound on the step costs nothing: δ-GClip errs no more than GClip.",
      family: "deltagclip-bert",
      Comparison(["delta-gclip"], over: ["gclip"], by: [error], competitive)),
    Claim(
      "deltagclip-bert-spectral", "2605.11838 on 2404.08624's BERT",
      "Spectral clipping at a constant threshold is competitive with δ-GClip, both searched alike.",
      family: "deltagclip-bert-spectral",
      Comparison(["spectral-const"], over: ["delta-gclip"], by: [error], competitive)),
  ]
}
