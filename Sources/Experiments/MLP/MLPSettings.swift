import Datasets
import Foundation
import Yams

/// Settings that name the data, model and noise of an MLP experiment.
protocol MLPConfig: ExperimentConfig {
  var inputs: Int { get }
  var hidden: [Int] { get }
  var samples: Int { get }
  var trainingShare: Double { get }
  var batchSize: Int { get }
  var order: BatchOrder { get }
  var noiseProbability: Double { get }
  var noiseAlpha: Double { get }
  var noiseScale: Double { get }
  var steps: Int { get }
}

extension MLPConfig {
  /// The problem they describe.
  var problem: MLPProblem {
    MLPProblem(
      inputs: inputs, hidden: hidden, samples: samples, trainingShare: trainingShare,
      batchSize: batchSize, order: order, noiseProbability: noiseProbability,
      noiseAlpha: noiseAlpha, noiseScale: noiseScale)
  }

  /// What figures say of the data.
  var dataDescription: String { "synthetic data, batches \(order.rawValue)" }

  func validateProblem() throws {
    try problem.validate()
    guard steps >= 1 else { throw ConfigError.value("steps", steps, "a whole number >= 1") }
  }
}

/// Hyper-parameters of methods as a file holds them: `experiments/mlp-heavy-tails/chosen.yaml`.
struct ChosenHyperparameters {
  /// By method.
  let values: [String: MLPMethod.Values]

  /// Reads a file with one mapping `methods:` from method names to hyper-parameters.
  ///
  /// Throws a `ConfigError` for a file that cannot be read, a method that does not exist and a
  /// hyper-parameter that is missing, unknown or meaningless.
  init(file: String) throws {
    guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
      throw ConfigError(
        file, "cannot be read", hint: "run the search (make table1), or give `settings`")
    }
    let entries: Node.Mapping?
    do { entries = try compose(yaml: text)?["methods"]?.mapping } catch {
      throw ConfigError(file, "not YAML", hint: "correct it or run the search again")
    }
    guard let entries else {
      throw ConfigError(
        file, "has no mapping 'methods'", hint: "write 'methods:' and below it one method each")
    }
    var values: [String: MLPMethod.Values] = [:]
    for (key, node) in entries {
      let name = key.string ?? ""
      let method = try MLPMethod.named(name, place: file)
      var own: MLPMethod.Values = [:]
      for (parameter, value) in node.mapping ?? [:] {
        own[parameter.string ?? ""] = value.float
      }
      try method.check(own, place: "\(file), method '\(name)'")
      values[name] = own
    }
    self.values = values
  }

  /// The text of such a file, in the order of `methods`.
  static func text(comment: String, _ chosen: [(method: MLPMethod, values: MLPMethod.Values)])
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
}

/// One line "method name=value name=value" of the setting `settings`.
struct MethodSetting {
  let method: MLPMethod
  let values: MLPMethod.Values

  init(_ method: MLPMethod, _ values: MLPMethod.Values) {
    (self.method, self.values) = (method, values)
  }

  init(line: String) throws {
    let words = line.split(separator: " ").map(String.init)
    let place = "setting 'settings', '\(line)'"
    method = try MLPMethod.named(words.first ?? "", place: place)
    var values: MLPMethod.Values = [:]
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

  var line: String {
    ([method.name] + method.hyperparameters.map { "\($0.name)=\(values[$0.name] ?? .nan)" })
      .joined(separator: " ")
  }
}
