// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra

/// What is looked at in a step; nothing of it changes a result.
public struct StepMeasuring: OptionSet, Sendable {
  /// See `OptionSet`.
  public let rawValue: Int
  /// See `OptionSet`.
  public init(rawValue: Int) { self.rawValue = rawValue }
  /// Norms, σ_1, thresholds and clipped fractions.
  public static let clip = StepMeasuring(rawValue: 1)
  /// ‖x_{k+1} - x_k‖_F over all parameters.
  public static let update = StepMeasuring(rawValue: 2)
  /// The distance of a truncated clip from the exact one.
  public static let truncation = StepMeasuring(rawValue: 4)
}

/// What a step has to tell.
public struct StepReport {
  /// The mean loss of the batch before the update.
  public var loss = 0.0
  /// What the clip did; nil where it was not measured.
  public var clip: ClippedOptimizer.Measurement?
  /// ‖x_{k+1} - x_k‖_F; nil where it was not measured.
  public var updateNorm: Double?
}

/// The training loop: what every workload and every arm has in common. A step computes the gradient of a batch, clips it
/// and moves the parameters.
public final class Trainer<Task: TrainingTask> {
  /// Model, data and loss.
  public let task: Task
  /// Clip and optimizers.
  public let optimizer: ClippedOptimizer
  /// Whether each micro-batch's gradient is clipped before they are added up (arXiv 2605.02701), with their mean as the
  /// gradient; else their sum is clipped.
  public let clipsMicroBatches: Bool
  /// The step to be done next, from 0.
  public private(set) var step = 0
  /// The step at which the run diverged: the loss was beyond the task's limit, or the loss or a gradient that the rule looks
  /// at was not finite (others make the next loss so).
  /// Nil while it has not; a run that has diverged must not be continued.
  public private(set) var divergedAt: Int?
  /// Seconds in forward, in backward, and in all of the steps (clip and optimizers included; data, evaluation, measuring and
  /// records not).
  public private(set) var seconds = (forward: 0.0, backward: 0.0, model: 0.0)
  private lazy var tree = GradientTree(task.parameters)
  private var ranks: any Ranks = SingleRank()
  private var reduction: GradientReduction?
  /// Where a gradient on the tape belongs among the parameters.
  private lazy var places = Dictionary(
    uniqueKeysWithValues: task.parameters.enumerated().map {
      (ObjectIdentifier($0.element.tensor), $0.offset)
    })

  /// A run at its start.
  public init(_ task: Task, _ optimizer: ClippedOptimizer, clipsMicroBatches: Bool = false) {
    (self.task, self.optimizer, self.clipsMicroBatches) = (task, optimizer, clipsMicroBatches)
  }

  /// From the next step on each of `ranks` computes its share of the micro-batches, and clips and moves its share of the
  /// parameters, whose values are then given to all; to the same bits, whatever the number of ranks.
  ///
  /// Throws a `RanksError` where there are more ranks than micro-batches, and where micro-batches are clipped one after
  /// another by a rule that may remember them.
  public func share(over ranks: any Ranks) throws {
    guard ranks.count > 1 else { return }
    guard ranks.count <= task.microBatches else {
      throw RanksError(
        "\(ranks.count) ranks cannot share \(task.microBatches) micro-batch\(task.microBatches == 1 ? "" : "es") a step; "
          + "start fewer, or set microBatches where the workload has it")
    }
    guard !clipsMicroBatches else {
      throw RanksError(
        "a method that clips each micro-batch runs on one rank: its rule may remember those before; leave mpirun out"
      )
    }
    self.ranks = ranks
    optimizer.share(over: ranks)
    task.share(over: ranks)
    reduction = GradientReduction(
      of: tree, task.parameters, over: ranks, owners: optimizer.owners, count: task.microBatches)
  }

  /// Trains on one batch.
  ///
  /// A gradient that is not finite is divergence; every other error of a rule is thrown on.
  @discardableResult
  public func advance(measuring: StepMeasuring = []) throws -> StepReport {
    precondition(divergedAt == nil, "a step after divergence")
    var report = StepReport()
    do {
      guard try gradient(&report) else { return report }
      if !clipsMicroBatches {
        task.perturbGradient(step: step)
        try clip(&report, measuring)
      }
    } catch LinearAlgebraError.notFinite {
      diverge()
      return report
    }
    let before = measuring.contains(.update) ? task.parameters.map(\.tensor.array) : []
    let started = optimizer.seconds.optimizer
    optimizer.move(step: step)
    seconds.model += optimizer.seconds.optimizer - started
    if measuring.contains(.update) { report.updateNorm = distance(from: before) }
    step += 1
    return report
  }

  /// Leaves the gradient of the batch in the parameters, on several ranks in those of each one's own; false if the loss has
  /// diverged.
  private func gradient(_ report: inout StepReport) throws -> Bool {
    let count = task.microBatches
    let own = ranks.share(of: count)
    var losses = [Double](repeating: 0, count: count)
    let pending = task.pending
    tree.begin(at: own.lowerBound)
    for index in own {
      let forward = self.forward(microBatch: index)
      losses[index] = forward?.value ?? .nan
      let isLast = index == own.upperBound - 1
      // The last backward pass already sends: all ranks must know that there is one.
      if forward == nil || isLast {
        ranks.exchange(&losses)
        addPending(since: pending)
        guard total(of: losses, &report) else { return false }
      }
      guard let pass = forward else { return false }
      if let reduction, isLast {
        backward(pass, sharingBy: reduction)
      } else {
        backward(pass)
        if clipsMicroBatches { try clip(&report, []) }
        if count > 1 {
          tree.add(task.parameters, weight: clipsMicroBatches ? 1 / Float(count) : 1)
        }
      }
    }
    if reduction == nil, count > 1 { tree.finish(into: task.parameters) }
    return true
  }

  /// The mean loss goes into the report; false, and the end of the run, where it has diverged.
  private func total(of losses: [Double], _ report: inout StepReport) -> Bool {
    for loss in losses {
      report.loss += clipsMicroBatches ? loss / Double(losses.count) : loss
      guard report.loss.isFinite, report.loss <= task.lossLimit else {
        diverge()
        return false
      }
    }
    return true
  }

  /// Adds what the other ranks' tasks have counted in this step.
  private func addPending(since before: [Double]) {
    guard ranks.count > 1, !before.isEmpty else { return }
    let counted = task.pending
    task.pending = before.indices.map { place in
      ranks.gathered(counted[place] - before[place]).reduce(before[place], +)
    }
  }

  private typealias Pass = (tape: Tape, scalar: Tensor, value: Double)

  /// Forward pass of one micro-batch; nil if its loss has diverged.
  private func forward(microBatch index: Int) -> Pass? {
    let (tape, scalar) = task.load(step: step, microBatch: index)
    tape.step = UInt64(step * task.microBatches + index)
    let watch = Stopwatch()
    tape.forward()
    let loss = Double(scalar.scalar) / task.lossScale
    seconds.forward += watch.seconds
    seconds.model += watch.seconds
    guard loss.isFinite, loss <= task.lossLimit else { return nil }
    task.observe(step: step, microBatch: index)
    return (tape, scalar, loss)
  }

  private func backward(_ pass: Pass, didStep: ([Tensor]) -> Void = { _ in }) {
    let watch = Stopwatch()
    pass.tape.backward(from: pass.scalar, didStep: didStep)
    seconds.backward += watch.seconds
    seconds.model += watch.seconds
  }

  /// The last backward pass of a step: each gradient is on its way to its owner as soon as it is complete.
  private func backward(_ pass: Pass, sharingBy reduction: GradientReduction) {
    var isMissing = [Bool](repeating: true, count: task.parameters.count)
    func begin(_ index: Int) {
      isMissing[index] = false
      tree.add(index, task.parameters[index])
      reduction.begin(index)
    }
    backward(pass) { finished in
      for case let index? in finished.map({ places[ObjectIdentifier($0)] }) { begin(index) }
      reduction.poll()
    }
    let watch = Stopwatch()
    // Those that the loss does not depend on.
    for index in isMissing.indices where isMissing[index] { begin(index) }
    reduction.finish()
    optimizer.completeGradients()
    seconds.backward += watch.seconds
    seconds.model += watch.seconds
  }

  private func clip(_ report: inout StepReport, _ measuring: StepMeasuring) throws {
    let started = optimizer.seconds.clip
    if measuring.contains(.clip) {
      report.clip = try optimizer.clipMeasuring(truncation: measuring.contains(.truncation))
    } else {
      try optimizer.clip()
    }
    seconds.model += optimizer.seconds.clip - started
  }

  private func diverge() {
    divergedAt = step
    tree.clear()
  }

  private func distance(from before: [[Float]]) -> Double {
    var square = 0.0
    for (parameter, old) in zip(task.parameters, before) {
      for i in 0..<parameter.count {
        let difference = Double(parameter.base[i]) - Double(old[i])
        square.addProduct(difference, difference)
      }
    }
    return square.squareRoot()
  }

  // MARK: - Checkpoints

  /// Everything that a resumed run needs besides its settings.
  public struct State: Codable {
    var step: Int
    var model: [Data]
    var pending: [Double]
    var optimizer: ClippedOptimizer.State
    var seconds: [Double]
  }

  /// The state between two steps.
  public func state() throws -> State {
    State(
      step: step,
      model: task.modelState.map { values in values.withUnsafeBytes { Data($0) } },
      pending: task.pending, optimizer: try optimizer.state(),
      seconds: [seconds.forward, seconds.backward, seconds.model])
  }

  /// Takes over a state that `state()` gave.
  ///
  /// Throws a `StateError` for one of another model.
  public func restore(_ state: State) throws {
    let model = state.model.map { data in
      data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
    guard model.map(\.count) == task.modelState.map(\.count),
      state.pending.count == task.pending.count, state.seconds.count == 3, state.step >= 0
    else { throw StateError("its model has other sizes") }
    step = state.step
    task.modelState = model
    task.pending = state.pending
    try optimizer.restore(state.optimizer)
    seconds = (state.seconds[0], state.seconds[1], state.seconds[2])
  }
}

// MARK: - Rehearsal

/// Processor seconds of the parts of a step.
public struct StepCost: Sendable {
  /// Forward and backward of one micro-batch.
  public var pass = 0.0
  /// Clip and update.
  public var update = 0.0
}

extension Trainer {
  /// What a step costs, from one micro-batch and one update, or from several where they are short; the run is spent then.
  public func rehearse() throws -> StepCost {
    var cost = StepCost()
    var count = 0
    let start = ProcessorTime.seconds
    var spent: Double { ProcessorTime.seconds - start }
    repeat {
      // What makes the buffers does not count where there is time for more.
      if count == 1, spent < 0.25 { (cost, count) = (StepCost(), 0) }
      let begin = spent
      guard let pass = forward(microBatch: 0) else { break }
      backward(pass)
      let middle = spent
      try optimizer.clip()
      optimizer.move(step: 0)
      cost.pass += middle - begin
      cost.update += spent - middle
      count += 1
    } while spent < 0.05 || (count == 1 && spent < 0.25)
    cost.pass /= Double(max(1, count))
    cost.update /= Double(max(1, count))
    return cost
  }
}
