// SPDX-License-Identifier: Apache-2.0

/// What clipping did to one matrix, usually the gradient of one layer.
///
/// A rule fills in what it came to know on its way and computes nothing for this report's sake: what it
/// did not need is nil, or infinite where a bound is asked for.
public struct ClipStatistics: Equatable, Sendable, Codable {
  /// How the result was found; of the routes that clip singular values, all but `.randomized` are exact to
  /// rounding.
  public enum Route: String, Sendable, Codable {
    /// No rule has acted on this matrix.
    case none
    /// ‖G‖_F ≤ τ proves σ_1 ≤ τ: no decomposition was needed and no bit changed.
    case insideBall
    /// min(m, n) = 1: spectral clipping is norm clipping (§2.3).
    case vector
    /// Jacobi on a 3×3 matrix.
    case jacobi3x3
    /// Eigendecomposition of the smaller Gram matrix, in Double.
    case gram
    /// The same from the thin factors of a low-rank product.
    case factors
    /// Full singular value decomposition, in Double.
    case svd
    /// Algorithm 2: randomized truncated SVD.
    case randomized
    /// Scaling by the norm, of this matrix or of all layers together.
    case norm
    /// Row by row.
    case rows
    /// Entry by entry.
    case entries
    /// Sample by sample.
    case samples
    /// Micro-batch by micro-batch.
    case microBatches
  }

  /// Which route was taken.
  public var route: Route
  /// σ_1(G), or nil where a cheaper bound made it unnecessary to know; of `.randomized`, an estimate from below.
  public var sigmaMax: Double?
  /// An upper bound on σ_1(G): σ_1 itself, ‖G‖_F, or another that the route has proved (at best τ); infinite without any.
  public var sigmaMaxBound: Double
  /// The threshold applied; infinite where there was none.
  public var tau: Double
  /// How many singular values (rows, entries, samples: what the rule clips) were beyond the threshold.
  public var clippedCount: Int
  /// How many there are, min(m, n) singular values.
  public var valueCount: Int
  /// Of `.randomized`: how many singular values above the threshold are known to remain, beyond the rank. There
  /// may be more, which the sketch did not see.
  public var remainingCount = 0
  /// ‖G‖_F before, where the rule computed it.
  public var normBefore: Double?
  /// ‖C(G)‖_F after, where the rule computed it.
  public var normAfter: Double?

  /// The statistics of a matrix on which no rule has acted, with what is given filled in.
  public init(
    route: Route = .none, sigmaMax: Double? = nil, sigmaMaxBound: Double = .infinity,
    tau: Double = .infinity, clippedCount: Int = 0, valueCount: Int = 0,
    normBefore: Double? = nil, normAfter: Double? = nil
  ) {
    (self.route, self.sigmaMax, self.sigmaMaxBound) = (route, sigmaMax, sigmaMaxBound)
    (self.tau, self.clippedCount, self.valueCount) = (tau, clippedCount, valueCount)
    (self.normBefore, self.normAfter) = (normBefore, normAfter)
  }

  /// clippedCount / valueCount, 0 where there is nothing to clip.
  public var clippedFraction: Double {
    valueCount == 0 ? 0 : Double(clippedCount) / Double(valueCount)
  }
}
