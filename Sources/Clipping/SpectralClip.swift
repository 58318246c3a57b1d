import LinearAlgebra

/// Spectral clipping C_τ(G) = U diag(min(σ_i, τ)) Vᵀ of a gradient matrix G[m,n] = U diag(σ) Vᵀ (eqs 2-4).
///
/// The singular directions stay, the singular values are clamped at τ: the Frobenius projection
/// onto the ball {‖X‖₂ ≤ τ}. Tensors of order above two are clipped as matrices [d0, rest], vectors
/// as n×1, where spectral and norm clipping are the same thing (§2.3).
///
/// `.exactSVD` is exact to rounding: whatever the precision of G, the decomposition runs in
/// `Double`. It takes the cheapest route that keeps that promise (see `ClipReport.Route`).
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

  /// The threshold: known beforehand, or a function of σ_1(G) (an EMA that includes the present value).
  public enum Level {
    /// τ, whatever G is. With `measuringSigmaMax` the report carries σ_1 even where a bound would do.
    case fixed(Double, measuringSigmaMax: Bool = false)
    /// τ from σ_1(G).
    case fromSigmaMax((Double) -> Double)
  }

  /// Clips `gradient`[m,n] in place at threshold `tau`; `sketch` feeds the randomized method only.
  ///
  /// Throws `ClippingError.invalidThreshold` for a negative or NaN τ, `LinearAlgebraError.notFinite`
  /// for a NaN or infinite entry; the gradient is then unchanged.
  @discardableResult
  public func clip<Scalar>(
    _ gradient: inout Matrix<Scalar>, at tau: Double, sketch: RandomStream = .defaultSketch
  ) throws -> ClipReport {
    try gradient.withMutableView { try clip($0, at: .fixed(tau), sketch: sketch) }
  }

  /// Clips `gradient`[m,n] in place at a threshold that may depend on σ_1(G); `sketch` feeds the
  /// randomized method only. Errors as above.
  @discardableResult
  @_specialize(where Scalar == Float)
  @_specialize(where Scalar == Double)
  public func clip<Scalar>(
    _ gradient: MutableMatrixView<Scalar>, at level: Level, sketch: RandomStream = .defaultSketch
  ) throws -> ClipReport {
    let norm = try finiteNorm(gradient.readOnly)
    let known = try level.validatedTau
    let count = min(gradient.rows, gradient.columns)
    if let known, norm <= known || count == 0 {
      return ClipReport(
        route: .insideBall, sigmaMax: norm == 0 ? 0 : nil, sigmaMaxBound: norm, tau: known,
        clippedCount: 0, valueCount: count, normBefore: norm, normAfter: norm)
    }
    if count <= 1 { return try clipVector(gradient, norm, level) }
    switch method {
    case .exactSVD:
      return try clipExactly(gradient, norm: norm, at: level)
    case .randomizedSVD(let rank, let oversampling, let powerIterations):
      return try clipTruncated(
        gradient, norm: norm, at: level, rank: rank, oversampling: oversampling,
        powerIterations: powerIterations, sketch: sketch)
    }
  }

  /// The matrix shape [d0, rest] in which a tensor of `shape` is clipped; vectors are n×1, scalars 1×1.
  public static func matrixShape(of shape: [Int]) -> (rows: Int, columns: Int) {
    guard let first = shape.first else { return (1, 1) }
    return (first, shape.dropFirst().reduce(1, *))
  }
}

// MARK: - The pieces that every route shares

extension SpectralClip.Level {
  /// τ if it is fixed and then valid (σ_1 not asked for), nil if σ_1 must be known first.
  var validatedTau: Double? {
    get throws {
      guard case .fixed(let tau, let measuring) = self else { return nil }
      try validate(tau)
      return measuring ? nil : tau
    }
  }

  /// The threshold once σ_1 is known.
  func tau(sigmaMax: Double) throws -> Double {
    switch self {
    case .fixed(let tau, _): return tau
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
