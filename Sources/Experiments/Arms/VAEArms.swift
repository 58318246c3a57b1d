// SPDX-License-Identifier: Apache-2.0

import Lab
import Optimizers

/// The arms of the variational autoencoder: the four of arXiv 2404.08624, two of them also with the rate that they have in its
/// code, and the spectral paper's clip in the place of theirs. Ranges are ours: the authors tell none.
package enum VAEArms {
  private static let ranges = DeltaGClipArms.Ranges(
    rate: .logarithmic("learningRate", 1e-5, 1e-2), norm: .logarithmic("maximumNorm", 20, 2000),
    factor: .linear("minimumFactor", 0.01, 0.5, limits: 0...1), tau: .logarithmic("tau", 1, 1000))
  private static let source = DeltaGClipArms.source
  private static let adam = Arm("adam", "Adam", source: source, [ranges.rate]) { _ in Adam() }
  private static let sgd = Arm(
    "sgd", "SGD", source: source, [ranges.rate], DeltaGClipArms.plain)

  /// Every arm.
  package static let all: [Arm] =
    [
      adam, sgd, DeltaGClipArms.gclip(ranges),
      DeltaGClipArms.delta("delta-gclip", "δ-GClip", ranges),
    ] + DeltaGClipArms.spectral(ranges) + [asTheAuthorsCode(adam), asTheAuthorsCode(sgd)]

  /// The authors' code lowers the rate of the clipped arms alone: an optimizer's own rate stays as it is.
  private static func asTheAuthorsCode(_ arm: Arm) -> Arm {
    Arm(
      "\(arm.name)-authors-code", "\(arm.title), one rate", source: "\(source), its code",
      arm.hyperparameters, arm.optimizers[0].make
    ).with {
      $0.schedule = .constant
      $0.tunedAs = arm.name
    }
  }
}
