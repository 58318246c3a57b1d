// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

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
  private let root: String?

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
    self.root = root
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
    guard let root, Self.git(root, ["rev-parse", "HEAD"])?.status == 0 else { return "unknown" }
    let commits = Set(
      records.map { record -> String in
        guard case .string(let commit)? = record.telemetry.attributes["commit"] else { return "" }
        return commit
      })
    guard !commits.contains(where: { $0.hasSuffix("-dirty") }) else { return "uncommitted" }
    return commits.allSatisfy { commit in
      guard !commit.isEmpty, !commit.hasPrefix("-") else { return false }
      let file = Self.git(root, ["show", "\(commit):experiments/registered.tsv"])
      return file?.status == 0
        && file?.text.split(separator: "\n").contains { $0 == row.text } ?? false
    } ? "before" : "after"
  }

  private static func git(_ root: String, _ arguments: [String]) -> (status: Int32, text: String)? {
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["git", "-C", root] + arguments
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let text = String(
      decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }
}
