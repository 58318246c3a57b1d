import LinearAlgebra

/// Spectral clipping C_τ(G) = U diag(min(σ_i, τ)) Vᵀ of a gradient matrix G[m,n] = U diag(σ) Vᵀ (eqs 2-4).
///
/// The singular directions stay, the singular values are clamped at τ: the Frobenius projection
/// onto the ball {‖X‖₂ ≤ τ}. Tensors of order above two are clipped as matrices [d0, rest], vectors
/// as n×1, where spectral and norm clipping are the same thing (§2.3).
///
/// `.exactSVD` is exact to rounding: whatever the precision of G, the decomposition runs in
/// `Double`. It takes the cheapest route that keeps that promise (see `ClipStatistics.Route`).
public struct SpectralClip: Codable, Equatable, Sendable {
  /// How the singular values above τ are found.
  public enum Method: Codable, Equatable, Sendable {
    /// All of them, exactly.
    case exactSVD
    /// Algorithm 2: the `rank` largest, by a randomized SVD with `oversampling` further sketch
    /// vectors and `powerIterations` power iterations; values beyond the rank stay untouched.
    case randomizedSVD(rank: Int, oversampling: Int = 5, powerIterations: Int = 1)
  }

  /// The method of this operator.
  public let method: Method

  /// Throws `ClippingError.invalidParameter` for a rank below 1 or negative oversampling or power iterations.
  public init(_ method: Method = .exactSVD) throws {
    if case .randomizedSVD(let rank, let oversampling, let powerIterations) = method {
      try require("rank", Double(rank), rank >= 1, "a whole number >= 1")
      try require("oversampling", Double(oversampling), oversampling >= 0, "a whole number >= 0")
      try require(
        "powerIterations", Double(powerIterations), powerIterations >= 0, "a whole number >= 0")
    }
    self.method = method
  }

  /// Clips `gradient`[m,n] in place at threshold `tau`; `sketch` feeds the randomized method only.
  ///
  /// Throws `ClippingError.invalidThreshold` for a negative or NaN τ, `LinearAlgebraError.notFinite`
  /// for a NaN or infinite entry; the gradient is then unchanged.
  @discardableResult
  public func clip<Scalar>(
    _ gradient: inout Matrix<Scalar>, at tau: Double, sketch: RandomStream = .defaultSketch
  ) throws -> ClipStatistics {
    try gradient.withMutableView { try clip($0, at: .fixed(tau), sketch: sketch) }
  }

  /// Clips `gradient`[m,n] in place at a threshold that may depend on σ_1(G); `sketch` feeds the
  /// randomized method only. Errors as above.
  @discardableResult
  @_specialize(where Scalar == Float)
  @_specialize(where Scalar == Double)
  public func clip<Scalar>(
    _ gradient: MutableMatrixView<Scalar>, at source: ThresholdSource,
    sketch: RandomStream = .defaultSketch
  ) throws -> ClipStatistics {
    let norm = try finiteNorm(gradient.readOnly)
    let known = try source.validatedTau
    let count = min(gradient.rows, gradient.columns)
    if let known, norm <= known || count == 0 {
      return ClipStatistics(
        route: .insideBall, sigmaMax: norm == 0 ? 0 : nil, sigmaMaxBound: norm, tau: known,
        clippedCount: 0, valueCount: count, normBefore: norm, normAfter: norm)
    }
    if count <= 1 { return try clipVector(gradient, norm, source) }
    switch method {
    case .exactSVD:
      return try clipExactly(gradient, norm: norm, at: source)
    case .randomizedSVD(let rank, let oversampling, let powerIterations):
      return try clipTruncated(
        gradient, norm: norm, at: source, rank: rank, oversampling: oversampling,
        powerIterations: powerIterations, sketch: sketch)
    }
  }

  /// The matrix shape [d0, rest] in which a tensor of `shape` is clipped; vectors are n×1, scalars 1×1.
  public static func matrixShape(of shape: [Int]) -> (rows: Int, columns: Int) {
    guard let first = shape.first else { return (1, 1) }
    return (first, shape.dropFirst().reduce(1, *))
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
}

// MARK: - The pieces that every route shares

extension ThresholdSource {
  /// τ if it is fixed and then valid (σ_1 not asked for), nil if σ_1 must be known first.
  var validatedTau: Double? {
    get throws {
      switch self {
      case .fixed(let tau):
        try validate(tau)
        return tau
      case .fixedMeasuringSigmaMax(let tau):
        try validate(tau)
        return nil
      case .fromSigmaMax: return nil
      }
    }
  }

  /// The threshold once σ_1 is known.
  func tau(sigmaMax: Double) throws -> Double {
    switch self {
    case .fixed(let tau), .fixedMeasuringSigmaMax(let tau): return tau
    case .fromSigmaMax(let rule):
      let tau = rule(sigmaMax)
      try validate(tau)
      return tau
    }
  }

  private func validate(_ tau: Double) throws {
    guard tau >= 0 else { throw ClippingError.invalidThreshold(tau) }
  }
}

/// ‖G‖_F, or an error that names the first entry that is not finite.
func finiteNorm<Scalar>(_ gradient: MatrixView<Scalar>) throws -> Double {
  let norm = gradient.frobeniusNorm
  if !norm.isFinite { try gradient.checkFinite() }
  return norm
}

func require(_ name: String, _ value: Double, _ holds: Bool, _ expected: String) throws {
  guard holds else {
    throw ClippingError.invalidParameter(name: name, value: value, expected: expected)
  }
}

/// ‖C‖_F from ‖G‖_F² - Σ (σ_i² - τ²) over the clipped values; measured instead where that would cancel.
func normAfterClipping<Scalar>(
  _ clipped: MatrixView<Scalar>, before: Double, removed: Double
) -> Double {
  let square = before * before - removed
  return square > 1e-2 * before * before ? square.squareRoot() : clipped.frobeniusNorm
}

extension RandomStream {
  /// The stream a randomized clip draws its sketch from when the caller names none.
  public static var defaultSketch: RandomStream { RandomStream(seed: 0, name: "sketch") }
}
