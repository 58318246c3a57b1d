// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Training

/// All claims of a suite held against the records below a folder.
package struct ClaimsReport: Sendable {
  /// One claim with what the records of one profile say of it.
  package struct Row: Sendable {
    /// The experiment.
    package let experiment: String
    /// The claim.
    package let claim: Claim
    /// The profile whose records were read, or are missing.
    package let profile: String
    /// How long the runs were.
    package let horizon: String
    /// What they say.
    package let evidence: Evidence
    /// Whether the criterion was there before the records: what `Registry.status` says of those of the claim.
    package let registered: String
    /// Core time of all records of the profile.
    package let seconds: Double
    /// What the records say of the claim: that of the evidence, but a claim of a family of tests is only reproduced if it
    /// is so with Holm's correction.
    package internal(set) var verdict: Verdict

    init(
      experiment: String, claim: Claim, profile: String, horizon: String, evidence: Evidence,
      registered: String, seconds: Double
    ) {
      (self.experiment, self.claim, self.profile) = (experiment, claim, profile)
      (self.horizon, self.evidence, self.registered) = (horizon, evidence, registered)
      (self.seconds, verdict) = (seconds, evidence.verdict)
    }

    /// What the evidence says, and where the correction over the family has changed the verdict, that it has.
    package var lines: [String] {
      evidence.lines
        + (verdict == evidence.verdict
          ? []
          : [
            "reproduced by itself, but not with Holm's correction over the family \(claim.family)"
          ])
    }
  }

  /// In the suite's order, one a claim.
  package let rows: [Row]
  /// Records that judge nothing, because longer runs or more seeds are there.
  package let unjudged: [(profile: String, experiment: String)]
  /// Where the records lie.
  let results: ResultsFolder
  private let suite: Suite

  /// What runs are judged by: paper's length, ours, the same with more seeds, and what `make all` runs.
  package static let profiles = ["paper", "full", "seeds", "quick"]

  /// Reads the records below `results`. A claim that names a profile is held against that; any other against the longest
  /// runs among those of the `profiles`, of equally long ones those with the most seeds, or else
  /// against those of smoke.
  package init(_ suite: Suite, results: String, registry: Registry? = nil) throws {
    let folder = ResultsFolder(results)
    (self.suite, self.results) = (suite, folder)
    let registry = try registry ?? Registry()
    var (rows, unjudged) = ([Row](), [(profile: String, experiment: String)]())
    for experiment in suite.experiments {
      let others = try folder.usualRecords(of: experiment.name)
      let usual = others.filter { Self.profiles.contains($0.profile) }
      var judging = Set<String>()
      for claim in experiment.claims {
        let sets =
          try claim.profile.map { profile in
            try [folder.records(of: experiment.name, profile)].compactMap { $0 }
          } ?? others
        let evidence = try sets.map { ($0, try claim.evaluate($0)) }
        guard let (set, found) = evidence.first(where: { $0.1.verdict != .needsRecords }) else {
          rows.append(
            Row(
              experiment: experiment.name, claim: claim, profile: claim.profile ?? "paper",
              horizon: registry.row(claim.id)?.horizon ?? "",
              evidence: evidence.first?.1 ?? Evidence(obstacle: .noRecords("this profile")),
              registered: registry.row(claim.id) == nil ? "no" : "before", seconds: .nan))
          continue
        }
        judging.insert(set.profile)
        let behind = try set.records.filter { try found.restsOn($0) }
        rows.append(
          Row(
            experiment: experiment.name, claim: claim, profile: set.profile, horizon: set.horizon,
            evidence: found,
            registered: claim.changed == nil ? registry.status(of: claim.id, behind) : "after",
            seconds: set.coreSeconds))
      }
      unjudged += usual.filter { !judging.contains($0.profile) && !experiment.claims.isEmpty }.map {
        ($0.profile, experiment.name)
      }
    }
    self.unjudged = unjudged
    self.rows = Self.corrected(rows)
  }

  /// Rows that were made by hand.
  init(_ suite: Suite, rows: [Row]) {
    (self.suite, self.rows, unjudged) = (suite, Self.corrected(rows), [])
    results = ResultsFolder("nowhere")
  }

  /// Holm's step-down correction over the claims of a family that the records of one profile decide: of m claims the one
  /// with the i-th smallest p is reproduced if p (m - i) and all those before it, i = 0, 1, …, stay below the
  /// significance. Claims whose evidence has no p (exact numbers, ranges) stand as they are.
  private static func corrected(_ rows: [Row]) -> [Row] {
    var rows = rows
    let families = Dictionary(grouping: rows.indices) { index in
      [rows[index].experiment, rows[index].profile, rows[index].claim.family]
    }
    for family in families.values where family.count > 1 {
      let tested = family.filter { rows[$0].evidence.pValue != nil }
        .sorted { (rows[$0].evidence.pValue ?? 1, $0) < (rows[$1].evidence.pValue ?? 1, $1) }
      var holds = true
      for (place, index) in tested.enumerated() {
        let p = rows[index].evidence.pValue ?? 1
        holds = holds && p * Double(tested.count - place) <= Evidence.significance
        if !holds, rows[index].verdict == .reproduced { rows[index].verdict = .inconclusive }
      }
    }
    return rows
  }

  /// The invariants that have records and do not hold.
  package var brokenInvariants: [Row] {
    rows.filter {
      $0.claim.isInvariant && ![.reproduced, .needsRecords].contains($0.verdict)
    }
  }

  // MARK: - The page

  /// CLAIMS.md: a row a question. `path` leads from it to the folder of results.
  package func page(resultsAt path: String) -> String {
    let totals = Verdict.allCases.compactMap { verdict in
      let count = rows.count { $0.verdict == verdict }
      return count > 0 ? "\(count) \(verdict.rawValue)" : nil
    }
    var text = """
      # Claims

      Written by `make claims` from the records. \(totals.joined(separator: ", ")). The longest runs judge a claim, \
      of equally long ones those with the most seeds. Effects: the part that decides, with 95 % intervals (Student's t on \
      logarithms, paired by seed; a bootstrap from \(RunStatistics.bootstrapFrom) values on), families corrected by Holm's method. \
      "Inconclusive": an interval crosses its bound, too few runs, a rule that never acted, arms of equal runs, \
      or generated data. Empty cells: as beside the experiment's name; -: none. Criteria, parts and registration: each experiment's details and [claims.tsv](\(path)/claims.tsv).\
      \(unjudgedWords)

      """
    text += """

      |claim|what it says|in the paper|verdict|effect|n|profile|
      |---|---|---|---|---|---|---|

      """
    for experiment in suite.experiments {
      let own = rows.filter { $0.experiment == experiment.name }
      guard !own.isEmpty else { continue }
      text += block(own, "**[\(experiment.name)](\(path)/\(experiment.name)/CLAIMS.md)**")
    }
    return text
  }

  private var unjudgedWords: String {
    let parts = Self.profiles.compactMap { profile in
      let names = unjudged.filter { $0.profile == profile }.map(\.experiment)
      return names.isEmpty ? nil : "\(profile) of \(names.joined(separator: ", "))"
    }
    return parts.isEmpty ? "" : " Records that judge nothing: \(parts.joined(separator: "; "))."
  }

  /// The rows of one experiment, below a row that says once what most of them would: place, n and profile.
  private func block(_ rows: [Row], _ title: String) -> String {
    var heading = [title, "", "", "", "", "", ""]
    var cells = rows.map { row in
      [
        row.claim.id, row.claim.statement, row.claim.item, row.verdict.rawValue, row.effect,
        row.evidence.sample, row.profile,
      ]
    }
    for column in [2, 5, 6] {
      let words = cells.map { $0[column] }
      let counts = words.map { word in words.count { $0 == word } }
      guard let most = counts.max(), most > 1, let first = counts.firstIndex(of: most) else {
        continue
      }
      heading[column] = words[first]
      for row in cells.indices {
        cells[row][column] =
          words[row] == words[first] ? "" : words[row].isEmpty ? "-" : words[row]
      }
    }
    return ([heading] + cells).map { "|\($0.map(escaped).joined(separator: "|"))|\n" }.joined()
  }

  /// The claims of one experiment with criteria, all parts and remarks.
  package func details(of experiment: String) -> String {
    var text = """
      # Claims of \(experiment)

      Written by `make claims` from the records.

      """
    for row in rows where row.experiment == experiment {
      let claim = row.claim
      text += """

        ## \(claim.id)

        \(escaped(claim.statement)) (\(escaped(claim.item)))

        Criterion: \(escaped(claim.criterion)).\
        \(claim.changed.map { " Changed after records had been seen: \(escaped($0))." } ?? "")

        - profile \(row.profile)\(row.horizon.isEmpty ? "" : ", \(escaped(row.horizon))"), registered: \
        \(row.registered): **\(row.verdict.rawValue)**

        """
      for line in row.lines { text += "  - \(escaped(line))\n" }
    }
    return text
  }

  // MARK: - The table

  /// The columns of claims.tsv.
  package static let columns = [
    "id", "figure", "statement", "experiment", "profile", "horizon", "verdict", "estimate", "low",
    "high", "bound", "direction", "n", "family", "registered",
  ]

  /// claims.tsv: a row a finding; a claim of several parts has one of its own, and its parts are named id/part.
  package var table: String {
    var lines = [Self.columns]
    for row in rows {
      let findings = row.evidence.findings
      func line(_ id: String, _ statement: String, _ verdict: Verdict, _ numbers: [String]) {
        lines.append(
          [
            id, row.claim.figure, statement, row.experiment, row.profile, row.horizon,
            verdict.rawValue,
          ] + numbers + [row.claim.family, row.registered])
      }
      func numbers(_ finding: Finding) -> [String] {
        [finding.estimate, finding.low, finding.high].map(tableNumber)
          + [finding.bound.number, finding.bound.direction, "\(finding.count)"]
      }
      if findings.count == 1 {
        line(row.claim.id, row.claim.statement, row.verdict, numbers(findings[0]))
        continue
      }
      line(
        row.claim.id, row.claim.statement, row.verdict,
        ["NaN", "NaN", "NaN", "", findings.isEmpty ? "" : "all parts", "\(row.evidence.count)"])
      for (index, finding) in findings.enumerated() {
        line(
          "\(row.claim.id)/\(finding.part.isEmpty ? "\(index + 1)" : finding.part)",
          finding.statistic, finding.verdict, numbers(finding))
      }
    }
    return lines.map { $0.map(oneLine).joined(separator: "\t") + "\n" }.joined()
  }

  // MARK: - README's table of figures

  /// The table of figures, by the claims that the suite's figures name.
  package var figures: String {
    var text = """
      | figure | claim | verdict | effect [95 %] | n | command | time |
      |---|---|---|---|---|---|---|

      """
    for figure in suite.figures {
      let found = figure.claims.compactMap { id in rows.first { $0.claim.id == id } }
      let label = escaped(figure.title) + figure.links.map { " · [\($0.0)](\($0.1))" }.joined()
      if found.isEmpty {
        text += "| \(label) | \(escaped(figure.note)) | | | | `make \(figure.target)` | |\n"
      }
      for (index, row) in found.enumerated() {
        let profile = row.profile == "quick" ? "" : " PROFILE=\(row.profile)"
        text +=
          "| \(index == 0 ? label : "") "
          + markdownRow([
            row.claim.statement, row.verdict.rawValue, row.effect, row.evidence.sample,
            "`make \(figure.target)\(profile)`",
            row.seconds.isFinite ? ProgressLine.duration(row.seconds) : "",
          ])
      }
    }
    return text
  }

  /// The markers between which README's table stands.
  package static let markers = (begin: "<!-- figures:begin -->", end: "<!-- figures:end -->")

  /// `readme` with the table of figures put between its markers.
  ///
  /// Throws a `StorageError` where the markers are not there.
  package func readme(_ readme: String, at file: String) throws -> String {
    guard let begin = readme.range(of: Self.markers.begin),
      let end = readme.range(of: Self.markers.end, range: begin.upperBound..<readme.endIndex)
    else {
      throw StorageError(
        "has no table between \(Self.markers.begin) and \(Self.markers.end)", at: file,
        hint: "put the two lines where the table of figures is to stand")
    }
    return readme[..<begin.upperBound] + "\n" + figures
      + readme[end.lowerBound...]
  }

  /// One line a claim, for the terminal.
  package var summary: String {
    rows.map { row in
      let name = row.claim.id.padding(toLength: 22, withPad: " ", startingAt: 0)
      return "\(name) \(row.claim.item), \(row.profile), n = \(row.evidence.count): "
        + row.verdict.rawValue + (row.effect.isEmpty ? "" : ", \(row.effect)")
    }.joined(separator: "\n")
  }
}

extension ClaimsReport.Row {
  /// The part that decides, in short: "0.92 [0.79, 1.1], below 1", and why it decides nothing.
  package var effect: String {
    let number = evidence.deciding.map { "\($0.effect), \($0.bound.words)" }
    switch evidence.obstacle {
    case nil, .noRecords?: return number ?? ""
    case .neverActed?: return (number.map { "\($0); " } ?? "") + "rule never acted"
    case .sameRuns?: return (number.map { "\($0); " } ?? "") + "the same runs"
    case .standIn?: return (number.map { "\($0); " } ?? "") + "generated data"
    }
  }
}

/// Text as a cell or a paragraph of Markdown: no line break, nothing that ends a cell or opens a tag.
package func escaped(_ text: String) -> String {
  oneLine(text).replacingOccurrences(of: "|", with: "\\|")
    .replacingOccurrences(of: "<", with: "&lt;")
}

/// Six digits: what another machine's logarithms round differently is not in the table.
private func tableNumber(_ value: Double) -> String {
  value.isFinite ? String(format: "%.6g", value) : value.isNaN ? "NaN" : value < 0 ? "-inf" : "inf"
}

private func markdownRow(_ cells: [String]) -> String {
  "| \(cells.map(escaped).joined(separator: " | ")) |\n"
}

extension Record.Group {
  /// Of a record's telemetry: its wall-clock time, times the threads that the run kept busy; nil where it does not say.
  var coreSeconds: Double? {
    guard case .double(let seconds)? = attributes["seconds"] else { return nil }
    guard case .int(let threads)? = attributes["threads"] else { return seconds }
    return seconds * Double(threads)
  }
}

extension RecordSet {
  /// How long the runs were, by their settings: "30000 steps", "8 epochs".
  package var horizon: String {
    lengthSetting.map { "\(length) \($0)" } ?? ""
  }

  /// The number of steps or epochs; 0 where the settings have none.
  var length: Int { lengthSetting.flatMap { setting($0)?.int } ?? 0 }

  private var lengthSetting: String? { ["steps", "epochs"].first { setting($0)?.int != nil } }

  /// Core time of all records.
  package var coreSeconds: Double { records.reduce(0) { $0 + ($1.telemetry.coreSeconds ?? 0) } }
}
