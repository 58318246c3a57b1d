// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// C_τ(G) = U diag(min(σ_i, τ)) Vᵀ of a gradient matrix G[m,n] = U diag(σ) Vᵀ, as eqs. (2)-(4) define it: the
/// singular directions stay, the singular values are clamped at τ.
///
/// Values that rounding cannot tell from zero count as zero where that would show beside τ (`roundingFloor`).
///
/// This is the definition, and the twin that every fast route of `SpectralClip` is tested against. Throws
/// `ClippingError.invalidThreshold` for a negative or NaN τ, `LinearAlgebraError.notFinite` for a NaN or infinite
/// entry.
public func referenceSpectralClip(
  _ g: Matrix<Double>, at tau: Double
) throws -> Matrix<Double> {
  guard tau >= 0 else { throw ClippingError.invalidThreshold(tau) }
  let decomposition = try svd(g)
  let floor = roundingFloor(g.rows, g.columns, decomposition.sigma.first ?? 0, tau: tau)
  var clamped = decomposition.vT
  clamped.scaleRows(by: decomposition.sigma.map { $0 <= floor ? 0 : min($0, tau) })
  return matmul(decomposition.u, clamped)
}

/// The same operator, computed the cheapest way that gives the same result: the Frobenius projection of a
/// matrix G[m,n] onto the ball {‖X‖₂ ≤ τ}.
///
/// Tensors of order above two are clipped as matrices [d0, rest] (`matrixShape(of:)`), vectors as n×1, where
/// spectral and norm clipping are the same thing (§2.3). Whatever the precision of G, exact clipping decomposes in
/// Double; the routes are in the folder Routes.
public struct SpectralClip: Codable, Equatable, Sendable {
  /// How the singular values above τ are found.
  public enum Method: Codable, Equatable, Sendable {
    /// All of them, exact to rounding.
    case exact
    /// Algorithm 2: the `rank` largest, by a randomized SVD with `oversampling` further sketch vectors and
    /// `powerIterations` power iterations; values beyond the rank stay as they are.
    case randomized(rank: Int, oversampling: Int, powerIterations: Int)
  }

  /// The method of this operator.
  public let method: Method

  /// Clips every singular value above τ.
  public static let exact = SpectralClip(method: .exact)

  /// Clips the `rank` largest singular values, Algorithm 2.
  ///
  /// Throws `ClippingError.invalidParameter` for a rank below 1 or a negative count of the others; beyond what a matrix has
  /// they count as all of it.
  public static func randomized(
    rank: Int, oversampling: Int = 5, powerIterations: Int = 1
  ) throws -> SpectralClip {
    try require("rank", Double(rank), 1...1 << 31 ~= rank, "a whole number from 1 to 2^31")
    try require(
      "oversampling", Double(oversampling), 0...1 << 31 ~= oversampling,
      "a whole number from 0 to 2^31")
    try require(
      "powerIterations", Double(powerIterations), powerIterations >= 0, "a whole number >= 0")
    return SpectralClip(
      method: .randomized(
        rank: rank, oversampling: oversampling, powerIterations: powerIterations))
  }

  private init(method: Method) { self.method = method }

  /// Clips `gradient`[m,n] in place at the threshold τ; `sketch` feeds the randomized method only.
  ///
  /// Throws `ClippingError.invalidThreshold` for a negative or NaN τ, `LinearAlgebraError.notFinite`
  /// for a NaN or infinite entry; the gradient is then unchanged.
  @discardableResult
  public func clip<Scalar>(
    _ gradient: inout Matrix<Scalar>, at tau: Double, sketch: RandomStream = .defaultSketch
  ) throws -> ClipStatistics {
    try gradient.withMutableView { try clip($0, at: .fixed(tau), sketch: sketch) }
  }

  /// Clips `gradient`[m,n] in place at a threshold that may depend on σ_1(G); otherwise as above.
  @discardableResult
  @_specialize(where Scalar == Float)
  @_specialize(where Scalar == Double)
  public func clip<Scalar>(
    _ gradient: MutableMatrixView<Scalar>, at threshold: ThresholdSource,
    sketch: RandomStream = .defaultSketch
  ) throws -> ClipStatistics {
    var cold: WarmStart?
    return try clip(gradient, at: threshold, sketch: sketch, from: &cold)
  }

  /// The same; where there is a `start`, the randomized method begins with what the clip before has left in it, and leaves
  /// there what it finds itself.
  ///
  /// Also throws `ClippingError.otherStart` for a start of a matrix of another size, which is then unchanged.
  @discardableResult
  @_specialize(where Scalar == Float)
  @_specialize(where Scalar == Double)
  public func clip<Scalar>(
    _ gradient: MutableMatrixView<Scalar>, at threshold: ThresholdSource,
    sketch: RandomStream, from start: inout WarmStart?
  ) throws -> ClipStatistics {
    let norm = try finiteNorm(gradient.readOnly)
    let known = try threshold.validatedTau
    if norm == 0 || known.map({ norm <= $0 }) ?? false {
      return ClipStatistics(
        route: .insideBall, sigmaMax: norm == 0 ? 0 : nil, sigmaMaxBound: norm,
        tau: try threshold.tau(sigmaMax: norm), valueCount: min(gradient.rows, gradient.columns),
        normBefore: norm, normAfter: norm)
    }
    if min(gradient.rows, gradient.columns) == 1 {
      return try clipVector(gradient, norm, threshold)
    }
    guard isOrdinary(norm, Scalar.self) else {
      return try clipRescaled(gradient, norm, threshold, sketch, &start)
    }
    switch method {
    case .randomized(let rank, let oversampling, let powerIterations):
      return try clipTruncated(
        gradient, norm: norm, at: threshold, rank: rank, oversampling: oversampling,
        powerIterations: powerIterations, sketch: sketch, &start)
    case .exact:
      if gradient.rows == 3 && gradient.columns == 3 {
        return try clip3x3(gradient, norm, threshold)
      }
      return try clipByGram(gradient, norm, threshold) ?? clipBySVD(gradient, norm, threshold)
    }
  }

  /// About how many multiplications a gradient[rows, columns] costs.
  func cost(rows: Int, columns: Int) -> Double {
    let (entries, smaller) = (Double(rows * columns), Double(min(rows, columns)))
    if smaller == 1 { return entries }
    switch method {
    case .exact:
      // Gram matrix, product, eigenvectors.
      return 2 * entries * smaller + 10 * smaller * smaller * smaller
    case .randomized(let rank, let oversampling, let powerIterations):
      let width = min(Double(rank + oversampling), smaller)
      return entries * width * Double(3 + 2 * powerIterations)
    }
  }

  /// The matrix shape [d0, rest] in which a tensor of `shape` is clipped; vectors are n×1, scalars 1×1.
  public static func matrixShape(of shape: [Int]) -> (rows: Int, columns: Int) {
    guard let first = shape.first else { return (1, 1) }
    return (first, shape.dropFirst().reduce(1, *))
  }
}

extension RandomStream {
  /// The stream that a randomized clip draws its sketch from when the caller names none.
  public static var defaultSketch: RandomStream { RandomStream(seed: 0, name: "sketch") }
}

// MARK: - The two simplest routes

extension SpectralClip {
  /// min(m, n) = 1: σ_1 = ‖G‖_F, and clipping is scaling, bit for bit as `NormClip` does it.
  private func clipVector<Scalar>(
    _ g: MutableMatrixView<Scalar>, _ norm: Double, _ threshold: ThresholdSource
  ) throws -> ClipStatistics {
    let tau = try threshold.tau(sigmaMax: norm)
    let factor = norm > tau ? tau / norm : 1
    if factor < 1 { g.clipNorm(from: norm, to: tau) }
    return ClipStatistics(
      route: .vector, sigmaMax: norm, sigmaMaxBound: norm, tau: tau,
      clippedCount: factor < 1 ? 1 : 0, valueCount: 1, normBefore: norm,
      normAfter: g.readOnly.norm(expecting: factor.isNormal ? norm * factor : 0))
  }

  /// The definition itself, in Double: for σ_1/τ beyond the reach of Gram matrices.
  func clipBySVD<Scalar>(
    _ g: MutableMatrixView<Scalar>, _ norm: Double, _ threshold: ThresholdSource
  ) throws -> ClipStatistics {
    let decomposition = try svd(g.readOnly.widened())
    let sigma = decomposition.sigma
    let tau = try threshold.tau(sigmaMax: sigma[0])
    let floor = roundingFloor(g.rows, g.columns, sigma[0], tau: tau)
    var statistics = ClipStatistics(
      route: .svd, sigmaMax: sigma[0], sigmaMaxBound: sigma[0], tau: tau,
      clippedCount: sigma.count { $0 > max(tau, floor) }, valueCount: sigma.count,
      normBefore: norm, normAfter: norm)
    guard statistics.clippedCount > 0 else { return statistics }
    var clamped = decomposition.vT
    clamped.scaleRows(by: sigma.map { $0 <= floor ? 0 : min($0, tau) })
    g.assign(rounding: matmul(decomposition.u, clamped))
    statistics.normAfter = g.readOnly.frobeniusNorm
    return statistics
  }
}

// MARK: - The ends of the range

extension SpectralClip {
  /// Whether no sum of squares, and no product with a sketch, which is formed in the precision of the data, leaves
  /// its range.
  private func isOrdinary<Scalar: RealScalar>(_ norm: Double, _ type: Scalar.Type) -> Bool {
    hasSafeSquares(norm)
      && (method == .exact || Scalar.significandBitCount > 30 || norm > 1e-30 && norm < 1e36)
  }

  /// Clips 2^-e G, whose largest entry lies in [1, 2), at 2^-e τ in Double, and scales back.
  private func clipRescaled<Scalar>(
    _ g: MutableMatrixView<Scalar>, _ norm: Double, _ threshold: ThresholdSource,
    _ sketch: RandomStream, _ start: inout WarmStart?
  ) throws -> ClipStatistics {
    let exponent = g.readOnly.largestExponent
    func up(_ x: Double) -> Double { Double(sign: .plus, exponent: exponent, significand: x) }
    func down(_ x: Double) -> Double { Double(sign: .plus, exponent: -exponent, significand: x) }
    // 2^-e τ may vanish. So far below σ_1 any other threshold finds the same directions.
    let lowest = 0x1p-200
    func inner(_ tau: Double) -> Double { tau > 0 ? max(lowest, down(tau)) : tau }
    var work = g.readOnly.widened()
    var statistics = try work.withMutableView { work in
      work.scale(byPowerOfTwo: -exponent)
      return try withoutActuallyEscaping({ inner(threshold.value(sigmaMax: up($0))) }) { rule in
        let source: ThresholdSource =
          switch threshold {
          case .fixed(let tau): .fixed(inner(tau))
          case .fixedMeasuringSigmaMax(let tau): .fixedMeasuringSigmaMax(inner(tau))
          case .fromSigmaMax: .fromSigmaMax(rule)
          }
        return try clip(work, at: source, sketch: sketch, from: &start)
      }
    }
    statistics.sigmaMax = statistics.sigmaMax.map(up)
    statistics.sigmaMaxBound = up(statistics.sigmaMaxBound)
    statistics.tau = threshold.value(sigmaMax: statistics.sigmaMax ?? norm)
    (statistics.normBefore, statistics.normAfter) = (norm, norm)
    guard statistics.clippedCount > 0 else { return statistics }
    work.withMutableView { work in
      // Values that a sketch did not reach may be there yet; beside them τ is nothing.
      let isAllClipped = work.readOnly.frobeniusNorm <= 2 * Double(work.count).squareRoot() * lowest
      if isAllClipped && statistics.tau > 0 {
        work.scale(to: statistics.tau, from: inner(statistics.tau))
      } else {
        work.scale(byPowerOfTwo: exponent)
      }
    }
    g.assign(rounding: work)
    statistics.normAfter = g.readOnly.frobeniusNorm
    return statistics
  }
}

/// ‖G‖_F, or an error that names the first entry that is not finite.
private func finiteNorm<Scalar>(_ gradient: MatrixView<Scalar>) throws -> Double {
  let norm = gradient.frobeniusNorm
  if !norm.isFinite { try gradient.checkFinite() }
  return norm
}
