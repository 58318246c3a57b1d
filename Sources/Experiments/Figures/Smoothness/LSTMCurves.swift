// SPDX-License-Identifier: Apache-2.0

import Lab
import LinearAlgebra
import Storage

/// Clipped against unclipped SGD at a large and at a small rate, on the LSTM of arXiv 1905.11881.
package enum LSTMCurves: CurveExperiment {
  package typealias Task = LSTMTask
  package static let name = "lstm-ptb"
  package static let abstract =
    "An LSTM on Penn Treebank: clipped against unclipped SGD at large and small rates (arXiv 1905.11881)."
  package static let version = 1
  package static let arms = LSTMArms.all
  package static let defaults = CurveConfig(
    LSTMSettings(), methods: arms.map(\.name), seeds: [1, 2, 3])

  package static func table(of set: RecordSet) throws -> Table {
    try LanguageTable.table(of: set)
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let record = set.records[0]
    let ranking = try set.ends(
      "final_val_loss", limit: LSTMTask.lossLimit,
      title: { method in
        let rate = try set.values("learningRate", of: method)[0]
        return "\(try set.title(of: method)) (rate \(significant(rate, 2)))"
      }
    ) { _, loss in significant(loss, 3) }
    return [
      ("steps", "\(try record.ints("step").last ?? 0)"),
      ("epoch", "\(try record.int(attribute: "steps_per_epoch"))"),
      ("parameters", "\(try record.int(attribute: "parameters"))"),
      ("vocabulary", "\(try record.int(attribute: "vocabulary"))"),
      ("ranking", ranking),
    ]
  }

  private static let training = Measure(
    "training loss", note: "mini-batches since the point before", final: "final_train_loss",
    series: "train_loss", limit: LSTMTask.lossLimit)
  private static let validation = Measure(
    "validation loss", final: "final_val_loss", series: "val_loss", limit: LSTMTask.lossLimit)

  package static let summary = [
    SummaryRow(
      "LSTM, Penn Treebank", by: validation,
      tuning: "its authors' large rate and threshold, spectral at the same, none searched",
      [
        .none: "sgd-none-large", .norm: "sgd-norm-large", .spectralConstant: "sgd-spectral-large",
      ])
  ]

  package static let claims: [Claim] = [
    Claim(
      "lstm-clipped-faster", "1905.11881, §5",
      "SGD with norm clipping at a large rate ends below SGD without a clip at the large and at the small rate.",
      family: "lstm",
      Comparison(
        ["sgd-norm-large"], over: ["sgd-none-large", "sgd-none-small"], by: [training])),
    Claim(
      "lstm-large-rate", "1905.11881, §5",
      "With norm clipping the large rate ends below the small one.", family: "lstm",
      Comparison(["sgd-norm-large"], over: ["sgd-norm-small"], by: [training])),
    Claim(
      "lstm-spectral", "beyond both papers",
      "At the large rate a spectral clip ends below the norm clip.", family: "lstm",
      Comparison(["sgd-spectral-large"], over: ["sgd-norm-large"], by: [validation])),
  ]
}
