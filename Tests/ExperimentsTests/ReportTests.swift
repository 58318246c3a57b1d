// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// The report page, without a browser.
@Suite struct ReportTests {
  private func attributes(_ name: String, of page: String) -> [String] {
    ((try? Regex("\\s\(name)=\"([^\"]*)\"")).map { page.matches(of: $0) } ?? []).map {
      String($0.output[1].substring ?? "")
    }
  }

  /// The checked-in records, twice.
  @Test func thePageOfTheCheckedInRecordsIsWhole() throws {
    let paths = Paths()
    let root = try #require(paths.root)
    let report = try ClaimsReport(.clipping, results: paths.results)
    // Row 8 of the ledger is about "Figs 2b and 4", row 31 about "Figs 2c, 6a", row 38 about
    // "Fig 1, Fig 7".
    let reportPage = try ReportPage(.clipping, report, root: root)
    func rows(_ title: String) -> Set<String> {
      let figure = FigureEntry(title, make: "x", links: [])
      return Set(reportPage.ledger(of: figure, []).map { String($0.prefix { $0 != " " }) })
    }
    #expect(
      rows("4: x").contains("8") && rows("2b: x").contains("8") && !rows("2: x").contains("8"))
    #expect(rows("2c, 6a, 6b: x").contains("31") && rows("6a: x").contains("31"))
    #expect(rows("6b: x").isDisjoint(with: ["8", "31"]))
    #expect(rows("1: x").contains("38") && rows("7: x").contains("38"))
    let first = reportPage.files
    let second = try ReportPage(.clipping, report, root: root).files
    #expect(
      first.map(\.path) == second.map(\.path) && first.map(\.content) == second.map(\.content))
    #expect(Set(first.map(\.path)).count == first.count)
    let page = first[0].content
    #expect(first[0].path == "index.html" && page.utf8.count < 5_000_000)
    let ids = attributes("id", of: page)
    let repeated = Dictionary(grouping: ids) { $0 }.filter { $0.value.count > 1 }.keys.sorted()
    #expect(repeated.isEmpty, "\(repeated)")
    let beside = Set(first.map(\.path))
    for link in attributes("href", of: page) + attributes("src", of: page) {
      if link.hasPrefix("#") {
        #expect(ids.contains(String(link.dropFirst())), "\(link)")
      } else {
        #expect(beside.contains(link) || link == "data:,", "\(link) leaves the folder")
      }
    }
    // Whatever stands beside the page is reached from it.
    let reached = Set(attributes("href", of: page) + attributes("src", of: page))
    for file in first.dropFirst() { #expect(reached.contains(file.path), "\(file.path)") }
    #expect(reached.contains("data/mlp-search-full.tsv") && page.contains("within 10 % of it"))
    for claim in Suite.clipping.experiments.flatMap({ $0.claims }) {
      #expect(
        ids.contains("claim-\(claim.id)") && ids.contains("detail-\(claim.id)"), "\(claim.id)")
    }
    for (open, close) in [
      ("<table", "</table>"), ("<section", "</section>"), ("<details", "</details>"),
      ("<svg", "</svg>"),
    ] {
      #expect(
        page.components(separatedBy: open).count == page.components(separatedBy: close).count,
        "\(open)")
    }
    let json = try #require(first.first { $0.path == "claims.json" })
    let entries = try #require(
      JSONSerialization.jsonObject(with: Data(json.content.utf8)) as? [[String: Any]])
    #expect(entries.compactMap { $0["id"] as? String } == report.rows.map(\.claim.id))
    #expect(entries.compactMap { $0["verdict"] as? String } == report.rows.map(\.verdict.rawValue))
  }

  /// Nothing that a record, a claim or a picture says becomes markup.
  @Test func textIsNoMarkup() throws {
    let nasty = "\"><script>alert(1)</script><img src=x onerror=y>&'\u{0}"
    let claim = Claim(id: "fig9-x", item: nasty, statement: nasty, criterion: nasty, changed: nasty)
    {
      _ in Evidence()
    }
    let finding = Finding(part: nasty, nasty, estimate: 1, low: 0.5, high: 2, .below(1), count: 3)
    let report = ClaimsReport(
      .clipping,
      rows: [
        ClaimsReport.Row(
          experiment: nasty, claim: claim, profile: nasty, horizon: nasty,
          evidence: Evidence([finding, finding], remarks: [nasty]), registered: nasty, seconds: 1)
      ])
    let suite = Suite(
      [], figures: [FigureEntry(nasty, make: nasty, note: nasty, links: [(nasty, "none.svg")])],
      title: nasty, question: nasty)
    let page = try ReportPage(suite, report, root: "/nowhere").files[0].content
    #expect(!page.contains("<script>alert") && !page.contains("<img"))
    #expect(page.contains("&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"))
  }

  @Test func picturesKeepTheirOwnIdentifiersAndCarryNoCode() throws {
    let svg = """
      <?xml version="1.0"?>
      <svg width="9"><defs><circle id='gpDot'/></defs><use xlink:href='#gpDot' fill="url(#gpDot)"/></svg>
      """
    let inline = try #require(InlinePicture.html(svg, name: "f1", title: "a \"b\""))
    #expect(
      inline.markup == """
        <svg role="img" aria-label="a &quot;b&quot;" width="9"><defs><circle id='f1-gpDot'/></defs>\
        <use xlink:href='#f1-gpDot' fill="url(#f1-gpDot)"/></svg>
        """)
    for code in [
      "<script>x</script>", "<g onclick = 'x'/>", "<a href='javascript:x'/>", "<foreignObject/>",
    ] {
      #expect(
        InlinePicture.html(
          svg.replacingOccurrences(of: "<use", with: "\(code)<use"), name: "f", title: "t")
          == nil, "\(code)")
    }
    #expect(
      InlinePicture.html(
        svg + String(repeating: " ", count: InlinePicture.largest), name: "f", title: "t")
        == nil)
  }

  /// Where the drawing of an interval lies against its bound.
  @Test func theShadedSideIsWhereTheClaimHolds() throws {
    func plot(_ bound: Bound, _ low: Double, _ high: Double) throws -> (
      holds: ClosedRange<Double>, interval: ClosedRange<Double>
    ) {
      let finding = Finding("x", estimate: (low + high) / 2, low: low, high: high, bound, count: 3)
      let markup = try #require(ForestPlot.html(finding)).markup
      func number(_ pattern: String) throws -> Double {
        let match = try #require(markup.firstMatch(of: Regex(pattern)))
        return try #require(Double(match.output[1].substring ?? ""))
      }
      let start = try number("class=\"holds\" x=\"([0-9.]+)\"")
      let width = try number("class=\"holds\" x=\"[0-9.]+\" y=\"0\" width=\"([0-9.]+)\"")
      return (
        start...(start + width),
        try number(
          "class=\"interval\" x1=\"([0-9.]+)\"")...(try number("x2=\"([0-9.]+)\" y1=\"11\""))
      )
    }
    for (bound, low, high) in [
      (Bound.below(1), 0.2, 0.9), (.above(1), 1.1, 3), (.above(0), 0.1, 2), (.below(0), -3, -1),
      (.within(0.8, 1.25), 0.9, 1.1), (.within(-0.05, 0.05), -0.01, 0.02),
    ] {
      let drawn = try plot(bound, low, high)
      #expect(
        drawn.holds.lowerBound <= drawn.interval.lowerBound + 0.1
          && drawn.interval.upperBound <= drawn.holds.upperBound + 0.1, "\(bound)")
    }
    let fails = try plot(.below(1), 1.1, 3)
    #expect(fails.interval.lowerBound > fails.holds.upperBound)
    #expect(ForestPlot.html(Finding.exact("x", .infinity, .below(1), count: 1)) == nil)
  }
}
