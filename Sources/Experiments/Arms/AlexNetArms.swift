// SPDX-License-Identifier: Apache-2.0

import Clipping
import Lab
import Optimizers

/// The arms of AlexNet: what arXiv 2605.02701 compares, and the spectral paper's clip in their place. All of them are SGD with
/// momentum 0.9; its settings are not public, so ranges are ours.
package enum AlexNetArms {
  private typealias Clip = @Sendable (ArmSite) throws -> any GradientTransform
  private static let source = "arXiv 2605.02701"
  private static let norm = Hyperparameter.logarithmic("maximumNorm", 0.1, 30)
  private static let clipNorm: Clip = { try NormClip(maximumNorm: $0("maximumNorm")) }
  /// Micro-batches of a batch, where it is cut.
  package static let microBatches = 4

  private static func arm(
    _ name: String, _ title: String, source: String = source, _ more: Hyperparameter...,
    clip: @escaping Clip = { _ in NoClip() }
  ) -> Arm {
    Arm(
      "sgdm-\(name)", title, source: source, [.logarithmic("learningRate", 1e-3, 1)] + more,
      { _ in SGD() }, clip: clip)
  }

  /// Every arm.
  package static let all: [Arm] = [
    arm("none", "SGDM"),
    arm("norm", "SGDM, norm clip", norm, clip: clipNorm),
    // The moment of order 2 is the most that the paper's theorem assumes: thresholds grow as √k.
    arm("per-sample", "SGDM, per-sample clip", .logarithmic("scale", 0.1, 30)) {
      try PerSampleClip(scale: $0("scale"), moment: 2)
    }.with { $0.needsSamples = true },
    arm("per-sample-flat", "SGDM, per-sample clip, one threshold", .logarithmic("scale", 0.1, 30)) {
      try PerSampleClip(scale: $0("scale"), moment: .infinity)
    }.with { $0.needsSamples = true },
    arm("norm-before", "SGDM, norm clip before accumulation", norm, clip: clipNorm)
      .with { $0.clippedMicroBatches = microBatches },
    arm("norm-after", "SGDM, norm clip after accumulation", norm, clip: clipNorm).with {
      $0.accumulatedMicroBatches = microBatches
      $0.tunedAs = "sgdm-norm"
    },
    arm(
      "spectral-const", "SGDM, spectral const", source: "arXiv 2605.11838",
      .logarithmic("tau", 0.01, 10)
    ) { try $0.spectral(.constant($0("tau"))) },
    arm(
      "spectral-quantile", "SGDM, spectral quantile",
      source: "arXiv 2605.11838, Algorithm 3; order statistic of the authors' clipping library",
      .linear("level", 0.5, 0.99, limits: 0...1)
    ) { try $0.spectral(.quantile(level: $0("level"), window: 100, .lowerOrderStatistic)) },
  ]
}
