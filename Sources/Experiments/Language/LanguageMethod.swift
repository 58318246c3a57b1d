import Clipping
import Foundation
import LinearAlgebra
import Models
import Optimizers

/// A training method of the language-model experiments: optimizer, clip, and which parameters it clips.
struct LanguageMethod: TunableMethod {
  /// Who moves the parameters.
  enum Optimizer: String, Sendable, CaseIterable {
    case sgdm, adam, muon

    var title: String {
      switch self {
      case .sgdm: "SGDM"
      case .adam: "Adam"
      case .muon: "Muon"
      }
    }
  }

  /// The rule.
  enum Clip: Sendable {
    case norm, spectral
  }

  /// Which gradients it sees.
  enum ClippedSet: Sendable {
    /// All parameters, embeddings included.
    case all
    /// Matrices but the embeddings.
    case matrices
    /// Everything but the embeddings; vectors are n×1.
    case matricesAndVectors
  }

  /// The experiment, whose code fixes momenta, decays and who moves the embeddings.
  enum Recipe: Sendable {
    /// The authors' nanogpt_shakespeare: SGD or Muon for matrices, Adam for everything else, decay 0.1.
    case nanoGPT
    /// nanoGPT's own: AdamW (0.9, 0.99) with decay 0.1 on matrices and embeddings.
    case nanoGPTReadme
    /// The authors' gpt2_fineweb: SGD or AdamW for everything, or Muon for matrices and AdamW beside it.
    case gpt2
  }

  let name: String
  let title: String
  let source: String
  let hyperparameters: [Hyperparameter]
  let recipe: Recipe
  let optimizer: Optimizer
  let clip: Clip
  let clippedSet: ClippedSet
  /// The schedule, where it is the method's own and not the experiment's.
  var schedule: Schedule?
  /// Into how many parts a batch is cut that are clipped one by one, nil for clipping the batch's gradient.
  let parts: Int?

  /// How singular values are found; the authors' settings unless a configuration says otherwise.
  struct Sketch: Equatable, Sendable {
    var rank: Int
    var oversampling: Int
    var powerIterations: Int
  }

  /// Rule and optimizer for `model` at `values`.
  func make(
    _ values: Values, model: GPT, sketch: Sketch, seed: UInt64
  ) throws -> (any GradientTransform, any Optimizers.Optimizer) {
    try check(values, place: "method '\(name)'")
    return (
      try rule(values, model: model, sketch: sketch, seed: seed), makeOptimizer(for: model)
    )
  }

  /// The names of the parameters whose gradients are clipped, in the order of the model.
  func clippedNames(of model: GPT) -> [String] {
    switch clippedSet {
    case .all: model.parameters.map(\.name)
    case .matrices: model.matrixNames
    case .matricesAndVectors:
      model.parameters.map(\.name).filter { !model.embeddingNames.contains($0) }
    }
  }

  private func rule(
    _ values: Values, model: GPT, sketch: Sketch, seed: UInt64
  ) throws -> any GradientTransform {
    switch clip {
    case .norm:
      return try NormClip(maximumNorm: values["maximumNorm"] ?? .nan, formula: .torch)
    case .spectral:
      let operation = try SpectralClip.randomized(
        rank: sketch.rank, oversampling: sketch.oversampling,
        powerIterations: sketch.powerIterations)
      return try LayerwiseSpectralClip(
        .constant(values["tau"] ?? .nan), operation, layers: clippedNames(of: model), seed: seed)
    }
  }

  private func makeOptimizer(for model: GPT) -> any Optimizers.Optimizer {
    let matrices = model.matrixNames
    switch (recipe, optimizer) {
    case (.nanoGPT, .sgdm):
      return GroupedOptimizer(
        SGD(momentum: 0.9, weightDecay: 0.1), for: matrices,
        others: Adam(beta1: 0.9, beta2: 0.95))
    case (.nanoGPT, .muon):
      return GroupedOptimizer(
        Muon(form: .authors, momentum: 0.9, weightDecay: 0.1), for: matrices,
        others: Adam(beta1: 0.9, beta2: 0.95))
    case (.nanoGPT, .adam), (.gpt2, .adam):
      return Adam(weightDecay: 0, isDecoupled: true)  // AdamW with the authors' weight_decay 0
    case (.nanoGPTReadme, _):
      return GroupedOptimizer(
        Adam(beta1: 0.9, beta2: 0.99, weightDecay: 0.1, isDecoupled: true),
        for: matrices + model.embeddingNames, others: Adam(beta1: 0.9, beta2: 0.99))
    case (.gpt2, .sgdm): return SGD(momentum: 0.9)
    case (.gpt2, .muon):
      return GroupedOptimizer(
        Muon(form: .torch, momentum: 0.9), for: matrices,
        others: Adam(beta1: 0.9, beta2: 0.99, isDecoupled: true))
    }
  }
}

extension LanguageMethod {
  private static func nanoGPT(
    _ optimizer: Optimizer, _ clip: Clip, _ set: ClippedSet, parts: Int? = nil,
    suffix: String = "", title: String = "", source: String
  ) -> LanguageMethod {
    let kind = clip == .norm ? "norm" : "spectral"
    return LanguageMethod(
      name: "\(optimizer.rawValue)-\(kind)\(suffix)",
      title: "\(optimizer.title), \(kind) clip\(title)", source: source,
      hyperparameters: [
        .logarithmic("learningRate", 1e-4, 0.1),
        .logarithmic(clip == .norm ? "maximumNorm" : "tau", 0.01, 10),
      ], recipe: .nanoGPT, optimizer: optimizer, clip: clip, clippedSet: set, parts: parts)
  }

  /// The methods of nanogpt-shakespeare; ranges are the authors' (their sweep files).
  static let nanoGPT: [LanguageMethod] =
    [Optimizer.sgdm, .muon].flatMap { optimizer in
      [
        nanoGPT(optimizer, .norm, .all, source: "paper, Figs 2c, 6a, 6b"),
        nanoGPT(optimizer, .spectral, .matrices, source: "paper, Figs 2c, 6a, 6b"),
        nanoGPT(
          optimizer, .norm, .matrices, suffix: "-fair", title: ", same set",
          source: "norm clipping of what the spectral arm clips"),
      ]
    } + [
      nanoGPT(
        .sgdm, .norm, .all, parts: 4, suffix: "-micro", title: " of micro-batches",
        source: "arXiv 2605.02701: clip before accumulating"),
      nanoGPT(
        .sgdm, .spectral, .matrices, parts: 4, suffix: "-micro", title: " of micro-batches",
        source: "arXiv 2605.02701 with the paper's clip"),
      LanguageMethod(
        name: "adamw-readme", title: "AdamW, nanoGPT's own recipe",
        source: "nanoGPT's README: AdamW, warm-up 100, cosine to a tenth, norm clip 1",
        hyperparameters: [
          .logarithmic("learningRate", 1e-4, 0.1), .logarithmic("maximumNorm", 0.01, 10),
        ], recipe: .nanoGPTReadme, optimizer: .adam, clip: .norm, clippedSet: .all,
        schedule: .cosine(warmup: 100, floor: 0.1), parts: nil),
    ]

  private static func gpt2(_ optimizer: Optimizer) -> [LanguageMethod] {
    let rate =
      optimizer == .adam
      ? Hyperparameter.logarithmic("learningRate", 3e-5, 3e-3)
      : Hyperparameter.logarithmic("learningRate", 1e-4, 0.1)
    func method(
      _ clip: Clip, _ set: ClippedSet, _ suffix: String, _ title: String, _ source: String
    ) -> LanguageMethod {
      let kind = clip == .norm ? "norm" : "spectral"
      return LanguageMethod(
        name: "gpt2-\(optimizer.rawValue)-\(kind)\(suffix)",
        title: "\(optimizer.title), \(kind) clip\(title)", source: source,
        hyperparameters: [
          rate,
          clip == .norm
            ? .logarithmic("maximumNorm", 0.01, 5) : .logarithmic("tau", 1e-3, 0.1),
        ], recipe: .gpt2, optimizer: optimizer, clip: clip, clippedSet: set, parts: nil)
    }
    return [
      method(.norm, .all, "", "", "paper, Figs 3, 6c"),
      method(.spectral, .matricesAndVectors, "", "", "paper, Figs 3, 6c"),
      method(
        .norm, .matricesAndVectors, "-fair", ", same set",
        "norm clipping of what the spectral arm clips"),
    ]
  }

  /// The methods of gpt2-fineweb; ranges are the authors' (their sweep files).
  static let gpt2: [LanguageMethod] = [Optimizer.sgdm, .adam, .muon].flatMap(gpt2)

  /// Every method.
  static let all: [LanguageMethod] = nanoGPT + gpt2
}

/// Which parameters the norm arms clip.
public enum ClippedSetVariant: String, Codable, Sendable, CaseIterable {
  /// As in the authors' code: norm clipping sees all parameters, spectral clipping leaves the embeddings.
  case authors
  /// Norm clipping sees what spectral clipping sees.
  case fair

  /// The method names of a configuration under this reading: each arm once, in order.
  func methods(_ names: [String]) -> [String] {
    guard self == .fair else { return names }
    var seen: Set<String> = []
    return names.map { $0.hasSuffix("-norm") ? $0 + "-fair" : $0 }.filter {
      seen.insert($0).inserted
    }
  }
}
