import Clipping
import Foundation
import LinearAlgebra
import Optimizers

/// A training method of the CIFAR-10 experiments: network, clip of the convolutions' gradients, and who moves them.
/// Everything else of a network is moved by the authors' second SGD, the same for all methods.
struct ImageMethod: TunableMethod {
  /// The rule.
  enum Clip: Sendable {
    case none
    /// The joint norm of all convolutions.
    case norm
    /// Singular values of each convolution at the same constant.
    case spectral
    /// The same at the library's moving average (Algorithm 1).
    case ema
    /// The same at a quantile (Algorithm 3).
    case quantile
    /// δ-GClip of the joint norm.
    case delta
  }

  /// How singular values are found.
  enum Decomposition: Equatable, Sendable {
    /// Algorithm 2 with the rank of the configuration.
    case configured
    /// Algorithm 2 with this rank.
    case rank(Int)
    /// All of them.
    case exact
  }

  let name: String
  let title: String
  let source: String
  let hyperparameters: [Hyperparameter]
  let network: ImageNetwork
  let clip: Clip
  var movesByMuon = false
  var decomposition = Decomposition.configured
  /// The method whose hyper-parameters it takes, itself for most.
  let tunedAs: String

  /// The rule for gradients of `filters`, whatever the order of the steps keyed by `seed`.
  func rule(
    _ values: Values, _ filters: [String], _ problem: ImageProblem, seed: UInt64
  ) throws -> any GradientTransform {
    func spectral(_ rule: ThresholdRule) throws -> any GradientTransform {
      let operation: SpectralClip =
        switch decomposition {
        case .exact: .exact
        case .rank(let rank): try problem.sketch(rank: rank)
        case .configured: try problem.sketch(rank: problem.rank)
        }
      return try LayerwiseSpectralClip(rule, operation, layers: filters, seed: seed)
    }
    let limit = values["maximumNorm"] ?? .nan
    switch clip {
    case .none: return NoClip()
    case .norm: return try NormClip(maximumNorm: limit, formula: .torch)
    case .delta: return try DeltaNormClip(maximumNorm: limit, minimumFactor: 1e-3)  // its paper's δ
    case .spectral: return try spectral(.constant(values["tau"] ?? .nan))
    case .ema: return try spectral(.ema(coefficient: 0.9, .repository))
    case .quantile:
      return try spectral(
        .quantile(level: values["level"] ?? .nan, window: 100, .lowerOrderStatistic))
    }
  }

  /// Who moves the convolutions.
  func optimizer(_ values: Values, _ problem: ImageProblem) -> any Optimizer {
    movesByMuon
      ? Muon(form: .torch, momentum: 0.6)  // airbench94_muon's momentum
      : SGD(momentum: values["momentum"] ?? problem.filterMomentum, nesterov: true)
  }
}

extension ImageMethod {
  private static func arm(
    _ network: ImageNetwork, _ suffix: String, _ title: String, _ clip: Clip, source: String,
    _ more: Hyperparameter..., highestRate: Double = 0.8
  ) -> ImageMethod {
    let name = "\(network.rawValue)-\(suffix)"
    return ImageMethod(
      name: name, title: "\(network.title): \(title)", source: source,
      hyperparameters: [.logarithmic("learningRate", 0.01, highestRate)] + more,
      network: network, clip: clip, tunedAs: name)
  }

  /// The methods of Fig 2a for a network. Ranges of the first three are the authors' (their sweep files); the others have
  /// the clipped arms' rates.
  private static func curves(_ network: ImageNetwork) -> [ImageMethod] {
    let norm = Hyperparameter.logarithmic("maximumNorm", 0.01, 10)
    var muon = arm(
      network, "muon", "Muon", .none, source: "torch.optim.Muon; momentum of airbench94_muon")
    muon.movesByMuon = true
    return [
      arm(
        network, "none", "SGDM", .none, source: "paper, Fig 2a", .linear("momentum", 0.5, 0.95),
        highestRate: 0.2),
      arm(network, "norm", "SGDM, norm clip", .norm, source: "paper, Fig 2a", norm),
      arm(
        network, "spectral", "SGDM, spectral clip", .spectral, source: "paper, Fig 2a",
        .logarithmic("tau", 1e-3, 5)),
      arm(
        network, "ema", "SGDM, spectral EMA", .ema,
        source: "paper, Algorithm 1; order of the authors' clipping library"),
      arm(
        network, "quantile", "SGDM, spectral quantile", .quantile,
        source: "paper, Algorithm 3; order statistic of the authors' clipping library",
        .linear("level", 0.5, 0.99)),
      muon,
      arm(
        network, "delta", "SGDM, δ-GClip, δ = 0.001", .delta, source: "arXiv 2404.08624", norm),
    ]
  }

  /// The methods of Fig 5b: the spectral arm with its own hyper-parameters, decomposed in other ways.
  private static func truncations(_ network: ImageNetwork) -> [ImageMethod] {
    let base = "\(network.rawValue)-spectral"
    func variant(_ suffix: String, _ title: String, _ way: Decomposition) -> ImageMethod {
      ImageMethod(
        name: "\(network.rawValue)-\(suffix)", title: "\(network.title): \(title)",
        source: "paper, Fig 5b",
        hyperparameters: [
          .logarithmic("learningRate", 0.01, 0.8), .logarithmic("tau", 1e-3, 5),
        ], network: network, clip: .spectral, decomposition: way, tunedAs: base)
    }
    return [variant("exact", "exact", .exact)]
      + [1, 5, 10, 20].map { variant("rank\($0)", "rank \($0)", .rank($0)) }
  }

  /// The methods that have curves in Fig 2a and rows in Table 2.
  static let curves: [ImageMethod] = ImageNetwork.allCases.flatMap(curves)
  /// Those of Fig 5b.
  static let truncations: [ImageMethod] = ImageNetwork.allCases.flatMap(truncations)
  /// Every method.
  static let all: [ImageMethod] = curves + truncations

  /// `settings` with a line for each of `methods` that has none yet, from the file; a method that is tuned as another takes
  /// that one's values.
  static func complete(_ settings: [String], methods: [String], file: String) throws -> [String] {
    let given = try settings.map { try MethodSetting<ImageMethod>(line: $0).method.name }
    let missing = try methods.filter { !given.contains($0) }
      .map { try ImageMethod.named($0, place: "method") }
    let bases = missing.map(\.tunedAs).filter { !given.contains($0) }
    let known = try ChosenHyperparameters<ImageMethod>.complete(
      settings, methods: bases.reduce(into: []) { if !$0.contains($1) { $0.append($1) } },
      file: file)
    return try settings
      + missing.map { method in
        MethodSetting(
          method, try MethodSetting<ImageMethod>.values(of: method.tunedAs, in: known)
        ).line
      }
  }
}
