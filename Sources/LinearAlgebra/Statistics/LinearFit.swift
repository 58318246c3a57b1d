// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The least-squares line y[n] ≈ intercept + slope · x[n].
public struct LinearFit: Sendable, Hashable, Codable {
  /// The slope.
  public let slope: Double
  /// The value at x = 0.
  public let intercept: Double
  /// The standard error of the slope under independent errors of equal variance; NaN for two
  /// points.
  public let slopeStandardError: Double
  /// The share of the variance of y that the line explains; NaN if y is constant.
  public let rSquared: Double

  /// Fits a line to at least two points, not all at the same x. NaN propagates.
  public init(_ x: [Double], _ y: [Double]) {
    precondition(x.count == y.count, "a line through x[\(x.count)] and y[\(y.count)]")
    precondition(x.count >= 2, "a line through \(x.count) points")
    precondition(x.contains { $0 != x[0] }, "a line through points all at x = \(x[0])")
    let meanX = Statistics.mean(x)
    let meanY = Statistics.mean(y)
    let dx = x.map { $0 - meanX }
    let dy = y.map { $0 - meanY }
    let xx = Statistics.sum(dx.map { $0 * $0 })
    let xy = Statistics.sum(zip(dx, dy).map { $0 * $1 })
    let yy = Statistics.sum(dy.map { $0 * $0 })
    let slope = xy / xx
    let residual = Statistics.sum(zip(dx, dy).map { ($1 - slope * $0) * ($1 - slope * $0) })
    self.slope = slope
    intercept = meanY - slope * meanX
    slopeStandardError =
      x.count > 2 ? (residual / Double(x.count - 2) / xx).squareRoot() : .nan
    rSquared = yy > 0 ? 1 - residual / yy : .nan
  }

  /// Fits ln y = intercept + slope · ln x: the exponent of a power law. All x and y must be
  /// positive; a NaN gives NaN.
  public init(logLog x: [Double], _ y: [Double]) {
    precondition(
      (x + y).allSatisfy { !($0 <= 0) }, "a log-log line needs positive values: x \(x), y \(y)")
    self.init(x.map(log), y.map(log))
  }
}
