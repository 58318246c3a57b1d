// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Clipping
import Foundation
import LinearAlgebra
import Optimizers
import Storage
import Training

#if compiler(>=6.2)
  /// A type whose metatype closures may carry from thread to thread.
  package typealias SharedMetatype = SendableMetatype
#else
  /// Compilers before 6.2 ask for nothing.
  package protocol SharedMetatype {}
#endif

/// A workload as experiments see it: a `TrainingTask` that is made from settings, an arm, data and a seed.
///
/// To add a workload, write one of these and name it in a figure.
package protocol Workload: TrainingTask, SharedMetatype {
  /// Its settings, which every experiment on it shares.
  associatedtype Settings: WorkloadSettings
  /// Its data, loaded once for all arms.
  associatedtype Source: WorkloadSource
  /// What the layers of a record are called.
  static var layerName: String { get }
  /// A mean loss beyond this has diverged.
  static var lossLimit: Double { get }
  /// What the numbers of `evaluate` are, in order.
  static var metrics: [Metric] { get }
  /// What the training loss of a point is.
  static func trainLossMeaning(_ settings: Settings) -> String
  /// Why micro-batches of it cannot be shared out over ranks, in words that follow its experiment's name; nil if they can.
  static var ranksRefusal: String? { get }

  /// Loads the data.
  ///
  /// Throws a `StorageError` for files that are missing or damaged.
  static func load(_ settings: Settings, folder: String) throws -> Source
  /// Data that mean nothing, made without files, on which a step costs what it costs on the real ones.
  static func placeholder(_ settings: Settings) throws -> Source
  /// The settings with what only the data can say: how many samples there are.
  static func resolved(_ settings: Settings, _ source: Source) -> Settings
  /// A run at its start.
  ///
  /// Throws a `ConfigError` for settings that do not suit the data.
  init(
    _ settings: Settings, _ arm: Arm, _ source: Source, seed: UInt64, pool: WorkerPool) throws
  /// What it was made from.
  var settings: Settings { get }
  /// The names of the parameters in `set`.
  func names(in set: ParameterSet) -> [String]
  /// Groups of parameters that are moved alike in all arms.
  var fixedGroups: [ParameterGroup] { get }
  /// How singular values are found, unless the arm says otherwise.
  var decomposition: Decomposition { get }
  /// Hyper-parameters that an arm need not have.
  var defaults: Hyperparameters { get }
  /// Steps of the run, and between two recorded points.
  var steps: Int { get }
  var stepsPerPoint: Int { get }
  /// The schedule of an arm's rate, unless the arm says otherwise: the settings', where the run itself does not say more.
  var schedule: Schedule { get }
  /// What is looked at in the step of a point.
  var measuring: StepMeasuring { get }
  /// The mean of which mini-batch losses is the training loss of a point, and the final one.
  var lossWindow: LossWindow { get }
  var finalLossWindow: LossWindow { get }

  /// The metrics after a step.
  func evaluate() -> [Double]
  /// What a search minimizes, from the final training loss or measured at the end.
  func objective(finalTrainLoss: Double) -> Double
  /// What else a record says of the whole run, from the last point's metrics (empty if the run has diverged).
  func summary(lastMetrics: [Double]) -> Attributes
  /// Leaves the weights in a file.
  func save(to path: String) throws
}

extension Workload {
  package static func resolved(_ settings: Settings, _ source: Source) -> Settings { settings }
  package static var layerName: String { "parameter" }
  package var lossLimit: Double { Self.lossLimit }
  package static var ranksRefusal: String? { nil }
  /// All of them.
  package func names(in set: ParameterSet) -> [String] { parameters.map(\.name) }
  package var fixedGroups: [ParameterGroup] { [] }
  package var decomposition: Decomposition { .exact }
  package var defaults: Hyperparameters { [:] }
  package var steps: Int { settings.stepCount }
  package var stepsPerPoint: Int { settings.pointEvery }
  package var schedule: Schedule { settings.schedule }
  package var measuring: StepMeasuring { .clip }
  package var lossWindow: LossWindow { .sinceLastPoint }
  package var finalLossWindow: LossWindow { lossWindow }

  /// The last point's metric of that number as a record says it, nan if the run has diverged.
  package func last(_ index: Int, of metrics: [Double]) -> AttributeValue {
    .double(metrics.isEmpty ? .nan : metrics[index])
  }
}

/// What `Workload.evaluate` measures.
package struct Metric: Sendable {
  /// In records.
  package let name: String
  /// In words, with its unit.
  package let longName: String

  /// A metric.
  package init(_ name: String, _ longName: String) {
    (self.name, self.longName) = (name, longName)
  }
}

/// Which mini-batch losses are averaged.
package enum LossWindow: Equatable, Sendable {
  /// Those since the last recorded point.
  case sinceLastPoint
  /// The last n of them.
  case last(Int)
}

/// The settings of a workload.
package protocol WorkloadSettings: Codable, Equatable, Sendable {
  /// Training steps, where the settings alone say it, or an estimate: for progress and costs.
  var stepCount: Int { get }
  /// Steps between two recorded points, likewise.
  var pointEvery: Int { get }
  /// The schedule of an arm's rate, unless the arm says otherwise.
  var schedule: Schedule { get }
  /// Throws a `ConfigError` for a value outside its range.
  func validate() throws
  /// What whole numbers can be, alone or in a list: no more than a thousand million where nothing is said.
  static var limits: [String: ClosedRange<Int>] { get }
  /// See `ExperimentConfig.later`.
  static var later: [String: String] { get }
  /// A run of this part of the length, 0 < fraction <= 1, with its own whole schedule.
  func lasting(_ fraction: Double) -> Self
  /// The methods of a configuration under these settings.
  func methods(_ names: [String]) -> [String]
  /// Something like them that takes little time, for estimates.
  var rehearsal: Rehearsal<Self> { get }
}

extension WorkloadSettings {
  package static var limits: [String: ClosedRange<Int>] { [:] }
  package static var later: [String: String] { [:] }
  package var schedule: Schedule { .constant }
  package func methods(_ names: [String]) -> [String] { names }
  package var rehearsal: Rehearsal<Self> { Rehearsal(self) }

  /// Throws a `ConfigError` that says what is expected of a setting, unless its value holds.
  package func check(
    _ key: String, _ value: some Any, _ holds: Bool, _ expected: String
  ) throws {
    guard holds else { throw ConfigError.value(key, value, expected) }
  }
}

/// Data of a workload.
package protocol WorkloadSource: Sendable {
  /// What figures call them.
  var name: String { get }
  /// What they are: a SHA-256 digest, or, of data that are computed from a seed, empty.
  var digest: String { get }
  /// Whether they are generated in the place of real ones.
  var isStandIn: Bool { get }
  /// The same with a tenth of the training data in the place of what is reported, so that a search chooses on neither what
  /// it trains on nor what is reported; itself where hyper-parameters are chosen by the training loss.
  func holdingOut() throws -> Self
}

extension WorkloadSource {
  package func holdingOut() -> Self { self }
}

// MARK: - An arm on a workload

extension Workload {
  /// The trainer of `arm` at `values` on this task.
  ///
  /// Throws a `ConfigError` for hyper-parameters that are missing, and what the arm's rule throws for ones that are
  /// meaningless.
  package func trainer(
    _ arm: Arm, _ values: Hyperparameters, seed: UInt64, pool: WorkerPool
  ) throws -> Trainer<Self> {
    try arm.check(values, place: "method '\(arm.name)'")
    let site = ArmSite(
      values: values.over(defaults), layers: names(in: arm.clippedSet),
      decomposition: decomposition, seed: seed)
    let rate = LearningRate(
      try values("learningRate"), arm.schedule ?? schedule, steps: steps)
    var free = Set(parameters.map(\.name)).subtracting(fixedGroups.flatMap(\.names))
    var groups: [ParameterGroup] = []
    for (set, make) in arm.optimizers {
      let names =
        set == .others ? parameters.map(\.name).filter(free.contains) : names(in: set)
      free.subtract(names)
      groups.append(ParameterGroup(names, try make(site), rate: rate))
    }
    let optimizer = try ClippedOptimizer(
      try arm.clip(site), on: site.layers, then: groups + fixedGroups, parameters: parameters,
      watching: watchedLayers, pool: pool)
    return Trainer(self, optimizer, clipsMicroBatches: arm.clippedMicroBatches != nil)
  }
}

/// A run of an arm on a workload, with the losses that its record and its search need.
package final class TrainingRun<Task: Workload> {
  /// The loop.
  package let trainer: Trainer<Task>
  /// The last losses, oldest first.
  private var losses: [Double] = []
  private var sinceLastPoint: [Double] = []
  private let longest: Int

  /// The task.
  package var task: Task { trainer.task }
  /// Whether the run has diverged.
  package var hasDiverged: Bool { trainer.divergedAt != nil }

  /// A run at its start.
  package convenience init(
    _ settings: Task.Settings, _ arm: Arm, _ values: Hyperparameters, _ source: Task.Source,
    seed: UInt64, pool: WorkerPool = .single
  ) throws {
    try self.init(
      Task(settings, arm, source, seed: seed, pool: pool), arm, values, seed: seed, pool: pool)
  }

  /// A run at its start of a task that is there already.
  package init(
    _ task: Task, _ arm: Arm, _ values: Hyperparameters, seed: UInt64, pool: WorkerPool = .single
  ) throws {
    trainer = try task.trainer(arm, values, seed: seed, pool: pool)
    longest = max(task.lossWindow.length, task.finalLossWindow.length)
    losses.reserveCapacity(longest)
  }

  /// Trains on one batch.
  @discardableResult
  package func advance(measuring: StepMeasuring = []) throws -> StepReport {
    let report = try trainer.advance(measuring: measuring)
    guard !hasDiverged else { return report }
    if longest > 0 {
      if losses.count == longest { losses.removeFirst() }
      losses.append(report.loss)
    }
    if task.lossWindow == .sinceLastPoint { sinceLastPoint.append(report.loss) }
    return report
  }

  /// Trains to the end of the run or to divergence.
  package func finish() throws {
    while trainer.step < task.steps && !hasDiverged { try advance() }
  }

  /// The mean loss of a point, which begins a new one; NaN before the first step.
  package func pointLoss() -> Double {
    let loss = mean(task.lossWindow)
    sinceLastPoint = []
    return loss
  }

  /// The final training loss by the task's window, NaN after divergence; `lastPoint` is that of the last point.
  package func finalLoss(lastPoint: Double = .nan) -> Double {
    guard !hasDiverged else { return .nan }
    return task.finalLossWindow == .sinceLastPoint ? lastPoint : mean(task.finalLossWindow)
  }

  private func mean(_ window: LossWindow) -> Double {
    let chosen =
      switch window {
      case .sinceLastPoint: sinceLastPoint[...]
      case .last(let count): losses.suffix(count)
      }
    return hasDiverged || chosen.isEmpty ? .nan : Statistics.mean(chosen)
  }

  /// What a search minimizes, NaN after divergence.
  package func objective() -> Double {
    hasDiverged ? .nan : task.objective(finalTrainLoss: finalLoss())
  }

  /// Everything that a resumed run needs besides its settings.
  package struct State: Codable {
    var trainer: Trainer<Task>.State
    var losses: [Double]
    var sinceLastPoint: [Double]
  }

  /// The state between two steps.
  package func state() throws -> State {
    State(trainer: try trainer.state(), losses: losses, sinceLastPoint: sinceLastPoint)
  }

  /// Takes over a state that `state()` gave.
  package func restore(_ state: State) throws {
    try trainer.restore(state.trainer)
    (losses, sinceLastPoint) = (state.losses, state.sinceLastPoint)
  }
}

extension LossWindow {
  /// How many losses must be remembered.
  var length: Int {
    switch self {
    case .sinceLastPoint: 0
    case .last(let count): count
    }
  }
}
