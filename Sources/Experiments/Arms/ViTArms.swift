import Clipping
import Lab
import Optimizers

/// The arms of the vision transformer: those of arXiv 2404.08624 with its ablation of δ, GClip, and the spectral paper's clip in the
/// place of theirs. Ranges are ours: the authors tell none.
package enum ViTArms {
  private static let rate = Hyperparameter.logarithmic("learningRate", 0.01, 1)
  private static let norm = Hyperparameter.logarithmic("maximumNorm", 0.1, 10)

  private typealias Maker = @Sendable (ArmSite) throws -> any Optimizer
  private static let plain: Maker = { _ in SGD(momentum: 0) }
  private static let source = "arXiv 2404.08624"

  /// 10 to this power: δ of each arm of the ablation.
  package static let exponents = [-2, -3, -4, -5, -6]

  private static func delta(_ exponent: Int) -> Arm {
    Arm(
      deltaName(exponent), "δ-GClip, δ = 1e\(exponent)", source: source,
      [rate, norm, .logarithmic("minimumFactor", 1e-6, 0.1)], plain
    ) {
      try DeltaNormClip(maximumNorm: $0("maximumNorm"), minimumFactor: $0("minimumFactor"))
    }
  }

  /// The name of the arm with δ = 10^exponent.
  package static func deltaName(_ exponent: Int) -> String { "delta-gclip-1e\(exponent)" }

  /// Every arm.
  package static let all: [Arm] =
    [
      Arm(
        "adam", "Adam", source: source, [.logarithmic("learningRate", 1e-5, 1e-2)]
      ) { _ in Adam(weightDecay: 1e-5) },
      Arm("sgd", "SGD", source: source, [rate], plain),
      Arm("gclip", "GClip", source: source, [rate, norm], plain) {
        try NormClip(maximumNorm: $0("maximumNorm"))
      },
    ] + exponents.map(delta)
    + spectral(rate: rate, tau: .logarithmic("tau", 0.003, 1), plain)

  /// The spectral paper's clip, constant and by quantile, in the place of the authors' on SGD.
  static func spectral(
    rate: Hyperparameter, tau: Hyperparameter,
    _ optimizer: @escaping @Sendable (ArmSite) throws -> any Optimizer
  ) -> [Arm] {
    [
      Arm(
        "spectral-const", "SGD, spectral const", source: "arXiv 2605.11838", [rate, tau], optimizer
      ) { try $0.spectral(.constant($0("tau"))) },
      Arm(
        "spectral-quantile", "SGD, spectral quantile",
        source: "arXiv 2605.11838, Algorithm 3; order statistic of the authors' clipping library",
        [rate, .linear("level", 0.5, 0.99, limits: 0...1)], optimizer
      ) { try $0.spectral(.quantile(level: $0("level"), window: 100, .lowerOrderStatistic)) },
    ]
  }
}
