import Clipping
import Lab
import Optimizers

/// The arms of the variational autoencoder: the four of arXiv 2404.08624, two of them also with the rate that they have in its
/// code, and the spectral paper's clip in the place of theirs. Ranges are ours: the authors tell none.
package enum VAEArms {
  private static let rate = Hyperparameter.logarithmic("learningRate", 1e-5, 1e-2)
  private static let norm = Hyperparameter.logarithmic("maximumNorm", 20, 2000)
  private static let tau = Hyperparameter.logarithmic("tau", 1, 1000)

  private typealias Maker = @Sendable (ArmSite) throws -> any Optimizer
  private static let adamOptimizer: Maker = { _ in Adam() }
  private static let plain: Maker = { _ in SGD(momentum: 0) }

  private static let source = "arXiv 2404.08624"
  private static let adam = Arm("adam", "Adam", source: source, [rate], adamOptimizer)
  private static let sgd = Arm("sgd", "SGD", source: source, [rate], plain)

  /// Every arm.
  package static let all: [Arm] =
    [
      adam, sgd,
      Arm("gclip", "GClip", source: source, [rate, norm], plain) {
        try NormClip(maximumNorm: $0("maximumNorm"))
      },
      Arm(
        "delta-gclip", "δ-GClip", source: source,
        [rate, norm, .linear("minimumFactor", 0.01, 0.5, limits: 0...1)], plain
      ) {
        try DeltaNormClip(maximumNorm: $0("maximumNorm"), minimumFactor: $0("minimumFactor"))
      },
    ]
    + ViTArms.spectral(rate: rate, tau: tau, plain)
    + [asTheAuthorsCode(adam), asTheAuthorsCode(sgd)]

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
