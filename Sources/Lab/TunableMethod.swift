import Foundation
import Yams

/// A hyper-parameter and the range it is searched over.
package struct Hyperparameter: Sendable {
  package let name: String
  package let low: Double
  package let high: Double
  package let isLogarithmic: Bool

  /// Uniform on [low, high].
  package static func linear(_ name: String, _ low: Double, _ high: Double) -> Hyperparameter {
    Hyperparameter(name: name, low: low, high: high, isLogarithmic: false)
  }

  /// Log-uniform on [low, high].
  package static func logarithmic(_ name: String, _ low: Double, _ high: Double) -> Hyperparameter {
    Hyperparameter(name: name, low: low, high: high, isLogarithmic: true)
  }

  /// The value at share u in [0, 1] of the range.
  package func value(at u: Double) -> Double {
    isLogarithmic ? low * pow(high / low, u) : low + (high - low) * u
  }

  /// The place of `value` in the range: 0 at its low end, 1 at its high one.
  package func share(of value: Double) -> Double {
    isLogarithmic ? log(value / low) / log(high / low) : (value - low) / (high - low)
  }
}

/// A training method of an experiment, with the hyper-parameters that its table searches for.
package protocol TunableMethod: Sendable {
  /// Every method of the experiment, the paper's first.
  static var all: [Self] { get }
  /// In configurations and records.
  var name: String { get }
  /// How it is called in figures.
  var title: String { get }
  /// Where it comes from.
  var source: String { get }
  /// `learningRate` first.
  var hyperparameters: [Hyperparameter] { get }
}

extension TunableMethod {
  /// Values of hyper-parameters by name.
  package typealias Values = [String: Double]

  /// The method of that name, or a `ConfigError` that names the nearest one.
  package static func named(_ name: String, place: String) throws -> Self {
    if let found = all.first(where: { $0.name == name }) { return found }
    let nearest =
      all.map(\.name).min { editDistance($0, name) < editDistance($1, name) } ?? ""
    throw ConfigError(
      place, "unknown method '\(name)'",
      hint: "did you mean '\(nearest)'? (known: \(all.map(\.name).joined(separator: ", ")))")
  }

  /// Throws a `ConfigError` for a missing, unknown or meaningless hyper-parameter.
  package func check(_ values: Values, place: String) throws {
    for parameter in hyperparameters where values[parameter.name] == nil {
      throw ConfigError(
        place, "hyper-parameter '\(parameter.name)' is missing",
        hint: "write it as \(parameter.name): \(parameter.low)")
    }
    let known = hyperparameters.map(\.name)
    for key in values.keys.sorted() where !known.contains(key) {
      throw ConfigError(
        place, "unknown hyper-parameter '\(key)'",
        hint: "known are \(known.joined(separator: ", "))")
    }
    guard let rate = values["learningRate"], rate > 0, rate.isFinite else {
      throw ConfigError(
        place, "learningRate \(values["learningRate"] ?? .nan) is not a number > 0",
        hint: "choose another value")
    }
  }
}

/// Hyper-parameters of methods as a file holds them: `experiments/<name>/chosen.yaml`.
package struct ChosenHyperparameters<Method: TunableMethod> {
  /// By method.
  package let values: [String: Method.Values]

  /// Reads a file with one mapping `methods:` from method names to hyper-parameters.
  ///
  /// Throws a `ConfigError` for a file that cannot be read, a method that does not exist and a
  /// hyper-parameter that is missing, unknown or meaningless.
  package init(file: String) throws {
    guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
      throw ConfigError(
        file, "cannot be read", hint: "run the experiment's search, or give `settings`")
    }
    let entries: Node.Mapping?
    do { entries = try compose(yaml: text)?["methods"]?.mapping } catch {
      throw ConfigError(file, "not YAML", hint: "correct it or run the search again")
    }
    guard let entries else {
      throw ConfigError(
        file, "has no mapping 'methods'", hint: "write 'methods:' and below it one method each")
    }
    var values: [String: Method.Values] = [:]
    for (key, node) in entries {
      let name = key.string ?? ""
      let method = try Method.named(name, place: file)
      var own: Method.Values = [:]
      for (parameter, value) in node.mapping ?? [:] {
        own[parameter.string ?? ""] = value.float
      }
      try method.check(own, place: "\(file), method '\(name)'")
      values[name] = own
    }
    self.values = values
  }

  /// The text of such a file, in the order of `methods`.
  package static func text(comment: String, _ chosen: [(method: Method, values: Method.Values)])
    -> String
  {
    var text = "# \(comment)\nmethods:\n"
    for (method, values) in chosen {
      text += "  \(method.name):\n"
      for parameter in method.hyperparameters {
        text += "    \(parameter.name): \(values[parameter.name] ?? .nan)\n"
      }
    }
    return text
  }

  /// `settings` with a line for each of `methods` that has none yet, from the file.
  package static func fillTuned(_ settings: [String], methods: [String], file: String) throws
    -> [String]
  {
    let given = try settings.map { try MethodSetting<Method>(line: $0).method.name }
    let missing = methods.filter { !given.contains($0) }
    guard !missing.isEmpty else { return settings }
    let chosen = try ChosenHyperparameters(file: file)
    return try settings
      + missing.map { name in
        guard let values = chosen.values[name] else {
          throw ConfigError(
            file, "has no method '\(name)', which this configuration runs",
            hint: "run the experiment's search for it, or leave the method out")
        }
        return MethodSetting(try Method.named(name, place: file), values).line
      }
  }
}

/// One line "method name=value name=value" of the setting `settings`.
package struct MethodSetting<Method: TunableMethod> {
  package let method: Method
  package let values: Method.Values

  package init(_ method: Method, _ values: Method.Values) {
    (self.method, self.values) = (method, values)
  }

  package init(line: String) throws {
    let words = line.split(separator: " ").map(String.init)
    let place = "setting 'settings', '\(line)'"
    method = try Method.named(words.first ?? "", place: place)
    var values: Method.Values = [:]
    for word in words.dropFirst() {
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, let value = Double(parts[1]) else {
        throw ConfigError(place, "'\(word)' is not name=number", hint: "write learningRate=0.01")
      }
      values[parts[0]] = value
    }
    try method.check(values, place: place)
    self.values = values
  }

  package var line: String {
    ([method.name] + method.hyperparameters.map { "\($0.name)=\(values[$0.name] ?? .nan)" })
      .joined(separator: " ")
  }

  /// The lines of `settings` that are of `method`.
  package static func lines(of method: String, in settings: [String]) -> [String] {
    settings.filter { $0.split(separator: " ").first.map(String.init) == method }
  }

  /// The values of `method` among the lines of `settings`.
  package static func values(of method: String, in settings: [String]) throws -> Method.Values {
    for line in settings {
      let setting = try MethodSetting(line: line)
      if setting.method.name == method { return setting.values }
    }
    throw ConfigError(
      "method '\(method)'", "has no hyper-parameters",
      hint: "add it to chosen.yaml (the search writes it), or to `settings`")
  }
}
