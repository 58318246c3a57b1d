// SPDX-License-Identifier: Apache-2.0

import Lab
import Storage
import Training

/// A network that learns to classify, epoch by epoch, all of whose parameters the arm moves and may clip: what the workloads of
/// arXiv 2404.08624 that classify have in common.
package protocol EpochClassifier: ModelTask where Settings: EpochSettings {
  /// A sample and several: "an image", "images".
  static var sample: (one: String, many: String) { get }
  /// How test samples are shown, after their name: ", each whole and resized,".
  static var testNote: String { get }
  /// Steps before the present one.
  var step: Int { get }
  /// Test samples.
  var testCount: Int { get }
  /// Cross-entropy of the test samples, in nats, and the share of them that is classified correctly.
  func measure() -> (loss: Double, accuracy: Double)
  /// What a record says of the run beside what it says of every classifier's.
  var particulars: Attributes { get }
}

extension EpochClassifier {
  package static var testNote: String { "" }
  /// It starts near the logarithm of the number of classes.
  package static var lossLimit: Double { 1e3 }
  package static var metrics: [Metric] {
    [
      Metric("epoch", "training epochs done"),
      Metric(
        "val_loss", "cross-entropy on the test \(sample.many)\(testNote), nats \(sample.one)"),
      Metric("val_accuracy", "share of the test \(sample.many) classified correctly"),
      Metric(
        "val_error",
        "share of the test \(sample.many) classified wrongly, at least half \(sample.one)"),
    ]
  }
  package static func trainLossMeaning(_ settings: Settings) -> String {
    "mean of the mini-batch losses since the point before (cross-entropy, nats \(sample.one))"
  }

  /// Algorithm 2, at most ten singular values of a matrix are clipped, as the paper sets it for images.
  package var decomposition: Decomposition {
    .sketch(rank: 10, oversampling: 5, powerIterations: 1)
  }

  package func evaluate() -> [Double] {
    let (loss, accuracy) = measure()
    return [
      Double(step + 1) / Double(settings.stepsPerEpoch), loss, accuracy,
      ImageTask.error(accuracy: accuracy, of: testCount),
    ]
  }

  package func objective(finalTrainLoss: Double) -> Double {
    ImageTask.error(accuracy: measure().accuracy, of: testCount)
  }

  package func summary(lastMetrics: [Double]) -> Attributes {
    var summary = particulars
    for (name, value) in [
      ("steps_per_epoch", .int(settings.stepsPerEpoch)),
      ("final_val_loss", last(1, of: lastMetrics)),
      ("final_val_accuracy", last(2, of: lastMetrics)),
      ("final_val_error", last(3, of: lastMetrics)),
    ] as [(String, AttributeValue)] { summary[name] = value }
    return summary
  }
}
