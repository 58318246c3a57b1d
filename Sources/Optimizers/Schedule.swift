// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The learning rate of each step, as a multiple of the base rate.
public enum Schedule: Codable, Equatable, Sendable {
  /// The base rate throughout.
  case constant
  /// Up from 1/`warmup` of the base rate over `warmup` steps, then down by equal parts, which would reach 0 one step behind
  /// the last.
  case linear(warmup: Int = 0)
  /// Up in the same way, then along half a cosine that would reach `floor` times the base rate one step behind the last.
  case cosine(warmup: Int = 0, floor: Double = 0)
  /// The base rate times `factor` for every one of these steps that has come.
  case steps(at: [Int], factor: Double)
  /// The base rate times the k-th of these at step k, times the last of them from there on; not empty.
  case factors([Double])

  /// The multiple at step k = 0, …, steps - 1.
  public func factor(step: Int, of steps: Int) -> Double {
    func warm(_ warmup: Int) -> Double? {
      step < warmup ? Double(step + 1) / Double(warmup) : nil
    }
    func share(_ warmup: Int) -> Double {
      Double(step - warmup) / Double(max(1, steps - warmup))
    }
    switch self {
    case .constant: return 1
    case .linear(let warmup): return warm(warmup) ?? 1 - share(warmup)
    case .cosine(let warmup, let floor):
      return warm(warmup) ?? floor + (1 - floor) * 0.5 * (1 + cos(Double.pi * share(warmup)))
    case .steps(let places, let factor):
      return pow(factor, Double(places.count { $0 <= step }))
    case .factors(let factors):
      return factors[min(step, factors.count - 1)]
    }
  }
}
