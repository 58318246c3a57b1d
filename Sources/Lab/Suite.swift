// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// The suite's version, in every program's `--version`; CITATION.cff and CHANGELOG.md name it, too.
package let suiteVersion = "0.2.0"

/// The experiments of a suite, in the order in which reports list them.
package struct Suite: Sendable {
  /// The experiments.
  package let experiments: [any Experiment.Type]
  /// What README's table of figures lists.
  package let figures: [FigureEntry]
  /// What the suite reproduces.
  package let title: String
  /// What it asks, in a sentence or two.
  package let question: String

  /// A suite of `experiments`, whose names must differ.
  package init(
    _ experiments: [any Experiment.Type], figures: [FigureEntry] = [], title: String = "",
    question: String = ""
  ) {
    precondition(Set(experiments.map { $0.name }).count == experiments.count, "names repeat")
    (self.title, self.question) = (title, question)
    self.experiments = experiments
    self.figures = figures
  }

  /// The experiment of that name.
  package func experiment(named name: String) throws -> any Experiment.Type {
    guard let found = experiments.first(where: { $0.name == name }) else {
      throw ConfigError(
        "experiment '\(name)'", "unknown",
        hint: "known are \(experiments.map { $0.name }.joined(separator: ", "))")
    }
    return found
  }

  /// The experiment that the records of `set` came from.
  package func experiment(of set: RecordSet) throws -> any Experiment.Type {
    guard let record = set.records.first else {
      throw StorageError("holds no records", at: set.folder, hint: "run the experiment first")
    }
    return try experiment(named: record.string(attribute: "experiment"))
  }

  /// A caption from its template: {{name}} is replaced by the value the records give it, once: what stands in a value is
  /// text, and no tag. Besides what the experiment says, which comes first, every setting that is a value or a list has its
  /// name, and `data` are the data.
  ///
  /// Throws for a placeholder that has no value.
  package func caption(template: String, file: String, set: RecordSet) throws -> String {
    let experiment = try experiment(of: set)
    return try Self.filled(
      template: template, file: file,
      [("stamp", set.stamp), ("profile", set.profile), ("n", "\(set.seeds.count)")]
        + experiment.captionValues(of: set)
        + [("data", escaped(set.records[0].string(attribute: "data")))]
        + experiment.config(of: set).captionValues)
  }

  /// `template` with each {{name}} replaced by its value.
  package static func filled(
    template: String, file: String, _ values: [(String, String)]
  ) throws -> String {
    var text = ""
    var rest = template[...]
    while let open = rest.range(of: "{{") {
      let name = rest[open.upperBound...].prefix { $0 != "}" }
      guard let value = values.first(where: { $0.0 == name })?.1,
        rest[name.endIndex...].hasPrefix("}}")
      else {
        throw ConfigError(
          file, "unknown placeholder {{\(name)}}",
          hint: "known are \(values.map(\.0).joined(separator: ", "))")
      }
      text += rest[..<open.lowerBound]
      text += String(
        value.unicodeScalars.map {
          $0.properties.generalCategory == .control && $0 != "\n" ? " " : Character($0)
        }
      ).replacingOccurrences(of: "<", with: "&lt;")
      rest = rest[name.endIndex...].dropFirst(2)
    }
    return text + rest
  }
}

/// A line of README's table of figures.
package struct FigureEntry: Sendable {
  /// The figure, with its number.
  package let title: String
  /// The target that makes it.
  package let target: String
  /// The claims it is shown by; their order is that of the table.
  package let claims: [String]
  /// Where no claim goes with it, what there is.
  package let note: String
  /// Pictures and files that go with it.
  package let links: [(String, String)]

  /// A line.
  package init(
    _ title: String, make target: String, claims: [String] = [], note: String = "",
    links: [(String, String)]
  ) {
    (self.title, self.target, self.claims, self.note) = (title, target, claims, note)
    self.links = links
  }
}
