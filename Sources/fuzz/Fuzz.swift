// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import LinearAlgebra
import Storage
import Synchronization
import Training

/// The suite's own fuzzer: damaged files of every format it reads, given to the built executables.
@main
struct Fuzz: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fuzz",
    abstract: "Give damaged files of every format to the executables, and count how they take it.",
    discussion: """
      An input is a small valid file with one to four changes. Right is a success, or an exit status above 0 with one \
      line "Error: …" on standard error. Wrong are signals (traps, crashes), runs beyond the time limit twice, a success with \
      results that differ from those of the undamaged run (checkpoints and journals), commands run from data, files left \
      behind, and errors of several lines. The folder of each wrong run stays below OUT with its command.sh. The same \
      seed gives the same inputs. Where a command does not take the undamaged files, nothing is tried.
      """)

  @Option(help: "Inputs in all.") var count = 2000
  @Option(help: "Seed of the changes.") var seed: UInt64 = 1
  @Option(help: "The first input's number: --first 17 --count 1 is input 17 alone.") var first = 0
  @Option(help: "Runs side by side.") var jobs = ProcessInfo.processInfo.activeProcessorCount
  @Option(help: "Folder of the executables.") var bin = ".build/release"
  @Option(help: "Folder of the wrong runs; it is emptied first.") var out = "build/fuzz"
  @Option(help: "Only formats whose name contains this.") var only = ""
  @Option(help: "Seconds that a run may take.") var seconds = 20.0
  @Flag(help: "Print a line for every input.") var list = false
  @Flag(
    help: "Not drawn: every change of every attribute and data set of records of each experiment.")
  var sweep = false
  @Option(help: .hidden) var sweepOf: String?
  @Option(help: "Wrong runs to keep, a kind and format.") var keep = 10

  func validate() throws {
    guard count >= 0, first >= 0, jobs >= 1, jobs <= 1024, seconds > 0, keep >= 0 else {
      throw ValidationError(
        "--count, --first, --keep: 0 or more; --jobs: 1 to 1024; --seconds: above 0")
    }
  }

  func run() throws {
    BLASEnvironment.restartOnUnknownCPU()
    if let sweepOf { return try RecordSweep(folder: sweepOf).read(from: first, seconds: seconds) }
    let files = FileManager.default
    guard files.fileExists(atPath: "results") else {
      throw ValidationError("no results/ here: run this from the project's folder")
    }
    let place = URL(fileURLWithPath: out).path
    try? files.removeItem(atPath: place)
    if sweep { return try goThroughRecords(place) }
    let seeds = place + "/seeds"
    try files.createDirectory(atPath: seeds, withIntermediateDirectories: true)
    let bench = Bench(bin: URL(fileURLWithPath: bin).path, seconds: seconds)
    let formats = try Format.all(in: seeds, bench).filter { only.isEmpty || $0.name.contains(only) }
    guard !formats.isEmpty else { throw ValidationError("--only \(only): no such format") }
    let complaints = try formats.flatMap { try $0.complaints(in: place + "/work-0", bench) }
    guard complaints.isEmpty else {
      for line in complaints { print(line) }
      throw ExitCode.failure
    }
    let tally = Mutex(Tally())
    let pool = Mutex(Array(0..<jobs))
    let (seed, first, keep) = (seed, first, keep)
    Interruption.listen()
    Interruption.expectPolling()
    @Sendable func isOver() -> Bool { (try? Interruption.check()) == nil }
    try runSideBySide(count: count, jobs: jobs) { index in
      if isOver() { return }  // what was counted is printed
      let number = first + index
      let worker = pool.withLock { $0.removeLast() }
      defer { pool.withLock { $0.append(worker) } }
      let format = formats[number % formats.count]
      let folder = "\(place)/work-\(worker)"
      func attempt() throws -> (Outcome, command: String, error: String) {
        var cursor = RandomStream(seed: seed, name: "fuzz").at(step: number).cursor()
        return try format.attempt(in: folder, bench, &cursor)
      }
      var (outcome, command, error) = try attempt()
      // A machine that was suspended is no program that hangs.
      if outcome == .hang { (outcome, command, error) = try attempt() }
      if list { print("\(number) \(format.name) \(outcome): \(error.prefix { $0 != "\n" })") }
      let seen = tally.withLock { $0.add(outcome, format.name) }
      if outcome.isWrong, seen <= keep {
        let kept = "\(place)/\(outcome.rawValue)-\(format.name)-\(number)"
        try files.moveItem(atPath: folder, toPath: kept)
        try Data("#!/bin/sh\ncd \"$(dirname \"$0\")\" && exec \(command)\n".utf8)
          .write(to: URL(fileURLWithPath: kept + "/command.sh"))
      }
      let done = tally.withLock { $0.total }
      guard done % 1000 == 0 else { return }
      print("\(done) inputs, \(tally.withLock { $0.wrong }) wrong")
      fflush(nil)  // for whoever looks on through a file
    }
    for worker in 0..<jobs { try? files.removeItem(atPath: "\(place)/work-\(worker)") }
    let wrong = tally.withLock { tally in
      print(tally.table(formats.map(\.name)))
      return tally.wrong
    }
    if isOver() { print("interrupted before the end") }
    if wrong > 0 {
      print("\(wrong) wrong, the folders of the first \(keep) of each kind and format: \(place)")
      throw ExitCode.failure
    }
    if isOver() { throw ExitCode.failure }
  }
}

extension Fuzz {
  /// Every change of what records say.
  private func goThroughRecords(_ place: String) throws {
    let results = URL(fileURLWithPath: "results").path
    let folders = try RecordSweep.folders(in: results).filter {
      only.isEmpty || $0.dropFirst(results.count).contains(only)
    }
    let bench = Bench(bin: URL(fileURLWithPath: bin).path, seconds: seconds)
    let program = URL(fileURLWithPath: "\(bin)/fuzz").path
    let faults = Mutex([String]())
    try runSideBySide(count: folders.count, jobs: jobs) { index in
      let sweep = try RecordSweep(folder: folders[index])
      let found = try sweep.faults(bench, program, in: "\(place)/work-\(index)")
      print(
        "\(folders[index].dropFirst(results.count + 1)): \(sweep.count) cases, \(found.count) wrong"
      )
      for fault in found { print("  \(fault)") }
      fflush(nil)  // for whoever looks on through a file
      faults.withLock { $0 += found }
    }
    guard faults.withLock(\.isEmpty) else { throw ExitCode.failure }
  }
}

/// What became of one input.
enum Outcome: String, CaseIterable {
  case error, success
  /// Killed by a signal, or by a trap of the Swift runtime.
  case trap
  /// Not done within the time limit.
  case hang
  /// Exit status 0, and not what the undamaged files give.
  case wrongSuccess = "wrong-success"
  /// Something in the data was run as a command.
  case injection
  /// A temporary file was left behind.
  case leftover
  /// An exit status above 0 without exactly one line that says why.
  case untidy

  var isWrong: Bool { self != .error && self != .success }
}

/// How often each outcome was seen.
struct Tally {
  private var counts: [String: [Outcome: Int]] = [:]

  /// Counts, and returns how often this outcome of this format was seen.
  mutating func add(_ outcome: Outcome, _ format: String) -> Int {
    counts[format, default: [:]][outcome, default: 0] += 1
    return counts[format]?[outcome] ?? 0
  }

  var total: Int { counts.values.reduce(0) { $0 + $1.values.reduce(0, +) } }
  var wrong: Int {
    counts.values.reduce(0) { $0 + $1.reduce(0) { $0 + ($1.key.isWrong ? $1.value : 0) } }
  }

  func table(_ formats: [String]) -> String {
    func line(_ name: String, _ cells: [String]) -> String {
      name.padding(toLength: 14, withPad: " ", startingAt: 0)
        + cells.map { String(repeating: " ", count: max(1, 14 - $0.count)) + $0 }.joined()
    }
    func sums(_ names: [String]) -> [String] {
      Outcome.allCases.map { outcome in "\(names.reduce(0) { $0 + (counts[$1]?[outcome] ?? 0) })" }
    }
    return
      ([line("format", Outcome.allCases.map(\.rawValue))]
      + formats.map { line($0, sums([$0])) } + [line("total", sums(formats))])
      .joined(separator: "\n")
  }
}
