// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Training
import Yams

// What a figure's records were made from: settings, search, ledger, machine.
extension ReportPage {
  /// A row of experiments/figures.tsv; `tuned` is the experiment that takes what a search chose.
  private struct FigureRow { let name, profile, experiment, tuned: String }

  private var figureRows: [FigureRow] {
    (text("experiments/figures.tsv") ?? "").split(separator: "\n").dropFirst().compactMap { line in
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      return fields.count < 12
        ? nil
        : FigureRow(
          name: fields[0], profile: fields[1], experiment: fields[2], tuned: fields[10])
    }
  }

  /// The profile that a picture is drawn from, as experiments/figure does: the first of the list that has records, unless the row
  /// says which. A claim is held against the longest runs instead (`ResultsFolder.usualRecords`).
  private func drawnProfile(of row: FigureRow) -> String? {
    (row.profile == "*" ? ClaimsReport.profiles : [row.profile]).first {
      (try? report.results.records(of: row.experiment, $0)) != nil
    }
  }

  /// Experiments and profiles that the pictures of `figure` are drawn from.
  func drawn(_ figure: FigureEntry) -> [(String, String)] {
    let rows = figureRows
    return figure.links.compactMap { _, path in
      let name = (path.split(separator: "/").last ?? "").prefix { $0 != "." }
      return rows.first { $0.name == name && $0.experiment != "-" }.flatMap { row in
        drawnProfile(of: row).map { (row.experiment, $0) }
      }
    }
  }

  /// The file beside the page that holds the numbers of a set; nil where no table is made of it.
  mutating func data(_ set: RecordSet, of experiment: String, _ profile: String) throws -> String? {
    let path = "data/\(experiment)-\(profile).tsv"
    if !files.contains(where: { $0.path == path }) {
      guard let table = try? suite.experiment(named: experiment).table(of: set) else { return nil }
      files.append((path, table.text))
    }
    return path
  }

  func made(_ experiment: String, _ profile: String, from set: RecordSet) throws -> HTML {
    let type = try suite.experiment(named: experiment)
    let rows = try set.records.map { record -> [String] in
      let telemetry = record.telemetry.attributes
      func said(_ name: String) -> String { telemetry[name].map { "\($0)" } ?? "" }
      var (time, memory) = ("", "")
      if case .double(let seconds)? = telemetry["seconds"] { time = ProgressLine.duration(seconds) }
      if case .int(let bytes)? = telemetry["peak_memory_bytes"] {
        memory = "\(bytes / 1_000_000) MB"
      }
      let path = record.source ?? ""
      return [
        String(path.split(separator: "/").last ?? ""), time, memory, said("cpu"),
        said("commit"), path.isEmpty ? "" : String(try Digest.sha256(ofFile: path).prefix(16)),
      ]
    }
    return Self.folded(
      "\(experiment), profile \(profile): \(set.records.count) records",
      .tag("p", [:], .text(set.stamp)),
      .tag("h3", [:], "Against the paper's configuration"), try difference(type, set),
      .tag("h3", [:], "Tuning"), tuning(experiment),
      .tag("h3", [:], "Records"),
      Self.table(["record", "time", "memory", "CPU", "commit", "SHA-256, first 16"], rows))
  }

  static func table(_ header: [String], _ rows: [[String]]) -> HTML {
    .tag(
      "div",
      [
        "class": "scroll", "tabindex": "0", "role": "region",
        "aria-label": header.joined(separator: ", "),
      ],
      .tag(
        "table", [:],
        .tag("thead", [:], .tag("tr", [:], header.map { .tag("th", ["scope": "col"], .text($0)) })),
        .tag(
          "tbody", [:],
          rows.map { .tag("tr", [:], $0.map { .tag("td", [:], .tag("code", [:], .text($0))) }) })))
  }

  /// The settings that differ from those of profile paper.
  func difference<E: Experiment>(_ type: E.Type, _ set: RecordSet) throws -> HTML {
    let file = "experiments/\(E.name)/paper.yaml"
    guard let yaml = text(file),
      let paper = try? E.defaults.overlaid(yaml: yaml, file: file).lines,
      let own = try? E.config(of: set).lines
    else { return .tag("p", [:], "There is no profile paper to compare with.") }
    func split(_ line: String) -> (String, String) {
      let parts = line.components(separatedBy: " = ")
      return (parts[0], parts.dropFirst().joined(separator: " = "))
    }
    let theirs = paper.map(split)
    let rows = own.map(split).compactMap { key, value -> [String]? in
      let other = theirs.first { $0.0 == key }?.1 ?? ""
      guard value != other, !["methods", "seeds", "hyperparameters", "dataDigest"].contains(key)
      else { return nil }
      return [key, value, other]
    }
    return rows.isEmpty
      ? .tag("p", [:], "None.") : Self.table(["setting", "these records", "profile paper"], rows)
  }

  /// What was chosen, and of each arm the range, the winner and how many trials came close to it.
  func tuning(_ experiment: String) -> HTML {
    guard let tuned = text("experiments/\(experiment)/tuned.yaml") else {
      return .tag("p", [:], "Nothing is tuned.")
    }
    let trials = neighborhoods(experiment)
    return .tag(
      "div", [:],
      trials.isEmpty
        ? .tag("p", [:], "No records of the search are checked in.")
        : Self.table(
          [
            "arm", "range of the step size", "winner", "its objective",
            "trials of its length within 10 % of it", "their step sizes", "at an edge",
          ], trials),
      .tag("pre", ["tabindex": "0"], .text(tuned)))
  }

  /// Rows of `tuning`'s table, from the records of the search; none where there are none.
  private func neighborhoods(_ experiment: String) -> [[String]] {
    guard let row = figureRows.first(where: { $0.tuned == experiment }),
      let profile = drawnProfile(of: row),
      let set = try? report.results.records(of: row.experiment, profile),
      let type = try? suite.experiment(named: row.experiment) as? any SearchExperiment.Type
    else { return [] }
    return (try? type.neighborhoods(of: set)) ?? []
  }

  /// The ledger's rows that name the figure, alone or in a list as "Figs 2b and 4", or one of its experiments.
  func ledger(of figure: FigureEntry, _ rows: [ClaimsReport.Row]) -> [String] {
    let own = Set(
      figure.title.prefix { $0 != ":" }.split(whereSeparator: { ", ".contains($0) }).map(
        String.init))
    let experiments = Set(rows.map(\.experiment))
    func names(_ line: Substring) -> Bool {
      let figures = line.matches(of: /\bFigs? (\w+(?:(?:, | and )(?:Figs? )?\w+)*)/)
        .flatMap { $0.1.matches(of: /\d\w*/).map { String($0.0) } }
      return !own.isDisjoint(with: figures)
        || experiments.contains { name in
          line.ranges(of: name).contains { range in
            line[range.upperBound...].first.map { !$0.isLetter && !$0.isNumber } ?? true
          }
        }
    }
    return (text("DISCREPANCIES.md") ?? "").split(separator: "\n")
      .filter { $0.hasPrefix("| ") && names($0) }
      .map {
        $0.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
          .joined(separator: " · ").replacingOccurrences(of: "`", with: "")
      }
  }
}
