import Foundation
import LinearAlgebra

/// What the records say of a claim.
package enum Verdict: String, Sendable, CaseIterable {
  /// The pre-declared criterion holds.
  case reproduced
  /// It fails, beyond the noise.
  case notReproduced = "not reproduced"
  /// The records cannot tell.
  case inconclusive
  /// Only records of profile paper can tell.
  case needsPaper = "needs profile paper"
}

/// A statement of the paper with a criterion that was fixed before the records were made.
package struct Claim: Sendable {
  /// A short name, unique in the suite.
  package let id: String
  /// Where the paper makes it.
  package let item: String
  /// The claim in our words.
  package let statement: String
  /// What must hold, with its threshold, for the verdict "reproduced".
  package let criterion: String
  /// An invariant must hold: if it does not, `spectral claims` fails.
  package let isInvariant: Bool
  /// The one profile whose records can tell, nil for the usual choice.
  package let profile: String?
  /// Looks at the records.
  package let evaluate: @Sendable (RecordSet) throws -> Finding

  /// A claim and its test.
  package init(
    id: String, item: String, profile: String? = nil, statement: String, criterion: String,
    isInvariant: Bool = false,
    evaluate: @escaping @Sendable (RecordSet) throws -> Finding
  ) {
    self.id = id
    self.item = item
    self.profile = profile
    self.statement = statement
    self.criterion = criterion
    self.isInvariant = isInvariant
    self.evaluate = evaluate
  }
}

/// The evidence for a claim.
package struct Finding: Sendable {
  /// The statistic with its interval, in words.
  package let evidence: String
  /// How many seeds.
  package let count: Int
  /// The conclusion.
  package let verdict: Verdict

  /// Evidence and conclusion.
  package init(evidence: String, count: Int, verdict: Verdict) {
    self.evidence = evidence
    self.count = count
    self.verdict = verdict
  }

  /// Tests "value < bound" (or > for `above`) on the log10 of one positive number a seed.
  ///
  /// n >= 5: 95 % bootstrap interval of the mean; 2 <= n < 5: Student's t; n < 2: inconclusive. The
  /// verdict is "reproduced" if the whole interval lies on the claimed side, "not reproduced" if it
  /// lies on the other, else "inconclusive". Zeros count as 1e-40, far below rounding.
  package static func logTest(
    _ name: String, _ values: [Double], below bound: Double? = nil, above floor: Double? = nil,
    significantDigits: Int = 2
  ) -> Finding {
    func digits(_ value: Double) -> String { String(format: "%.\(significantDigits)g", value) }
    let logs = values.map { log10(max($0, 1e-40)) }
    guard logs.count >= 2, logs.allSatisfy(\.isFinite) else {
      return Finding(
        evidence: "\(name): \(values.map { digits($0) }.joined(separator: ", "))",
        count: logs.count,
        verdict: .inconclusive)
    }
    let interval = interval(of: logs)
    let (low, high) = (pow(10, interval.lower), pow(10, interval.upper))
    var holds = true
    var fails = false
    if let bound {
      holds = holds && high < bound
      fails = fails || low >= bound
    }
    if let floor {
      holds = holds && low > floor
      fails = fails || high <= floor
    }
    return Finding(
      evidence: "\(name): \(digits(pow(10, interval.estimate))) [\(digits(low)), \(digits(high))]",
      count: logs.count, verdict: holds ? .reproduced : fails ? .notReproduced : .inconclusive)
  }

  private static func interval(of values: [Double]) -> ConfidenceInterval {
    guard values.count >= 5 else { return Statistics.tInterval(values) }
    var generator = RandomStream(seed: 0, name: "claims").cursor()
    return Statistics.bootstrapInterval(values, using: &generator) { Statistics.mean($0) }
  }

  /// Several findings that must all hold.
  package static func all(_ findings: [Finding]) -> Finding {
    let verdicts = findings.map(\.verdict)
    let verdict: Verdict =
      verdicts.allSatisfy { $0 == .reproduced }
      ? .reproduced : verdicts.contains(.notReproduced) ? .notReproduced : .inconclusive
    return Finding(
      evidence: findings.map(\.evidence).joined(separator: "; "),
      count: findings.map(\.count).min() ?? 0, verdict: verdict)
  }
}

/// Two significant digits.
package func short(_ value: Double) -> String { String(format: "%.2g", value) }

// MARK: - The report

/// All claims of the suite held against the records below a folder.
package struct ClaimsReport: Sendable {
  /// One claim with what was found.
  package struct Row: Sendable {
    /// The experiment.
    package let experiment: String
    /// The claim.
    package let claim: Claim
    /// The profile whose records were read, empty if there are none.
    package let profile: String
    /// What they say.
    package let finding: Finding
  }

  /// In the suite's order.
  package let rows: [Row]

  /// Reads the records below `results`: for each experiment those of the profiles paper, full and quick that are
  /// there, or else of smoke; a claim that names a profile is held against that.
  package init(_ suite: Suite, results: String) throws {
    var rows: [Row] = []
    for experiment in suite.experiments {
      let there = ["paper", "full", "quick", "smoke"].filter {
        FileManager.default.fileExists(atPath: "\(results)/\(experiment.name)/\($0)")
      }
      let sets = try there.filter { $0 != "smoke" || there.count == 1 }.map {
        try RecordSet(folder: "\(results)/\(experiment.name)/\($0)")
      }
      for claim in experiment.claims {
        let folder = claim.profile.map { "\(results)/\(experiment.name)/\($0)" }
        let own = try folder.map {
          FileManager.default.fileExists(atPath: $0) ? [try RecordSet(folder: $0)] : []
        }
        let sets = own ?? sets
        for (index, set) in sets.enumerated() {
          let finding = try claim.evaluate(set)
          // A weaker profile adds nothing where it cannot tell.
          guard index == 0 || finding.verdict != .needsPaper else { continue }
          rows.append(
            Row(experiment: experiment.name, claim: claim, profile: set.profile, finding: finding))
        }
        if sets.isEmpty {
          rows.append(
            Row(
              experiment: experiment.name, claim: claim, profile: claim.profile ?? "",
              finding: Finding(evidence: "no records", count: 0, verdict: .needsPaper)))
        }
      }
    }
    self.rows = rows
  }

  /// The invariants that have records and do not hold.
  package var brokenInvariants: [Row] {
    rows.filter {
      $0.claim.isInvariant && $0.finding.verdict != .reproduced && $0.finding.verdict != .needsPaper
    }
  }

  /// CLAIMS.md.
  package var markdown: String {
    var text = """
      # Claims

      Generated by `make claims` from the records; do not edit. Criteria were fixed before the records were
      made, except where a row says otherwise. Intervals are 95 %: bootstrap of the mean for n >= 5, Student's
      t for n < 5, both on the logarithm, paired by seed where two methods are compared. "Inconclusive" means
      that an interval crosses its threshold. A claim that does not reproduce is a finding, not an error; a
      broken invariant fails the build.

      | claim | in the paper | what it says | verdict | n | profile |
      |---|---|---|---|---|---|

      """
    for row in rows {
      text +=
        "| [\(row.claim.id)](#\(row.claim.id)) | \(row.claim.item) | \(row.claim.statement) | "
        + "**\(row.finding.verdict.rawValue)** | \(row.finding.count) | \(row.profile) |\n"
    }
    var previous = ""
    for row in rows {
      if row.claim.id != previous {
        text += """

          ## \(row.claim.id)

          \(row.claim.statement) (\(row.claim.item); experiment `\(row.experiment)`)

          Criterion: \(row.claim.criterion).


          """
        previous = row.claim.id
      }
      text += """
        - profile \(row.profile), n = \(row.finding.count): **\(row.finding.verdict.rawValue)** — \
        \(row.finding.evidence)

        """
    }
    return text
  }

  /// One line a claim, for the terminal.
  package var summary: String {
    rows.map { row in
      let name = row.claim.id.padding(toLength: 22, withPad: " ", startingAt: 0)
      return "\(name) \(row.claim.item), \(row.profile), n = \(row.finding.count): "
        + row.finding.verdict.rawValue
    }.joined(separator: "\n")
  }
}
