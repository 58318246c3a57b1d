import Clipping
import Lab
import Optimizers

/// The arms of the encoder that is fine-tuned: the two of arXiv 2404.08624, GClip, and the spectral paper's clip in the place of theirs,
/// which leaves the embeddings alone as in its GPT-2. The authors' values are not public but for AdamW's rate, so all ranges are ours.
package enum BERTArms {
  private static let rate = Hyperparameter.logarithmic("learningRate", 0.01, 1)
  private static let norm = Hyperparameter.logarithmic("maximumNorm", 0.1, 10)
  private static let plain: @Sendable (ArmSite) throws -> any Optimizer = { _ in SGD(momentum: 0) }
  private static let source = "arXiv 2404.08624"

  /// Every arm.
  package static let all: [Arm] =
    [
      Arm(
        "adamw", "AdamW", source: source, [.logarithmic("learningRate", 1e-5, 1e-2)]
      ) { _ in Adam(weightDecay: 0.01, isDecoupled: true) },  // torch's default
      Arm("gclip", "GClip", source: source, [rate, norm], plain) {
        try NormClip(maximumNorm: $0("maximumNorm"))
      },
      Arm(
        "delta-gclip", "δ-GClip", source: source,
        [rate, norm, .logarithmic("minimumFactor", 1e-3, 0.3)], plain
      ) {
        try DeltaNormClip(maximumNorm: $0("maximumNorm"), minimumFactor: $0("minimumFactor"))
      },
    ]
    + ViTArms.spectral(rate: rate, tau: .logarithmic("tau", 0.003, 1), plain).map { arm in
      arm.with { $0.clippedSet = .exceptEmbeddings }
    }
}
