// SPDX-License-Identifier: Apache-2.0

import Clipping
import Lab
import Optimizers

/// The arms of arXiv 2404.08624 and, in the place of its clip, the spectral paper's: what the figures of δ-GClip have in
/// common. The authors tell no ranges, so all of them are ours.
package enum DeltaGClipArms {
  typealias Maker = @Sendable (ArmSite) throws -> any Optimizer
  static let plain: Maker = { _ in SGD(momentum: 0) }
  static let source = "arXiv 2404.08624"

  /// The ranges of a figure's searches.
  struct Ranges {
    var rate = Hyperparameter.logarithmic("learningRate", 0.01, 1)
    var norm = Hyperparameter.logarithmic("maximumNorm", 0.1, 10)
    var factor = Hyperparameter.logarithmic("minimumFactor", 1e-6, 0.1)
    var tau = Hyperparameter.logarithmic("tau", 0.003, 1)
  }

  /// Adam with coupled decay, plain SGD, GClip, δ-GClip with δ = 10^exponent for each exponent, both spectral arms.
  static func images(
    adamDecay: Double, exponents: [Int], _ ranges: Ranges = Ranges()
  ) -> [Arm] {
    [
      Arm("adam", "Adam", source: source, [.logarithmic("learningRate", 1e-5, 1e-2)]) { _ in
        Adam(weightDecay: adamDecay)
      },
      Arm("sgd", "SGD", source: source, [ranges.rate], plain),
      gclip(ranges),
    ]
      + exponents.map { delta(deltaName($0), "δ-GClip, δ = 1e\($0)", ranges) }
      + spectral(ranges)
  }

  /// The name of the arm with δ = 10^exponent.
  package static func deltaName(_ exponent: Int) -> String { "delta-gclip-1e\(exponent)" }

  static func gclip(_ ranges: Ranges) -> Arm {
    Arm("gclip", "GClip", source: source, [ranges.rate, ranges.norm], plain) {
      try NormClip(maximumNorm: $0("maximumNorm"))
    }
  }

  static func delta(_ name: String, _ title: String, _ ranges: Ranges) -> Arm {
    Arm(name, title, source: source, [ranges.rate, ranges.norm, ranges.factor], plain) {
      try DeltaNormClip(maximumNorm: $0("maximumNorm"), minimumFactor: $0("minimumFactor"))
    }
  }

  /// The spectral paper's clip, constant and by quantile, in the place of the authors' on SGD.
  static func spectral(_ ranges: Ranges) -> [Arm] {
    [
      Arm(
        "spectral-const", "SGD, spectral const", source: "arXiv 2605.11838",
        [ranges.rate, ranges.tau], plain
      ) { try $0.spectral(.constant($0("tau"))) },
      Arm(
        "spectral-quantile", "SGD, spectral quantile",
        source: "arXiv 2605.11838, Algorithm 3; order statistic of the authors' clipping library",
        [ranges.rate, .linear("level", 0.5, 0.99, limits: 0...1)], plain
      ) { try $0.spectral(.quantile(level: $0("level"), window: 100, .lowerOrderStatistic)) },
    ]
  }
}

/// The arms of the vision transformer, with the authors' ablation of δ.
package enum ViTArms {
  /// 10 to this power: δ of each arm of the ablation.
  package static let exponents = [-2, -3, -4, -5, -6]
  /// Every arm.
  package static let all = DeltaGClipArms.images(adamDecay: 1e-5, exponents: exponents)
}

/// The arms of the residual network, with the authors' two values of δ.
package enum ResNetArms {
  /// 10 to this power: δ of both arms.
  package static let exponents = [-3, -8]
  /// Every arm. The authors' rates are 1 for SGD and 5 for the clipped arms, so the spectral ones are searched up to ten.
  package static let all = DeltaGClipArms.images(
    adamDecay: 0, exponents: exponents,
    .init(
      rate: .logarithmic("learningRate", 0.03, 10), norm: .logarithmic("maximumNorm", 0.03, 3),
      factor: .logarithmic("minimumFactor", 1e-8, 0.1)))
}
