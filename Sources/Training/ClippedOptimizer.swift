// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Clipping
import Foundation
import LinearAlgebra
import Optimizers

/// What happens to the parameters once their gradients are there: one clipping rule on some of the layers, then the
/// optimizer of each parameter group.
///
/// The groups are a partition of the trained parameters, checked by name when it is made.
public final class ClippedOptimizer {
  /// The clipping rule with its state.
  public internal(set) var rule: any GradientTransform
  /// The parameter groups with their optimizers' states.
  public internal(set) var groups: [ParameterGroup]
  /// For each parameter the rank that clips and moves it.
  public internal(set) var owners: [Int]
  /// Seconds spent in the rule and in the optimizers since the start.
  public private(set) var seconds = (clip: 0.0, optimizer: 0.0)
  let parameters: [Parameter]
  /// The parameters of each group, and those of them that this rank moves.
  let members: [[Parameter]]
  var own: [[Parameter]]
  /// The watched layers, and those of them that the rule sees.
  let watched: Gradients, clipped: Gradients
  /// The place of a watched layer among the clipped ones, nil if the rule does not see it.
  private let clippedPlaces: [Int?]
  private let pool: WorkerPool
  var ranks: any Ranks = SingleRank()
  /// Whether each rank clips and moves its own parameters alone; else every rank does it all.
  var isShared = false

  /// `rule` on the layers `clipped`, then `groups`.
  ///
  /// `watched` names the layers that measurements look at; the clipped ones are among them. Throws a `ClippingError` for a
  /// layer that does not exist or is named twice, and a `ParameterGroupError` unless every parameter is in exactly one group.
  public init(
    _ rule: any GradientTransform, on clipped: [String], then groups: [ParameterGroup],
    parameters: [Parameter], watching watched: [String]? = nil, pool: WorkerPool = .single
  ) throws {
    (self.rule, self.groups, self.pool) = (rule, groups, pool)
    self.parameters = parameters
    owners = parameters.map { _ in 0 }
    let all = Gradients(
      parameters.map {
        Layer(name: $0.name, gradient: $0.gradient, weights: $0.matrix.readOnly)
      }, pool: pool)
    self.watched = try watched.map { try all.masked(to: $0) } ?? all
    self.clipped = try self.watched.masked(to: clipped)
    let seen = self.clipped.layers.map(\.name)
    clippedPlaces = self.watched.layers.map { seen.firstIndex(of: $0.name) }
    members = try ParameterGroup.partition(parameters, into: groups)
    own = members
  }

  /// Everything as one group that one rule sees.
  public convenience init(
    _ rule: any GradientTransform, _ optimizer: any Optimizer, of parameters: [Parameter],
    rate: LearningRate, pool: WorkerPool = .single
  ) throws {
    let names = parameters.map(\.name)
    try self.init(
      rule, on: names, then: [ParameterGroup(names, optimizer, rate: rate)],
      parameters: parameters, pool: pool)
  }

  // MARK: - A step

  /// What the clip of one step did to the watched layers.
  public struct Measurement: Sendable {
    /// ‖g‖ over all watched layers before and after.
    public var normBefore = 0.0, normAfter = 0.0
    /// Layer by layer in the order of the model. σ_1 is there for every layer.
    public var layers: [(name: String, statistics: ClipStatistics)] = []
    /// ‖C - C_exact‖_F/‖C_exact‖_F layer by layer, where it was asked for and singular values were clipped.
    public var truncationErrors: [Double?] = []
  }

  /// The first half of a step: the rule.
  ///
  /// Throws what the rule throws: `LinearAlgebraError.notFinite` for a gradient with NaN or infinity.
  public func clip() throws {
    let watch = Stopwatch()
    try together { try rule.apply(to: clipped) }
    // Sums over samples are added up by all threads, one after another.
    for parameter in own.joined() where parameter.gradient.isSum {
      parameter.gradient.materialize()
    }
    seconds.clip += watch.seconds
  }

  /// The same, looked at: changes no result. What the rule reports is not computed again.
  ///
  /// With `truncation` the result is compared with the exact clip at the same thresholds.
  public func clipMeasuring(truncation: Bool = false) throws -> Measurement {
    var looks = try watched.own.map { index in
      let reports = clippedPlaces[index] != nil && rule.reportsSigmaMax
      let before = try measure(watched.layers[index].gradient, sigmaMax: !reports)
      return Look(layer: index, normBefore: before.norm, sigmaMax: before.sigmaMax)
    }
    let isSpectral = truncation && rule.reportsSigmaMax
    let copies = isSpectral ? watched.own.map { product(of: watched.layers[$0].gradient) } : []
    clipped.measuresSigmaMax = true
    defer { clipped.measuresSigmaMax = false }
    try clip()
    for (place, index) in watched.own.enumerated() {
      var own = clippedPlaces[index].map { clipped.statistics[$0] } ?? ClipStatistics()
      own.normBefore = looks[place].normBefore
      own.sigmaMax = looks[place].sigmaMax ?? own.sigmaMax
      let gradient = watched.layers[index].gradient.materialized
      let square = Float._sumOfSquares(gradient.base, gradient.count)
      own.normAfter = square.squareRoot()
      if isSpectral, clippedPlaces[index] != nil {
        looks[place].truncationError = try truncationError(
          of: gradient.readOnly.copied(), copies[place], at: own.tau)
      }
      looks[place].squareAfter = square
      looks[place].statistics = own
    }
    return measurement(try gathered(looks), truncation: truncation)
  }

  /// What one layer has to tell.
  struct Look: Codable {
    var layer: Int
    var normBefore: Double
    var sigmaMax: Double?
    var squareAfter = 0.0
    var truncationError: Double?
    var statistics = ClipStatistics()
  }

  /// Of all layers, in the order of the model.
  private func measurement(_ looks: [Look], truncation: Bool) -> Measurement {
    var result = Measurement()
    var (squareBefore, squareAfter) = (0.0, 0.0)
    for look in looks {
      squareBefore += look.normBefore * look.normBefore
      squareAfter += look.squareAfter
      if truncation { result.truncationErrors.append(look.truncationError) }
      result.layers.append((watched.layers[look.layer].name, look.statistics))
    }
    (result.normBefore, result.normAfter) = (squareBefore.squareRoot(), squareAfter.squareRoot())
    return result
  }

  /// The learning rate of the first group at step k, nil where it has none any more.
  public func learningRate(step k: Int) -> Double? { groups.first.flatMap { $0.rate(k) } }

  /// The second half of step k: the optimizers of all groups whose rate is not over.
  public func move(step k: Int) {
    let watch = Stopwatch()
    for index in groups.indices {
      guard let rate = groups[index].rate(k) else { continue }
      groups[index].optimizer.step(own[index], learningRate: rate, pool: pool)
    }
    if isShared { ranks.broadcast(zip(parameters, owners).map { ($0.bytes, $1) }) }
    seconds.optimizer += watch.seconds
  }

  /// ‖G‖_F and, if asked for, σ_1(G), without multiplying G out if it is in factors.
  private func measure(
    _ gradient: LayerGradient, sigmaMax isWanted: Bool
  ) throws -> (norm: Double, sigmaMax: Double?) {
    if let (left, right) = gradient.factors {
      let workspace = watched.workspace
      workspace.load(left: left, right: right)
      let norm = workspace.frobeniusNorm
      guard isWanted, norm.isFinite else { return (norm, nil) }
      if min(gradient.rows, gradient.columns) == 1 { return (norm, norm) }
      try workspace.decompose()
      return (norm, workspace.singularValues.last ?? 0)
    }
    gradient.preview()
    let entries = gradient.entries.readOnly
    let norm = entries.frobeniusNorm
    guard isWanted, norm.isFinite else { return (norm, nil) }
    if min(entries.rows, entries.columns) == 1 { return (norm, norm) }
    return (norm, try GramSpectrum(of: entries).sigma.first ?? 0)
  }

  /// The entries of a gradient, which stays in factors if it is in factors: the rule is to meet it as it was.
  private func product(of gradient: LayerGradient) -> Matrix<Float> {
    guard let (left, right) = gradient.factors else {
      gradient.preview()
      return gradient.entries.readOnly.copied()
    }
    var product = Matrix<Float>(rows: gradient.rows, columns: gradient.columns)
    product.withMutableView { gemm(left, .yes, right, .no, into: $0) }
    return product
  }

  private func truncationError(
    of clipped: Matrix<Float>, _ gradient: Matrix<Float>, at tau: Double
  ) throws -> Double {
    var exact = gradient
    try SpectralClip.exact.clip(&exact, at: tau)
    let norm = exact.frobeniusNorm
    return norm == 0 ? 0 : (clipped - exact).frobeniusNorm / norm
  }

  // MARK: - Checkpoints

  /// The states of the rule and of all optimizers, and the seconds.
  public struct State: Codable {
    var rule: Data
    var optimizers: [Data]
    var seconds: [Double]
  }

  /// The state between two steps; asked for by all ranks together, and whole on the first.
  public func state() throws -> State {
    State(
      rule: try wholeRule().encoded(),
      optimizers: try groups.indices.map { try wholeOptimizer(of: $0).encoded() },
      seconds: [seconds.clip, seconds.optimizer])
  }

  /// Takes over a state that `state()` gave.
  ///
  /// Throws a `StateError` for one of other groups or sizes.
  public func restore(_ state: State) throws {
    guard state.optimizers.count == groups.count, state.seconds.count == 2 else {
      throw StateError("it has \(state.optimizers.count) optimizers, the run \(groups.count)")
    }
    try rule.restore(state.rule)
    for index in groups.indices {
      try groups[index].optimizer.restore(state.optimizers[index])
      guard groups[index].optimizer.fits(members[index]) else {
        throw StateError("an optimizer's buffers have other sizes than its parameters")
      }
    }
    if isShared { keepOwnState() }
    seconds = (state.seconds[0], state.seconds[1])
  }
}

/// A saved state that is not of the run that is to take it over.
public struct StateError: Error, CustomStringConvertible {
  /// How they differ.
  public let description: String

  init(_ description: String) { self.description = description }
}

/// Parameter groups that are no partition.
public enum ParameterGroupError: Error, Equatable, CustomStringConvertible {
  /// A group names what the model does not have.
  case unknown(String)
  /// A parameter is in two groups, or twice in one.
  case twice(String)
  /// A trained parameter is in no group.
  case missing(String)

  /// One line: what, and what to do.
  public var description: String {
    switch self {
    case .unknown(let name): "no parameter '\(name)' in this model; correct the group that names it"
    case .twice(let name): "parameter '\(name)' is named twice; put it into one group"
    case .missing(let name): "parameter '\(name)' is in no group; say which optimizer moves it"
    }
  }
}

extension ParameterGroup {
  /// The members of each group, in the order of the model; every parameter must be in exactly one group.
  static func partition(
    _ parameters: [Parameter], into groups: [ParameterGroup]
  ) throws -> [[Parameter]] {
    var owner: [String: Int] = [:]
    let known = Set(parameters.map(\.name))
    for (index, group) in groups.enumerated() {
      for name in group.names {
        guard known.contains(name) else { throw ParameterGroupError.unknown(name) }
        guard owner.updateValue(index, forKey: name) == nil else {
          throw ParameterGroupError.twice(name)
        }
      }
    }
    var members = [[Parameter]](repeating: [], count: groups.count)
    for parameter in parameters {
      guard let index = owner[parameter.name] else {
        throw ParameterGroupError.missing(parameter.name)
      }
      members[index].append(parameter)
    }
    return members
  }
}
