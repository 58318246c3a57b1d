// SPDX-License-Identifier: Apache-2.0

import Clipping
import Lab
import Optimizers

/// The arms of the MLP experiments, the paper's first. Ranges of the paper's arms are the authors' (their sweep files,
/// App. F), thresholds on a logarithmic scale where they have an even one; others are ours.
package enum MLPArms {
  private static let rate = Hyperparameter.logarithmic("learningRate", 1e-4, 0.1)
  /// Without momentum a step is a tenth as large, so the range is shifted by ten.
  private static let plainRate = Hyperparameter.logarithmic("learningRate", 1e-3, 1)
  private static let norm = Hyperparameter.logarithmic("maximumNorm", 0.01, 10)
  private static let tau = Hyperparameter.logarithmic("tau", 0.01, 10)

  private typealias Maker = @Sendable (ArmSite) throws -> any Optimizer
  private static let sgdm: Maker = { _ in SGD() }
  private static let sgd: Maker = { _ in SGD(momentum: 0) }
  private static let adam: Maker = { _ in Adam() }

  /// Every arm.
  package static let all: [Arm] = [
    Arm("adam-none", "Adam", source: "paper, Fig 2b", [rate], adam),
    Arm("adam-norm", "Adam, norm clip", source: "paper, Fig 2b", [rate, norm], adam) {
      try NormClip(maximumNorm: $0("maximumNorm"), formula: .torch)
    },
    Arm("sgdm-norm", "SGDM, norm clip", source: "paper, Fig 2b", [rate, norm], sgdm) {
      try NormClip(maximumNorm: $0("maximumNorm"), formula: .torch)
    },
    Arm(
      "sgdm-spectral-const", "SGDM, spectral const", source: "paper, Fig 2b", [rate, tau], sgdm
    ) { try $0.spectral(.constant($0("tau"))) },
    Arm(
      "sgdm-spectral-ema", "SGDM, spectral EMA",
      source: "paper, Algorithm 1, Fig 2b; order of the authors' clipping library", [rate], sgdm
    ) { try $0.spectral(.ema(coefficient: 0.9, .repository)) },
    Arm(
      "sgdm-spectral-quantile", "SGDM, spectral quantile",
      source: "paper, Algorithm 3, Fig 2b; order statistic of the authors' clipping library",
      [rate, .linear("level", 0.5, 0.99, limits: 0...1)], sgdm
    ) { try $0.spectral(.quantile(level: $0("level"), window: 100, .lowerOrderStatistic)) },
    Arm("sgdm-none", "SGDM", source: "baseline", [rate], sgdm),
    Arm(
      "sgdm-spectral-ema-paper", "SGDM, spectral EMA, eq. (8)",
      source: "paper, eq. (8) with its indices read literally", [rate], sgdm
    ) { try $0.spectral(.ema(coefficient: 0.9, .paper)) },
    Arm(
      "muon", "Muon", source: "authors' form, their NanoGPT code; curve of the authors", [rate],
      { _ in Muon(form: .authors) }),
    Arm(
      "muon-torch", "Muon, torch form", source: "torch.optim.Muon without decay", [rate],
      { _ in Muon(form: .torch, momentum: 0.95) }),
    Arm(
      "mucon", "MuCon", source: "arXiv 2605.26459: Muon with clipped singular values",
      [rate, tau], sgd
    ) { try MomentumSpectralClip($0.spectral(.constant($0("tau"))), momentum: 0.9) },
    Arm(
      "clipped-scion", "Clipped Scion", source: "arXiv 2506.01913; curve of the authors",
      [rate, .logarithmic("radius", 0.01, 10)], { ClippedScion(radius: try $0("radius")) }),
    Arm(
      "sgdm-soft-spectral", "SGDM, soft spectral", source: "SPECTRA, arXiv 2603.14315",
      [rate, .logarithmic("limit", 0.01, 10)], sgdm
    ) { try SoftSpectralClip(limit: $0("limit")) },
    Arm(
      "sgdm-per-sample", "SGDM, per-sample clip", source: "arXiv 2605.02701",
      [rate, .logarithmic("scale", 0.01, 10)], sgdm
    ) { try PerSampleClip(scale: $0("scale"), moment: 1.1) }.with { $0.needsSamples = true },
    Arm(
      "sgdm-micro-norm", "SGDM, micro-batch norm clip", source: "arXiv 2605.02701",
      [rate, .logarithmic("limit", 0.01, 10)], sgdm
    ) { try MicroBatchClip(microBatches: 4, inner: .norm(limit: $0("limit"))) }
    .with { $0.needsSamples = true },
    Arm(
      "sgdm-micro-spectral", "SGDM, micro-batch spectral clip",
      source: "arXiv 2605.02701 with the paper's clip", [rate, tau], sgdm
    ) { try MicroBatchClip(microBatches: 4, inner: .spectral(tau: $0("tau"))) }
    .with { $0.needsSamples = true },
    Arm(
      "clipped-gd", "clipped SGD, no momentum", source: "arXiv 1905.11881", [plainRate, norm], sgd
    ) { try NormClip(maximumNorm: $0("maximumNorm")) },
    Arm(
      "normalized-gd", "normalized SGD", source: "arXiv 1905.11881",
      [plainRate, .logarithmic("offset", 0.01, 10)], sgd
    ) { try NormalizedGradient(offset: $0("offset")) },
    Arm(
      "delta-gclip", "δ-GClip, δ = 0.001", source: "arXiv 2404.08624", [plainRate, norm], sgd
    ) { try DeltaNormClip(maximumNorm: $0("maximumNorm"), minimumFactor: 1e-3) },
    Arm(
      "sgdm-agc", "SGDM, adaptive gradient clip", source: "AGC, arXiv 2102.06171",
      [rate, .logarithmic("ratio", 1e-3, 1)], sgdm
    ) { try AdaptiveGradientClip(ratio: $0("ratio")) },
    Arm("acclip", "ACClip", source: "arXiv 1912.03194", [rate], { _ in ACClip() }),
    Arm(
      "sgdm-coordinate", "SGDM, coordinate clip", source: "arXiv 1912.03194",
      [rate, .logarithmic("limit", 1e-4, 1)], sgdm
    ) { try CoordinateClip(limit: $0("limit")) },
  ]
}
