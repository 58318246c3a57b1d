// SPDX-License-Identifier: Apache-2.0

/// How much a search tries, and how long: the same for every arm, so that every arm gets the same compute.
///
/// A round begins with `candidates` that are trained for a part of the figure's full length; one of `reduction` of them goes
/// on to the next rung, which is `reduction` times as long, until the last rung trains the full length (successive halving;
/// Jamieson and Talwalkar, arXiv 1502.07943). The next round looks more closely around the best so far, or beyond an edge of
/// the range that the best lies near. At the end the best three are trained on fresh seeds for `confirmationFraction` of the
/// length, and the mean over these decides.
///
/// They are what a search adds to the workload's settings, which are those of a trial of full length.
package struct SearchKeys: ExperimentConfig {
  /// On what candidates are compared.
  package enum Selection: String, Codable, Sendable, CaseIterable {
    /// A tenth of the training data, which the trials do not train on.
    case heldOut = "held-out"
    /// What the figure reports, as the authors did.
    case reported
  }

  /// Candidates that a round begins with.
  package var candidates = 27
  /// Rounds; those after the first look around the best, or beyond an edge of the range that the best lies near.
  package var rounds = 3
  /// Lengths that a round's candidates are trained for, the last one the full length.
  package var rungs = 3
  /// Each length over the one before, and how many candidates give one that goes on.
  package var reduction = 3
  /// Fresh seeds that decide between the best three.
  package var confirmationSeeds: [UInt64] = [2001, 2002]
  /// For which part of the full length: what wins at half of it need not at its end.
  package var confirmationFraction = 0.5
  /// On what candidates are compared.
  package var selection = Selection.heldOut
  /// Filled in from the data.
  package var dataName = ""
  /// Filled in from the data.
  package var dataDigest = ""
  package var methods: [String]
  /// The seed of data, weights and batches (not one of the curves').
  package var seeds: [UInt64] = [1000]

  package static let limits: [String: ClosedRange<Int>] = [
    "candidates": 1...100_000, "rounds": 1...1000, "rungs": 1...20, "reduction": 2...1000,
  ]

  package static let later = ["confirmationFraction": "5e-1"]

  package func validate() throws {
    guard confirmationFraction > 0, confirmationFraction <= 1 else {
      throw ConfigError.value(
        "confirmationFraction", confirmationFraction, "a part of the length, in (0, 1]")
    }
    guard seeds.count == 1 else {
      throw ConfigError.value(
        "seeds", seeds, "one seed (the fresh ones of the end are confirmationSeeds)")
    }
  }
}

extension SearchKeys {
  /// How many candidates of the end are trained again.
  package static let finalists = 3

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
      + Double(Self.finalists * confirmationSeeds.count) * confirmationFraction
  }
}
