// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
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
  /// What whole numbers can be, alone or in a list: no more than a thousand million where nothing is said.
  static var limits: [String: ClosedRange<Int>] { get }
  /// Settings that came when there were records already, with what they had been until then. At that value they are no part of
  /// a record's key, so that older records keep theirs.
  static var later: [String: String] { get }
}

extension ExperimentConfig {
  package static var later: [String: String] { [:] }
  package static var limits: [String: ClosedRange<Int>] { [:] }
  /// Everything, for most.
  package func restricted(to method: String) -> Self { self }
}

/// A setting that cannot be used; one line: where, what, what to do.
package struct ConfigError: Error, Equatable, CustomStringConvertible {
  /// The message, one line.
  package let description: String

  /// An error at `place` (a file or an option); line breaks and control characters, which texts from files may hold, are
  /// folded into spaces.
  package init(_ place: String, _ what: String, hint: String) {
    description = oneLine("\(place): \(what); \(hint)")
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
    if let overlay = try plainNode(of: text, at: file), overlay.null == nil {
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
      let place = "--set \(override.prefix(200))"
      let (key, text) = (String(parts[0]), String(parts[1]))
      var value = try plainNode(of: text, at: place) ?? Node(text)
      // A list may be written without its brackets, as in --set seeds=1,2,3.
      if settings[key]?.sequence != nil, value.scalar != nil, !text.isEmpty {
        value = try plainNode(of: "[\(text)]", at: place) ?? value
      }
      try settings.set(key, value, known: known, place: place)
    }
    let place = overrides.isEmpty ? file : "\(file) with \(overrides.joined(separator: ", "))"
    do {
      return try YAMLDecoder().decode(Self.self, from: serialize(node: .mapping(settings)))
        .checked()
    } catch let error as DecodingError {
      throw ConfigError(place, describe(error), hint: "correct its type")
    }
  }

  /// These settings; throws a `ConfigError` for a value that cannot be.
  package func checked() throws -> Self {
    try validateNumbers()
    try validateJobs()
    try validate()
    return self
  }

  /// The settings as YAML text, keys in the order of their declaration.
  package var yaml: String {
    get throws { try YAMLEncoder().encode(self) }
  }

  /// The names of all settings.
  var names: [String] { get throws { try mapping.keys.compactMap(\.string) } }

  /// One "key = value" line a setting, in order, those of `later` only where they differ from it: what a record's key and a
  /// checkpoint's identity are made of.
  package var lines: [String] {
    get throws {
      try mapping.compactMap { key, value in
        let text = (try? serialize(node: value, width: -1)) ?? ""
        let flat = text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
          .joined(separator: " ")
        let name = key.string ?? ""
        return Self.later[name] == flat ? nil : "\(name) = \(flat)"
      }
    }
  }

  /// The settings as a caption has them: numbers in decimal, lists with "and".
  package var captionValues: [(String, String)] {
    get throws {
      func words(_ node: Node) -> String? {
        guard let text = node.scalar?.string else {
          return node.sequence.map { $0.compactMap(words).joined(separator: " and ") }
        }
        return Int(text) == nil ? Double(text).map { "\($0)" } ?? text : text
      }
      return try mapping.compactMap { key, value in words(value).map { (key.string ?? "", $0) } }
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
    for (key, value) in try plainNode(of: text, at: place)?.mapping ?? [:] where known[key] != nil {
      own[key] = value
    }
    return try overlaid(yaml: serialize(node: .mapping(own)), file: place)
  }
}

extension ClosedRange<Int> {
  /// How often or how many, one at least.
  package static var positive: ClosedRange<Int> { 1...1_000_000_000 }
  /// How often or how many, or none.
  package static var count: ClosedRange<Int> { 0...1_000_000_000 }
}

extension Node.Mapping {
  fileprivate mutating func set(
    _ key: String, _ value: Node, known: [String], place: String
  ) throws {
    guard known.contains(key) else {
      throw ConfigError(
        place, "unknown setting '\(key)'",
        hint:
          "\(suggestion(for: key, among: known))known are \(known.joined(separator: ", "))"
      )
    }
    guard value.sequence?.count ?? 0 <= 10_000 else {
      throw ConfigError(
        place, "setting '\(key)' has more than 10 000 values", hint: "use fewer")
    }
    self[Node(key)] = value
  }
}

extension ExperimentConfig {
  /// Seeds and methods: at least one, none twice, and seeds that records can hold.
  private func validateJobs() throws {
    guard !methods.isEmpty, Set(methods).count == methods.count else {
      throw ConfigError.value("methods", methods, "a list of different methods")
    }
    guard !seeds.isEmpty, Set(seeds).count == seeds.count, seeds.allSatisfy({ $0 < 1 << 63 }) else {
      throw ConfigError.value(
        "seeds", seeds, "a list of different whole numbers from 0 to 2^63 - 1")
    }
  }

  /// Every number of the settings against what is possible at all: finite, and no count beyond its limit. What a setting
  /// means is `validate`'s.
  private func validateNumbers() throws {
    for (key, value) in try mapping {
      let name = key.string ?? ""
      try value.forEachScalar { scalar in
        // Seeds have their own check, hyper-parameters that of their arm.
        guard !name.lowercased().hasSuffix("seeds"), name != "hyperparameters" else { return }
        if let number = Int(scalar) {
          let range = Self.limits[name] ?? -1_000_000_000...1_000_000_000
          guard number >= range.lowerBound else {
            throw ConfigError.value(name, number, "a whole number >= \(range.lowerBound)")
          }
          guard number <= range.upperBound else {
            throw ConfigError.value(name, number, "at most \(range.upperBound)")
          }
        } else if let number = Double(
          scalar.replacingOccurrences(of: ".inf", with: "inf")
            .replacingOccurrences(of: ".nan", with: "nan")), !number.isFinite
        {
          throw ConfigError.value(name, scalar, "a finite number")
        }
      }
    }
  }
}

extension Node {
  /// Calls `body` with every unquoted scalar.
  fileprivate func forEachScalar(_ body: (String) throws -> Void) rethrows {
    switch self {
    case .scalar(let scalar):
      if scalar.style == .any || scalar.style == .plain { try body(scalar.string) }
    case .sequence(let nodes): for node in nodes { try node.forEachScalar(body) }
    case .mapping(let pairs): for (_, node) in pairs { try node.forEachScalar(body) }
    case .alias: break
    }
  }
}

/// Whether an anchor (&name), an alias (*name) or a tag (!name) begins somewhere outside quotes and comments.
private func holdsAnchorsOrTags(_ text: String) -> Bool {
  var quote: UInt8?
  var before = UInt8(ascii: "\n")
  let bytes = Array(text.utf8)
  var i = 0
  while i < bytes.count {
    let byte = bytes[i]
    if let open = quote {
      if byte == UInt8(ascii: "\\"), open == UInt8(ascii: "\"") { i += 1 }
      if byte == open { quote = nil }
    } else {
      let begins = " \t\r\n[{,:-?".utf8.contains(before)
      switch byte {
      case UInt8(ascii: "'"), UInt8(ascii: "\""): if begins { quote = byte }
      case UInt8(ascii: "#") where " \t\r\n".utf8.contains(before):
        while i < bytes.count, bytes[i] != UInt8(ascii: "\n") { i += 1 }
      case UInt8(ascii: "&"), UInt8(ascii: "*"):
        let isAlone = i + 1 == bytes.count || " \t\r\n".utf8.contains(bytes[i + 1])
        if begins, !isAlone { return true }
      case UInt8(ascii: "!"): if begins { return true }
      default: break
      }
    }
    before = i < bytes.count ? bytes[i] : before
    i += 1
  }
  return false
}

/// The YAML of a configuration: no anchors, which can make a small file a huge one, no tags, and numbers in decimal, as everyone reads
/// them (YAML 1.1 takes 010 for 8 and 12:30 for 750). Nil for an empty text.
package func plainNode(of text: String, at place: String) throws -> Node? {
  guard text.utf8.count <= 1 << 20 else {
    throw ConfigError(
      place, "\(text.utf8.count) bytes are no settings", hint: "use a file below a megabyte")
  }
  guard !holdsAnchorsOrTags(text) else {
    throw ConfigError(place, "anchors, aliases and tags are not read", hint: "write the values out")
  }
  let node: Node?
  do { node = try compose(yaml: text) } catch {
    throw ConfigError(place, "not YAML (\(oneLine("\(error)")))", hint: "correct the line it names")
  }
  guard let node else { return nil }
  let notDecimal = /[-+]?(0[0-9_]+|0[xob][0-9a-fA-F_]+|[0-9]+(:[0-9]+)+(\.[0-9_]*)?|[0-9]+_[0-9_]*)/
  try node.forEachScalar { scalar in
    guard scalar.wholeMatch(of: notDecimal) == nil else {
      throw ConfigError(
        place, "'\(scalar)' is not a decimal number", hint: "write it as 8, 750 or 0.5")
    }
    if underflows(scalar) {
      throw ConfigError(place, "'\(scalar)' cannot be told from 0", hint: "write 0")
    }
  }
  return node
}

private func describe(_ error: DecodingError) -> String {
  switch error {
  case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
    let key = context.codingPath.map(\.stringValue).joined(separator: ".")
    return "setting '\(key)': \(context.debugDescription)"
  case .keyNotFound(let key, _): return "setting '\(key.stringValue)' is missing"
  @unknown default: return oneLine("\(error)")
  }
}

/// "did you mean 'steps'? ", or nothing where no name is near: at most a third of its letters differ.
package func suggestion(for word: String, among names: [String]) -> String {
  let distances = names.map {
    (name: $0, distance: editDistance($0.lowercased(), word.lowercased()))
  }
  guard let best = distances.min(by: { $0.distance < $1.distance }),
    3 * best.distance <= max(3, min(word.count, best.name.count))
  else { return "" }
  return "did you mean '\(best.name)'? "
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
