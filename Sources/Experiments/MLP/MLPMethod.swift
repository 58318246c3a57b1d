import Clipping
import Foundation
import LinearAlgebra
import Optimizers

/// A training method of the MLP experiments: optimizer, clipping rule, and its hyper-parameters with the
/// ranges they are searched over.
///
/// Ranges of the paper's methods are the authors' (their sweep files, App. F); others are ours.
struct MLPMethod: TunableMethod {
  let name: String
  /// How it is called in figures.
  let title: String
  /// Where it comes from.
  let source: String
  let hyperparameters: [Hyperparameter]
  /// Whether it looks at single samples, which the tape must then keep apart.
  var needsSamples = false
  private let build: @Sendable (Values, [String]) throws -> (any GradientTransform, any Optimizer)

  /// Rule and optimizer for `layers` at `values`, which must name exactly the method's hyper-parameters.
  func make(_ values: Values, layers: [String]) throws -> (any GradientTransform, any Optimizer) {
    try check(values, place: "method '\(name)'")
    return try build(values, layers)
  }
}

extension MLPMethod {
  private static let rate = Hyperparameter.logarithmic("learningRate", 1e-4, 0.1)
  /// Without momentum a step is a tenth as large, so the range is shifted by ten.
  private static let plainRate = Hyperparameter.logarithmic("learningRate", 1e-3, 1)

  private static func spectral(_ rule: ThresholdRule, _ layers: [String]) throws
    -> LayerwiseSpectralClip
  {
    try LayerwiseSpectralClip(rule, .exact, layers: layers, seed: 0)
  }

  /// Every method, the paper's first.
  static let all: [MLPMethod] = [
    MLPMethod(
      name: "adam-none", title: "Adam", source: "paper, Fig 2b", hyperparameters: [rate]
    ) { _, _ in (NoClip(), Adam()) },
    MLPMethod(
      name: "adam-norm", title: "Adam, norm clip", source: "paper, Fig 2b",
      hyperparameters: [rate, .linear("maximumNorm", 0.01, 10)]
    ) { values, _ in
      (try NormClip(maximumNorm: values["maximumNorm"] ?? .nan, formula: .torch), Adam())
    },
    MLPMethod(
      name: "sgdm-norm", title: "SGDM, norm clip", source: "paper, Fig 2b",
      hyperparameters: [rate, .linear("maximumNorm", 0.01, 10)]
    ) { values, _ in
      (try NormClip(maximumNorm: values["maximumNorm"] ?? .nan, formula: .torch), SGD())
    },
    MLPMethod(
      name: "sgdm-spectral-const", title: "SGDM, spectral const", source: "paper, Fig 2b",
      hyperparameters: [rate, .linear("tau", 0.01, 10)]
    ) { values, layers in (try spectral(.constant(values["tau"] ?? .nan), layers), SGD()) },
    MLPMethod(
      name: "sgdm-spectral-ema", title: "SGDM, spectral EMA",
      source: "paper, Algorithm 1, Fig 2b; order of the authors' clipping library",
      hyperparameters: [rate]
    ) { _, layers in (try spectral(.ema(coefficient: 0.9, .repository), layers), SGD()) },
    MLPMethod(
      name: "sgdm-spectral-quantile", title: "SGDM, spectral quantile",
      source: "paper, Algorithm 3, Fig 2b; order statistic of the authors' clipping library",
      hyperparameters: [rate, .linear("level", 0.5, 0.99)]
    ) { values, layers in
      (
        try spectral(
          .quantile(level: values["level"] ?? .nan, window: 100, .lowerOrderStatistic), layers),
        SGD()
      )
    },
    MLPMethod(
      name: "sgdm-none", title: "SGDM", source: "baseline", hyperparameters: [rate]
    ) { _, _ in (NoClip(), SGD()) },
    MLPMethod(
      name: "sgdm-spectral-ema-paper", title: "SGDM, spectral EMA, eq. (8)",
      source: "paper, eq. (8) with its indices read literally", hyperparameters: [rate]
    ) { _, layers in (try spectral(.ema(coefficient: 0.9, .paper), layers), SGD()) },
    MLPMethod(
      name: "muon", title: "Muon",
      source: "authors' form, their NanoGPT code; curve of the authors",
      hyperparameters: [rate]
    ) { _, _ in (NoClip(), Muon(form: .authors)) },
    MLPMethod(
      name: "muon-torch", title: "Muon, torch form", source: "torch.optim.Muon without decay",
      hyperparameters: [rate]
    ) { _, _ in (NoClip(), Muon(form: .torch, momentum: 0.95)) },
    MLPMethod(
      name: "clipped-scion", title: "Clipped Scion",
      source: "arXiv 2506.01913; curve of the authors",
      hyperparameters: [rate, .linear("radius", 0.01, 10)]
    ) { values, _ in (NoClip(), ClippedScion(radius: values["radius"] ?? .nan)) },
    MLPMethod(
      name: "sgdm-soft-spectral", title: "SGDM, soft spectral", source: "SPECTRA, arXiv 2603.14315",
      hyperparameters: [rate, .linear("limit", 0.01, 10)]
    ) { values, _ in (try SoftSpectralClip(limit: values["limit"] ?? .nan), SGD()) },
    MLPMethod(
      name: "sgdm-per-sample", title: "SGDM, per-sample clip", source: "arXiv 2605.02701",
      hyperparameters: [rate, .linear("scale", 0.01, 10)], needsSamples: true
    ) { values, _ in (try PerSampleClip(scale: values["scale"] ?? .nan, moment: 1.1), SGD()) },
    MLPMethod(
      name: "sgdm-micro-norm", title: "SGDM, micro-batch norm clip", source: "arXiv 2605.02701",
      hyperparameters: [rate, .linear("limit", 0.01, 10)], needsSamples: true
    ) { values, _ in
      (try MicroBatchClip(microBatches: 4, inner: .norm(limit: values["limit"] ?? .nan)), SGD())
    },
    MLPMethod(
      name: "sgdm-micro-spectral", title: "SGDM, micro-batch spectral clip",
      source: "arXiv 2605.02701 with the paper's clip",
      hyperparameters: [rate, .linear("tau", 0.01, 10)], needsSamples: true
    ) { values, _ in
      (try MicroBatchClip(microBatches: 4, inner: .spectral(tau: values["tau"] ?? .nan)), SGD())
    },
    MLPMethod(
      name: "clipped-gd", title: "clipped SGD, no momentum", source: "arXiv 1905.11881",
      hyperparameters: [plainRate, .linear("maximumNorm", 0.01, 10)]
    ) { values, _ in
      (try NormClip(maximumNorm: values["maximumNorm"] ?? .nan), SGD(momentum: 0))
    },
    MLPMethod(
      name: "normalised-gd", title: "normalised SGD", source: "arXiv 1905.11881",
      hyperparameters: [plainRate, .linear("offset", 0.01, 10)]
    ) { values, _ in
      (try NormalizedGradient(offset: values["offset"] ?? .nan), SGD(momentum: 0))
    },
    MLPMethod(
      name: "delta-gclip", title: "δ-GClip, δ = 0.001", source: "arXiv 2404.08624",
      hyperparameters: [plainRate, .linear("maximumNorm", 0.01, 10)]
    ) { values, _ in
      (
        try DeltaNormClip(maximumNorm: values["maximumNorm"] ?? .nan, minimumFactor: 1e-3),
        SGD(momentum: 0)
      )
    },
    MLPMethod(
      name: "sgdm-agc", title: "SGDM, adaptive gradient clip", source: "AGC, arXiv 2102.06171",
      hyperparameters: [rate, .logarithmic("ratio", 1e-3, 1)]
    ) { values, _ in (try AdaptiveGradientClip(ratio: values["ratio"] ?? .nan), SGD()) },
    MLPMethod(
      name: "acclip", title: "ACClip", source: "arXiv 1912.03194", hyperparameters: [rate]
    ) { _, _ in (NoClip(), ACClip()) },
    MLPMethod(
      name: "sgdm-coordinate", title: "SGDM, coordinate clip", source: "arXiv 1912.03194",
      hyperparameters: [rate, .logarithmic("limit", 1e-4, 1)]
    ) { values, _ in (try CoordinateClip(limit: values["limit"] ?? .nan), SGD()) },
  ]
}
