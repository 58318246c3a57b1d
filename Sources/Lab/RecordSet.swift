// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Yams

/// The records of one experiment and profile, as figures, captions and claims read them.
package struct RecordSet: Sendable {
  /// The folder they lie in.
  package let folder: String
  /// Sorted by method (in the order of the settings), then by seed.
  package let records: [Record]
  /// The methods that have records, in the order of the settings.
  package let methods: [String]

  /// Reads every `*.h5` of `folder`.
  ///
  /// Throws a `StorageError` for a missing or empty folder and for a record that cannot be read.
  package init(folder: String) throws {
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
      .filter { $0.hasSuffix(".h5") }.sorted()
    guard !names.isEmpty else {
      throw StorageError(
        "holds no records", at: folder, hint: "run the experiment first (make help lists them)")
    }
    try self.init(folder: folder, read: names.map { try Record.read(from: "\(folder)/\($0)") })
  }

  /// A set of records as they were read from files.
  ///
  /// Throws a `StorageError` for one that no reader could trust.
  package init(folder: String, read records: [Record]) throws {
    for record in records { try Self.checkColumns(of: record, in: folder) }
    try self.init(folder: folder, records: records)
  }

  /// A set of records already in memory.
  ///
  /// Throws a `StorageError` for a record in which a data set and one of its axes differ in length, and for two records of
  /// one method and seed: whoever reads it may count on that.
  package init(folder: String, records: [Record]) throws {
    for record in records { try Self.checkAxes(of: record, in: folder) }
    // Records of some arms may be older than those of others, whose settings named no such arms.
    var (order, configs): ([String], Set<String>) = ([], [])
    for record in records where try configs.insert(record.string(attribute: "config")).inserted {
      let methods = try record.settings()?["methods"]?.sequence?.compactMap(\.string) ?? []
      order += methods.filter { !order.contains($0) }
    }
    var keyed = try records.map { record in
      let method = try record.string(attribute: "method")
      return (
        rank: order.firstIndex(of: method) ?? order.count, method: method,
        seed: try record.int(attribute: "seed"), record: record
      )
    }
    for entry in keyed where entry.seed < 0 {
      throw StorageError(
        "has the seed \(entry.seed), and seeds are 0 or more", at: entry.record.source ?? folder,
        hint: "compute the record anew")
    }
    keyed.sort { ($0.rank, $0.method, $0.seed) < ($1.rank, $1.method, $1.seed) }
    for (one, next) in zip(keyed, keyed.dropFirst())
    where (one.method, one.seed) == (next.method, next.seed) {
      throw StorageError(
        "is a second record of '\(next.method)', seed \(next.seed)",
        at: next.record.source ?? folder, hint: "remove one of the two")
    }
    self.folder = folder
    self.records = keyed.map(\.record)
    var seen: [String] = []
    for entry in keyed where seen.last != entry.method { seen.append(entry.method) }
    methods = seen
  }

  private static func checkAxes(of record: Record, in folder: String) throws {
    /// Lengths by the name of an axis: that of its own data set, or of the first set along it.
    var lengths: [String: Int] = [:]
    let groups =
      [(path: "", sets: record.root.dataSets)]
      + record.groups.map { (path: $0.name + "/", sets: $0.dataSets) }
    for set in groups.flatMap(\.sets) where set.shape.count == 1 && set.dimensions.isEmpty {
      lengths[set.name] = set.values.count
    }
    for (path, sets) in groups {
      for set in sets {
        for (axis, name) in set.dimensions.enumerated() where axis < set.shape.count {
          let length = lengths[name] ?? set.shape[axis]
          lengths[name] = length
          guard set.shape[axis] == length else {
            throw StorageError(
              "\(path)\(set.name) has \(set.shape[axis]) values along \(name), which has \(length)",
              at: record.source ?? folder, hint: "compute the record anew")
          }
        }
      }
    }
  }

  /// For a record from a file: whole numbers are small enough to be counted with; where no data set says what it
  /// lies along, all lie along one axis; where some do, every other is an axis itself.
  private static func checkColumns(of record: Record, in folder: String) throws {
    let sets = record.root.dataSets
    func isBeyond(_ number: some BinaryInteger) -> Bool { number.magnitude > 1 << 53 }
    var beyond = sets.filter {
      if case .int64(let values) = $0.values { values.contains(where: isBeyond) } else { false }
    }.map(\.name)
    // A seed has 64 bits, and nobody counts with it.
    for entry in record.attributes where entry.name != "seed" {
      switch entry.value {
      case .int(let number) where isBeyond(number): beyond.append("attribute \(entry.name)")
      case .ints(let numbers) where numbers.contains(where: isBeyond):
        beyond.append("attribute \(entry.name)")
      default: break
      }
    }
    if let name = beyond.first {
      throw StorageError(
        "\(name) holds whole numbers beyond 2^53", at: record.source ?? folder,
        hint: "compute the record anew")
    }
    let axes = Set(sets.flatMap(\.dimensions))
    let bare = sets.filter { $0.dimensions.isEmpty && !$0.shape.isEmpty }
    let fault = bare.first { set in
      axes.isEmpty
        ? set.shape != bare[0].shape : set.shape.count > 1 || !axes.contains(set.name)
    }
    guard let fault else { return }
    throw StorageError(
      axes.isEmpty
        ? "\(fault.name) has the shape \(fault.shape), \(bare[0].name) \(bare[0].shape), and nothing says along what"
        : "\(fault.name) does not say what it lies along", at: record.source ?? folder,
      hint: "compute the record anew")
  }

  /// The records of one method, by seed.
  package func records(of method: String) throws -> [Record] {
    let found = records.filter { $0.attributes["method"] == .string(method) }
    guard !found.isEmpty else {
      throw StorageError(
        "no record of method '\(method)'", at: folder,
        hint: "run the experiment with all its methods")
    }
    return found
  }

  /// One number a seed: the attribute `name` of the records of `method`.
  package func values(_ name: String, of method: String) throws -> [Double] {
    try records(of: method).map { try $0.double(attribute: name) }
  }

  /// The seeds that have records, ascending.
  package var seeds: [Int] {
    Set(records.compactMap { try? $0.int(attribute: "seed") }).sorted()
  }

  /// The profile, the same for all.
  package var profile: String { text("profile") }

  /// The commits that computed them, in words: "commit a", "commits a, b", "4 commits".
  package var commits: String {
    let commits = Set(
      records.map { record -> String in
        if case .string(let commit)? = record.telemetry.attributes["commit"] {
          return oneLine(commit)
        }
        return "unknown"
      })
    return commits.count > 3
      ? "\(commits.count) commits"
      : "commit\(commits.count == 1 ? "" : "s") \(commits.sorted().joined(separator: ", "))"
  }

  /// Profile, n, data and commit: what every figure says in its corner.
  package var stamp: String {
    let seeds = seeds
    return "profile \(profile) · n = \(seeds.count) seed\(seeds.count == 1 ? "" : "s") "
      + "(\(Self.shortened(seeds))) · \(text("data")) · \(commits)"
  }

  /// Rising numbers, three and more in a row by their ends: "1, 2, 11-15".
  static func shortened(_ numbers: [Int]) -> String {
    runs(of: numbers).flatMap {
      $0.count > 2 ? ["\($0.lowerBound)-\($0.upperBound)"] : $0.map(String.init)
    }
    .joined(separator: ", ")
  }

  /// A value of the settings that made them.
  package func setting(_ key: String) -> Node? {
    (try? records.first?.settings())?[key]
  }

  private func text(_ attribute: String) -> String {
    (try? records.first?.string(attribute: attribute)).map(oneLine) ?? "unknown"
  }
}

extension RecordSet {
  /// The method's title, with its own n where it has fewer seeds than others.
  package func title(of method: String) throws -> String {
    let records = try records(of: method)
    let title = oneLine(try records[0].string(attribute: "title"))
    return records.count == seeds.count ? title : "\(title) (n = \(records.count))"
  }
}

extension Record {
  /// The settings that made it; a record is data from outside, and so is their text. Nil for none.
  ///
  /// Throws a `StorageError` without the attribute and a `ConfigError` where it is not plain YAML.
  package func settings() throws -> Node.Mapping? {
    try plainNode(of: string(attribute: "config"), at: "\(source ?? "a record"), config")?.mapping
  }

  /// Throws a `StorageError` where data sets that are read side by side differ in length along their first axes, whatever these are
  /// called.
  package func checkLengths(of paths: [String]) throws {
    let lengths = try paths.map { try dataSet($0).shape.first }
    guard Set(lengths).count > 1 || lengths.contains(nil) else { return }
    throw StorageError(
      "its columns differ in length", at: source ?? "a record", hint: "compute the record anew")
  }

  /// An error: the record and the others of its arm are not of one kind.
  package func differs(in what: String) -> StorageError {
    StorageError(
      "the records of its arm differ in \(what)", at: source ?? "a record",
      hint: "compute them with the same settings")
  }
}

/// Rising numbers, as many in a row as there are.
func runs(of numbers: [Int]) -> [ClosedRange<Int>] {
  numbers.reduce(into: []) { runs, number in
    if let last = runs.last, number > last.upperBound, number - last.upperBound == 1 {
      runs[runs.count - 1] = last.lowerBound...number
    } else {
      runs.append(number...number)
    }
  }
}
