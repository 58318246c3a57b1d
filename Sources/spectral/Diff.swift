// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Storage

/// `spectral diff`: whether two records, or two folders of records, hold the same results.
struct Diff: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compare the results of two records, or of two folders of records, bit for bit.",
    discussion: """
      With --rtol R or --atol A reals a and b count as equal where |a - b| <= A + R |b| (b is SECOND's), and NaN equals NaN; \
      whole numbers and texts must be equal, the keys and settings among them. \
      Telemetry (times, memory, host, versions) is left out. Of folders, the files *.h5 at any \
      depth are matched by their relative paths; a file in one folder only is a difference. \
      Exit status 0 for equal results, 1 otherwise.
      """)

  @Argument(help: "A record, or a folder of records.")
  var first: String
  @Argument(help: "A record, or a folder of records.")
  var second: String

  @Option(parsing: .unconditional, help: "Relative tolerance of reals (default: none).")
  var rtol: Double?
  @Option(parsing: .unconditional, help: "Absolute tolerance of reals (default: none).")
  var atol: Double?

  func validate() throws {
    for (name, value) in [("rtol", rtol), ("atol", atol)] {
      if let value, !(value >= 0 && value.isFinite) {
        throw ValidationError("--\(name) \(value): a tolerance is a number >= 0")
      }
    }
  }

  func run() throws {
    let (equal, lines) = try compare()
    if lines.isEmpty {
      try Terminal.line("equal: \(counted(equal, "record", "records"))")
      return
    }
    for line in lines { try Terminal.line(line) }
    throw ExitCode.failure
  }

  /// How many records are equal, and a line for every other one.
  private func compare() throws -> (equal: Int, differences: [String]) {
    switch (try isFolder(first), try isFolder(second)) {
    case (false, false):
      let difference = try difference(first, second)
      return difference.map { (0, ["\(first): \($0)"]) } ?? (1, [])
    case (true, true): return try compareFolders()
    case (let firstIsFolder, _):
      throw StorageError(
        "a folder", at: firstIsFolder ? first : second,
        hint: "the other, \(firstIsFolder ? second : first), is a file; give two of a kind")
    }
  }

  private func compareFolders() throws -> (equal: Int, differences: [String]) {
    let (left, right) = (try records(in: first), try records(in: second))
    // Nothing against nothing would pass any check that relies on this command.
    if left.isEmpty && right.isEmpty {
      throw StorageError(
        "no records (*.h5) in either folder", at: "\(first), \(second)",
        hint: "check the paths, or run an experiment first")
    }
    var equal = 0
    var lines: [String] = []
    for path in left.union(right).sorted() {
      let name = path.text
      switch (left.contains(path), right.contains(path)) {
      case (true, false): lines.append("\(name): only in \(first)")
      case (false, true): lines.append("\(name): only in \(second)")
      default:
        if let difference = try difference("\(first)/\(name)", "\(second)/\(name)") {
          lines.append("\(name): \(difference)")
        } else {
          equal += 1
        }
      }
    }
    return (equal, lines)
  }

  private func difference(_ left: String, _ right: String) throws -> String? {
    let left = try Record.read(from: left)
    let tolerance =
      rtol == nil && atol == nil
      ? nil : Record.Tolerance(absolute: atol ?? 0, relative: rtol ?? 0)
    let difference = left.firstDifference(from: try Record.read(from: right), within: tolerance)
    return difference.map { abbreviated($0, limit: 1000) }
  }

  private func isFolder(_ path: String) throws -> Bool {
    guard let isFolder = FileBytes.isFolder(path) else {
      throw StorageError("no such file or folder", at: path, hint: "check the path")
    }
    return isFolder
  }

  /// The relative paths of the records in a folder.
  private func records(in folder: String) throws -> Set<ByteName> {
    let root = URL(fileURLWithPath: folder).resolvingSymlinksInPath().path
    guard let paths = FileManager.default.enumerator(atPath: root) else {
      throw StorageError("the folder cannot be listed", at: folder, hint: "check who may read it")
    }
    return Set(
      paths.compactMap { $0 as? String }.filter { $0.hasSuffix(".h5") }.map { ByteName($0) })
  }
}
