// SPDX-License-Identifier: Apache-2.0

import Lab
import LinearAlgebra
import Storage

/// BERT fine-tuned on Emotion after arXiv 2404.08624: δ-GClip against AdamW, and norm and spectral clipping beside them.
package enum DeltaGClipBERT: DeltaGClipClassifier {
  package typealias Task = BERTTask
  package static let name = "delta-gclip-bert"
  package static let abstract =
    "BERT fine-tuned on Emotion: δ-GClip, AdamW, norm and spectral clipping (2404.08624)."
  package static let version = 1
  package static let network = (key: "bert", title: "BERT")
  package static let chosen = "delta-gclip"
  package static let arms = BERTArms.all
  package static let defaults = CurveConfig(
    BERTSettings(), methods: arms.map(\.name), seeds: [1, 2, 3])
}

/// Hyper-parameters of all arms, AdamW's included: the authors' are not public but for one rate, of a longer run.
package enum DeltaGClipBERTSearch: SearchExperiment {
  package typealias Figure = DeltaGClipBERT
  package static let name = "bert-search"
  package static let objective = "final_val_error"
  package static let defaults = SearchConfig(
    BERTSettings(), methods: arms.map(\.name))

  package static var selectionMeaning: String {
    "on Emotion's validation texts, which the curves do not use"
  }

  package static func objectiveMeaning(_ config: Config) -> String {
    "share of the \(config.selection == .heldOut ? "validation" : "test") texts classified wrongly"
  }
}

// MARK: - Table and caption

extension DeltaGClipBERT {
  /// Curves of training loss and of accuracy on the test texts by epoch, final accuracies; the authors' two runs of
  /// DistilBERT, whole, whatever our size.
  package static func table(of set: RecordSet) throws -> Table {
    var table = try curves(of: set)
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
    return [
      ("finals", try finals(of: set)),
      ("encoder", escaped(try encoder(record, layers: settings.layers))),
      ("cutTexts", "\(try record.int(attribute: "cut_texts"))"),
      ("width", "\(try record.int(attribute: "width"))"),
      ("vocabulary", "\(try record.int(attribute: "vocabulary"))"),
      ("parameters", "\(try record.int(attribute: "parameters"))"),
    ]
  }
}

// MARK: - Claims

extension DeltaGClipBERT {
  package static let summary = [
    SummaryRow(
      "BERT, Emotion", by: error, tuning: "searched",
      [
        .norm: "gclip", .delta: "delta-gclip", .spectralConstant: "spectral-const",
        .spectralQuantile: "spectral-quantile", .adam: "adamw",
      ])
  ]

  package static let claims = [
    claim(
      "error", "δ-GClip is competitive with AdamW in its error on test texts.",
      Comparison([chosen], over: ["adamw"], by: [error], competitive)),
    gclipClaim,
    spectralClaim(
      "Spectral clipping at a constant threshold is competitive with δ-GClip, both searched alike.",
      ["spectral-const"]),
    spectralClaim(
      "Spectral clipping at a quantile is competitive with δ-GClip, both searched alike.",
      ["spectral-quantile"],
      id: "quantile"),
  ]
}
