// SPDX-License-Identifier: Apache-2.0

import Lab
import LinearAlgebra
import Storage

/// AlexNet of arXiv 2605.02701: no clip, the standard clip, the clip of every sample and of every micro-batch, and the spectral clip
/// beside them.
package enum PerSampleAlexNet: CurveExperiment {
  package typealias Task = AlexNetTask
  package static let name = "per-sample-clipping"
  package static let abstract =
    "AlexNet on CIFAR-10: no clip, norm clip, per-sample, micro-batch and spectral clips (2605.02701)."
  package static let version = 1
  package static let arms = AlexNetArms.all
  package static let defaults = CurveConfig(
    AlexNetSettings(), methods: arms.map(\.name), seeds: [1, 2, 3])
}

/// Hyper-parameters of AlexNet's arms.
package enum PerSampleSearch: SearchExperiment {
  package typealias Figure = PerSampleAlexNet
  package static let name = "per-sample-search"
  package static let objective = "final_val_loss"
  package static let defaults = SearchConfig(
    AlexNetSettings(), methods: arms.filter { $0.tunedAs == $0.name }.map(\.name))

  package static func objectiveMeaning(_ config: Config) -> String {
    "cross-entropy of the \(config.selection == .heldOut ? "held-out training" : "test") images, nats an image"
  }
}

// MARK: - Table and caption

extension PerSampleAlexNet {
  private static let spectral = "the spectral clips beside them"
  private static let own = "whole batches, samples, micro-batches"

  /// Curves of training loss and of both accuracies by epoch and by the seconds of undisturbed steps, final values, milliseconds of
  /// a step.
  package static func table(of set: RecordSet) throws -> Table {
    try set.curveTable(
      axis: RecordSet.epochs,
      series: [
        .init("train_loss", .geometricMean), .init("train_accuracy", .mean),
        .init("val_accuracy", .mean),
      ],
      finals: [
        .init("final_train_loss", .geometricMean, diverged: AlexNetTask.lossLimit),
        .init("final_val_accuracy", .mean),
      ],
      group: { $0.contains("spectral") || $0 == "sgdm-per-sample-flat" ? spectral : own },
      groups: [own, spectral], seconds: RunStatistics.undisturbedSeconds,
      more: { finals, records in
        finals.add("step_ms", try records.map { try 1000 * RunStatistics.secondsPerStep($0) })
      })
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    [
      (
        "ranking",
        try set.ends("final_train_loss", limit: AlexNetTask.lossLimit) { method, loss in
          let accuracy = 100 * Statistics.mean(try set.values("final_val_accuracy", of: method))
          let time = try 1000 * RunStatistics.secondsPerStep(set.records(of: method))
          return
            "\(significant(loss, 3)) (\(significant(accuracy, 3)) %, \(significant(time, 2)) ms a step)"
        }
      ), ("microBatches", "\(AlexNetArms.microBatches)"),
      ("microBatchSize", "\(try config(of: set).batchSize / AlexNetArms.microBatches)"),
      ("parameters", "\(try set.records[0].int(attribute: "parameters"))"),
    ]
  }
}

// MARK: - Claims

extension PerSampleAlexNet {
  private static let training = Measure(
    "training loss", note: "mean of the last epoch's mini-batches", final: "final_train_loss",
    series: "train_loss", limit: AlexNetTask.lossLimit)
  private static let error = Measure(
    "test error", note: "share of the test images not classified correctly",
    final: "final_val_accuracy", series: "val_accuracy", limit: 1
  ) { try ImageTask.error(accuracy: $0, of: $1.int(attribute: "test_images")) }

  package static let summary = [
    SummaryRow(
      "AlexNet, CIFAR-10", by: error, tuning: "searched",
      [
        .none: "sgdm-none", .norm: "sgdm-norm", .perSample: "sgdm-per-sample",
        .spectralConstant: "sgdm-spectral-const", .spectralQuantile: "sgdm-spectral-quantile",
      ])
  ]

  private static let item = "2605.02701, AlexNet"
  private static let others = ["sgdm-none", "sgdm-norm"]

  package static let claims: [Claim] = [
    Claim(
      "persample-loss", item,
      "Per-sample clipping ends with a lower training loss than SGDM without a clip and with the standard clip.",
      family: "persample", Comparison(["sgdm-per-sample"], over: others, by: [training])),
    Claim(
      "persample-time", item, "And at equal time, whatever it costs.", family: "persample",
      Comparison(["sgdm-per-sample"], over: others, by: [training], at: .equalTime)),
    Claim(
      "persample-error", item, "And with a lower error on the test images.", family: "persample",
      Comparison(["sgdm-per-sample"], over: others, by: [error])),
    Claim(
      "persample-position", item,
      "Thresholds that grow with the position in the batch end with a lower training loss than one for all.",
      family: "persample",
      Comparison(["sgdm-per-sample"], over: ["sgdm-per-sample-flat"], by: [training])),
    Claim(
      "persample-before", item,
      "Clipping each micro-batch before accumulating ends with a lower training loss than clipping their mean.",
      family: "persample-micro",
      Comparison(["sgdm-norm-before"], over: ["sgdm-norm-after"], by: [training])),
    Claim(
      "persample-before-time", item, "And at equal time: it costs nearly nothing.",
      family: "persample-micro",
      Comparison(
        ["sgdm-norm-before"], over: ["sgdm-norm-after"], by: [training], at: .equalTime)),
    Claim(
      "persample-spectral", "2605.11838 on 2605.02701's AlexNet",
      "The spectral clip, constant or by quantile, ends with a lower training loss than per-sample clipping.",
      family: "persample-spectral",
      Comparison(
        ["sgdm-spectral-const", "sgdm-spectral-quantile"], over: ["sgdm-per-sample"],
        by: [training])),
  ]
}
