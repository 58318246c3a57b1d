// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// Per-sample clipping with thresholds a k^(1/p) (arXiv 2605.02701): with a raw moment E‖g‖^p <= G^p,
/// p in (1, 2], the mean of n clipped samples has bias <= p G^p a^(1-p) n^(-(p-1)/p) and variance <=
/// G^p a^(2-p) n^(-2) Σ k^((2-p)/p). Derived here; the streaming truncated mean.
public struct PerSampleClipping: Sendable {
  /// p.
  public let moment: Double
  /// G, the p-th root of the raw moment.
  public let size: Double
  /// a.
  public let scale: Double

  /// Throws a `HypothesisError` for p outside (1, 2], G or a <= 0.
  public init(moment: Double, size: Double, scale: Double) throws(HypothesisError) {
    try HypothesisError.require("per-sample", "1 < p <= 2", moment, moment > 1 && moment <= 2)
    try HypothesisError.require("per-sample", "G > 0", size, size > 0)
    try HypothesisError.require("per-sample", "a > 0", scale, scale > 0)
    (self.moment, self.size, self.scale) = (moment, size, scale)
  }

  /// The threshold of the sample at position k = 1, 2, ….
  public func threshold(_ k: Int) -> Double { scale * pow(Double(k), 1 / moment) }

  /// The bound of the bias of n samples.
  public func biasBound(_ n: Int) -> Double {
    moment * pow(size, moment) * pow(scale, 1 - moment) * pow(Double(n), -(moment - 1) / moment)
  }

  /// The bound of the variance of n samples.
  public func varianceBound(_ n: Int) -> Double {
    let sum = (1...n).reduce(0) { $0 + pow(Double($1), (2 - moment) / moment) }
    return pow(size, moment) * pow(scale, 2 - moment) * sum / Double(n * n)
  }

  /// -2(p-1)/p, the exponent of n in the mean squared error for a = G.
  public static func rate(moment: Double) -> Double { -2 * (moment - 1) / moment }

  /// Bias and variance of the mean of n clipped samples g + Z_k, exactly, for a discrete law.
  public func exactError(
    _ g: Matrix<Double>, law: DiscreteLaw, n: Int
  ) -> (bias: Double, variance: Double) {
    var bias = Matrix<Double>(rows: g.rows, columns: g.columns)
    var variance = 0.0
    for k in 1...n {
      let limit = threshold(k)
      func clip(_ z: Matrix<Double>) -> Matrix<Double> {
        let sample = g + z
        return sample.norm > limit ? (limit / sample.norm) * sample : sample
      }
      let mean = law.mean(clip)
      bias = bias + (1 / Double(n)) * (mean - g)
      variance +=
        law.expectation { z in
          let d = (clip(z) - mean).norm
          return d * d
        } / Double(n * n)
    }
    return (bias.norm, variance)
  }

  /// Both bounds against the exact values at n samples; G must be at least the law's own.
  public func check(_ g: Matrix<Double>, law: DiscreteLaw, n: Int) throws -> [Inequality] {
    let own = pow(law.expectation { pow((g + $0).norm, moment) }, 1 / moment)
    try HypothesisError.require(
      "per-sample", "G >= (E||g||^p)^(1/p) = \(own)", size, size >= own * (1 - 1e-12))
    let (bias, variance) = exactError(g, law: law, n: n)
    return [
      Inequality("2605.02701, bias", bias, biasBound(n), carrier: own, size: g.longerSide),
      Inequality("2605.02701, variance", variance, varianceBound(n), size: g.longerSide),
    ]
  }

  /// T steps X ← X - (1/L)·(mean of n clipped samples) from `count` independent streams: the mean of ‖∇f‖² over the
  /// steps of each run. Its expectation is at most 2LΔ₀/T + bias² + variance, by the descent inequality.
  public static func descent(
    _ problem: Problem, law: NoiseLaw, rule: PerSampleClipping, samples n: Int, steps: Int,
    count: Int, start: Matrix<Double>, stream: RandomStream
  ) -> [Double] {
    let (rows, columns) = (problem.rows, problem.columns)
    let limits = (1...n).map { rule.threshold($0) }
    var scratch = [Double](repeating: 0, count: 2 * (rows + columns) + 4)
    return (0..<count).map { run in
      var cursor = stream.at(step: run).cursor()
      var (x, total) = (start, 0.0)
      for _ in 0..<steps {
        let g = problem.gradient(x)
        total += g.norm * g.norm
        var mean = Matrix<Double>(rows: rows, columns: columns)
        for limit in limits {
          var sample = g
          sample.withMutableView { sample in
            scratch.withUnsafeMutableBufferPointer { scratch in
              if let work = scratch.baseAddress {
                law.add(
                  to: sample.base, rows: rows, columns: columns, using: &cursor, scratch: work)
              }
            }
          }
          let norm = sample.norm
          mean = mean + ((norm > limit ? limit / norm : 1) / Double(n)) * sample
        }
        x = x - (1 / problem.smoothness) * mean
      }
      return total / Double(steps)
    }
  }

  /// 2LΔ₀/T + the bounds of bias² and variance.
  public func descentBound(smoothness: Double, gap: Double, samples n: Int, steps: Int) -> Double {
    2 * smoothness * gap / Double(steps) + biasBound(n) * biasBound(n) + varianceBound(n)
  }
}
