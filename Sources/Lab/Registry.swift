// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Synchronization

/// Criteria that were committed before the records they are for: experiments/registered.tsv.
package struct Registry: Sendable {
  /// One criterion.
  package struct Row: Sendable, Equatable {
    /// The claim.
    package let id: String
    /// What is computed.
    package let statistic: String
    /// On which side of the bound it must lie.
    package let direction: String
    /// The bound.
    package let bound: Double
    /// The family of tests it belongs to.
    package let family: String
    /// How many seeds decide.
    package let count: Int
    /// At which length of training.
    package let horizon: String
    /// The line of the file.
    package let text: String
  }

  /// In the file's order.
  package let rows: [Row]
  private let history: CriteriaHistory?

  /// Reads the project's file; empty outside a project.
  ///
  /// Throws a `StorageError` for a file that is not of its form.
  package init(_ paths: Paths = Paths()) throws {
    let file = paths.registeredCriteria
    let text = FileBytes.text(file)
    try self.init(text: text ?? "", file: file, root: paths.root)
  }

  /// The criteria in `text`.
  init(text: String, file: String, root: String?) throws {
    history = root.map { CriteriaHistory(root: $0) }
    rows = try text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
      .dropFirst().filter { !$0.element.isEmpty }.map { index, line in
        let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        guard fields.count == 7, let bound = Double(fields[3]), let count = Int(fields[5]) else {
          throw StorageError(
            "line \(index + 1) is not id, statistic, direction, bound, family, n, horizon",
            at: file, hint: "correct it")
        }
        return Row(
          id: fields[0], statistic: fields[1], direction: fields[2], bound: bound,
          family: fields[4], count: count, horizon: fields[6], text: String(line))
      }
  }

  /// The criterion of a claim.
  package func row(_ id: String) -> Row? { rows.first { $0.id == id } }

  /// Whether the criterion of `id` was there before all of `records` were made: "before" if its row, as it stands now, is in the
  /// file at every record's commit, else "after"; "uncommitted" where sources had changes that no commit tells when a
  /// record was made; "no" without a row or with fewer seeds than it states, "unknown" without git.
  package func status(of id: String, _ records: [Record]) -> String {
    guard let row = row(id) else { return "no" }
    guard !records.isEmpty else { return "no records" }
    let seeds = Set(records.compactMap { try? $0.int(attribute: "seed") })
    guard seeds.count >= row.count else { return "no" }
    guard let history, history.isThere else { return "unknown" }
    let commits = Set(
      records.map { record -> String in
        guard case .string(let commit)? = record.telemetry.attributes["commit"] else { return "" }
        return commit
      })
    guard !commits.contains(where: { $0.hasSuffix("-dirty") }) else { return "uncommitted" }
    return commits.allSatisfy { history.lines(at: $0).contains(row.text) } ? "before" : "after"
  }
}

/// The file of criteria at the project's commits; git is asked once a commit.
private final class CriteriaHistory: Sendable {
  private let root: String
  private let known = Mutex((isThere: Bool?.none, lines: [String: Set<String>]()))

  init(root: String) { self.root = root }

  /// Whether git knows the project.
  var isThere: Bool {
    known.withLock { known in
      let isThere = known.isThere ?? (git("rev-parse", "HEAD") != nil)
      known.isThere = isThere
      return isThere
    }
  }

  /// The lines at a commit, none where it or the file is unknown.
  func lines(at commit: String) -> Set<String> {
    known.withLock { known in
      if let lines = known.lines[commit] { return lines }
      let isName = !commit.isEmpty && !commit.hasPrefix("-")
      let text = isName ? git("show", "\(commit):experiments/registered.tsv") : nil
      let lines = Set((text ?? "").split(separator: "\n").map(String.init))
      known.lines[commit] = lines
      return lines
    }
  }

  /// What git prints, nil where it fails.
  private func git(_ arguments: String...) -> String? {
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["git", "-C", root] + arguments
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let text = String(
      decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return process.terminationStatus == 0 ? text : nil
  }
}
