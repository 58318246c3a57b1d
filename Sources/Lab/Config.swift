import Foundation
import Yams

/// The settings of an experiment: a Codable value that is one flat mapping.
///
/// Every key of it is a key of the YAML file and of `--set`, so nothing may be optional (a nil leaves no key).
package protocol ExperimentConfig: Codable, Sendable, Equatable {
  /// The methods to run, in order.
  var methods: [String] { get set }
  /// One run a method and seed.
  var seeds: [UInt64] { get set }
  /// Throws a `ConfigError` for a value outside its range.
  func validate() throws
  /// What of it determines the records of one method.
  func restricted(to method: String) -> Self
}

extension ExperimentConfig {
  /// Everything, for most.
  package func restricted(to method: String) -> Self { self }
}

/// A setting that cannot be used; one line: where, what, what to do.
package struct ConfigError: Error, Equatable, CustomStringConvertible {
  /// The message.
  package let description: String

  /// An error at `place` (a file or an option).
  package init(_ place: String, _ what: String, hint: String) {
    description = "\(place): \(what); \(hint)"
  }

  package static func value(_ key: String, _ value: some Any, _ expected: String) -> ConfigError {
    ConfigError("setting '\(key)'", "\(value) is not \(expected)", hint: "choose another value")
  }
}

extension ExperimentConfig {
  /// These settings, overlaid by the YAML text of `file`, overlaid by `overrides` ("key=value" each).
  ///
  /// Throws a `ConfigError` that names the file or option, the key, and the nearest known key.
  package func overlaid(
    yaml text: String, file: String, overrides: [String] = []
  ) throws -> Self {
    var settings = try mapping
    let known = Array(settings.keys.compactMap(\.string))
    let overlay: Node?
    do { overlay = try compose(yaml: text) } catch {
      throw ConfigError(file, "not YAML (\(oneLine(error)))", hint: "correct the line it names")
    }
    if let overlay, overlay.null == nil {
      guard let entries = overlay.mapping else {
        throw ConfigError(
          file, "not a list of 'key: value' lines", hint: "write one setting a line")
      }
      for (key, value) in entries {
        try settings.set(key.string ?? "", value, known: known, place: file)
      }
    }
    for override in overrides {
      let parts = override.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        throw ConfigError("--set \(override)", "not key=value", hint: "write --set steps=2000")
      }
      let value = try? compose(yaml: String(parts[1]))
      try settings.set(
        String(parts[0]), value ?? Node(String(parts[1])), known: known, place: "--set \(override)")
    }
    let place = overrides.isEmpty ? file : "\(file) with \(overrides.joined(separator: ", "))"
    do {
      let config = try YAMLDecoder().decode(Self.self, from: serialize(node: .mapping(settings)))
      try config.validate()
      return config
    } catch let error as DecodingError {
      throw ConfigError(place, describe(error), hint: "correct its type")
    }
  }

  /// The settings as YAML text, keys in the order of their declaration.
  package var yaml: String {
    get throws { try YAMLEncoder().encode(self) }
  }

  /// One "key = value" line a setting, in order: what a record's key and a checkpoint's identity are made of.
  package var lines: [String] {
    get throws {
      try mapping.map { key, value in
        let text = (try? serialize(node: value, width: -1)) ?? ""
        let flat = text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
        return "\(key.string ?? "") = \(flat.joined(separator: " "))"
      }
    }
  }

  private var mapping: Node.Mapping {
    get throws {
      guard let mapping = try compose(yaml: yaml)?.mapping else {
        throw ConfigError("settings", "no settings", hint: "report this as a bug")
      }
      return mapping
    }
  }

  /// These settings, overlaid by what a record's text of settings has in common with them: an older build may have had
  /// other keys.
  func recalled(from text: String, place: String) throws -> Self {
    let known = try mapping
    var own = Node.Mapping([])
    for (key, value) in try compose(yaml: text)?.mapping ?? [:] where known[key] != nil {
      own[key] = value
    }
    return try overlaid(yaml: serialize(node: .mapping(own)), file: place)
  }
}

extension Node.Mapping {
  fileprivate mutating func set(
    _ key: String, _ value: Node, known: [String], place: String
  ) throws {
    guard known.contains(key) else {
      throw ConfigError(
        place, "unknown setting '\(key)'",
        hint:
          "did you mean '\(nearest(to: key, among: known))'? (known: \(known.joined(separator: ", ")))"
      )
    }
    self[Node(key)] = value
  }
}

private func describe(_ error: DecodingError) -> String {
  switch error {
  case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
    let key = context.codingPath.map(\.stringValue).joined(separator: ".")
    return "setting '\(key)': \(context.debugDescription)"
  case .keyNotFound(let key, _): return "setting '\(key.stringValue)' is missing"
  @unknown default: return oneLine(error)
  }
}

private func oneLine(_ error: any Error) -> String {
  "\(error)".split(separator: "\n").joined(separator: " ")
}

/// The name that `word` is most likely a misspelling of, empty where there are none.
package func nearest(to word: String, among names: [String]) -> String {
  names.min { editDistance($0, word) < editDistance($1, word) } ?? ""
}

/// Levenshtein's distance between two words.
func editDistance(_ a: String, _ b: String) -> Int {
  let (a, b) = (Array(a), Array(b))
  var row = Array(0...b.count)
  for i in 0..<a.count {
    var diagonal = row[0]
    row[0] = i + 1
    for j in 0..<b.count {
      let substituted = diagonal + (a[i] == b[j] ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = Swift.min(substituted, row[j] + 1, row[j + 1] + 1)
    }
  }
  return row[b.count]
}
