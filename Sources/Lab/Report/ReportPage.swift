import Foundation
import Storage
import Training
import Yams

/// One page for a reviewer: every verdict with its evidence, every figure with what it was made from.
///
/// Everything on it is read from files of the project, so that it is the same to the byte wherever it is made.
package struct ReportPage {
  /// The page and what stands beside it, by path below its folder.
  package private(set) var files: [(path: String, content: String)] = []

  private let suite: Suite
  private let report: ClaimsReport
  /// The reader's own records, where there are some.
  private let fresh: ClaimsReport?
  private let root: String
  private let results: String
  /// The claims of each figure, and at the end those that belong to none.
  private let claims: [[ClaimsReport.Row]]

  /// The page for the records below `results`, compared with those below `fresh`; `root` is the project's folder.
  package init(_ suite: Suite, results: String, fresh: String? = nil, root: String) throws {
    try self.init(
      suite, ClaimsReport(suite, results: results), results: results,
      fresh: fresh.map { try ClaimsReport(suite, results: $0) }, root: root)
  }

  init(
    _ suite: Suite, _ report: ClaimsReport, results: String, fresh: ClaimsReport? = nil,
    root: String
  ) throws {
    (self.suite, self.report, self.fresh) = (suite, report, fresh)
    (self.root, self.results) = (root, results)
    var rest = report.rows
    claims =
      suite.figures.map { figure in
        func belongs(_ row: ClaimsReport.Row) -> Bool {
          figure.claims.contains { $0.prefix { $0 != "-" } == row.claim.figure }
        }
        defer { rest.removeAll(where: belongs) }
        return rest.filter(belongs)
      } + [rest]
    let sections = try suite.figures.enumerated().map { try section($1, number: $0) }
    let page = HTML.tag(
      "html", ["lang": "en"], head,
      .tag(
        "body", [:], .tag("a", ["class": "skip", "href": "#main"], "Skip to the verdicts"),
        opening, .tag("main", ["id": "main"], [verdicts] + sections + ending),
        .tag("script", [:], HTML(trusted: ReportStyle.script))))
    files.insert(("index.html", "<!DOCTYPE html>\n\(page.markup)\n"), at: 0)
    files.append(("claims.json", try json()))
    files.append(("claims.csv", csv))
  }

  // MARK: - Head and first screen

  private var head: HTML {
    .tag(
      "head", [:],
      HTML(
        trusted: "<meta charset=\"utf-8\">"
          + "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
          + "<link rel=\"icon\" href=\"data:,\">"),
      .tag("title", [:], .text("\(suite.title): report")),
      .tag("style", [:], HTML(trusted: ReportStyle.css)))
  }

  private var opening: HTML {
    let totals = Verdict.allCases.map { verdict in
      HTML.tag(
        "li", ["class": Self.name(verdict)],
        .tag("b", [:], .text("\(report.rows.count { $0.verdict == verdict })")),
        .text(verdict.rawValue))
    }
    let contents = suite.figures.enumerated().map { number, figure in
      HTML.tag("li", [:], .tag("a", ["href": "#figure-\(number)"], .text(figure.title)))
    }
    return .tag(
      "header", [:], .tag("h1", [:], .text(suite.title)),
      .tag("p", [:], .text(suite.question)), .tag("ul", ["class": "totals"], totals),
      .tag(
        "nav", ["aria-label": "Figures"],
        .tag(
          "details", [:], .tag("summary", [:], "Figures and what follows them"),
          .tag(
            "ul", [:],
            contents
              + Self.others.map { id, title in
                .tag("li", [:], .tag("a", ["href": "#\(id)"], .text(title)))
              }))))
  }

  private static let others = [
    ("more", "Other claims"), ("speed", "Speed against PyTorch"),
    ("robustness", "Determinism and damage"),
    ("environment", "Machines"), ("open", "What was not attempted"),
  ]

  static func name(_ verdict: Verdict) -> String {
    verdict.rawValue.replacingOccurrences(of: " ", with: "-")
  }

  // MARK: - Verdicts

  private var verdicts: HTML {
    func select(_ name: String, _ label: String, _ values: [String]) -> HTML {
      .tag(
        "label", [:], .text("\(label) "),
        .tag(
          "select", ["name": name],
          [.tag("option", ["value": ""], "all")]
            + values.map { .tag("option", ["value": $0], .text($0)) }))
    }
    func distinct(_ values: [String]) -> [String] {
      values.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
    let header =
      [
        "claim", "verdict", "effect", "interval and bound", "n", "profile", "registered",
      ] + (fresh == nil ? [] : ["your records"])
    return .tag(
      "section", ["aria-labelledby": "h-verdicts"],
      .tag("h2", ["id": "h-verdicts"], "Verdicts"),
      .tag(
        "p", [:],
        "The shaded side of a drawing is where the claim holds; the whole interval must lie there. Registered “before”: the criterion was committed before the records that judge it were computed."
      ),
      .tag(
        "form", ["class": "filters", "hidden": "", "aria-label": "Filter the table"],
        select("figure", "Figure", distinct(report.rows.map(\.claim.figure))),
        select("verdict", "Verdict", Verdict.allCases.map(\.rawValue)),
        select("profile", "Profile", distinct(report.rows.map(\.profile))),
        .tag("output", ["id": "shown", "aria-live": "polite"])),
      .tag(
        "div", ["class": "scroll", "tabindex": "0", "role": "region", "aria-label": "Verdicts"],
        .tag(
          "table", ["id": "verdicts"],
          .tag(
            "thead", [:],
            .tag("tr", [:], header.map { .tag("th", ["scope": "col"], .text($0)) })),
          .tag("tbody", [:], report.rows.map(line)))))
  }

  private func line(_ row: ClaimsReport.Row) -> HTML {
    let deciding = row.evidence.deciding
    var cells: [HTML] = [
      .tag(
        "td", ["class": "statement"],
        .tag("a", ["href": "#detail-\(row.claim.id)"], .text(row.claim.id)),
        HTML(trusted: "<br>"), .text("\(row.claim.statement) "),
        .tag("span", ["class": "muted"], .text(row.claim.item))),
      .tag(
        "td", ["class": "verdict \(Self.name(row.verdict))"], .text(row.verdict.rawValue)),
      .tag("td", ["class": "number"], .text(deciding?.effect ?? "")),
      .tag("td", [:], deciding.flatMap(ForestPlot.html) ?? ""),
      .tag("td", ["class": "number"], .text(row.evidence.sample)),
      .tag(
        "td", [:], .text(row.profile), HTML(trusted: "<br>"),
        .tag("span", ["class": "muted"], .text(row.horizon))),
      .tag("td", [:], .text(row.registered)),
    ]
    if let fresh {
      let own = fresh.rows.first { $0.claim.id == row.claim.id }
      let verdict = own?.verdict ?? .needsRecords
      cells.append(
        .tag(
          "td", [:],
          .tag("span", ["class": "verdict \(Self.name(verdict))"], .text(verdict.rawValue)),
          HTML(trusted: "<br>"), .text(own.map { "\($0.effect) \($0.profile)" } ?? "")))
    }
    return .tag(
      "tr",
      [
        "id": "claim-\(row.claim.id)", "data-figure": row.claim.figure,
        "data-verdict": row.verdict.rawValue, "data-profile": row.profile,
      ], cells)
  }

  // MARK: - A figure

  private mutating func section(_ figure: FigureEntry, number: Int) throws -> HTML {
    let rows = claims[number]
    var parts: [HTML] = [
      .tag("h2", ["id": "h-figure-\(number)"], .text(figure.title)),
      .tag("p", [:], "Command: ", .tag("code", [:], .text("make \(figure.target)"))),
    ]
    if !figure.note.isEmpty { parts.append(.tag("p", [:], .text(figure.note))) }
    for (place, link) in figure.links.enumerated() {
      parts += try picture(link.1, name: "f\(number)p\(place)", title: "\(figure.title), \(link.0)")
    }
    parts += rows.map(details)
    for (experiment, profile) in Self.sets(of: rows) {
      parts.append(try made(experiment, profile))
    }
    let ledger = ledger(of: figure, rows)
    if !ledger.isEmpty {
      parts.append(
        Self.folded(
          "Where text and code of the paper differ",
          .tag("ul", [:], ledger.map { .tag("li", [:], .text($0)) })))
    }
    return .tag(
      "section", ["id": "figure-\(number)", "aria-labelledby": "h-figure-\(number)"], parts)
  }

  private static func folded(_ title: String, _ content: HTML...) -> HTML {
    .tag("details", [:], [.tag("summary", [:], .text(title))] + content)
  }

  private static func sets(of rows: [ClaimsReport.Row]) -> [(String, String)] {
    var found: [(String, String)] = []
    for row in rows where row.verdict != .needsRecords {
      if !found.contains(where: { $0 == (row.experiment, row.profile) }) {
        found.append((row.experiment, row.profile))
      }
    }
    return found
  }

  /// The picture with its caption, inside the page or beside it; a link to a text is its caption alone.
  private mutating func picture(_ path: String, name: String, title: String) throws -> [HTML] {
    var content: [HTML] = []
    if path.hasSuffix(".svg"), let svg = text(path) {
      if let inline = InlinePicture.html(svg, name: name, title: title) {
        content.append(.tag("div", ["class": "picture"], inline))
      } else {
        let file = "figures/\(path.split(separator: "/").last ?? "")"
        files.append((file, svg))
        content.append(
          .tag(
            "div", ["class": "picture"],
            HTML(
              trusted:
                "<img loading=\"lazy\" src=\"\(HTML.text(file).markup)\" alt=\"\(HTML.text(title).markup)\">"
            )))
      }
    }
    let stem = path.hasSuffix(".caption.md") ? path : path.dropLast(4) + ".caption.md"
    if !path.hasSuffix(".docc"), path.hasSuffix(".svg") || path.hasSuffix(".caption.md"),
      let caption = text(stem)
    {
      content.append(.tag("figcaption", [:], .caption(caption)))
    }
    return content.isEmpty ? [] : [.tag("figure", [:], content)]
  }

  private func details(_ row: ClaimsReport.Row) -> HTML {
    let claim = row.claim
    var content: [HTML] = [
      .tag("p", [:], .tag("strong", [:], "Criterion: "), .text(claim.criterion)),
      .tag(
        "p", [:],
        .text(
          "Registered: \(row.registered). Family: \(claim.family). Profile \(row.profile)"
            + (row.horizon.isEmpty ? "." : ", \(row.horizon).")
            + (claim.changed.map { " Changed after records had been seen: \($0)." } ?? ""))),
      .tag("ul", [:], row.evidence.lines.map { .tag("li", [:], .text($0)) }),
    ]
    let single = row.evidence.findings.compactMap { finding in
      finding.values.map { values in
        HTML.tag(
          "li", [:],
          .text(
            "\(finding.statistic): \(values.map { significant($0, 4) }.joined(separator: ", "))"))
      }
    }
    if !single.isEmpty {
      content.append(Self.folded("One by one", .tag("ul", [:], single)))
    }
    return .tag(
      "details", ["id": "detail-\(claim.id)"],
      [
        .tag(
          "summary", [:],
          .tag("span", ["class": "verdict \(Self.name(row.verdict))"], .text(row.verdict.rawValue)),
          .text(" · \(claim.id) · \(claim.statement)"))
      ] + content)
  }

  // MARK: - What it was made from

  private mutating func made(_ experiment: String, _ profile: String) throws -> HTML {
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

  private static func table(_ header: [String], _ rows: [[String]]) -> HTML {
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
  private func difference<E: Experiment>(_ type: E.Type, _ set: RecordSet) throws -> HTML {
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

  private func tuning(_ experiment: String) -> HTML {
    guard let tuned = text("experiments/\(experiment)/tuned.yaml") else {
      return .tag("p", [:], "Nothing is tuned.")
    }
    return .tag(
      "pre", ["tabindex": "0"], .text(tuned))
  }

  /// The ledger's rows that name the figure or one of its experiments.
  private func ledger(of figure: FigureEntry, _ rows: [ClaimsReport.Row]) -> [String] {
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

  // MARK: - The end of the page

  private var ending: [HTML] {
    let more = claims[suite.figures.count].map(details)
    let contents = [
      more.isEmpty ? .tag("p", [:], "None.") : .tag("div", [:], more), speed, robustness,
      environment, open,
    ]
    return zip(Self.others, contents).map { other, content in
      .tag(
        "section", ["id": other.0, "aria-labelledby": "h-\(other.0)"],
        .tag("h2", ["id": "h-\(other.0)"], .text(other.1)), content)
    }
  }

  private var speed: HTML {
    let rows = (text("Benchmarks/gpt.jsonl") ?? "").split(separator: "\n").compactMap {
      line -> [String]? in
      guard let node = try? compose(yaml: String(line)), let suite = node["suite"]?.float,
        let peer = node["peer"]?.float
      else { return nil }
      let unit = node["unit"]?.string ?? ""
      return [
        node["case"]?.string ?? "", "\(significant(suite, 3)) \(unit)",
        "\(significant(peer, 3)) \(unit)", "\(significant(peer / suite, 3)) times",
        "\(node["cpu"]?.string ?? "") (\(node["vectors"]?.string ?? ""))",
        "PyTorch \(node["torch"]?.string ?? "")",
      ]
    }
    return rows.isEmpty
      ? .tag("p", [:], "No measurements are checked in.")
      : Self.table(["case", "suite", "PyTorch", "faster", "CPU", "peer"], rows)
  }

  private var robustness: HTML {
    let rows = (text("results/robustness.tsv") ?? "").split(separator: "\n").map {
      $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
    return rows.count < 2
      ? .tag("p", [:], "No counts are checked in.")
      : Self.table(rows[0], Array(rows.dropFirst()))
  }

  private var environment: HTML {
    func machines(_ report: ClaimsReport?, _ folder: String) -> [[String]] {
      Self.sets(of: report?.rows ?? []).compactMap { experiment, profile in
        guard let set = try? RecordSet(folder: "\(folder)/\(experiment)/\(profile)") else {
          return nil
        }
        func all(_ name: String) -> String {
          Set(set.records.map { "\($0.telemetry.attributes[name] ?? "unknown")" }).sorted()
            .joined(separator: "; ")
        }
        return [
          "\(experiment) \(profile)", all("cpu"), all("cores"), all("blas_core"), all("system"),
        ]
      }
    }
    return Self.table(
      ["records", "CPU", "cores", "BLAS kernels", "system"], machines(report, results))
  }

  private var open: HTML {
    let missing = report.rows.filter { $0.verdict == .needsRecords }.map {
      HTML.tag("li", [:], .text("\($0.claim.id): \($0.claim.statement)"))
    }
    let plan = (text("experiments/campaign.tsv") ?? "").split(separator: "\n")
      .filter { !$0.hasPrefix("#") }
      .map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
    return .tag(
      "div", [:],
      .tag("h3", [:], "Claims without records"),
      missing.isEmpty ? .tag("p", [:], "None.") : .tag("ul", [:], missing),
      .tag("h3", [:], "The long runs, those done and those to come"),
      Self.table(
        ["name", "profile", "experiment", "command", "core-hours", "decides"],
        plan.filter { $0.count == 6 }))
  }

  // MARK: - For machines

  private struct Entry: Encodable {
    let id, figure, statement, item, criterion, experiment, profile, horizon, verdict: String
    let family, registered: String
    let parts: [Part]
  }

  private struct Part: Encodable {
    let part, statistic, direction, bound, verdict: String
    let estimate, low, high: Double?
    let n: Int
  }

  private func json() throws -> String {
    func finite(_ value: Double) -> Double? { value.isFinite ? value : nil }
    let entries = report.rows.map { row in
      Entry(
        id: row.claim.id, figure: row.claim.figure, statement: row.claim.statement,
        item: row.claim.item, criterion: row.claim.criterion, experiment: row.experiment,
        profile: row.profile, horizon: row.horizon, verdict: row.verdict.rawValue,
        family: row.claim.family, registered: row.registered,
        parts: row.evidence.findings.map {
          Part(
            part: $0.part, statistic: $0.statistic, direction: $0.bound.direction,
            bound: $0.bound.number, verdict: $0.verdict.rawValue, estimate: finite($0.estimate),
            low: finite($0.low), high: finite($0.high), n: $0.count)
        })
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(entries), as: UTF8.self) + "\n"
  }

  private var csv: String {
    report.table.split(separator: "\n").map { line in
      line.split(separator: "\t", omittingEmptySubsequences: false).map { field in
        field.contains(where: { ",\"".contains($0) })
          ? "\"\(field.replacingOccurrences(of: "\"", with: "\"\""))\"" : String(field)
      }.joined(separator: ",") + "\n"
    }.joined()
  }

  private func text(_ path: String) -> String? {
    try? String(contentsOfFile: "\(root)/\(path)", encoding: .utf8)
  }
}
