// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Lab
import Storage

/// `spectral jobs`: how the elements that were submitted to a cluster stand.
struct Jobs: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "How runs that were submitted to Slurm stand: waiting, running, done or failed, and why.",
    discussion: """
      From records, journals and logs in the folder, and what is in the queue; no accounting is \
      needed. What has failed is submitted again by the command that submitted it, and goes on \
      where it was.
      """)

  @Argument(help: "A folder of records, or one above several: build/results.")
  var folder: String
  @Flag(help: "A line for every element, not only for those that failed.")
  var all = false

  func run() throws {
    let folders = try places()
    var queues: [String: [SlurmTask: (state: String, reason: String)]?] = [:]
    for folder in folders {
      let list = try ElementList(from: ElementList.place(in: folder))
      let states = try ElementStates(folder: folder, list: list) { user in
        if let known = queues[user] { return known }
        let queue = Slurm.queue(of: user)
        queues[user] = .some(queue)
        return queue
      }
      for line in Self.lines(states, all: all) { try Terminal.line(line) }
      try Terminal.line("  \(ElementList.place(in: folder))/logs/")
    }
    if queues.values.contains(where: { $0 == nil }) {
      note("Slurm does not answer: who waits and for what is not known")
    }
  }

  /// The folders with a list, in the order of their names.
  private func places() throws -> [String] {
    func hasList(_ folder: String) -> Bool {
      FileManager.default.fileExists(atPath: ElementList.path(in: ElementList.place(in: folder)))
    }
    if hasList(folder) { return [folder] }
    let found = (FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? [])
      .filter { $0.hasSuffix("/slurm/jobs.tsv") }
      .map { "\(folder)/\($0.dropLast("/slurm/jobs.tsv".count))" }.sorted()
    guard !found.isEmpty else {
      throw StorageError(
        "nothing was submitted from here", at: folder,
        hint: "name a folder of records, or one above it; --engine slurm submits")
    }
    return found
  }

  /// What is said of a list: a line of counts, one for each reason to wait, one for each element that failed (`all`: for
  /// each).
  static func lines(_ states: ElementStates, all: Bool) -> [String] {
    var counts = (waiting: 0, running: 0, done: 0, failed: 0, new: 0)
    var reasons: [String: Int] = [:]
    var lines: [String] = []
    for (element, state) in zip(states.list.elements, states.states) {
      let text: String
      switch state {
      case .waiting(let reason):
        counts.waiting += 1
        reasons[reason, default: 0] += 1
        text = "waiting  \(element.label): \(reason)"
      case .running(let place):
        counts.running += 1
        text = "running  \(element.label): \(place)"
      case .done:
        counts.done += 1
        text = "done     \(element.label)"
      case .failed(let reason):
        counts.failed += 1
        text = "failed   \(element.label): \(reason)"
      case .new:
        counts.new += 1
        text = "new      \(element.label)"
      }
      if all || text.hasPrefix("failed") { lines.append("  \(text)") }
    }
    let count = states.list.elements.count
    var first =
      "\(states.list.title): \(counted(count, "element", "elements")), \(counts.waiting) waiting, "
      + "\(counts.running) running, \(counts.done) done, \(counts.failed) failed"
    if counts.new > 0 { first += ", \(counts.new) not submitted" }
    let waits = reasons.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      .map { "  waiting  \($0.value) for \($0.key)" }
    return [first] + (all ? [] : waits) + lines + collected(states.collection)
  }

  private static func collected(_ state: ElementState?) -> [String] {
    switch state {
    case .done: ["  collected"]
    case .waiting(let reason): ["  collection waits for \(reason)"]
    case .running: ["  collection runs"]
    case .failed(let reason): ["  collection failed: \(reason)"]
    case .new, nil: []
    }
  }
}
