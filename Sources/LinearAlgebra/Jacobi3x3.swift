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

  /// Decomposes the matrices whose columns are `columns`; entries must stay within 1e-140…1e140.
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

/// Clips the singular values of small matrices without LAPACK, whose overhead dwarfs the arithmetic.
public enum Small3x3 {
  /// Clips every g[i] (3×3, row-major, one after another in `g`) at `tau`, into `clipped`.
  ///
  /// clip(g) = Σ_j min(1, τ/σ_j) w_j v_jᵀ: norm clipping applied to each column of g·V, so nothing
  /// is divided by a small singular value. `sigmaMax[i]` receives σ_1(g[i]). Infinite `tau`: unchanged.
  /// Entries must be finite (checked by the caller) and are rescaled by a power of two if extreme.
  public static func clip(
    _ g: UnsafePointer<Double>, count: Int, at tau: Double,
    into clipped: UnsafeMutablePointer<Double>, sigmaMax: UnsafeMutablePointer<Double>
  ) {
    var first = 0
    while first < count {
      let lanes = min(4, count - first)
      clipLanes(
        g + 9 * first, lanes, tau, into: clipped + 9 * first, sigmaMax: sigmaMax + first)
      first += lanes
    }
  }

  /// The three singular values of g (3×3, row-major), largest first.
  public static func singularValues(_ g: UnsafePointer<Double>) -> SIMD3<Double> {
    let scale = powerOfTwoScale(g)
    let jacobi = Jacobi3x3(load(g, 1, SIMD4(repeating: scale)))
    let squares = [
      jacobi.w.0.dot(jacobi.w.0)[0], jacobi.w.1.dot(jacobi.w.1)[0], jacobi.w.2.dot(jacobi.w.2)[0],
    ].sorted(by: >)
    return SIMD3(squares[0], squares[1], squares[2]).squareRoot() / scale
  }

  @inline(__always)
  private static func clipLanes(
    _ g: UnsafePointer<Double>, _ lanes: Int, _ tau: Double,
    into clipped: UnsafeMutablePointer<Double>, sigmaMax: UnsafeMutablePointer<Double>
  ) {
    var scales = SIMD4<Double>(repeating: 1)
    for lane in 0..<lanes { scales[lane] = powerOfTwoScale(g + 9 &* lane) }
    let jacobi = Jacobi3x3(load(g, lanes, scales))
    let taus = scales * tau
    let sigma0 = jacobi.w.0.dot(jacobi.w.0).squareRoot()
    let sigma1 = jacobi.w.1.dot(jacobi.w.1).squareRoot()
    let sigma2 = jacobi.w.2.dot(jacobi.w.2).squareRoot()
    var largest = sigma0.replacing(with: sigma1, where: sigma1 .> sigma0)
    largest.replace(with: sigma2, where: sigma2 .> largest)
    let f0 = factor(sigma0, taus)
    let f1 = factor(sigma1, taus)
    let f2 = factor(sigma2, taus)
    let (w, v) = (jacobi.w, jacobi.v)
    @inline(__always)
    func entry(
      _ w0: SIMD4<Double>, _ v0: SIMD4<Double>, _ w1: SIMD4<Double>, _ v1: SIMD4<Double>,
      _ w2: SIMD4<Double>, _ v2: SIMD4<Double>
    ) -> SIMD4<Double> {
      (f0 * w0 * v0).addingProduct(f1 * w1, v1).addingProduct(f2 * w2, v2) / scales
    }
    let entries = (
      entry(w.0.x, v.0.x, w.1.x, v.1.x, w.2.x, v.2.x),
      entry(w.0.x, v.0.y, w.1.x, v.1.y, w.2.x, v.2.y),
      entry(w.0.x, v.0.z, w.1.x, v.1.z, w.2.x, v.2.z),
      entry(w.0.y, v.0.x, w.1.y, v.1.x, w.2.y, v.2.x),
      entry(w.0.y, v.0.y, w.1.y, v.1.y, w.2.y, v.2.y),
      entry(w.0.y, v.0.z, w.1.y, v.1.z, w.2.y, v.2.z),
      entry(w.0.z, v.0.x, w.1.z, v.1.x, w.2.z, v.2.x),
      entry(w.0.z, v.0.y, w.1.z, v.1.y, w.2.z, v.2.y),
      entry(w.0.z, v.0.z, w.1.z, v.1.z, w.2.z, v.2.z)
    )
    largest /= scales
    for lane in 0..<lanes {
      sigmaMax[lane] = largest[lane]
      let out = clipped + 9 &* lane
      if largest[lane] <= tau {
        (out).update(from: g + 9 &* lane, count: 9)  // inside the ball: the very same bits
        continue
      }
      out[0] = entries.0[lane]
      out[1] = entries.1[lane]
      out[2] = entries.2[lane]
      out[3] = entries.3[lane]
      out[4] = entries.4[lane]
      out[5] = entries.5[lane]
      out[6] = entries.6[lane]
      out[7] = entries.7[lane]
      out[8] = entries.8[lane]
    }
  }

  /// min(1, τ/σ) lane by lane.
  @inline(__always)
  private static func factor(_ sigma: SIMD4<Double>, _ tau: SIMD4<Double>) -> SIMD4<Double> {
    SIMD4<Double>(repeating: 1).replacing(with: tau / sigma, where: sigma .> tau)
  }

  @inline(__always)
  private static func load(
    _ g: UnsafePointer<Double>, _ lanes: Int, _ scales: SIMD4<Double>
  ) -> (Jacobi3x3.Column, Jacobi3x3.Column, Jacobi3x3.Column) {
    @inline(__always)
    func gather(_ offset: Int) -> SIMD4<Double> {
      var values = SIMD4<Double>()
      for lane in 0..<lanes { values[lane] = g[9 &* lane &+ offset] }
      return values * scales
    }
    return (
      Jacobi3x3.Column(x: gather(0), y: gather(3), z: gather(6)),
      Jacobi3x3.Column(x: gather(1), y: gather(4), z: gather(7)),
      Jacobi3x3.Column(x: gather(2), y: gather(5), z: gather(8))
    )
  }

  /// 1, or the power of two that brings the largest entry to [1, 2) when squares could leave the range.
  @inline(__always)
  private static func powerOfTwoScale(_ g: UnsafePointer<Double>) -> Double {
    var largest = 0.0
    for i in 0..<9 { largest = max(largest, g[i].magnitude) }
    if largest >= 1e-70 && largest <= 1e70 || largest == 0 { return 1 }
    let exponent = min(1000, max(-1000, -Int(largest.exponent)))
    return Double(sign: .plus, exponent: exponent, significand: 1)
  }
}
