// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Training
import Yams

/// One page for a reviewer: every verdict with its evidence, every figure with what it was made from.
///
/// Everything on it is read from files of the project, so that it is the same to the byte wherever it is made.
package struct ReportPage {
  /// The page and what stands beside it, by path below its folder.
  package internal(set) var files: [(path: String, content: String)] = []

  let suite: Suite
  let report: ClaimsReport
  /// The reader's own records, where there are some.
  let fresh: ClaimsReport?
  let root: String
  /// The claims of each figure, and at the end those that belong to none.
  let claims: [[ClaimsReport.Row]]

  /// The page for the records below `results`, compared with those below `fresh`; `root` is the project's folder.
  package init(_ suite: Suite, results: String, fresh: String? = nil, root: String) throws {
    try self.init(
      suite, ClaimsReport(suite, results: results),
      fresh: fresh.map { try ClaimsReport(suite, results: $0) }, root: root)
  }

  init(
    _ suite: Suite, _ report: ClaimsReport, fresh: ClaimsReport? = nil, root: String
  ) throws {
    (self.suite, self.report, self.fresh) = (suite, report, fresh)
    self.root = root
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

  var head: HTML {
    .tag(
      "head", [:],
      HTML(
        trusted: "<meta charset=\"utf-8\">"
          + "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
          + "<link rel=\"icon\" href=\"data:,\">"),
      .tag("title", [:], .text("\(suite.title): report")),
      .tag("style", [:], HTML(trusted: ReportStyle.css)))
  }

  var opening: HTML {
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
        "p", [:], "The same for programs: ",
        .tag("a", ["href": "claims.json"], "claims.json"), ", ",
        .tag("a", ["href": "claims.csv"], "claims.csv"), "."),
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

  static let others = [
    ("more", "Other claims"), ("speed", "Speed against PyTorch"),
    ("robustness", "Determinism and damage"),
    ("environment", "Machines"), ("open", "What was not attempted"),
  ]

  static func name(_ verdict: Verdict) -> String {
    verdict.rawValue.replacingOccurrences(of: " ", with: "-")
  }

  // MARK: - Verdicts

  var verdicts: HTML {
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

  func line(_ row: ClaimsReport.Row) -> HTML {
    let deciding = row.evidence.deciding
    var cells: [HTML] = [
      .tag(
        "td", ["class": "statement"],
        .tag("a", ["href": "#detail-\(row.claim.id)"], .text(row.claim.id)),
        HTML(trusted: "<br>"), .text("\(row.claim.statement) "),
        .tag("span", ["class": "muted"], .text(row.claim.item)),
        .tag(
          "details", ["class": "criterion"], .tag("summary", [:], "criterion"),
          .text(row.claim.criterion))),
      .tag(
        "td", ["class": "verdict \(Self.name(row.verdict))"], .text(row.verdict.rawValue)),
      .tag("td", ["class": "number"], .text(deciding?.effect ?? "")),
      .tag("td", [:], deciding.flatMap(ForestPlot.html) ?? ""),
      .tag("td", [:], .text(row.evidence.sample)),
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
          HTML(trusted: "<br>"), .text(own?.evidence.deciding?.effect ?? ""),
          HTML(trusted: "<br>"),
          .tag("span", ["class": "muted"], .text(own?.profile ?? ""))))
    }
    return .tag(
      "tr",
      [
        "id": "claim-\(row.claim.id)", "data-figure": row.claim.figure,
        "data-verdict": row.verdict.rawValue, "data-profile": row.profile,
      ], cells)
  }

  // MARK: - A figure

  mutating func section(_ figure: FigureEntry, number: Int) throws -> HTML {
    let rows = claims[number]
    var parts: [HTML] = [
      .tag("h2", ["id": "h-figure-\(number)"], .text(figure.title)),
      .tag("p", [:], "Command: ", .tag("code", [:], .text("make \(figure.target)"))),
    ]
    if !figure.note.isEmpty { parts.append(.tag("p", [:], .text(figure.note))) }
    for (place, link) in figure.links.enumerated() {
      parts += try picture(link.1, name: "f\(number)p\(place)", title: "\(figure.title), \(link.0)")
    }
    var sets = drawn(figure)
    for set in Self.sets(of: rows) where !sets.contains(where: { $0 == set }) { sets.append(set) }
    let origins = try sets.compactMap { experiment, profile in
      try report.results.records(of: experiment, profile).map { (experiment, profile, $0) }
    }
    let numbers = try origins.compactMap { try data($0.2, of: $0.0, $0.1) }
    if !numbers.isEmpty {
      parts.append(
        .tag(
          "p", [:],
          [HTML("Numbers, tab-separated: ")]
            + numbers.enumerated().map { place, path in
              .tag("span", [:], place > 0 ? ", " : "", .tag("a", ["href": path], .text(path)))
            }))
    }
    parts += rows.map(details)
    for (experiment, profile, set) in origins {
      parts.append(try made(experiment, profile, from: set))
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

  static func folded(_ title: String, _ content: HTML...) -> HTML {
    .tag("details", [:], [.tag("summary", [:], .text(title))] + content)
  }

  static func sets(of rows: [ClaimsReport.Row]) -> [(String, String)] {
    var found: [(String, String)] = []
    for row in rows where row.verdict != .needsRecords {
      if !found.contains(where: { $0 == (row.experiment, row.profile) }) {
        found.append((row.experiment, row.profile))
      }
    }
    return found
  }

  /// The picture with its caption, inside the page or beside it; a link to a text is its caption alone.
  mutating func picture(_ path: String, name: String, title: String) throws -> [HTML] {
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

  func details(_ row: ClaimsReport.Row) -> HTML {
    let claim = row.claim
    var content: [HTML] = [
      .tag("p", [:], .tag("strong", [:], "Criterion: "), .text(claim.criterion)),
      .tag(
        "p", [:],
        .text(
          "Registered: \(row.registered). Family: \(claim.family). Profile \(row.profile)"
            + (row.horizon.isEmpty ? "." : ", \(row.horizon).")
            + (claim.changed.map { " Changed after records had been seen: \($0)." } ?? ""))),
      .tag("ul", [:], row.lines.map { .tag("li", [:], .text($0)) }),
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
}
