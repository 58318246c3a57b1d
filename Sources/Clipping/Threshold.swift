// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// How the threshold τ_k of a layer is chosen (§4). Each layer keeps its own state (§5.3).
public enum ThresholdRule: Codable, Equatable, Sendable {
  /// The same τ at every step.
  case constant(Double)
  /// An exponential moving average of the top singular values, eq. (8); `coefficient` is θ.
  case ema(coefficient: Double = 0.9, EMAVariant = .paper)
  /// The `level` quantile of the last `window` top singular values, eqs. (9) and (10): `.interpolated`
  /// as in the authors' trace-regression script (numpy.quantile), `.lowerOrderStatistic` as in their
  /// clipping library.
  case quantile(level: Double = 0.85, window: Int = 100, QuantileRule = .interpolated)

  /// The three orders in which the moving average is read and updated.
  public enum EMAVariant: String, Codable, Sendable, CaseIterable {
    /// Eq. (8) with its indices read literally: t_k = θ t_{k-1} + (1 - θ) σ_1(G_k),
    /// τ_k = t_k / (1 - θ^{k+1}); the present gradient is part of its own threshold.
    case paper
    /// The authors' clipping library: past values only, t_{k-1} / (1 - θ^k); the first step is unclipped.
    case repository
    /// The authors' trace-regression script: past values only, starting from τ_0 = 0, which clips the
    /// first gradient to zero; σ_1 + 1e-8 enters the average.
    case traceScript
  }

  /// Whether τ_k depends on σ_1(G_k) itself, so that it is not known before the decomposition.
  public var includesPresentValue: Bool {
    if case .ema(_, .paper) = self { return true }
    return false
  }

  /// Whether the rule learns from σ_1, so that σ_1 must be known even of gradients inside the ball.
  public var isAdaptive: Bool {
    if case .constant = self { return false }
    return true
  }

  func validate() throws {
    switch self {
    case .constant(let tau):
      guard tau >= 0 else { throw ClippingError.invalidThreshold(tau) }
    case .ema(let theta, _):
      try require("coefficient", theta, theta > 0 && theta < 1, "a number in (0, 1)")
    case .quantile(let level, let window, _):
      try require("level", level, level >= 0 && level <= 1, "a number in [0, 1]")
      try require("window", Double(window), window >= 1, "a whole number >= 1")
    }
  }
}

/// The threshold of one layer and what it remembers; saving and restoring it resumes exactly.
public struct Threshold: Codable, Equatable, Sendable {
  /// The rule it follows.
  public let rule: ThresholdRule
  /// How many gradients it has seen, k.
  public private(set) var step = 0
  /// The moving average t_k before bias correction (EMA rules).
  private var average = 0.0
  /// The last σ_1, oldest first (quantile rules).
  private var window: [Double] = []
  /// The same values in ascending order.
  private var ordered: [Double] = []

  private enum CodingKeys: String, CodingKey { case rule, step, average, window, ordered }

  /// Throws a `DecodingError` for a state that no run of the rule leaves, a `ClippingError` for a rule out of range.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    rule = try container.decode(ThresholdRule.self, forKey: .rule)
    step = try container.decode(Int.self, forKey: .step)
    average = try container.decode(Double.self, forKey: .average)
    window = try container.decode([Double].self, forKey: .window)
    ordered = try container.decode([Double].self, forKey: .ordered)
    try rule.validate()
    guard 0..<1 << 53 ~= step, average >= 0, window.allSatisfy({ $0 >= 0 }),
      window.sorted() == ordered
    else {
      throw DecodingError.dataCorruptedError(
        forKey: .ordered, in: container, debugDescription: "not the window's values in order")
    }
    if case .quantile(_, let limit, _) = rule, window.count > limit {
      throw DecodingError.dataCorruptedError(
        forKey: .window, in: container, debugDescription: "more values than the window holds")
    }
  }

  /// A threshold that has seen nothing yet. Throws `ClippingError` for parameters outside their range.
  public init(_ rule: ThresholdRule) throws {
    try rule.validate()
    self.rule = rule
  }

  /// τ_k for a gradient with top singular value `sigmaMax`, which only `.ema(_, .paper)` looks at.
  ///
  /// Infinite where the rule leaves the gradient alone (no history yet).
  public func tau(sigmaMax: Double) -> Double {
    switch rule {
    case .constant(let tau): return tau
    case .ema(let theta, .paper):
      return (theta * average + (1 - theta) * sigmaMax) / (1 - pow(theta, Double(step + 1)))
    case .ema(let theta, .repository):
      return step == 0 ? .infinity : average / (1 - pow(theta, Double(step)))
    case .ema(let theta, .traceScript):
      return step == 0 ? 0 : average / (1 - pow(theta, Double(step)))
    case .quantile(let level, _, let reading):
      return ordered.isEmpty ? .infinity : Statistics.quantile(sorted: ordered, level, reading)
    }
  }

  /// Takes the top singular value of the raw gradient of this step into account, unless it is infinite; call once a step.
  public mutating func observe(sigmaMax: Double) {
    // A norm may overflow where no entry does; it says nothing of the steps to come.
    guard sigmaMax.isFinite else { return }
    switch rule {
    case .constant: break
    case .ema(let theta, let variant):
      let value = variant == .traceScript ? sigmaMax + 1e-8 : sigmaMax
      average = theta * average + (1 - theta) * value
    case .quantile(_, let limit, _):
      if window.count == limit {
        ordered.remove(at: position(of: window.removeFirst()))
      }
      window.append(sigmaMax)
      ordered.insert(sigmaMax, at: position(of: sigmaMax))
    }
    step += 1
  }

  /// The first index in `ordered` whose value is not below `value`.
  private func position(of value: Double) -> Int {
    var (low, high) = (0, ordered.count)
    while low < high {
      let middle = (low + high) / 2
      if ordered[middle] < value { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

/// Where the threshold of one clip comes from.
public enum ThresholdSource {
  /// τ, known beforehand.
  case fixed(Double)
  /// τ, known beforehand; the statistics are to carry σ_1(G) even where a bound would do for clipping.
  case fixedMeasuringSigmaMax(Double)
  /// τ as a function of σ_1(G) (an EMA that includes the present value).
  case fromSigmaMax((Double) -> Double)

  /// τ if it is known and a bound on σ_1 will do, nil if σ_1 must be found first. Throws
  /// `ClippingError.invalidThreshold` for a negative or NaN τ.
  var validatedTau: Double? {
    get throws {
      switch self {
      case .fixed(let tau): return try validated(tau)
      case .fixedMeasuringSigmaMax(let tau):
        _ = try validated(tau)
        return nil
      case .fromSigmaMax: return nil
      }
    }
  }

  /// The threshold once σ_1 is known.
  func tau(sigmaMax: Double) throws -> Double {
    switch self {
    case .fixed(let tau), .fixedMeasuringSigmaMax(let tau): tau
    case .fromSigmaMax: try validated(value(sigmaMax: sigmaMax))
    }
  }

  /// The same, not validated.
  func value(sigmaMax: Double) -> Double {
    switch self {
    case .fixed(let tau), .fixedMeasuringSigmaMax(let tau): tau
    case .fromSigmaMax(let rule): rule(sigmaMax)
    }
  }

  private func validated(_ tau: Double) throws -> Double {
    guard tau >= 0 else { throw ClippingError.invalidThreshold(tau) }
    return tau
  }
}
