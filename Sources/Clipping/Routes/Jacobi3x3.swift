// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Singular value decompositions of up to four 3×3 matrices at once, one in each SIMD lane.
///
/// One-sided Jacobi (Hestenes 1958): right rotations make the columns of w = g·V orthogonal, so
/// that σ_j = ‖w_j‖ and u_j = w_j/σ_j. It is accurate to a few ulps in every singular value, the
/// small ones included (Demmel and Veselić 1992). A lane that has converged is not touched again,
/// so a matrix gives the same bits whatever its neighbours are.
struct Jacobi3x3 {
  typealias Lanes = SIMD4<Double>

  struct Column {
    var x = Lanes()
    var y = Lanes()
    var z = Lanes()

    @inline(__always)
    func dot(_ other: Column) -> Lanes {
      (x * other.x).addingProduct(y, other.y).addingProduct(z, other.z)
    }

    /// self · cosine + other · sine.
    @inline(__always)
    func combined(_ cosine: Lanes, _ other: Column, _ sine: Lanes) -> Column {
      Column(
        x: (x * cosine).addingProduct(other.x, sine), y: (y * cosine).addingProduct(other.y, sine),
        z: (z * cosine).addingProduct(other.z, sine))
    }
  }

  /// The columns of g·V.
  var w: (Column, Column, Column)
  /// The columns of V.
  var v: (Column, Column, Column)

  /// Decomposes the matrices whose columns are `columns`; entries must stay within 1e±140.
  @inline(__always)
  init(_ columns: (Column, Column, Column)) {
    let one = Lanes(repeating: 1)
    w = columns
    v = (Column(x: one), Column(y: one), Column(z: one))
    for _ in 0..<Self.maximumSweeps {
      var rotated = Self.rotate(&w.0, &w.1, &v.0, &v.1)
      rotated .|= Self.rotate(&w.0, &w.2, &v.0, &v.2)
      rotated .|= Self.rotate(&w.1, &w.2, &v.1, &v.2)
      if !any(rotated) { break }
    }
  }

  /// Convergence is quadratic: five sweeps suffice in practice, and the last only confirms.
  private static let maximumSweeps = 16

  /// Rotates columns p and q (of w and of v) so that w_p ⟂ w_q; false in the lanes where they already were.
  @inline(__always)
  private static func rotate(
    _ wp: inout Column, _ wq: inout Column, _ vp: inout Column, _ vq: inout Column
  ) -> SIMDMask<SIMD4<Int64>> {
    let (alpha, beta, gamma) = (wp.dot(wp), wq.dot(wq), wp.dot(wq))
    // Orthogonal to working precision: |γ| ≤ 2^-52 √(αβ), compared in squares to save a root.
    let active = gamma * gamma .> (alpha * beta) * 0x1p-104
    if !any(active) { return active }
    let zeta = (beta - alpha) / (2 * gamma)
    let root = (1 + zeta * zeta).squareRoot()
    let t = 1 / (zeta.replacing(with: -zeta, where: zeta .< 0) + root)
    let tangent = t.replacing(with: -t, where: zeta .< 0)
    var cosine = 1 / (1 + tangent * tangent).squareRoot()
    var sine = cosine * tangent
    cosine.replace(with: 1, where: .!active)
    sine.replace(with: 0, where: .!active)
    (wp, wq) = (wp.combined(cosine, wq, -sine), wq.combined(cosine, wp, sine))
    (vp, vq) = (vp.combined(cosine, vq, -sine), vq.combined(cosine, vp, sine))
    return active
  }
}

extension SpectralClip {
  /// One 3×3 matrix, without LAPACK, whose overhead dwarfs the arithmetic.
  func clip3x3<Scalar>(
    _ g: MutableMatrixView<Scalar>, _ norm: Double, _ threshold: ThresholdSource
  ) throws -> ClipStatistics {
    var work = g.readOnly.widened().elements
    let found = Jacobi3x3.decompose(&work, 1)
    let sigma = found.singularValues(lane: 0)
    let tau = try threshold.tau(sigmaMax: sigma[0])
    var statistics = ClipStatistics(
      route: .jacobi3x3, sigmaMax: sigma[0], sigmaMaxBound: sigma[0], tau: tau,
      clippedCount: sigma.count { $0 > max(tau, Jacobi3x3.rounding * sigma[0]) },
      valueCount: 3, normBefore: norm, normAfter: norm)
    guard statistics.clippedCount > 0 else { return statistics }
    Jacobi3x3.reassemble(found, 1, SIMD4(repeating: tau), into: &work)
    g.assign(rounding: Matrix(rows: 3, columns: 3, elements: work))
    statistics.normAfter = g.readOnly.frobeniusNorm
    return statistics
  }
}

extension Jacobi3x3 {
  /// Clips every g[i] (3×3, row-major, one after another in `g`) in place at `tau(σ_1(g[i]))`.
  ///
  /// clip(g) = Σ_j min(1, τ/σ_j) w_j v_jᵀ: norm clipping applied to each column of g·V, so nothing
  /// is divided by a small singular value. A matrix with σ_1 ≤ τ keeps its very bits. `sigmaMax[i]`
  /// receives σ_1(g[i]). Entries must be finite (checked by the caller); extreme ones are rescaled
  /// by a power of two.
  static func clip(
    _ g: UnsafeMutablePointer<Double>, count: Int, sigmaMax: UnsafeMutablePointer<Double>?,
    tau: (_ sigmaMax: Double) -> Double
  ) {
    var first = 0
    while first < count {
      let lanes = min(4, count - first)
      let found = decompose(g + 9 * first, lanes)
      var taus = SIMD4<Double>()
      var isOutside = false
      for lane in 0..<lanes {
        sigmaMax?[first + lane] = found.sigmaMax[lane]
        taus[lane] = tau(found.sigmaMax[lane])
        isOutside = isOutside || found.sigmaMax[lane] > taus[lane]
      }
      if isOutside { reassemble(found, lanes, taus, into: g + 9 * first) }
      first += lanes
    }
  }

  struct Decomposition {
    var jacobi: Jacobi3x3
    /// The power of two each lane was multiplied by.
    var scales: SIMD4<Double>
    /// σ of each column of w, not sorted.
    var sigma: (SIMD4<Double>, SIMD4<Double>, SIMD4<Double>)
    var sigmaMax: SIMD4<Double>
    /// `sigma` times `scales`.
    var scaledSigma: (SIMD4<Double>, SIMD4<Double>, SIMD4<Double>)

    /// The three singular values of one matrix, largest first.
    func singularValues(lane: Int) -> [Double] {
      [sigma.0[lane], sigma.1[lane], sigma.2[lane]].sorted(by: >)
    }
  }

  /// Decomposes `lanes` matrices, at most four.
  static func decompose(_ g: UnsafeMutablePointer<Double>, _ lanes: Int) -> Decomposition {
    var scales = SIMD4<Double>(repeating: 1)
    for lane in 0..<lanes { scales[lane] = powerOfTwoScale(g + 9 &* lane) }
    @inline(__always)
    func gather(_ offset: Int) -> SIMD4<Double> {
      var values = SIMD4<Double>()
      for lane in 0..<lanes { values[lane] = g[9 &* lane &+ offset] }
      return values * scales
    }
    let jacobi = Jacobi3x3(
      (
        Jacobi3x3.Column(x: gather(0), y: gather(3), z: gather(6)),
        Jacobi3x3.Column(x: gather(1), y: gather(4), z: gather(7)),
        Jacobi3x3.Column(x: gather(2), y: gather(5), z: gather(8))
      ))
    let scaled = (
      jacobi.w.0.dot(jacobi.w.0).squareRoot(), jacobi.w.1.dot(jacobi.w.1).squareRoot(),
      jacobi.w.2.dot(jacobi.w.2).squareRoot()
    )
    let sigma = (scaled.0 / scales, scaled.1 / scales, scaled.2 / scales)
    var sigmaMax = sigma.0.replacing(with: sigma.1, where: sigma.1 .> sigma.0)
    sigmaMax.replace(with: sigma.2, where: sigma.2 .> sigmaMax)
    return Decomposition(
      jacobi: jacobi, scales: scales, sigma: sigma, sigmaMax: sigmaMax, scaledSigma: scaled)
  }

  /// Writes Σ_j min(1, τ/σ_j) w_j v_jᵀ over those of the `lanes` matrices whose σ_1 exceeds their τ.
  static func reassemble(
    _ found: Decomposition, _ lanes: Int, _ taus: SIMD4<Double>,
    into g: UnsafeMutablePointer<Double>
  ) {
    let one = SIMD4<Double>(repeating: 1)
    let (w, v, sigma) = (found.jacobi.w, found.jacobi.v, found.sigma)
    // τ over the scaled σ, as τ/σ itself may leave the range.
    let (unscaled, scaled) = (one / found.scales, found.scaledSigma)
    var f0 = unscaled.replacing(with: taus / scaled.0, where: sigma.0 .> taus)
    var f1 = unscaled.replacing(with: taus / scaled.1, where: sigma.1 .> taus)
    var f2 = unscaled.replacing(with: taus / scaled.2, where: sigma.2 .> taus)
    let belowRounding = found.sigmaMax * Self.rounding .> taus * visibleRounding
    if any(belowRounding) {
      // Not from σ_1 itself, which may be infinite.
      let floor = pointwiseMax(scaled.0, pointwiseMax(scaled.1, scaled.2)) * Self.rounding
      f0.replace(with: 0, where: belowRounding .& (scaled.0 .<= floor))
      f1.replace(with: 0, where: belowRounding .& (scaled.1 .<= floor))
      f2.replace(with: 0, where: belowRounding .& (scaled.2 .<= floor))
    }
    let w0 = Jacobi3x3.Column(x: f0 * w.0.x, y: f0 * w.0.y, z: f0 * w.0.z)
    let w1 = Jacobi3x3.Column(x: f1 * w.1.x, y: f1 * w.1.y, z: f1 * w.1.z)
    let w2 = Jacobi3x3.Column(x: f2 * w.2.x, y: f2 * w.2.y, z: f2 * w.2.z)
    @inline(__always)
    func store(_ offset: Int, _ values: SIMD4<Double>) {
      for lane in 0..<lanes where found.sigmaMax[lane] > taus[lane] {
        g[9 &* lane &+ offset] = values[lane]
      }
    }
    store(0, (w0.x * v.0.x).addingProduct(w1.x, v.1.x).addingProduct(w2.x, v.2.x))
    store(1, (w0.x * v.0.y).addingProduct(w1.x, v.1.y).addingProduct(w2.x, v.2.y))
    store(2, (w0.x * v.0.z).addingProduct(w1.x, v.1.z).addingProduct(w2.x, v.2.z))
    store(3, (w0.y * v.0.x).addingProduct(w1.y, v.1.x).addingProduct(w2.y, v.2.x))
    store(4, (w0.y * v.0.y).addingProduct(w1.y, v.1.y).addingProduct(w2.y, v.2.y))
    store(5, (w0.y * v.0.z).addingProduct(w1.y, v.1.z).addingProduct(w2.y, v.2.z))
    store(6, (w0.z * v.0.x).addingProduct(w1.z, v.1.x).addingProduct(w2.z, v.2.x))
    store(7, (w0.z * v.0.y).addingProduct(w1.z, v.1.y).addingProduct(w2.z, v.2.y))
    store(8, (w0.z * v.0.z).addingProduct(w1.z, v.1.z).addingProduct(w2.z, v.2.z))
  }

  /// A column smaller than σ_1 times this may be what a dozen rotations have left of a zero; where that would show
  /// beside τ, it counts as zero, as in the general `roundingFloor`.
  static let rounding = 16 * Double.ulpOfOne

  /// 1, or the power of two that brings the largest entry to [1, 2) when squares could leave the range.
  @inline(__always)
  private static func powerOfTwoScale(_ g: UnsafeMutablePointer<Double>) -> Double {
    var largest = 0.0
    for i in 0..<9 { largest = max(largest, g[i].magnitude) }
    if largest >= 1e-70 && largest <= 1e70 || largest == 0 { return 1 }
    let exponent = min(1000, max(-1000, -Int(largest.exponent)))
    return Double(sign: .plus, exponent: exponent, significand: 1)
  }
}
