// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// The page, the table and README's part of it.
@Suite struct ClaimsReportTests {
  @Test func titlesCannotBreakATable() throws {
    let nasty = "a|b\tc\nd <script>"
    let claim = Claim(
      id: "fig9-x", item: nasty, statement: nasty, criterion: nasty
    ) { _ in Evidence() }
    let finding = Finding(
      part: nasty, nasty, estimate: 1, low: 0, high: 2, .below(1), count: 3)
    let row = ClaimsReport.Row(
      experiment: "trace-regression", claim: claim, profile: "quick", horizon: nasty,
      evidence: Evidence([finding, finding], remarks: [nasty]), registered: "no", seconds: 1)
    let report = ClaimsReport(.clipping, rows: [row])
    let lines = report.table.split(separator: "\n")
    #expect(lines.count == 4)
    for line in lines {
      #expect(
        line.split(separator: "\t", omittingEmptySubsequences: false).count
          == ClaimsReport.columns.count)
    }
    let cells = try #require(
      report.page(resultsAt: "r").split(separator: "\n").first { $0.hasPrefix("|fig9-x|") })
    let bars = cells.replacingOccurrences(of: "\\|", with: "").count { $0 == "|" }
    #expect(bars == 8 && !cells.contains("<"))
    #expect(!report.details(of: "trace-regression").contains("<script>"))
  }

  @Test func aHeadingSaysOnceWhatItsRowsShare() {
    func row(_ id: String, _ item: String, count: Int?, _ profile: String) -> ClaimsReport.Row {
      let claim = Claim(id: id, item: item, statement: "s", criterion: "c") { _ in Evidence() }
      let findings = count.map {
        [Finding(part: "p", "p", estimate: 0.5, low: 0, high: 0.7, .below(1), count: $0)]
      }
      return ClaimsReport.Row(
        experiment: "trace-regression", claim: claim, profile: profile, horizon: "",
        evidence: Evidence(findings ?? []), registered: "no", seconds: 1)
    }
    let page = ClaimsReport(
      .clipping,
      rows: [
        row("a", "Fig 1", count: 3, "full"), row("b", "Fig 2", count: 5, "seeds"),
        row("c", "Fig 2", count: 3, "full"), row("d", "", count: nil, "full"),
      ]
    ).page(resultsAt: "r").split(separator: "\n").suffix(5).map(String.init)
    #expect(page[0] == "|**[trace-regression](r/trace-regression/CLAIMS.md)**||Fig 2|||3|full|")
    #expect(page[1].hasPrefix("|a|s|Fig 1|") && page[1].hasSuffix("|||"))
    #expect(page[2].hasPrefix("|b|s||") && page[2].hasSuffix("|5|seeds|"))
    #expect(page[3].hasPrefix("|c|s||") && page[3].hasSuffix("|||"))
    #expect(page[4].hasPrefix("|d|s|-|") && page[4].hasSuffix("|-||"), "\(page[4])")
  }

  /// Records of other arms, though of the same seeds, do not say when a claim's criterion was committed.
  @Test func evidenceRestsOnItsOwnArmsAndSeeds() throws {
    func record(_ method: String, _ seed: Int) -> Record {
      Record(attributes: ["method": .string(method), "seed": .int(seed)], dataSets: [])
    }
    let evidence = Evidence(seeds: [1, 2], arms: ["a"]).kept(from: .sameRuns)
    #expect(try evidence.restsOn(record("a", 2)))
    #expect(try !evidence.restsOn(record("b", 2)) && !evidence.restsOn(record("a", 3)))
    #expect(try Evidence().restsOn(record("b", 3)))
  }

  @Test func theCheckedInRecordsSayWhatReadmeAndTablesSay() throws {
    let paths = Paths()
    let root = try #require(paths.root)
    let report = try ClaimsReport(.clipping, results: paths.results)
    let readme = try String(contentsOfFile: root + "/README.md", encoding: .utf8)
    let isTrue = try report.readme(readme, at: "README.md") == readme
    #expect(isTrue, "README.md: make claims")
    let page = try String(contentsOfFile: root + "/CLAIMS.md", encoding: .utf8)
    let pageIsTrue = report.page(resultsAt: "results") == page
    #expect(pageIsTrue, "CLAIMS.md: make claims")
    #expect(page.utf8.count <= 20_000)
    /// All but what depends on the clone's history.
    func withoutRegistration(_ table: String) -> [String] {
      table.split(separator: "\n").map {
        $0.split(separator: "\t", omittingEmptySubsequences: false).dropLast().joined(
          separator: "\t")
      }
    }
    let table = try String(contentsOfFile: paths.results + "/claims.tsv", encoding: .utf8)
    let (fresh, there) = (withoutRegistration(report.table), withoutRegistration(table))
    let different = zip(fresh, there).first { $0 != $1 }.map { "\($0)\n\($1)" } ?? ""
    #expect(fresh.count == there.count && different.isEmpty, "claims.tsv: make claims \(different)")
    for experiment in Suite.clipping.experiments where !experiment.claims.isEmpty {
      func lines(_ page: String) -> [Substring] {
        page.split(separator: "\n").filter { !$0.contains("registered:") }
      }
      let file = "\(paths.results)/\(experiment.name)/CLAIMS.md"
      let there = try String(contentsOfFile: file, encoding: .utf8)
      let isTrue = lines(report.details(of: experiment.name)) == lines(there)
      #expect(isTrue, "\(file): make claims")
    }
    #expect(report.brokenInvariants.isEmpty)
    let ids = Set(report.rows.map(\.claim.id))
    for figure in Suite.clipping.figures {
      #expect(figure.claims.allSatisfy(ids.contains), "\(figure.title)")
      for (_, path) in figure.links {
        #expect(FileManager.default.fileExists(atPath: "\(root)/\(path)"), "\(path)")
      }
    }
    #expect(throws: StorageError.self) { try report.readme("no markers", at: "x") }
  }
}
