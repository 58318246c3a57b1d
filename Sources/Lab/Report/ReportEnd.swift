// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Training
import Yams

// The end of the page, and its twin for machines.
extension ReportPage {
  var ending: [HTML] {
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

  var speed: HTML {
    let rows = (text("Benchmarks/speed.jsonl") ?? "").split(separator: "\n").compactMap {
      line -> [String]? in
      guard let node = try? compose(yaml: String(line)), let suite = node["suite"]?.float,
        let peer = node["peer"]?.float, let ratio = node["times_faster"]?.float
      else { return nil }
      let unit = node["unit"]?.string ?? ""
      return [
        node["case"]?.string ?? "", "\(significant(suite, 3)) \(unit)",
        "\(significant(peer, 3)) \(unit)", "\(significant(ratio, 3)) times",
        "\(node["cpu"]?.string ?? "") (\(node["vectors"]?.string ?? ""))",
        node["against"]?.string.map { "the suite's \($0)" }
          ?? "PyTorch \(node["torch"]?.string ?? "")",
      ]
    }
    return rows.isEmpty
      ? .tag("p", [:], "No measurements are checked in.")
      : Self.table(["case", "suite", "peer", "faster", "CPU", "peer is"], rows)
  }

  var robustness: HTML {
    let rows = (text("results/robustness.tsv") ?? "").split(separator: "\n").map {
      $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
    return rows.count < 2
      ? .tag("p", [:], "No counts are checked in.")
      : Self.table(rows[0], Array(rows.dropFirst()))
  }

  var environment: HTML {
    func machines(_ report: ClaimsReport, whose: String = "") -> [[String]] {
      Self.sets(of: report.rows).compactMap { experiment, profile in
        guard let set = try? report.results.records(of: experiment, profile) else { return nil }
        func all(_ name: String) -> String {
          Set(set.records.map { "\($0.telemetry.attributes[name] ?? "unknown")" }).sorted()
            .joined(separator: "; ")
        }
        return [
          "\(whose)\(experiment) \(profile)", all("cpu"), all("cores"), all("blas_core"),
          all("system"),
        ]
      }
    }
    return Self.table(
      ["records", "CPU", "cores", "BLAS kernels", "system"],
      machines(report) + (fresh.map { machines($0, whose: "yours: ") } ?? []))
  }

  var open: HTML {
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

  struct Entry: Encodable {
    let id, figure, statement, item, criterion, experiment, profile, horizon, verdict: String
    let family, registered: String
    let parts: [Part]
  }

  struct Part: Encodable {
    let part, statistic, direction, bound, verdict: String
    let estimate, low, high: Double?
    let n: Int
  }

  func json() throws -> String {
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

  var csv: String {
    report.table.split(separator: "\n").map { line in
      line.split(separator: "\t", omittingEmptySubsequences: false).map { field in
        field.contains(where: { ",\"".contains($0) })
          ? "\"\(field.replacingOccurrences(of: "\"", with: "\"\""))\"" : String(field)
      }.joined(separator: ",") + "\n"
    }.joined()
  }

  func text(_ path: String) -> String? {
    FileBytes.text("\(root)/\(path)")
  }
}
