import Autodiff
import Clipping
import Foundation
import LinearAlgebra
import Optimizers

/// What happens to the parameters once the gradients are there: clipping rule, then optimizer.
public struct Update {
  /// The clipping rule with its state.
  public private(set) var rule: any GradientTransform
  /// The optimizer with its state.
  public private(set) var optimizer: any Optimizer
  /// The parameters in the order of the model.
  public let parameters: [Parameter]
  /// Seconds spent in the rule and in the optimizer since the start.
  public private(set) var seconds = (clip: 0.0, optimizer: 0.0)
  private let workspace = FactoredSpectrum()
  private let pool: WorkerPool
  /// The gradients of all parameters, and those that the rule sees.
  private let all: Gradients, clipped: Gradients
  /// Where each clipped layer stands among the parameters.
  private let places: [Int]

  /// The update of `parameters` by `rule`, which sees those called `clipped` (all, if nil), and `optimizer`.
  ///
  /// Throws `ClippingError` for a name that no parameter has or that is given twice.
  public init(
    _ rule: any GradientTransform, _ optimizer: any Optimizer, of parameters: [Parameter],
    clipping clipped: [String]? = nil, pool: WorkerPool = .single
  ) throws {
    self.pool = pool
    self.rule = rule
    self.optimizer = optimizer
    self.parameters = parameters
    all = Gradients(
      parameters.map {
        Layer(name: $0.name, gradient: $0.gradient, weights: $0.matrix.readOnly)
      }, pool: pool)
    self.clipped = try clipped.map { [all] in try all.masked(to: $0) } ?? all
    let names = self.clipped.layers.map(\.name)
    places = names.compactMap { name in parameters.firstIndex { $0.name == name } }
  }

  /// What the rule did to each parameter's gradient in the last step.
  public var statistics: [ClipStatistics] {
    var result = [ClipStatistics](repeating: ClipStatistics(), count: parameters.count)
    for (place, own) in zip(places, clipped.statistics) { result[place] = own }
    return result
  }

  /// Norms around a step's clipping, for records.
  public struct Measures: Sendable {
    /// ‖g‖ over all layers before and after the rule.
    public var normBefore = 0.0, normAfter = 0.0
    /// σ_1 of each layer's gradient before the rule.
    public var sigmaMax: [Double] = []
    /// Threshold of each layer, infinite where there is none.
    public var tau: [Double] = []
    /// Share of clipped singular values (rows, samples, …) of each layer.
    public var clippedShare: [Double] = []
  }

  /// Clips the gradients and moves the parameters; with `measuring` also looks at the spectra, which
  /// changes no result.
  ///
  /// Throws what the rule throws, e.g. `LinearAlgebraError.notFinite` for a gradient with NaN.
  @discardableResult
  public mutating func step(learningRate: Double, measuring: Bool = false) throws -> Measures? {
    let measures = try clip(measuring: measuring)
    move(learningRate: learningRate)
    return measures
  }

  /// The first half of a step: the rule alone.
  @discardableResult
  public mutating func clip(measuring: Bool = false) throws -> Measures? {
    var measures: Measures?
    if measuring { measures = try measureBefore() }
    let watch = Stopwatch()
    try rule.apply(to: clipped)
    seconds.clip += watch.seconds
    if measures != nil {
      measures?.normAfter = norm()
      measures?.tau = statistics.map(\.tau)
      measures?.clippedShare = statistics.map(\.clippedFraction)
    }
    return measures
  }

  /// The second half: the optimizer alone.
  public mutating func move(learningRate: Double) {
    let watch = Stopwatch()
    optimizer.step(parameters, learningRate: learningRate, pool: pool)
    seconds.optimizer += watch.seconds
  }

  private func measureBefore() throws -> Measures {
    var measures = Measures()
    var square = 0.0
    for layer in all.layers {
      let (norm, sigma) = try normAndSigmaMax(of: layer.gradient, workspace)
      square += norm * norm
      measures.sigmaMax.append(sigma)
    }
    measures.normBefore = square.squareRoot()
    return measures
  }

  /// ‖g‖ over all layers as they stand.
  private func norm() -> Double {
    var square = 0.0
    for layer in all.layers {
      square += Float._sumOfSquares(layer.gradient.materialized.base, layer.gradient.count)
    }
    return square.squareRoot()
  }

  /// Rule and optimizer with their states, for a checkpoint.
  public func encoded() throws -> [Data] { [try rule.encoded(), try optimizer.encoded()] }

  /// Takes over what `encoded()` saved, and the seconds spent before, where they are known.
  public mutating func restore(
    _ data: [Data], seconds: (clip: Double, optimizer: Double) = (0, 0)
  ) throws {
    self.seconds = seconds
    precondition(data.count == 2, "\(data.count) parts of an update's state")
    try rule.restore(data[0])
    try optimizer.restore(data[1])
  }
}

/// ‖G‖_F and σ_1(G), without multiplying G out if it is in factors.
private func normAndSigmaMax(
  of gradient: LayerGradient, _ workspace: FactoredSpectrum
) throws -> (Double, Double) {
  if let (left, right) = gradient.factors {
    workspace.load(left: left, right: right)
    guard workspace.frobeniusNorm.isFinite else { return (.nan, .nan) }
    try workspace.decompose()
    return (workspace.frobeniusNorm, workspace.singularValues.last ?? 0)
  }
  let entries = gradient.entries.readOnly
  let norm = entries.frobeniusNorm
  guard norm.isFinite else { return (.nan, .nan) }
  // A vector's singular value is its norm; a large matrix's is found by a sketch (three power iterations on
  // eight vectors: relative error well below 1e-2 for the spectra of gradients).
  if min(entries.rows, entries.columns) == 1 { return (norm, norm) }
  if min(entries.rows, entries.columns) > 100 {
    let sketch = try RangeSketch(
      of: entries, vectors: 8, powerIterations: 3, stream: RandomStream(seed: 0, name: "measure"))
    return (norm, Double(try singularValues(sketch.coefficients).first ?? 0))
  }
  return (norm, try singularValues(entries.widened()).first ?? 0)
}
