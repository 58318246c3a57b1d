// SPDX-License-Identifier: Apache-2.0

import Clipping
import Lab
import Optimizers

/// The arms of the LSTM: SGD without momentum, as in the code of arXiv 1905.11881 (rate 30, norm clipped at 0.25), at a large
/// and at a small rate.
package enum LSTMArms {
  private static func arm(
    _ name: String, _ title: String, source: String, _ more: Hyperparameter...,
    clip: @escaping @Sendable (ArmSite) throws -> any GradientTransform = { _ in NoClip() }
  ) -> Arm {
    Arm(
      name, title, source: source, [.logarithmic("learningRate", 0.1, 100)] + more,
      { _ in SGD(momentum: 0) }, clip: clip)
  }

  /// A rate with and without a clip of the norm over all parameters.
  private static func pair(_ size: String, _ title: String) -> [Arm] {
    [
      arm(
        "sgd-norm-\(size)", "\(title), norm clip", source: "arXiv 1905.11881",
        .logarithmic("maximumNorm", 0.01, 10)
      ) { try NormClip(maximumNorm: $0("maximumNorm"), formula: .torch) },
      arm("sgd-none-\(size)", "\(title), no clip", source: "arXiv 1905.11881"),
    ]
  }

  /// Every arm.
  package static let all: [Arm] =
    pair("large", "Large rate")
    + [
      arm(
        "sgd-spectral-large", "Large rate, spectral clip",
        source: "paper, §2.2, constant threshold",
        .logarithmic("tau", 0.001, 10)
      ) { try $0.spectral(.constant($0("tau"))) }
    ] + pair("small", "Small rate")
}
