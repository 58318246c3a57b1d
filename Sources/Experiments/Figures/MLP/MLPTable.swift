// SPDX-License-Identifier: Apache-2.0

import Lab
import Storage

/// Fig 2b: its table and the numbers of its caption.
extension MLPHeavyTails {
  private static let clippedSGDM = "SGDM, clipped by norm or singular values"

  /// The panel that an arm is drawn in.
  private static func panel(_ arm: String) -> String {
    switch arm {
    case "sgdm-norm", "sgdm-spectral-const", "sgdm-spectral-ema", "sgdm-spectral-quantile",
      "sgdm-none":
      clippedSGDM
    case "adam-none", "adam-norm", "muon", "mucon", "muon-torch", "clipped-scion":
      "other optimizers"
    default: "rules beyond the paper"
    }
  }

  /// Curves of training and validation loss, final losses, and the authors' curves where they are published.
  package static func table(of set: RecordSet) throws -> Table {
    var table = try set.curveTable(
      axis: ("step", { try $0.ints("step").map(Double.init) }),
      series: [.init("train_loss", .geometricMean), .init("val_loss", .geometricMean)],
      finals: [.init("final_train_loss", .geometricMean, diverged: MLPTask.lossLimit)],
      group: panel, groups: [clippedSGDM])
    table.set("loss_limit", .number(MLPTask.lossLimit))
    let last = table.blocks.first?.numbers("step").last ?? 0
    for (arm, file) in [
      ("sgdm-spectral-const", "spectral_const"), ("sgdm-spectral-quantile", "spectral_quantile"),
      ("muon", "muon"), ("clipped-scion", "clippedscion"),
    ] {
      try table.add(
        authors: "mlp_trainloss_\(file).csv", for: arm, columns: ("step", "train_loss"), upTo: last)
    }
    return table
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    [
      ("steps", "\(try set.records[0].ints("step").last ?? 0)"),
      (
        "ranking",
        try set.ends("final_train_loss", limit: MLPTask.lossLimit) { _, loss in short(loss) }
      ),
    ]
  }
}
