// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// One training of a candidate: a row of a search's record.
struct Trial: Codable, Equatable, Sendable {
  /// The candidate, from 0 in the order in which they were drawn.
  var candidate: Int
  /// Its round, from 0; -1 in the confirmation.
  var round: Int
  /// The seed of data, weights and batches.
  var seed: UInt64
  /// Part of the figure's full length.
  var fraction: Double
  /// The part of it that the candidate's last rung had.
  var begun = 0.0
  /// Training steps done, or to be done.
  var steps = 0
  /// What is minimized, NaN after divergence.
  var loss = Double.nan
  /// The step of divergence, -1 for none.
  var divergedAt = -1
  /// How much the arm's rule clipped, the largest share of a layer's values at a point; NaN for an arm without a rule.
  var clippedFraction = Double.nan
  var seconds = 0.0

  /// A trial to be made.
  init(candidate: Int, round: Int, seed: UInt64, fraction: Double) {
    (self.candidate, self.round, self.seed, self.fraction) = (candidate, round, seed, fraction)
  }

  /// Whether the arm's rule was there and never did anything.
  var isInert: Bool { clippedFraction == 0 }
  var isConfirmation: Bool { round < 0 }
}

/// The search of one arm (`SearchKeys`) over its hyper-parameters; what a trial is, the caller says.
///
/// Places are in fractions of the ranges that the arm states: 0 is the low end, 1 the high one, and a range that has grown
/// reaches beyond.
struct HyperparameterSearch {
  let parameters: [Hyperparameter]
  let plan: SearchKeys
  let seed: UInt64
  private let points: ScrambledHalton
  /// Every candidate's place.
  private(set) var places: [[Double]] = []
  /// The ranges as they have grown.
  private(set) var ranges: [ClosedRange<Double>]
  /// Where the next round draws.
  private var region: [ClosedRange<Double>]
  /// What was done, in order.
  private(set) var trials: [Trial] = []

  /// A best value this near to an edge of its range, as a part of the range's length, says that the range is too short.
  static let edge = 0.1
  /// By this part of its first length a range grows.
  static let growth = 0.5

  init(_ parameters: [Hyperparameter], _ plan: SearchKeys, seed: UInt64, stream: RandomStream) {
    (self.parameters, self.plan, self.seed) = (parameters, plan, seed)
    points = ScrambledHalton(dimensions: max(1, parameters.count), stream: stream)
    ranges = parameters.map { _ in 0...1 }
    region = ranges
  }

  /// The hyper-parameters at a place.
  func values(_ candidate: Int) -> Hyperparameters {
    var values = Hyperparameters()
    for (parameter, u) in zip(parameters, places[candidate]) {
      values[parameter.name] = parameter.value(at: u)
    }
    return values
  }

  // MARK: - The search

  /// Runs the whole plan; `train` makes a rung's trials, given where in the plan they stand.
  mutating func run(
    _ train: (HyperparameterSearch, [Trial], _ first: Int) throws -> [Trial]
  ) rethrows {
    var next = 0  // the plan's number of the rung's first trial, whatever was lost to divergence
    for round in 0..<plan.rounds {
      var candidates = draw(round)
      for rung in 0..<plan.rungs {
        let done = try train(
          self,
          candidates.map { candidate in
            var trial = Trial(
              candidate: candidate, round: round, seed: seed, fraction: plan.fraction(rung: rung))
            trial.begun = rung > 0 ? plan.fraction(rung: rung - 1) : 0
            return trial
          }, next)
        trials += done
        next += plan.count(rung: rung)
        candidates = Array(
          Self.ranked(done).prefix(plan.count(rung: rung + 1)).map(\.candidate))
      }
      guard round + 1 < plan.rounds else { break }
      if let best { look(around: places[best.candidate], after: round) } else { lowerRates() }
    }
    guard !plan.confirmationSeeds.isEmpty else { return }
    trials += try train(
      self,
      finalists.flatMap { finalist in
        plan.confirmationSeeds.map {
          Trial(
            candidate: finalist.candidate, round: -1, seed: $0,
            fraction: plan.confirmationFraction)
        }
      }, next)
  }

  private mutating func draw(_ round: Int) -> [Int] {
    let first = places.count
    for index in round * plan.candidates..<(round + 1) * plan.candidates {
      places.append(
        zip(points.point(index), region).map { u, range in
          range.lowerBound + u * (range.upperBound - range.lowerBound)
        })
    }
    return Array(first..<places.count)
  }

  /// Ranges grow beyond an edge that the best lies near, but not beyond what the hyper-parameter can be. The next round
  /// draws within a quarter of a range's first length around the best (an eighth in the round after that, and so on), and up
  /// to an edge that has just moved.
  private mutating func look(around best: [Double], after round: Int) {
    for (axis, u) in best.enumerated() {
      let (low, high) = (ranges[axis].lowerBound, ranges[axis].upperBound)
      let hard = parameters[axis].hardFractions
      let near = Self.edge * (high - low)
      let newLow = u - low < near ? max(hard.lowerBound, low - Self.growth) : low
      let newHigh = high - u < near ? min(hard.upperBound, high + Self.growth) : high
      ranges[axis] = newLow...newHigh
      let reach = pow(0.5, Double(round + 2))
      let from = newLow < low ? newLow : max(low, u - reach)
      let to = newHigh > high ? newHigh : min(high, u + reach)
      region[axis] = from...to
    }
  }

  /// Where no candidate came through the full length, the next round draws below the lowest rates so far.
  private mutating func lowerRates() {
    guard let range = ranges.first, let parameter = parameters.first else { return }
    let low = max(parameter.hardFractions.lowerBound, range.lowerBound - Self.growth)
    ranges[0] = low...range.upperBound
    region[0] = low...range.lowerBound
  }

  // MARK: - What came out

  /// The trials that did not diverge, best first; those whose rule never acted come last, since they say nothing of it.
  static func ranked(_ trials: [Trial]) -> [Trial] {
    let finite = trials.filter(\.loss.isFinite)
    func sorted(_ trials: [Trial]) -> [Trial] {
      trials.sorted { ($0.loss, $0.candidate) < ($1.loss, $1.candidate) }
    }
    return sorted(finite.filter { !$0.isInert }) + sorted(finite.filter(\.isInert))
  }

  /// The trials of full length.
  private var complete: [Trial] {
    trials.filter { !$0.isConfirmation && $0.fraction == 1 }
  }

  /// The best trial of full length, before the confirmation.
  var best: Trial? { Self.ranked(complete).first }

  /// The best trial of a length among those whose rule never acted, if it is better than every one of that length whose rule
  /// did; of the longest length with such a trial.
  var betterInert: Trial? {
    let rungs = trials.filter { !$0.isConfirmation && $0.loss.isFinite }
    for fraction in Set(rungs.map(\.fraction)).sorted(by: >) {
      let best = rungs.filter { $0.fraction == fraction }.min { $0.loss < $1.loss }
      if let best, best.isInert { return best }
    }
    return nil
  }

  /// Those that are confirmed, best first.
  var finalists: [Trial] { Array(Self.ranked(complete).prefix(SearchKeys.finalists)) }

  /// What the confirmation decided.
  struct Winner: Equatable {
    /// Its trial of full length.
    var trial: Trial
    /// The geometric mean of its losses on the fresh seeds; NaN without a confirmation.
    var confirmed: Double
    /// A finalist that the fresh seeds cannot tell from it.
    var tiedWith: Int?
  }

  /// The finalist with the lowest mean log loss over the fresh seeds. Of two that tie, which is where their mean difference
  /// is within its standard error, the one whose worst loss is lower. Nil where everything diverged.
  var winner: Winner? {
    let finalists = finalists
    let losses = finalists.map { finalist in
      trials.filter { $0.isConfirmation && $0.candidate == finalist.candidate }
        .map { $0.loss > 0 ? log($0.loss) : .infinity }
    }
    guard let first = finalists.first else { return nil }
    guard !plan.confirmationSeeds.isEmpty else { return Winner(trial: first, confirmed: .nan) }
    let order = finalists.indices
      .filter { losses[$0].allSatisfy(\.isFinite) }
      .sorted { (Statistics.mean(losses[$0]), $0) < (Statistics.mean(losses[$1]), $1) }
    guard let leader = order.first else { return nil }
    func wins(_ index: Int, tiedWith other: Int?) -> Winner {
      Winner(
        trial: finalists[index], confirmed: exp(Statistics.mean(losses[index])),
        tiedWith: other.map { finalists[$0].candidate })
    }
    guard order.count > 1 else { return wins(leader, tiedWith: nil) }
    let second = order[1]
    let differences = zip(losses[leader], losses[second]).map { $1 - $0 }
    guard differences.count > 1,
      Statistics.mean(differences)
        <= Statistics.sampleStandardDeviation(differences) / Double(differences.count).squareRoot()
    else { return wins(leader, tiedWith: nil) }
    let worst = { (index: Int) in losses[index].max() ?? .infinity }
    return worst(second) < worst(leader)
      ? wins(second, tiedWith: leader) : wins(leader, tiedWith: second)
  }

  /// The hyper-parameters whose value at `candidate` lies near an edge of the range as it has grown, unless that is as far as
  /// it can go.
  func atEdge(_ candidate: Int) -> [(name: String, isLow: Bool)] {
    parameters.indices.compactMap { axis in
      let (range, u) = (ranges[axis], places[candidate][axis])
      let near = Self.edge * (range.upperBound - range.lowerBound)
      let hard = parameters[axis].hardFractions
      if u - range.lowerBound < near, range.lowerBound > hard.lowerBound {
        return (parameters[axis].name, true)
      }
      if range.upperBound - u < near, range.upperBound < hard.upperBound {
        return (parameters[axis].name, false)
      }
      return nil
    }
  }
}
