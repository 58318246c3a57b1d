// SPDX-License-Identifier: Apache-2.0

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
  private static let ema: Clip = { try $0.spectral(.ema(coefficient: 0.9, .repository)) }
  private static let quantile: Clip = {
    try $0.spectral(.quantile(level: $0("level"), window: 100, .lowerOrderStatistic))
  }
  private static let mucon: Clip = {
    try MomentumSpectralClip($0.spectral(.constant($0("tau"))), momentum: 0.9)
  }
  private static let level = Hyperparameter.linear("level", 0.5, 0.99, limits: 0...1)

  // MARK: - nanoGPT

  /// The authors' nanogpt_shakespeare: SGD or Muon with decay 0.1 for matrices, Adam for everything else, at one rate.
  private static func nanoGPT(
    _ name: String, _ title: String, source: String, _ threshold: Hyperparameter?,
    _ optimizer: @escaping @Sendable (ArmSite) throws -> any Optimizer,
    clipping set: ParameterSet, clip: @escaping Clip
  ) -> Arm {
    Arm(
      name, title, source: source,
      [.logarithmic("learningRate", 1e-4, 0.1)] + (threshold.map { [$0] } ?? []), optimizer,
      moving: .matrices, clip: clip
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
        "\(name)-norm", "\(title), norm clip", source: "paper, Figs 2c, 6a, 6b",
        .logarithmic("maximumNorm", 0.01, 10), optimizer, clipping: .all, clip: norm),
      nanoGPT(
        "\(name)-spectral", "\(title), spectral clip", source: "paper, Figs 2c, 6a, 6b",
        .logarithmic("tau", 0.01, 10), optimizer, clipping: .matrices, clip: spectral),
      nanoGPT(
        "\(name)-norm-same-set", "\(title), norm clip, same set",
        source: "norm clipping of what the spectral arm clips",
        .logarithmic("maximumNorm", 0.01, 10),
        optimizer, clipping: .matrices, clip: norm),
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
    let sgdmOf: @Sendable (ArmSite) throws -> any Optimizer = { _ in
      SGD(momentum: 0.9, weightDecay: 0.1)
    }
    return sgdm + muon + [
      nanoGPT(
        "sgdm-ema", "SGDM, spectral EMA", source: "paper, Algorithm 1", nil, sgdmOf,
        clipping: .matrices, clip: ema),
      nanoGPT(
        "sgdm-quantile", "SGDM, spectral quantile", source: "paper, Algorithm 3", level, sgdmOf,
        clipping: .matrices, clip: quantile),
      nanoGPT(
        "mucon", "MuCon", source: "arXiv 2605.26459: Muon with clipped singular values",
        .logarithmic("tau", 1e-3, 1), { _ in SGD(momentum: 0, weightDecay: 0.1) },
        clipping: .matrices, clip: mucon),
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
    _ name: String, _ title: String, source: String, _ hyperparameters: [Hyperparameter],
    moving set: ParameterSet = .all,
    _ optimizer: @escaping @Sendable (ArmSite) throws -> any Optimizer, clipping: ParameterSet,
    clip: @escaping Clip
  ) -> Arm {
    Arm(
      "gpt2-\(name)", title, source: source, hyperparameters, optimizer, moving: set, clip: clip
    ).with {
      $0.clippedSet = clipping
      if set != .all {
        $0.optimizers.append((.others, { _ in Adam(beta1: 0.9, beta2: 0.99, isDecoupled: true) }))
      }
    }
  }

  private static func gpt2(
    _ name: String, _ title: String, _ rate: Hyperparameter, moving set: ParameterSet = .all,
    _ optimizer: @escaping @Sendable (ArmSite) throws -> any Optimizer
  ) -> [Arm] {
    func arm(
      _ suffix: String, _ words: String, _ source: String, _ threshold: Hyperparameter,
      _ clipped: ParameterSet, _ clip: @escaping Clip
    ) -> Arm {
      gpt2(
        "\(name)-\(suffix)", "\(title), \(words)", source: source, [rate, threshold], moving: set,
        optimizer, clipping: clipped, clip: clip)
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
  /// beside it; the adaptive thresholds with SGD, and MuCon in Muon's place.
  package static let gpt2: [Arm] = {
    let rate = Hyperparameter.logarithmic("learningRate", 1e-4, 0.1)
    let sgdm: @Sendable (ArmSite) throws -> any Optimizer = { _ in SGD(momentum: 0.9) }
    return gpt2("sgdm", "SGDM", rate, sgdm)
      + gpt2("adam", "Adam", .logarithmic("learningRate", 3e-5, 3e-3)) { _ in
        Adam(weightDecay: 0, isDecoupled: true)
      }
      + gpt2("muon", "Muon", rate, moving: .matrices) { _ in Muon(form: .torch, momentum: 0.9) }
      + [
        gpt2(
          "sgdm-ema", "SGDM, spectral EMA", source: "paper, Algorithm 1", [rate], sgdm,
          clipping: .exceptEmbeddings, clip: ema),
        gpt2(
          "sgdm-quantile", "SGDM, spectral quantile", source: "paper, Algorithm 3", [rate, level],
          sgdm, clipping: .exceptEmbeddings, clip: quantile),
        gpt2(
          "mucon", "MuCon", source: "arXiv 2605.26459: Muon with clipped singular values",
          [rate, .logarithmic("tau", 1e-3, 1)], moving: .matrices, { _ in SGD(momentum: 0) },
          clipping: .matrices, clip: mucon),
      ]
  }()
}
