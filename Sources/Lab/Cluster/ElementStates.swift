// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// What was submitted: the file submitted.tsv beside the list.
package struct Submission: Equatable, Sendable {
  /// Who did.
  package var user: String
  /// By stage the array's job, and how many elements a task has; `collection` for the job that follows them.
  package var arrays: [Int: (job: String, group: Int)] = [:]
  /// The job that makes records of what the elements leave.
  package var collection: String?

  package static func == (a: Submission, b: Submission) -> Bool { a.text == b.text }

  /// All of its jobs.
  var jobs: [String] {
    arrays.sorted { $0.key < $1.key }.map(\.value.job) + [collection].compactMap(\.self)
  }

  private static func path(in place: String) -> String { "\(place)/submitted.tsv" }

  private var text: String {
    "# user \(user)\nstage\tjob\tgroup\n"
      + arrays.sorted { $0.key < $1.key }.map { "\($0)\t\($1.job)\t\($1.group)\n" }.joined()
      + (collection.map { "collect\t\($0)\t-\n" } ?? "")
  }

  /// Nothing yet.
  package init(user: String) { self.user = user }

  /// Reads that of the folder `place`; nil where nothing was submitted.
  package init?(from place: String) {
    guard let text = FileBytes.text(Self.path(in: place)),
      let first = text.split(separator: "\n").first, first.hasPrefix("# user ")
    else { return nil }
    user = String(first.dropFirst(7))
    for line in text.split(separator: "\n").dropFirst(2) {
      let cells = line.split(separator: "\t").map(String.init)
      guard cells.count == 3 else { continue }
      if cells[0] == "collect" { collection = cells[1] }
      if let stage = Int(cells[0]), let group = Int(cells[2]), group > 0 {
        arrays[stage] = (cells[1], group)
      }
    }
  }

  /// Writes it to the folder `place`.
  package func write(to place: String) throws {
    try AtomicFile.write(text, to: Self.path(in: place))
  }
}

/// How an element stands.
package enum ElementState: Equatable, Sendable {
  /// And for what.
  case waiting(String)
  /// And where.
  case running(String)
  case done
  /// And why.
  case failed(String)
  /// Never submitted.
  case new
}

/// The elements of a folder with their states, from records, journals and logs; the queue adds who waits for what.
package struct ElementStates: Sendable {
  /// The list.
  package let list: ElementList
  /// In the list's order.
  package let states: [ElementState]
  /// How the collection stands, nil where none was submitted.
  package let collection: ElementState?
  /// Whether Slurm told what is in the queue.
  package let asked: Bool

  /// Those of the list in `folder`/slurm; `queue` tells what is in the queue of a user.
  package init(
    folder: String, list: ElementList,
    queue: (String) -> [SlurmTask: (state: String, reason: String)]?
  ) throws {
    let place = ElementList.place(in: folder)
    let submission = Submission(from: place)
    let tasks = submission.flatMap { queue($0.user) }
    var look = Look(folder: folder, place: place, submission: submission, queue: tasks)
    self.list = list
    states = try list.elements.map { try look.state(of: $0) }
    asked = submission == nil || tasks != nil
    let allDone = list.elements.allSatisfy { look.hasRecords($0) }
    collection = submission?.collection.map { job in
      if allDone { return .done }
      guard let tasks else { return .waiting("Slurm does not answer") }
      guard let entry = tasks[SlurmTask(job: job, task: 0)] else {
        return .failed(look.lastLine("collect") ?? "canceled, since an element failed")
      }
      return entry.state == "PENDING" ? .waiting(entry.reason) : .running("")
    }
  }
}

/// Finds out how elements stand.
private struct Look {
  let folder: String
  let place: String
  let submission: Submission?
  let queue: [SlurmTask: (state: String, reason: String)]?
  /// By record file: the key that is in it.
  private var keys: [String: String] = [:]

  init(
    folder: String, place: String, submission: Submission?,
    queue: [SlurmTask: (state: String, reason: String)]?
  ) {
    (self.folder, self.place, self.submission, self.queue) = (folder, place, submission, queue)
  }

  mutating func state(of element: Element) throws -> ElementState {
    let (lines, isWritten) = try Journal.glance(at: element.journal(in: place))
    let last = lines.last ?? ""
    let piece = element.share.map { "\(element.job.piecesFolder(in: folder))/\($0.fileName)" }
    if hasRecords(element) { return .done }
    if last.hasPrefix("finished"), let piece, FileManager.default.fileExists(atPath: piece) {
      return .done
    }
    let began = lines.last { $0.hasPrefix("began ") }.map { String($0.dropFirst(6)) } ?? ""
    if isWritten { return .running(began) }
    guard let submission, let array = submission.arrays[element.stage] else {
      return lines.isEmpty ? .new : .failed(reason(last))
    }
    let task = element.number / array.group + 1
    guard let queue else { return .waiting("Slurm does not answer") }
    if let entry = queue[SlurmTask(job: array.job, task: task)] {
      if entry.state == "PENDING" {
        return .waiting(last.hasPrefix("interrupted") ? "requeued, \(entry.reason)" : entry.reason)
      }
      return array.group == 1
        ? .running(entry.state.lowercased()) : .waiting("its task is at others")
    }
    if !last.isEmpty && !last.hasPrefix("began") && !last.hasPrefix("started") {
      return .failed(reason(last))
    }
    let log = lastLine("stage\(element.stage)-\(task)")
    return .failed(
      log
        ?? (last.isEmpty
          ? "never started: canceled, or what it waited for failed" : "ended without a word"))
  }

  private func reason(_ line: String) -> String {
    if line.hasPrefix("failed ") { return String(line.dropFirst(7)) }
    if line.hasPrefix("interrupted") { return "\(line), and is no longer in the queue" }
    return line.hasPrefix("finished") ? "its results are gone" : "ended without a word"
  }

  /// Whether the records that the element goes into are there.
  mutating func hasRecords(_ element: Element) -> Bool {
    for (method, key) in element.keys {
      let path = "\(folder)/\(method)-seed\(element.seed).h5"
      if keys[path] == nil {
        let isThere = FileManager.default.fileExists(atPath: path)
        let record = isThere ? try? Record.read(from: path) : nil
        keys[path] = (try? record?.string(attribute: "key")) ?? ""
      }
      if keys[path] != key { return false }
    }
    return true
  }

  /// The last line of a log, nil for none.
  func lastLine(_ log: String) -> String? {
    guard let data = FileManager.default.contents(atPath: "\(place)/logs/\(log).log") else {
      return nil
    }
    let line = String(decoding: data.suffix(4096), as: UTF8.self).split(whereSeparator: \.isNewline)
      .last { !$0.allSatisfy(\.isWhitespace) }
    return line.map { String($0.filter { $0 >= " " }.prefix(300)) }
  }
}

extension Element {
  /// The journal of the process that computes it.
  package func journal(in place: String) -> String { "\(place)/journals/\(label).log" }
}
