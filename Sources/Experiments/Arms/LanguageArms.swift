import Clipping
import Lab
import Optimizers

/// The arms of the language-model experiments. Momenta, decays and who moves the embeddings are those of the authors' code;
/// so are the ranges (their sweep files).
package enum LanguageArms {
  private typealias Clip = @Sendable (ArmSite) throws -> any GradientTransform
  private static let norm: Clip = {
    try NormClip(maximumNorm: $0("maximumNorm"), formula: .torch)
  }
  private static let spectral: Clip = { try $0.spectral(.constant($0("tau"))) }

  // MARK: - nanoGPT

  /// The authors' nanogpt_shakespeare: SGD or Muon with decay 0.1 for matrices, Adam for everything else, at one rate.
  private static func nanoGPT(
    _ name: String, _ title: String, source: String, _ threshold: String,
    _ optimizer: @escaping @Sendable (ArmSite) throws -> any Optimizer,
    clipping set: ParameterSet, clip: @escaping Clip
  ) -> Arm {
    Arm(
      name, title, source: source,
      [
        .logarithmic("learningRate", 1e-4, 0.1), .logarithmic(threshold, 0.01, 10),
      ], optimizer, moving: .matrices, clip: clip
    ).with {
      $0.clippedSet = set
      $0.optimizers.append((.others, { _ in Adam(beta1: 0.9, beta2: 0.95) }))
    }
  }

  private static func nanoGPT(
    _ name: String, _ title: String,
    _ optimizer: @escaping @Sendable (ArmSite) throws -> any Optimizer
  ) -> [Arm] {
    [
      nanoGPT(
        "\(name)-norm", "\(title), norm clip", source: "paper, Figs 2c, 6a, 6b", "maximumNorm",
        optimizer, clipping: .all, clip: norm),
      nanoGPT(
        "\(name)-spectral", "\(title), spectral clip", source: "paper, Figs 2c, 6a, 6b", "tau",
        optimizer, clipping: .matrices, clip: spectral),
      nanoGPT(
        "\(name)-norm-same-set", "\(title), norm clip, same set",
        source: "norm clipping of what the spectral arm clips", "maximumNorm", optimizer,
        clipping: .matrices, clip: norm),
    ]
  }

  /// The arms of nanogpt-shakespeare.
  package static let nanoGPT: [Arm] = {
    let sgdm = nanoGPT("sgdm", "SGDM") { _ in SGD(momentum: 0.9, weightDecay: 0.1) }
    let muon = nanoGPT("muon", "Muon") { _ in
      Muon(form: .authors, momentum: 0.9, weightDecay: 0.1)
    }
    func ofMicroBatches(_ arm: Arm, _ source: String) -> Arm {
      var copy = Arm(
        arm.name + "-micro", arm.title + " of micro-batches", source: source,
        arm.hyperparameters, arm.optimizers[0].make, moving: .matrices, clip: arm.clip)
      copy.optimizers = arm.optimizers
      copy.clippedSet = arm.clippedSet
      copy.clippedMicroBatches = 4
      return copy
    }
    return sgdm + muon + [
      ofMicroBatches(sgdm[0], "arXiv 2605.02701: clip before accumulating"),
      ofMicroBatches(sgdm[1], "arXiv 2605.02701 with the paper's clip"),
      readme,
    ]
  }()

  /// nanoGPT's own recipe: AdamW (0.9, 0.99) with decay 0.1 on matrices and embeddings.
  private static let readme = Arm(
    "adamw-readme", "AdamW, nanoGPT's own recipe",
    source: "nanoGPT's README: AdamW, warm-up 100, cosine to a tenth, norm clip 1",
    [.logarithmic("learningRate", 1e-4, 0.1), .logarithmic("maximumNorm", 0.01, 10)],
    { _ in Adam(beta1: 0.9, beta2: 0.99, weightDecay: 0.1, isDecoupled: true) },
    moving: .matricesAndEmbeddings, clip: norm
  ).with {
    $0.optimizers.append((.others, { _ in Adam(beta1: 0.9, beta2: 0.99) }))
    $0.schedule = .cosine(warmup: 100, floor: 0.1)
  }

  // MARK: - GPT-2

  private static func gpt2(
    _ name: String, _ title: String, _ rate: Hyperparameter, moving set: ParameterSet = .all,
    _ optimizer: @escaping @Sendable (ArmSite) throws -> any Optimizer
  ) -> [Arm] {
    func arm(
      _ suffix: String, _ words: String, _ source: String, _ threshold: Hyperparameter,
      _ clipped: ParameterSet, _ clip: @escaping Clip
    ) -> Arm {
      Arm(
        "gpt2-\(name)-\(suffix)", "\(title), \(words)", source: source, [rate, threshold],
        optimizer, moving: set, clip: clip
      ).with {
        $0.clippedSet = clipped
        if set != .all {
          $0.optimizers.append(
            (.others, { _ in Adam(beta1: 0.9, beta2: 0.99, isDecoupled: true) }))
        }
      }
    }
    let maximum = Hyperparameter.logarithmic("maximumNorm", 0.01, 5)
    return [
      arm("norm", "norm clip", "paper, Figs 3, 6c", maximum, .all, norm),
      arm(
        "spectral", "spectral clip", "paper, Figs 3, 6c", .logarithmic("tau", 1e-3, 0.1),
        .exceptEmbeddings, spectral),
      arm(
        "norm-same-set", "norm clip, same set", "norm clipping of what the spectral arm clips",
        maximum, .exceptEmbeddings, norm),
    ]
  }

  /// The arms of gpt2-fineweb: SGD or AdamW (decay 0, as in the authors' code) for everything, or Muon for matrices and AdamW
  /// beside it.
  package static let gpt2: [Arm] =
    gpt2("sgdm", "SGDM", .logarithmic("learningRate", 1e-4, 0.1)) { _ in SGD(momentum: 0.9) }
    + gpt2("adam", "Adam", .logarithmic("learningRate", 3e-5, 3e-3)) { _ in
      Adam(weightDecay: 0, isDecoupled: true)
    }
    + gpt2("muon", "Muon", .logarithmic("learningRate", 1e-4, 0.1), moving: .matrices) { _ in
      Muon(form: .torch, momentum: 0.9)
    }
}
