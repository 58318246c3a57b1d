/// What one clip did to one matrix; the caller adds the time it took.
public struct ClipReport: Equatable, Sendable {
  /// How the clipped matrix was found; every route but `.randomized` is exact to rounding.
  public enum Route: String, Sendable, Codable {
    /// ‖G‖_F ≤ τ proves σ_1 ≤ τ: no decomposition was needed and no bit changed.
    case insideBall
    /// min(m, n) = 1: spectral clipping is norm clipping (§2.3).
    case vector
    /// Jacobi on a 3×3 matrix.
    case jacobi3x3
    /// Eigen-decomposition of the smaller Gram matrix, in Double.
    case gram
    /// The same from the thin factors of a low-rank product.
    case factors
    /// Full singular value decomposition, in Double.
    case svd
    /// Algorithm 2: randomized truncated SVD.
    case randomized
    /// Norm clipping.
    case norm
  }

  /// Which route was taken.
  public var route: Route
  /// σ_1(G), or nil where a cheaper bound made it unnecessary to know.
  public var sigmaMax: Double?
  /// An upper bound on σ_1(G): σ_1 itself where known, else ‖G‖_F.
  public var sigmaMaxBound: Double
  /// The threshold applied.
  public var tau: Double
  /// How many singular values exceeded τ and were clipped.
  public var clippedCount: Int
  /// How many singular values there are, min(m, n).
  public var valueCount: Int
  /// ‖G‖_F before.
  public var normBefore: Double
  /// ‖C_τ(G)‖_F after.
  public var normAfter: Double

  /// The share of singular values that were clipped, 0 for an empty matrix.
  public var clippedShare: Double {
    valueCount == 0 ? 0 : Double(clippedCount) / Double(valueCount)
  }
}
