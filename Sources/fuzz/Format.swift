// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage

/// One format: a folder with valid files, those of them that get damaged, and the commands that read them.
struct Format: Sendable {
  let name: String
  /// The folder of valid files; a run gets a copy of it as its working folder.
  let folder: String
  /// Paths in it that get damaged, one a run.
  let targets: [String]
  /// Commands, one of which is run; FILE stands for the damaged one, FOLDER for its folder, RESULTS for
  /// the folder two above.
  let commands: [[String]]
  /// Whether the targets are records of which not bytes are changed, but what they say.
  var changesRecords = false
  /// Whether any contents are taken as they are: a journal is only ever appended to.
  var takesAnything = false
  /// The record that a success must leave: its path, and the record.
  var expected: (path: String, record: Record)?

  /// A line for every command that does not take the undamaged files, and for every file that may be empty and may be garbage without
  /// any command's saying a word: their fuzzing would show nothing.
  func complaints(in work: String, _ bench: Bench) throws -> [String] {
    let refusals = try commands.indices.compactMap { index in
      let (outcome, command, error) = try attempt(in: work, bench, index, on: targets[0]) { _ in }
      return outcome == .success ? nil : "undamaged \(name): \(command): \(error.prefix(300))"
    }
    let unread = try targets.prefix(takesAnything ? 0 : changesRecords ? 1 : targets.count).filter {
      target in
      for index in commands.indices {
        for contents in [Data(), Data([0x7b, 0xff, 0x00, 0x0a])] {
          let (outcome, _, error) = try attempt(in: work, bench, index, on: target) { path in
            try contents.write(to: URL(fileURLWithPath: path))
          }
          if outcome != .success || error.contains("damaged") { return false }
        }
      }
      return true
    }
    return refusals + unread.map { "\(name): nothing reads \($0)" }
  }

  /// Damages a file, runs a command on it, and judges the end.
  func attempt(
    in work: String, _ bench: Bench, _ cursor: inout RandomCursor
  ) throws -> (Outcome, command: String, error: String) {
    let target = targets[cursor.integer(below: targets.count)]
    let command = cursor.integer(below: commands.count)
    return try attempt(in: work, bench, command, on: target) { path in
      if changesRecords {
        var record = try Record.read(from: path)
        RecordMutation.mutate(&record, &cursor)
        try record.write(to: path)
      } else {
        let seed = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
        try Data(Mutation.mutated(seed, &cursor)).write(to: URL(fileURLWithPath: path))
      }
    }
  }

  /// Runs a command of the list on a copy of the folder in which `damage` changed the file.
  func attempt(
    in work: String, _ bench: Bench, _ index: Int, on target: String,
    damage: (_ path: String) throws -> Void
  ) throws -> (Outcome, command: String, error: String) {
    try copy(to: work, with: target)
    try damage("\(work)/\(target)")
    let command = command(index, target)
    let ending = try bench.run(command, in: work)
    return (judge(ending, command, in: work), bench.spelled(command), ending.error)
  }

  /// Copies the folder, but of its entries that hold targets only that of `target`.
  private func copy(to work: String, with target: String) throws {
    let files = FileManager.default
    try? files.removeItem(atPath: work)
    try files.createDirectory(atPath: work, withIntermediateDirectories: true)
    func top(_ path: String) -> String { String(path.prefix { $0 != "/" }) }
    let others = changesRecords ? Set(targets.map(top)).subtracting([top(target)]) : []
    for entry in try files.contentsOfDirectory(atPath: folder) where !others.contains(entry) {
      try files.copyItem(atPath: "\(folder)/\(entry)", toPath: "\(work)/\(entry)")
    }
  }

  private func command(_ index: Int, _ target: String) -> [String] {
    let parts = target.split(separator: "/")
    func path(up count: Int) -> String { parts.dropLast(count).joined(separator: "/") }
    return commands[index].map {
      switch $0 {
      case "FILE": target
      case "FOLDER": path(up: 1)
      case "RESULTS": path(up: 3)
      default: $0
      }
    }
  }

  private func judge(_ ending: Bench.Ending, _ command: [String], in work: String) -> Outcome {
    let left = FileManager.default.subpaths(atPath: work) ?? []
    if left.contains(where: { $0.hasSuffix("pwned") }) { return .injection }
    if ending.isHang { return .hang }
    guard let status = ending.status, !ending.error.contains("Fatal error") else { return .trap }
    if left.contains(where: { $0.hasSuffix(".tmp") }) { return .leftover }
    if status == 0 {
      guard let expected else { return .success }
      let found = try? Record.read(from: "\(work)/\(expected.path)")
      let isRight = found.map { $0.firstDifference(from: expected.record) == nil } ?? false
      return isRight ? .success : .wrongSuccess
    }
    // diff says on standard output that two records differ.
    if command.contains("diff"), status == 1, ending.error.isEmpty { return .success }
    return Self.isTidy(ending.error, command) ? .error : .untidy
  }

  /// One line that says why, perhaps with the usage behind it and warnings before it.
  private static func isTidy(_ error: String, _ command: [String]) -> Bool {
    var lines = error.split(separator: "\n").map(String.init)
    if let usage = lines.firstIndex(where: { $0.hasPrefix("Usage:") }) {
      lines.removeSubrange(usage...)
    }
    if command[0].hasPrefix("/") { return lines.count == 1 }  // a script
    return lines.count(where: { $0.hasPrefix("Error: ") }) == 1
      && lines.last?.hasPrefix("Error: ") == true
  }
}
