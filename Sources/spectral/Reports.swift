// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Experiments
import Lab
import Foundation
import LinearAlgebra
import Storage
import Training

// The subcommands behind the figures and CLAIMS.md; the Makefile calls them.

struct Tabulate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Merge the records of a folder into the table its figure is drawn from.",
    discussion: """
      Writes OUT (tab-separated blocks of named columns), OUT.vars (gnuplot variables) and OUT.head (title and \
      description of the SVG).
      """)

  @Argument(help: "Folder of records, e.g. results/trace-regression/paper.")
  var folder: String
  @Option(help: "The table to write.")
  var out: String
  @Option(help: "The figure's title, for those who cannot see it.")
  var title = "Figure"
  @Flag(
    help: "FOLDER holds the results of all experiments: the figure of every rule on every workload."
  )
  var summary = false

  func run() throws {
    let (table, variables, stamp): (Table, String, String)
    if summary {
      let figure = try SummaryFigure(.clipping, results: folder)
      (table, stamp) = (figure.table, figure.stamp)
      variables = table.gnuplotVariables(stamp: stamp)
    } else {
      let set = try RecordSet(folder: folder)
      (table, stamp) = (try Suite.clipping.experiment(of: set).table(of: set), set.stamp)
      variables = table.gnuplotVariables(of: set)
    }
    try AtomicFile.write(table.text, to: out)
    try AtomicFile.write(variables, to: out + ".vars")
    try AtomicFile.write(Self.head(title: title, stamp: stamp), to: out + ".head")
  }

  /// Title and description of an SVG.
  static func head(title: String, stamp: String) -> String {
    func escaped(_ text: String) -> String {
      text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
        .split(whereSeparator: \.isNewline).joined(separator: " ")
    }
    return "<title>\(escaped(title))</title>\n<desc>\(escaped(stamp))</desc>\n"
  }
}

struct Caption: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Fill the numbers of the records into a caption's template.")

  @Argument(help: "Folder of records.")
  var folder: String
  @Argument(help: "Template with {{placeholders}}.")
  var template: String
  @Option(help: "The caption to write.")
  var out: String
  @Flag(
    help: "FOLDER holds the results of all experiments: the figure of every rule on every workload."
  )
  var summary = false

  func run() throws {
    guard let text = FileBytes.text(template) else {
      throw StorageError("cannot be read", at: template, hint: "name a text file")
    }
    let caption =
      try summary
      ? Suite.filled(
        template: text, file: template, SummaryFigure(.clipping, results: folder).captionValues)
      : Suite.clipping.caption(template: text, file: template, set: RecordSet(folder: folder))
    try AtomicFile.write(caption, to: out)
  }
}

struct Claims: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Hold the records against the paper's claims: CLAIMS.md, claims.tsv, details.",
    discussion:
      "Writes OUT, and below the folder of results claims.tsv and a CLAIMS.md an experiment.")

  @Option(help: "Folder of results.")
  var results = "results"
  @Option(help: "The page to write.")
  var out = "CLAIMS.md"
  @Option(help: "A README whose table of figures, between its markers, is to be written anew.")
  var readme: String?

  func run() throws {
    try checkFolder(results)
    let report = try ClaimsReport(.clipping, results: results)
    let folder = URL(fileURLWithPath: out).deletingLastPathComponent().path + "/"
    let absolute = URL(fileURLWithPath: results).path
    let path = absolute.hasPrefix(folder) ? String(absolute.dropFirst(folder.count)) : absolute
    try AtomicFile.write(report.page(resultsAt: path), to: out)
    try AtomicFile.write(report.table, to: results + "/claims.tsv")
    for experiment in Suite.clipping.experiments
    where FileManager.default.fileExists(atPath: "\(results)/\(experiment.name)")
      && !experiment.claims.isEmpty
    {
      try AtomicFile.write(
        report.details(of: experiment.name), to: "\(results)/\(experiment.name)/CLAIMS.md")
    }
    if let readme {
      guard let text = FileBytes.text(readme) else {
        throw StorageError("cannot be read", at: readme, hint: "name a README")
      }
      try AtomicFile.write(try report.readme(text, at: readme), to: readme)
    }
    try Terminal.line(report.summary)
    try Terminal.line("written: \(out)")
    guard report.brokenInvariants.isEmpty else {
      throw StorageError(
        "invariants broken: \(report.brokenInvariants.map(\.claim.id).joined(separator: ", "))",
        at: results, hint: "this is a bug here, not a finding about the paper")
    }
  }
}

struct Verdicts: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Hold one folder of records against its claims, beside what the checked-in records say.")

  @Argument(help: "Folder of records, e.g. build/results/trace-regression/quick.")
  var folder: String
  @Option(help: "Folder of the checked-in results.")
  var results = "results"

  func run() throws {
    let set = try RecordSet(folder: folder)
    let experiment = try Suite.clipping.experiment(of: set)
    try checkFolder(results)
    let kept = try ClaimsReport(Suite([experiment]), results: results).rows
    for claim in experiment.claims where claim.profile ?? set.profile == set.profile {
      let evidence = try claim.evaluate(set)
      guard evidence.verdict != .needsRecords else { continue }
      func said(_ verdict: Verdict, _ evidence: Evidence) -> String {
        [
          verdict.rawValue, evidence.deciding?.effect ?? "",
          evidence.sample.isEmpty ? "" : "n = \(evidence.sample)",
        ]
        .filter { !$0.isEmpty }.joined(separator: ", ")
      }
      try Terminal.line("\(claim.id): \(claim.statement)")
      try Terminal.line("  these records (\(set.profile)): \(said(evidence.verdict, evidence))")
      if let row = kept.first(where: { $0.claim.id == claim.id }), row.verdict != .needsRecords {
        try Terminal.line("  checked in (\(row.profile)): \(said(row.verdict, row.evidence))")
      }
    }
  }
}

struct Report: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the report: one HTML page of verdicts, figures and evidence, and claims.json.")

  @Option(help: "Folder of results.")
  var results = "results"
  @Option(help: "Folder of results to compare with those.")
  var fresh: String?
  @Option(help: "Folder of the page.")
  var out = "build/report"

  func run() throws {
    guard let root = Paths().root else {
      throw ConfigError("spectral report", "is not in the project", hint: "run it in its folder")
    }
    for folder in [results] + [fresh].compactMap(\.self) { try checkFolder(folder) }
    let page = try ReportPage(.clipping, results: results, fresh: fresh, root: root)
    for file in page.files { try AtomicFile.write(file.content, to: "\(out)/\(file.path)") }
    try Terminal.line("written: \(out)/index.html and \(page.files.count - 1) files beside it")
  }
}

struct Costs: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the measured time, memory and disk of every recorded experiment.")

  @Option(help: "Folder of results.")
  var results = "results"

  func run() throws {
    try checkFolder(results)
    try Terminal.line("\nmeasured (from the records in \(results)/):")
    for experiment in Suite.clipping.experiments {
      for profile in ["smoke"] + ClaimsReport.profiles.reversed() {
        let folder = "\(results)/\(experiment.name)/\(profile)"
        guard FileManager.default.fileExists(atPath: folder) else { continue }
        let set = try RecordSet(folder: folder)
        let records = set.records
        let time = set.coreSeconds
        let memory =
          records.compactMap { record -> Int? in
            if case .int(let bytes)? = record.telemetry.attributes["peak_memory_bytes"] {
              return bytes
            }
            return nil
          }.max() ?? 0
        let disk = records.compactMap(\.source).reduce(0) { sum, path in
          sum + (((try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? Int) ?? 0)
        }
        try Terminal.line(
          "  \(experiment.name) \(profile): \(ProgressLine.duration(time)) of core time, "
            + "\(memory / 1_000_000) MB memory, \(disk / 1000) kB of records")
      }
    }
  }
}

struct Migrate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Bring records that an older build made to today's names; numbers stay.",
    discussion:
      "Settings, arms, data sets, profiles, file names and keys; a second call changes nothing. Files among the folders are left alone."
  )

  @Argument(help: "Folders of records, e.g. results/*/*.")
  var folders: [String]

  func run() throws {
    // Of results/*/*, the pages of claims are no folders.
    let folders = folders.filter { FileBytes.isFolder($0) != false }
    guard !folders.isEmpty else { throw noRecords(in: self.folders[0]) }
    for folder in folders {
      try checkIsFolder(folder)
      let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      guard names.contains(where: { $0.hasSuffix(".h5") }) else { throw noRecords(in: folder) }
    }
    for folder in folders {
      let changed = try RecordMigration.clipping.migrate(folder: folder, .clipping)
      try Terminal.line("\(folder): \(changed) records changed")
    }
  }
}

/// Throws a `StorageError` unless `path` is a folder that holds folders of experiments: without records one has no verdicts, but a
/// mistyped one is a mistake.
private func checkFolder(_ path: String) throws {
  try checkIsFolder(path)
  guard
    Suite.clipping.experiments.contains(where: {
      FileManager.default.fileExists(atPath: "\(path)/\($0.name)")
    })
  else { throw noRecords(in: path) }
}

private func checkIsFolder(_ path: String) throws {
  guard FileBytes.isFolder(path) == true else {
    throw StorageError("is no folder of results", at: path, hint: "name one that holds records")
  }
}

private func noRecords(in path: String) -> StorageError {
  StorageError("holds no records", at: path, hint: "name a folder that does")
}
