// SPDX-License-Identifier: Apache-2.0

import Experiments
import Foundation
import Lab
import Storage

/// Every change of what the records of an experiment say, held against all that reads them: tables, captions, claims, tuned values.
///
/// A process goes through the cases of a folder and says where it is; one that dies of a case is followed by another that goes on
/// behind it.
struct RecordSweep: Sendable {
  /// A folder of records: of its first two seeds, and of each kind of record one that is changed.
  let folder: String
  private let records: [Record]
  private let cases: [(record: Int, mutation: RecordMutation)]

  init(folder: String) throws {
    self.folder = folder
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    let all = try names.filter { $0.hasSuffix(".h5") }
      .map { try Record.read(from: "\(folder)/\($0)") }
    let seeds = Set(try all.map { try $0.int(attribute: "seed") }).sorted().prefix(2)
    let records = try all.filter { seeds.contains(try $0.int(attribute: "seed")) }
    self.records = records
    var kinds: Set<[String]> = []
    cases = records.indices.filter { kinds.insert(records[$0].root.dataSets.map(\.name)).inserted }
      .flatMap { record in
        RecordMutation.all(of: records[record]).map { (record, $0) }
      }
  }

  var count: Int { cases.count }

  /// The folders of the checked-in results, an experiment each.
  static func folders(in results: String) throws -> [String] {
    let files = FileManager.default
    return try files.contentsOfDirectory(atPath: results).sorted().compactMap { name in
      ClaimsReport.profiles.map { "\(results)/\(name)/\($0)" }
        .first(where: files.fileExists)
    }
  }

  // MARK: - The process that reads

  /// Goes through the cases from `first` on, a line on standard output before each; one that takes longer than `seconds` ends the
  /// process.
  func read(from first: Int, seconds: Double) throws {
    for number in first..<max(first, cases.count) {
      try Terminal.line("\(number)")
      alarm(UInt32(seconds.rounded(.up)))
      var changed = records
      cases[number].mutation.apply(to: &changed[cases[number].record])
      guard let set = try? RecordSet(folder: folder, read: changed),
        let experiment = try? Suite.clipping.experiment(of: set)
      else { continue }
      read(set, of: experiment)
    }
    alarm(0)
  }

  private func read<E: Experiment>(_ set: RecordSet, of experiment: E.Type) {
    if let table = try? E.table(of: set) { _ = (table.text, table.gnuplotVariables(of: set)) }
    _ = try? Suite.clipping.caption(template: "{{n}} {{stamp}}", file: folder, set: set)
    _ = try? E.sideFiles(of: set)
    _ = set.coreSeconds
    for claim in E.claims { _ = try? claim.evaluate(set) }
  }

  // MARK: - The process that counts

  /// What the processes died of: a line a case.
  func faults(_ bench: Bench, _ program: String, in work: String) throws -> [String] {
    let files = FileManager.default
    try files.createDirectory(atPath: work, withIntermediateDirectories: true)
    var (faults, first) = ([String](), 0)
    while first < count {
      let ending = try bench.run(
        [program, "--sweep-of", folder, "--first", "\(first)", "--seconds", "\(bench.seconds)"],
        in: work, seconds: .infinity)
      if ending.status == 0 { break }
      let seen = try String(contentsOfFile: work + "/.stdout", encoding: .utf8)
        .split(separator: "\n").last.flatMap { Int($0) }
      guard ending.status == nil, let seen, seen >= first else {
        return faults + ["\(folder): cannot go on: \(ending.error.prefix(300))"]
      }
      let outcome = ending.signal == SIGALRM ? Outcome.hang : .trap
      faults.append("\(outcome): \(folder), case \(seen): \(cases[seen].mutation)")
      first = seen + 1
    }
    return faults
  }
}
