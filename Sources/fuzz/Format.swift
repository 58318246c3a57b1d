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
  /// Commands, one of which is run.
  let commands: [[String]]
  /// The record that a success must leave: its path, and the record.
  var expected: (path: String, record: Record)?

  /// A line for every command that does not take the undamaged files: its fuzzing would show little.
  func complaints(in work: String, _ bench: Bench) throws -> [String] {
    try commands.compactMap { command in
      try? FileManager.default.removeItem(atPath: work)
      try FileManager.default.copyItem(atPath: folder, toPath: work)
      let ending = try bench.run(command, in: work)
      return judge(ending, command, in: work) == .success
        ? nil : "undamaged \(name): \(bench.spelled(command)): \(ending.error.prefix(300))"
    }
  }

  /// Damages a file, runs a command on it, and judges the end.
  func attempt(
    in work: String, _ bench: Bench, _ cursor: inout RandomCursor
  ) throws -> (Outcome, command: String) {
    let files = FileManager.default
    try? files.removeItem(atPath: work)
    try files.copyItem(atPath: folder, toPath: work)
    let target = "\(work)/\(targets[cursor.integer(below: targets.count)])"
    let seed = try Array(Data(contentsOf: URL(fileURLWithPath: target)))
    try Data(Mutation.mutated(seed, &cursor)).write(to: URL(fileURLWithPath: target))
    let command = commands[cursor.integer(below: commands.count)]
    let ending = try bench.run(command, in: work)
    return (judge(ending, command, in: work), bench.spelled(command))
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
