// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Yams

/// Brings records that an older build made to the names of this one. Numbers and telemetry stay as they are.
package struct RecordMigration: Sendable {
  /// Old names of settings, with the new ones, by experiment prefix ("" for all).
  package let keys: [(experiment: String, old: String, new: String)]
  /// Old endings of arms, with the new ones.
  package let arms: [(old: String, new: String)]
  /// Old names of data sets.
  package let dataSets: [String: String]
  /// Old profiles by experiment.
  package let profiles: [(experiment: String, old: String, new: String)]
  /// Old values of settings.
  package let values: [(key: String, old: String, new: String)]
  /// Old words in titles and long names.
  package let words: [(old: String, new: String)]

  /// The renames given.
  package init(
    keys: [(experiment: String, old: String, new: String)], arms: [(old: String, new: String)],
    dataSets: [String: String], profiles: [(experiment: String, old: String, new: String)],
    values: [(key: String, old: String, new: String)], words: [(old: String, new: String)]
  ) {
    (self.keys, self.arms, self.dataSets) = (keys, arms, dataSets)
    (self.profiles, self.values, self.words) = (profiles, values, words)
  }

  /// The arm's name today.
  package func arm(_ name: String) -> String {
    for rename in arms where name.hasSuffix(rename.old) {
      return name.dropLast(rename.old.count) + rename.new
    }
    return name
  }

  private func text(_ text: String) -> String {
    words.reduce(text) { $0.replacingOccurrences(of: $1.old, with: $1.new) }
  }

  // MARK: - Records

  /// The record under today's names, with the key that the runner would give it. One that has them already is unchanged.
  ///
  /// Throws a `StorageError` for a record of an unknown experiment, and a `ConfigError` for settings that mean nothing today.
  package func migrated(_ record: Record, _ suite: Suite) throws -> Record {
    try migrate(record, suite.experiment(named: record.string(attribute: "experiment")))
  }

  private func migrate<E: Experiment>(_ record: Record, _ experiment: E.Type) throws -> Record {
    let place = record.source ?? "a record"
    let method = arm(try record.string(attribute: "method"))
    guard let seed = UInt64(exactly: try record.int(attribute: "seed")) else {
      throw StorageError("has a negative seed", at: place, hint: "compute the record anew")
    }
    // They become the name of a file.
    guard !method.isEmpty, method.utf8.count <= 200, !method.hasSlash, !method.utf8.contains(0)
    else {
      throw StorageError(
        "names a method that is no name of a file", at: place, hint: "compute the record anew")
    }
    let config = try E.defaults.overlaid(
      yaml: settings(record, E.name, known: E.defaults, place: place), file: place)
    var attributes = Attributes()
    for entry in record.attributes {
      switch (entry.name, entry.value) {
      case ("method", _): attributes["method"] = .string(method)
      case ("config", _): attributes["config"] = .string(try config.yaml)
      case ("key", _):
        attributes["key"] = .string(try Runner<E>.key(of: config, method, seed))
      case ("profile", .string(let name)):
        attributes["profile"] = .string(profile(name, of: E.name))
      case ("title", .string(let title)): attributes["title"] = .string(text(title))
      default: attributes[entry.name] = entry.value
      }
    }
    for sets in [record.root.dataSets] + record.groups.map(\.dataSets) {
      let names = sets.map { dataSets[$0.name] ?? $0.name }
      guard Set(names).count == names.count else {
        throw StorageError(
          "has a data set under its old and under its new name", at: place,
          hint: "compute the record anew")
      }
    }
    var new = Record(attributes: attributes, dataSets: record.root.dataSets.map(renamed))
    for group in record.groups {
      new[group: group.name] =
        group.name == Record.telemetryName
        ? group
        : Record.Group(
          group.name, attributes: group.attributes, dataSets: group.dataSets.map(renamed))
    }
    return new
  }

  private func renamed(_ set: Record.DataSet) -> Record.DataSet {
    Record.DataSet(
      dataSets[set.name] ?? set.name, set.values, shape: set.shape, longName: text(set.longName),
      units: set.units, dimensions: set.dimensions)
  }

  package func profile(_ name: String, of experiment: String) -> String {
    profiles.first { $0.experiment == experiment && $0.old == name }?.new ?? name
  }

  /// The settings as today's YAML.
  private func settings(
    _ record: Record, _ experiment: String, known: some ExperimentConfig, place: String
  ) throws -> String {
    let knownKeys = Set(try known.names)
    var own = Node.Mapping([])
    for (key, value) in try record.settings() ?? [:] {
      let old = key.string ?? ""
      if old == "settings" && !knownKeys.contains("settings") {
        own["hyperparameters"] = try hyperparameters(value, place: place)
        continue
      }
      let rename = keys.first { $0.old == old && experiment.hasPrefix($0.experiment) }
      let new = rename?.new ?? old
      if old == "methods" {
        own["methods"] = Node((value.sequence ?? []).map { Node(arm($0.string ?? "")) })
      } else if old == "hyperparameters" {
        var arms = Node.Mapping([])
        for (name, values) in value.mapping ?? [:] { arms[Node(arm(name.string ?? ""))] = values }
        own["hyperparameters"] = .mapping(arms)
      } else if let change = values.first(where: { $0.key == old && $0.old == value.string }) {
        own[Node(new)] = Node(change.new)
      } else {
        own[Node(new)] = value
      }
    }
    if knownKeys.contains("dataName") && own["dataName"] == nil {
      own["dataName"] = Node(try record.string(attribute: "data"))
    }
    return try serialize(node: .mapping(own))
  }

  /// Lines "method name=value …" as a mapping of mappings.
  private func hyperparameters(_ lines: Node, place: String) throws -> Node {
    var arms = Node.Mapping([])
    for line in lines.sequence ?? [] {
      let words = (line.string ?? "").split(separator: " ").map(String.init)
      var values = Node.Mapping([])
      for word in words.dropFirst() {
        let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2 else {
          throw ConfigError(place, "'\(word)' is not name=number", hint: "compute the record anew")
        }
        values[Node(parts[0])] = Node(parts[1], Tag(.float))
      }
      arms[Node(arm(words.first ?? ""))] = .mapping(values)
    }
    return .mapping(arms)
  }

  // MARK: - Folders

  /// Migrates every record of a folder, in place, and renames files; returns how many changed.
  ///
  /// Throws a `StorageError` for two records that would have one name, before any is touched.
  package func migrate(folder: String, _ suite: Suite) throws -> Int {
    let manager = FileManager.default
    let names = try manager.contentsOfDirectory(atPath: folder)
      .filter { $0.hasSuffix(".h5") }.sorted()
    var taken: [String: String] = [:]
    let records = try names.map { name in
      let old = try Record.read(from: "\(folder)/\(name)")
      let new = try migrated(old, suite)
      let target =
        try "\(new.string(attribute: "method"))-seed\(new.int(attribute: "seed")).h5"
      guard target == name || !manager.fileExists(atPath: "\(folder)/\(target)") else {
        throw StorageError(
          "would take the place of \(target)", at: "\(folder)/\(name)",
          hint: "remove one of the two")
      }
      if let other = taken.updateValue(name, forKey: target) {
        throw StorageError(
          "is of the same method and seed as \(other)", at: "\(folder)/\(name)",
          hint: "remove one of the two")
      }
      return (name: name, old: old, new: new, target: target)
    }
    var changed = 0
    for (name, old, new, target) in records {
      guard new.firstDifference(from: old) != nil || target != name else { continue }
      try new.write(to: "\(folder)/\(target)")
      if target != name { try manager.removeItem(atPath: "\(folder)/\(name)") }
      changed += 1
    }
    return changed
  }
}
