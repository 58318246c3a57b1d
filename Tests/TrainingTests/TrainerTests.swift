// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Clipping
import Foundation
import LinearAlgebra
import Models
import Optimizers
import Testing

@testable import Training

/// The loop that all workloads share: divergence, seconds, parameter groups, micro-batches.
@Suite struct TrainerTests {
  /// Mean squared error of a linear model on numbers that the step decides.
  final class Toy: TrainingTask {
    let model = MLP(inputs: 3, hidden: [4], outputs: 1)
    let microBatches: Int
    var lossLimit = 1e6
    var poison = -1
    /// What the tape took for its step in each forward pass.
    private(set) var tapeSteps: [UInt64] = []
    private let tape: Tape
    private let x: Tensor, y: Tensor, loss: Tensor

    init(microBatches: Int = 1, weightGradients: Tape.WeightGradients = .dense) {
      self.microBatches = microBatches
      tape = Tape(weightGradients: weightGradients)
      model.initialize(RandomStream(seed: 3, name: "toy"))
      x = tape.input([2, 3])
      y = tape.input([2, 1])
      loss = tape.meanSquaredError(model(tape, x), y)
    }

    var parameters: [Parameter] { model.parameters }
    var modelState: [[Float]] {
      get { model.values }
      set { model.values = newValue }
    }
    var recordedLayers: [String] { parameters.map(\.name) }

    func load(step: Int, microBatch: Int) -> (tape: Tape, loss: Tensor) {
      let stream = RandomStream(seed: 1, name: "x").at(step: step * microBatches + microBatch)
      x.assign(stream.normals(6))
      y.assign(step == poison ? [.nan, 0] : [1, -1])
      return (tape, loss)
    }

    func observe(step: Int, microBatch: Int) { tapeSteps.append(tape.step) }
  }

  /// Fails in a way that has nothing to do with numbers.
  private struct Broken: GradientTransform {
    var step = 0
    mutating func apply(to gradients: Gradients) throws {
      step += 1
      if step == 3 { throw ClippingError.needsFactors(layer: "w") }
    }
  }

  private func trainer(
    _ task: Toy, _ rule: any GradientTransform = NoClip(), rate: Double = 0.05,
    clipsMicroBatches: Bool = false
  ) throws -> Trainer<Toy> {
    Trainer(
      task,
      try ClippedOptimizer(
        rule, SGD(), of: task.parameters, rate: LearningRate(rate, steps: 1000)),
      clipsMicroBatches: clipsMicroBatches)
  }

  @Test func aRulesErrorIsThrownOnAndNeverCalledDivergence() throws {
    let trainer = try trainer(Toy(), Broken())
    try trainer.advance()
    try trainer.advance()
    #expect(throws: ClippingError.needsFactors(layer: "w")) { try trainer.advance() }
    #expect(trainer.divergedAt == nil && trainer.step == 2)
  }

  @Test func lossesAndGradientsOutOfRangeAreDivergence() throws {
    let task = Toy()
    task.poison = 2
    let poisoned = try trainer(task)
    for _ in 0..<3 { try poisoned.advance() }
    #expect(poisoned.divergedAt == 2 && poisoned.step == 2)
    let limited = Toy()
    limited.lossLimit = 1e-9
    let small = try trainer(limited)
    let before = limited.modelState
    try small.advance()
    #expect(small.divergedAt == 0 && limited.modelState == before)
    // A gradient that is not finite is found by the rule.
    let wild = Toy()
    let trainer = try trainer(wild, NormClip(maximumNorm: 1))
    wild.parameters[0].base[0] = 1e25
    wild.lossLimit = .infinity
    try trainer.advance()
    #expect(trainer.divergedAt == 0)
  }

  @Test func aResumedRunKeepsItsSecondsAndItsBits() throws {
    let whole = try trainer(Toy(), NormClip(maximumNorm: 0.5))
    for _ in 0..<7 { try whole.advance() }
    let first = try trainer(Toy(), NormClip(maximumNorm: 0.5))
    for _ in 0..<4 { try first.advance() }
    let saved = try PropertyListDecoder().decode(
      Trainer<Toy>.State.self, from: PropertyListEncoder().encode(first.state()))
    let second = try trainer(Toy(), NormClip(maximumNorm: 0.5))
    try second.restore(saved)
    #expect(second.seconds == first.seconds && second.seconds.model > 0)
    #expect(second.optimizer.seconds == first.optimizer.seconds)
    #expect(second.optimizer.seconds.optimizer > 0)
    for _ in 0..<3 { try second.advance() }
    #expect(second.task.modelState == whole.task.modelState)
  }

  @Test func parameterGroupsMustBeAPartition() throws {
    let parameters = Toy().parameters
    let names = parameters.map(\.name)
    let rate = LearningRate(0.1, steps: 1)
    func error(_ groups: [[String]], clipped: [String]? = nil) -> String {
      do {
        _ = try ClippedOptimizer(
          NoClip(), on: clipped ?? names,
          then: groups.map { ParameterGroup($0, SGD(), rate: rate) },
          parameters: parameters)
        return ""
      } catch { return "\(error)" }
    }
    #expect(error([names]) == "" && error([[names[1]], [names[0]]]) == "")
    #expect(error([[names[0]]]).contains("'\(names[1])' is in no group"))
    #expect(error([names, [names[1]]]).contains("'\(names[1])' is named twice"))
    #expect(error([names + ["w"]]).contains("no parameter 'w'"))
    #expect(error([names], clipped: [names[0], names[0]]).contains(names[0]))
    #expect(error([names], clipped: ["w"]).contains("w"))
  }

  @Test func groupsMoveTheirOwnParametersWhileTheirRateLasts() throws {
    let task = Toy()
    let names = task.parameters.map(\.name)
    let optimizer = try ClippedOptimizer(
      NoClip(), on: names,
      then: [
        ParameterGroup([names[0]], SGD(), rate: LearningRate(0.1, .linear(), steps: 2)),
        ParameterGroup([names[1]], Adam(), rate: LearningRate(0.1, steps: 4)),
      ], parameters: task.parameters)
    let trainer = Trainer(task, optimizer)
    for step in 0..<5 {
      let before = task.modelState
      try trainer.advance()
      #expect((task.modelState[0] != before[0]) == (step < 2), "step \(step)")
      #expect((task.modelState[1] != before[1]) == (step < 4), "step \(step)")
    }
  }

  @Test func theRuleSeesItsOwnLayersOnlyAndReportsOnAll() throws {
    let task = Toy()
    let names = task.parameters.map(\.name)
    let optimizer = try ClippedOptimizer(
      NormClip(maximumNorm: 1e-3), on: [names[1]],
      then: [ParameterGroup(names, SGD(), rate: LearningRate(0.1, steps: 9))],
      parameters: task.parameters)
    let report = try #require(
      try Trainer(task, optimizer).advance(measuring: [.clip, .update]).clip)
    #expect(report.layers.map(\.name) == names)
    let (free, clipped) = (report.layers[0].statistics, report.layers[1].statistics)
    #expect(free.tau == .infinity && free.normBefore == free.normAfter)
    #expect(clipped.tau == 1e-3 && (clipped.normAfter ?? 1) <= 1.001e-3)
    #expect((clipped.normBefore ?? 0) > 1e-2)
    for statistics in [free, clipped] {
      let sigma = try #require(statistics.sigmaMax)
      #expect(sigma > 0 && sigma <= (statistics.normBefore ?? 0) * (1 + 1e-6))
    }
  }

  /// The sum of n gradients by the tree: pairs, pairs of pairs, the rest from the last to the first.
  @Test(arguments: 1...9)
  func theTreeAddsInItsFixedOrder(_ n: Int) {
    let parameter = Parameter("w", shape: [2, 3])
    let values = (0..<n).map { RandomStream(seed: 5, name: "\($0)").normals(6, as: Float.self) }
    func tree(_ range: Range<Int>) -> [Float] {
      if range.count == 1 { return values[range.lowerBound] }
      var half = 1
      while 2 * half < range.count { half *= 2 }
      let middle = range.lowerBound + half
      return zip(tree(range.lowerBound..<middle), tree(middle..<range.upperBound)).map { $0 + $1 }
    }
    let sum = GradientTree([parameter])
    for _ in 0..<2 {  // twice: what is left over from the first sum must not matter
      for value in values {
        for i in 0..<6 { parameter.gradient.entries.base[i] = value[i] }
        sum.add([parameter])
      }
      sum.finish(into: [parameter])
      let got = (0..<6).map { parameter.gradient.entries.base[$0] }
      #expect(got == tree(0..<n), "\(n) micro-batches")
    }
  }

  /// No two forward passes draw the same random numbers.
  @Test func everyMicroBatchHasATapeStepOfItsOwn() throws {
    let task = Toy(microBatches: 3)
    let trainer = try trainer(task)
    for _ in 0..<2 { try trainer.advance() }
    #expect(task.tapeSteps == [0, 1, 2, 3, 4, 5])
  }

  /// The first step of SGD is the rate times the gradient, which stays where it was clipped.
  @Test(arguments: [Tape.WeightGradients.dense, .lowRank])
  func whatIsMeasuredIsWhatHappened(_ way: Tape.WeightGradients) throws {
    let task = Toy(weightGradients: way)
    let trainer = try trainer(task, rate: 0.1)
    let report = try trainer.advance(measuring: [.clip, .update])
    let (clip, update) = (try #require(report.clip), try #require(report.updateNorm))
    #expect(abs(update - 0.1 * clip.normAfter) <= 1e-6 * update && update > 0)
    for (parameter, layer) in zip(task.parameters, clip.layers) {
      let gradient = parameter.gradient.materialized.readOnly.copied()
      let sigma = try singularValues(gradient.converted(to: Double.self))
      let got = try #require(layer.statistics.sigmaMax)
      #expect(abs(got - sigma[0]) <= 1e-6 * sigma[0], "\(layer.name)")
    }
    let first = task.parameters[0].gradient.materialized.readOnly.copied()
    let sigma = try singularValues(first.converted(to: Double.self))
    #expect(sigma[1] < 0.9 * sigma[0], "one value more would not show")
  }

  /// Rank one leaves all singular values but the first: what the exact clip takes of them, over
  /// that clip's norm.
  @Test(arguments: [Tape.WeightGradients.dense, .lowRank])
  func truncationErrorsAreRelativeDistances(_ way: Tape.WeightGradients) throws {
    let probe = Toy(weightGradients: way)
    try trainer(probe).advance()
    let parameter = probe.parameters[0]
    let raw = try svd(
      parameter.gradient.materialized.readOnly.copied().converted(to: Double.self))
    let tau = 0.25 * raw.sigma[1]
    let task = Toy(weightGradients: way)
    let rule = try LayerwiseSpectralClip(
      .constant(tau),
      .randomized(rank: 1, oversampling: 2, powerIterations: 2),
      layers: task.parameters.map(\.name),
      seed: 1)
    let report = try trainer(task, rule).advance(measuring: [.clip, .truncation])
    let got = try #require(report.clip?.truncationErrors[0])
    let clipped = raw.sigma.map { min($0, tau) }
    let norm = clipped.reduce(0) { $0 + $1 * $1 }.squareRoot()
    let left = zip(raw.sigma, clipped).dropFirst().map { $0 - $1 }
    let want = left.reduce(0) { $0 + $1 * $1 }.squareRoot() / norm
    #expect(abs(got - want) <= 1e-4 * want && want > 0.1, "\(got), not \(want)")
  }

  @Test func microBatchesThatAreClippedOneByOneGiveTheirMean() throws {
    let task = Toy(microBatches: 4)
    let trainer = try trainer(task, NormClip(maximumNorm: 0.1), clipsMicroBatches: true)
    let report = try trainer.advance()
    #expect(report.loss > 0)
    var square = 0.0
    for parameter in task.parameters {
      for i in 0..<parameter.count {
        square += pow(Double(parameter.gradient.entries.base[i]), 2)
      }
    }
    #expect(square.squareRoot() <= 0.1 * (1 + 1e-6) && square > 0)
  }

  @Test(arguments: [
    (0.44, "0.4 s"), (12.4, "12 s"), (185, "3 min 05 s"), (7800, "2 h 10 min"),
    (.infinity, "an unknown time"), (.nan, "an unknown time"), (1e300, "an unknown time"),
  ])
  func durationsAreWords(_ seconds: Double, _ words: String) {
    #expect(ProgressLine.duration(seconds) == words)
  }
}
