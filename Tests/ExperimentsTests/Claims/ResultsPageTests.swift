// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Lab

/// docs/RESULTS.md against results/claims.tsv: a row that it names is there, and has the verdict that the page says.
@Suite struct ResultsPageTests {
  /// The rows by name, without the parts of claims that have several.
  private static func verdicts(_ root: String) throws -> [String: String] {
    let table = try String(contentsOfFile: root + "/results/claims.tsv", encoding: .utf8)
    let rows = table.split(separator: "\n").map {
      $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
    let (id, verdict) = try (
      #require(rows[0].firstIndex(of: "id")), #require(rows[0].firstIndex(of: "verdict"))
    )
    return Dictionary(
      uniqueKeysWithValues: rows.dropFirst().filter { !$0[id].contains("/") }
        .map { ($0[id], $0[verdict]) })
  }

  /// What is said of rows: their name or, with a star at the end, how it begins; and the verdict that comes with it, if any.
  static func mentions(in page: String) -> [(name: String, verdict: String?)] {
    let pattern =
      /`([a-z0-9]+(?:-[a-z0-9]+)*(?:-\*)?)`(?:[:,]\s+(reproduced|not\s+reproduced|inconclusive))?/
    return page.matches(of: pattern).map { match in
      (
        String(match.1),
        match.2.map { $0.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
      )
    }
  }

  /// What is wrong with what a page says of rows.
  static func faults(of page: String, rows: [String: String]) -> [String] {
    let figures = Set(rows.keys.compactMap { $0.split(separator: "-").first })
    return mentions(in: page).filter { figures.contains($0.name.split(separator: "-")[0]) }
      .flatMap { name, verdict in
        let named = rows.filter {
          name.hasSuffix("*") ? $0.key.hasPrefix(name.dropLast()) : $0.key == name
        }
        if named.isEmpty { return ["no row is called \(name)"] }
        return named.filter { verdict != nil && $0.value != verdict }
          .map { "\($0.key): \($0.value), the page says \(verdict ?? "")" }
      }
  }

  @Test func thePageSaysWhatTheRowsSay() throws {
    let root = try #require(Paths().root)
    let page = try String(contentsOfFile: root + "/docs/RESULTS.md", encoding: .utf8)
    let rows = try Self.verdicts(root)
    #expect(Self.mentions(in: page).filter { $0.verdict != nil }.count > 10)
    #expect(Self.faults(of: page, rows: rows) == [])
  }

  @Test func aWrongVerdictOrNameIsSeen() {
    let rows = ["fig9-a": "reproduced", "fig9-b": "not reproduced"]
    func faults(_ page: String) -> [String] { Self.faults(of: page, rows: rows) }
    #expect(faults("(`fig9-a`: reproduced; `fig9-b`, not\nreproduced; `fig9-*`; `--other`)") == [])
    #expect(
      faults("(`fig9-b`: reproduced)") == ["fig9-b: not reproduced, the page says reproduced"])
    #expect(
      faults("(`fig9-*`: reproduced)") == ["fig9-b: not reproduced, the page says reproduced"])
    #expect(faults("`fig9-c`") == ["no row is called fig9-c"])
  }
}
