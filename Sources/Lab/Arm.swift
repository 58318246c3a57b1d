// SPDX-License-Identifier: Apache-2.0

import Clipping
import Foundation
import Optimizers
import Training

/// One row of an experiment's table of training methods: optimizer, clip, which gradients are clipped, and the
/// hyper-parameters with the ranges they are searched over.
package struct Arm: Sendable {
  /// In configurations and records.
  package let name: String
  /// In figures.
  package let title: String
  /// Where it comes from.
  package let source: String
  /// `learningRate` first.
  package let hyperparameters: [Hyperparameter]
  /// Which of the workload's models it trains; empty where there is one.
  package var model = ""
  /// Which optimizer moves which parameters, beside those that the workload moves itself.
  package var optimizers: [(set: ParameterSet, make: @Sendable (ArmSite) throws -> any Optimizer)]
  /// Which gradients the clip sees.
  package var clippedSet = ParameterSet.all
  /// The clip.
  package var clip: @Sendable (ArmSite) throws -> any GradientTransform
  /// Whether the clip needs the gradient of every sample.
  package var needsSamples = false
  /// Into how many micro-batches a batch is cut that are clipped one by one; nil for clipping the batch's gradient.
  package var clippedMicroBatches: Int?
  /// Into how many micro-batches a batch is cut whose gradients are added up before the clip; nil for the workload's setting.
  package var accumulatedMicroBatches: Int?
  /// The schedule of its learning rate, where it is the arm's own and not the workload's.
  package var schedule: Schedule?
  /// The arm whose tuned hyper-parameters it takes, itself for most.
  package var tunedAs: String

  /// An arm that one optimizer moves.
  package init(
    _ name: String, _ title: String, source: String, _ hyperparameters: [Hyperparameter],
    _ optimizer: @escaping @Sendable (ArmSite) throws -> any Optimizer,
    moving set: ParameterSet = .all,
    clip: @escaping @Sendable (ArmSite) throws -> any GradientTransform = { _ in NoClip() }
  ) {
    (self.name, self.title, self.source) = (name, title, source)
    (self.hyperparameters, self.clip, tunedAs) = (hyperparameters, clip, name)
    optimizers = [(set, optimizer)]
  }

  /// The same arm with some fields changed.
  package func with(_ change: (inout Arm) -> Void) -> Arm {
    var copy = self
    change(&copy)
    return copy
  }
}

/// A named subset of a model's parameters.
package enum ParameterSet: String, Sendable {
  /// All.
  case all
  /// Weight matrices of a language model, embeddings and a head of their shape left out.
  case matrices
  /// All but the embeddings.
  case exceptEmbeddings
  /// Weight matrices and embeddings.
  case matricesAndEmbeddings
  /// Trained convolutions but the whitening one.
  case filters
  /// What no other optimizer of the arm moves.
  case others
}

/// Where an arm's rule and optimizers are to act: what they may depend on.
package struct ArmSite: Sendable {
  /// The arm's hyper-parameters, over the workload's defaults.
  package let values: Hyperparameters
  /// The names of the clipped layers.
  package let layers: [String]
  /// How singular values are found: the workload's setting.
  package let decomposition: Decomposition
  /// Keys the random numbers of sketches.
  package let seed: UInt64

  /// A site.
  package init(
    values: Hyperparameters, layers: [String], decomposition: Decomposition, seed: UInt64
  ) {
    (self.values, self.layers) = (values, layers)
    (self.decomposition, self.seed) = (decomposition, seed)
  }

  /// The hyper-parameter `name`; throws a `ConfigError` where there is none.
  package func callAsFunction(_ name: String) throws -> Double { try values(name) }

  /// Layer-wise spectral clipping by the workload's decomposition, or another one.
  package func spectral(
    _ rule: ThresholdRule, _ other: Decomposition? = nil
  ) throws -> LayerwiseSpectralClip {
    let chosen = other ?? decomposition
    return try LayerwiseSpectralClip(
      rule, chosen.operation, layers: layers, seed: seed, start: chosen.start)
  }
}

/// How the singular values above a threshold are found.
package enum Decomposition: Equatable, Sendable {
  /// All of them.
  case exact
  /// Algorithm 2.
  case sketch(rank: Int, oversampling: Int, powerIterations: Int, start: SketchStart = .normal)

  /// The same with another rank.
  package func with(rank: Int) -> Decomposition {
    guard case .sketch(_, let oversampling, let powerIterations, let start) = self else {
      return self
    }
    return .sketch(
      rank: rank, oversampling: oversampling, powerIterations: powerIterations, start: start)
  }

  /// What a sketch starts from.
  package var start: SketchStart {
    if case .sketch(_, _, _, let start) = self { return start }
    return .normal
  }

  /// The clip.
  package var operation: SpectralClip {
    get throws {
      switch self {
      case .exact: .exact
      case .sketch(let rank, let oversampling, let powerIterations, _):
        try .randomized(
          rank: rank, oversampling: oversampling, powerIterations: powerIterations)
      }
    }
  }
}

// MARK: - Hyper-parameters

/// A hyper-parameter and the range it is searched over.
package struct Hyperparameter: Sendable {
  /// The name.
  package let name: String
  /// The ends of the range.
  package let low: Double, high: Double
  /// Whether it is searched over evenly in its logarithm.
  package let isLogarithmic: Bool
  /// What it can be at all: a search whose best lies at an edge of the range goes on up to here.
  package let limits: ClosedRange<Double>

  /// Uniform on [low, high], for what is itself a fraction and has no other scale.
  package static func linear(
    _ name: String, _ low: Double, _ high: Double, limits: ClosedRange<Double>
  ) -> Hyperparameter {
    Hyperparameter(name: name, low: low, high: high, isLogarithmic: false, limits: limits)
  }

  /// Log-uniform on [low, high].
  package static func logarithmic(
    _ name: String, _ low: Double, _ high: Double
  ) -> Hyperparameter {
    Hyperparameter(
      name: name, low: low, high: high, isLogarithmic: true, limits: 0...Double.infinity)
  }

  /// The value at the fraction u in [0, 1] of the range.
  package func value(at u: Double) -> Double {
    isLogarithmic ? low * pow(high / low, u) : low + (high - low) * u
  }

  /// The place of `value` in the range: 0 at its low end, 1 at its high one.
  package func fraction(of value: Double) -> Double {
    isLogarithmic ? log(value / low) / log(high / low) : (value - low) / (high - low)
  }

  /// The places of `limits`.
  var hardFractions: ClosedRange<Double> {
    fraction(of: limits.lowerBound)...fraction(of: limits.upperBound)
  }
}

/// Values by name, written in alphabetical order, so that equal values have equal texts.
package struct Named<Value: Codable & Equatable & Sendable>: Equatable, Sendable, Codable,
  ExpressibleByDictionaryLiteral
{
  private var values: [String: Value]

  /// The values given.
  package init(_ values: [String: Value] = [:]) { self.values = values }
  /// The values given.
  package init(dictionaryLiteral elements: (String, Value)...) {
    values = Dictionary(uniqueKeysWithValues: elements)
  }

  /// The value of `name`, nil where there is none.
  package subscript(name: String) -> Value? {
    get { values[name] }
    set { values[name] = newValue }
  }

  /// The names in alphabetical order.
  package var names: [String] { values.keys.sorted() }

  /// A mapping.
  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: AnyKey.self)
    for name in names { try container.encode(values[name], forKey: AnyKey(name)) }
  }

  /// A mapping.
  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: AnyKey.self)
    values = [:]
    for key in container.allKeys {
      values[key.stringValue] = try container.decode(Value.self, forKey: key)
    }
  }
}

/// Values of hyper-parameters.
package typealias Hyperparameters = Named<Double>

/// Hyper-parameters by arm: the setting `hyperparameters`, and what a tuned.yaml holds.
package typealias ArmHyperparameters = Named<Hyperparameters>

extension Named where Value == Double {
  /// The value of `name`; throws a `ConfigError` where there is none.
  package func callAsFunction(_ name: String) throws -> Double {
    guard let value = values[name] else {
      throw ConfigError(
        "hyper-parameter '\(name)'", "is missing",
        hint: "there are \(names.isEmpty ? "none" : names.joined(separator: ", "))")
    }
    return value
  }

  /// These over `defaults`.
  package func over(_ defaults: Hyperparameters) -> Hyperparameters {
    Hyperparameters(defaults.values.merging(values) { $1 })
  }
}

/// A coding key of any name.
struct AnyKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }
  init(_ name: String) { stringValue = name }
  init?(stringValue: String) { self.init(stringValue) }
  init?(intValue: Int) { nil }
}

// MARK: - Tables of arms

extension Arm {
  /// Throws a `ConfigError` for a missing, unknown or meaningless hyper-parameter.
  package func check(_ values: Hyperparameters, place: String) throws {
    for parameter in hyperparameters where values[parameter.name] == nil {
      throw ConfigError(
        place, "hyper-parameter '\(parameter.name)' is missing",
        hint: "write it as \(parameter.name): \(parameter.low)")
    }
    let known = hyperparameters.map(\.name)
    for name in values.names where !known.contains(name) {
      throw ConfigError(
        place, "unknown hyper-parameter '\(name)'",
        hint: "known are \(known.joined(separator: ", "))")
    }
    for name in known {
      let value = try values(name)
      guard value.isFinite, name != "learningRate" || value > 0 else {
        throw ConfigError(
          place, "\(name) \(value) is not a number\(name == "learningRate" ? " > 0" : "")",
          hint: "choose another value")
      }
    }
  }
}

extension [Arm] {
  /// The arm of that name, or a `ConfigError` that names the nearest one.
  package func named(_ name: String, place: String) throws -> Arm {
    if let found = first(where: { $0.name == name }) { return found }
    throw ConfigError(
      place, "unknown method '\(name)'",
      hint: suggestion(for: name, among: map(\.name))
        + "known are \(map(\.name).joined(separator: ", "))")
  }
}
