// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Tries to break a statement: random restarts, then a local search that walks downhill in the relative slack.
public enum AdversarialSearch {
  /// The worst instance found.
  public struct Finding: Sendable {
    /// The statement.
    public let statement: Statement
    /// The instance.
    public let instance: ProofInstance
    /// Its relative slack, the smallest seen.
    public let relativeSlack: Double
    /// How many instances were tried.
    public let tried: Int
    /// How many of them violated the statement.
    public let violations: Int
  }

  /// `restarts` searches of `steps` steps each on matrices [rows, columns].
  public static func run(
    _ statement: Statement, rows: Int, columns: Int, restarts: Int, steps: Int,
    stream: RandomStream
  ) throws -> Finding {
    var cursor = stream.child(statement.rawValue).cursor()
    var (best, bestSlack) = (
      ProofInstance.random(rows: rows, columns: columns, using: &cursor), 0.0
    )
    bestSlack = try statement.evaluate(best).relativeSlack
    var (tried, violations) = (1, 0)
    for _ in 0..<restarts {
      var own = ProofInstance.random(rows: rows, columns: columns, using: &cursor)
      var slack = try statement.evaluate(own).relativeSlack
      var size = 0.5
      for _ in 0..<steps {
        var candidate = own
        // A few coordinates at a time; the size of the step adapts to its success.
        for _ in 0..<3 {
          let i = cursor.integer(below: candidate.parameters.count)
          candidate.parameters[i] += size * cursor.normal(as: Double.self)
        }
        let inequality = try statement.evaluate(candidate)
        tried += 1
        if inequality.isViolated { violations += 1 }
        if inequality.relativeSlack < slack {
          (own, slack) = (candidate, inequality.relativeSlack)
          size = min(2, size * 1.3)
        } else {
          size = max(1e-6, size * 0.93)
        }
      }
      if slack < bestSlack { (best, bestSlack) = (own, slack) }
    }
    return Finding(
      statement: statement, instance: best, relativeSlack: bestSlack, tried: tried,
      violations: violations)
  }
}
