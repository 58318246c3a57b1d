import Foundation
import Storage
import Training
import Yams

// What a figure's records were made from: settings, search, ledger, machine.
extension ReportPage {
  mutating func made(_ experiment: String, _ profile: String) throws -> HTML {
    let set = try RecordSet(folder: "\(results)/\(experiment)/\(profile)")
    let type = try suite.experiment(named: experiment)
    let data = "data/\(experiment)-\(profile).tsv"
    if !files.contains(where: { $0.path == data }), let table = try? type.table(of: set) {
      files.append((data, table.text))
    }
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
      .tag("p", [:], "Numbers of the figure: ", .tag("a", ["href": data], .text(data))),
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

  func tuning(_ experiment: String) -> HTML {
    guard let tuned = text("experiments/\(experiment)/tuned.yaml") else {
      return .tag("p", [:], "Nothing is tuned.")
    }
    return .tag(
      "pre", ["tabindex": "0"], .text(tuned))
  }

  /// The ledger's rows that name the figure or one of its experiments.
  func ledger(of figure: FigureEntry, _ rows: [ClaimsReport.Row]) -> [String] {
    let numbers = figure.title.prefix { $0 != ":" }.split(whereSeparator: { ", ".contains($0) })
    let terms =
      numbers.flatMap { ["Fig \($0)", "Figs \($0)"] } + Set(rows.map(\.experiment)).sorted()
    let lines = (text("DISCREPANCIES.md") ?? "").split(separator: "\n")
    return lines.filter { line in
      line.hasPrefix("| ")
        && terms.contains { term in
          line.range(of: term).map { range in
            range.upperBound == line.endIndex
              || !line[range.upperBound].isLetter
                && !line[range.upperBound].isNumber
          } ?? false
        }
    }.map {
      $0.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        .joined(separator: " · ").replacingOccurrences(of: "`", with: "")
    }
  }
}
