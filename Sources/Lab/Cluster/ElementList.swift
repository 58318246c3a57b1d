// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// A piece of an experiment for one process on a cluster: a job, or a block of the results of one of its stages.
package struct Element: Equatable, Sendable {
  /// Elements of a stage run side by side; a stage begins when the one before is done.
  package var stage = 0
  /// Its number among those of its stage, from 0.
  package var number = 0
  /// The methods of its job, in order.
  package var methods: [String]
  /// Those whose records are wanted, each with the record's key.
  package var keys: [(method: String, key: String)]
  /// The seed of its job.
  package var seed: UInt64
  /// The share, nil for the whole job.
  package var share: Share?

  /// Its job.
  package var job: Job { Job(methods: methods, seed: seed) }

  /// A file name for it.
  package var label: String {
    job.label + (share.map { "-stage\($0.stage)-block\($0.block)" } ?? "")
  }

  package static func == (a: Element, b: Element) -> Bool { a.cells == b.cells }
}

/// The elements of an experiment and profile: the file jobs.tsv of the folder `slurm` beside the records.
package struct ElementList: Equatable, Sendable {
  /// "mlp-heatmap, profile paper".
  package let title: String
  /// By stage, then by number.
  package let elements: [Element]

  /// A list of what there is already.
  package init(title: String, elements: [Element]) {
    (self.title, self.elements) = (title, elements)
  }

  /// The folder `slurm` beside the records of `folder`.
  package static func place(in folder: String) -> String { "\(folder)/slurm" }

  /// How many stages there are.
  package var stageCount: Int { (elements.map(\.stage).max() ?? -1) + 1 }

  /// The elements of one stage.
  package func stage(_ stage: Int) -> [Element] { elements.filter { $0.stage == stage } }
}

extension ElementList {
  /// The elements of all jobs of `runner`: a job each, or, where it can be cut, a block of a stage each.
  init<E: Experiment>(of runner: Runner<E>) throws {
    var elements: [Element] = []
    for job in runner.jobs {
      let keys = try job.methods.filter(runner.wanted.contains).map {
        (method: $0, key: try runner.key($0, job.seed))
      }
      let whole = Element(methods: job.methods, keys: keys, seed: job.seed)
      let stages = E.stages(of: job, runner.config)
      if stages.isEmpty { elements.append(whole) }
      for (index, stage) in stages.enumerated() {
        // What is computed beside each other in a process are results.
        let size = max(1, stage.block, runner.telemetry.threads)
        for block in 0..<(stage.results + size - 1) / size {
          var part = whole
          part.stage = index
          part.share = Share(stage: index, block: block, size: size)
          elements.append(part)
        }
      }
    }
    for stage in 0..<((elements.map(\.stage).max() ?? -1) + 1) {
      for (number, index) in elements.indices.filter({ elements[$0].stage == stage }).enumerated() {
        elements[index].number = number
      }
    }
    self.init(
      title: "\(E.name), profile \(runner.profile)",
      elements: elements.sorted { ($0.stage, $0.number) < ($1.stage, $1.number) })
  }
}

// MARK: - The file

extension Element {
  /// The cells of its row.
  var cells: [String] {
    [
      "\(stage)", "\(number)", methods.joined(separator: ","), "\(seed)",
      share.map { "\($0.block)/\($0.size)" } ?? "-",
      keys.map { "\($0.method)=\($0.key)" }.joined(separator: ","),
    ]
  }

  /// The element of a row's cells, nil where they are none.
  init?(cells: [String]) {
    guard cells.count == 6, let stage = Int(cells[0]), let number = Int(cells[1]),
      let seed = UInt64(cells[3]), (0...1_000_000).contains(stage),
      (0..<Int(Int32.max)).contains(number)
    else { return nil }
    let methods = cells[2].split(separator: ",").map(String.init)
    let keys = cells[5].split(separator: ",").compactMap { pair -> (method: String, key: String)? in
      guard let sign = pair.lastIndex(of: "=") else { return nil }
      return (String(pair[..<sign]), String(pair[sign...].dropFirst()))
    }
    // A name becomes part of a path.
    guard !methods.isEmpty, !keys.isEmpty, !cells[2].hasSlash, !cells[5].hasSlash else {
      return nil
    }
    self.init(stage: stage, number: number, methods: methods, keys: keys, seed: seed)
    guard cells[4] != "-" else { return }
    let share = cells[4].split(separator: "/").compactMap { Int($0) }
    guard share.count == 2, share[0] >= 0, share[1] >= 1 else { return nil }
    self.share = Share(stage: stage, block: share[0], size: share[1])
  }
}

extension ElementList {
  private static let columns = ["stage", "number", "methods", "seed", "block", "keys"]

  /// Its file in the folder `place`.
  package static func path(in place: String) -> String { "\(place)/jobs.tsv" }

  /// Writes it to the folder `place`.
  package func write(to place: String) throws {
    let rows = [["# \(title)"], Self.columns] + elements.map(\.cells)
    try AtomicFile.write(
      rows.map { $0.joined(separator: "\t") + "\n" }.joined(), to: Self.path(in: place))
  }

  /// Reads that of the folder `place`. Throws a `StorageError` where there is none, or another file.
  package init(from place: String) throws {
    let path = Self.path(in: place)
    let data = try FileBytes.read(path)
    let lines = String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
    guard lines.count >= 2, lines[0].hasPrefix("# "),
      lines[1] == Self.columns.joined(separator: "\t")
    else {
      throw StorageError("not a list of elements", at: path, hint: "submit the experiment anew")
    }
    elements = try lines.dropFirst(2).enumerated().map { index, line in
      let cells = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      guard let element = Element(cells: cells) else {
        throw StorageError(
          "line \(index + 3) is no element", at: path, hint: "submit the experiment anew")
      }
      return element
    }
    title = String(lines[0].dropFirst(2))
  }
}
