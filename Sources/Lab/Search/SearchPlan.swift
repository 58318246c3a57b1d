// SPDX-License-Identifier: Apache-2.0

/// How much a search tries, and how long: the same for every arm, so that every arm gets the same compute.
///
/// A round begins with `candidates` that are trained for a part of the figure's full length; one of `reduction` of them goes
/// on to the next rung, which is `reduction` times as long, until the last rung trains the full length (successive halving;
/// Jamieson and Talwalkar, arXiv 1502.07943). The next round looks more closely around the best so far, or beyond an edge of
/// the range that the best lies near. At the end the best three are trained on fresh seeds for half the length, and the mean
/// over these decides.
package struct SearchPlan: Equatable, Sendable {
  /// Candidates that a round begins with.
  package var candidates: Int
  /// Rounds.
  package var rounds: Int
  /// Rungs of a round.
  package var rungs: Int
  /// η: each rung is so many times as long as the one before, and takes one of so many candidates.
  package var reduction: Int
  /// Seeds on which the best are trained again; none for taking the best as it is.
  package var confirmationSeeds: [UInt64]

  /// How many candidates of the end are trained again.
  package static let finalists = 3
  /// Part of the full length of the confirmation.
  package static let confirmationFraction = 0.5

  /// A plan.
  package init(
    candidates: Int, rounds: Int, rungs: Int, reduction: Int, confirmationSeeds: [UInt64]
  ) {
    (self.candidates, self.rounds, self.rungs) = (candidates, rounds, rungs)
    (self.reduction, self.confirmationSeeds) = (reduction, confirmationSeeds)
  }

  /// Candidates in `rung` = 0, 1, ….
  package func count(rung: Int) -> Int {
    (0..<rung).reduce(candidates) { count, _ in max(1, count / reduction) }
  }

  /// Part of the full length after `rung`.
  package func fraction(rung: Int) -> Double {
    (rung + 1..<max(rungs, rung + 1)).reduce(1) { fraction, _ in fraction / Double(reduction) }
  }

  /// The trials of all rounds and of the confirmation, if no candidate is lost to divergence.
  package var trialCount: Int {
    rounds * (0..<rungs).reduce(0) { $0 + count(rung: $1) }
      + Self.finalists * confirmationSeeds.count
  }

  /// Training that an arm gets, in full lengths: of every trial from its start, or only what it adds to the rung before.
  package func work(continuing: Bool) -> Double {
    let perRound = (0..<rungs).reduce(0.0) { work, rung in
      let before = continuing && rung > 0 ? fraction(rung: rung - 1) : 0
      return work + Double(count(rung: rung)) * (fraction(rung: rung) - before)
    }
    return Double(rounds) * perRound
      + Double(Self.finalists * confirmationSeeds.count) * Self.confirmationFraction
  }
}
