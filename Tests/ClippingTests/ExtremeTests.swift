// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Testing

@testable import Clipping

/// Every route and every rule on numbers from the smallest to the largest of their precision.
///
/// The matrices are small whole numbers times a power of two, so each is exact, and what clipping makes of it is
/// known from the whole numbers alone, whose size is ordinary: values above τ become τ, whatever τ/σ is. They have rank
/// one, or singular values within a factor of ten of each other: for both the singular directions, and hence the
/// result, are known to a few ulps relative to its own norm.
@Suite struct ExtremeTests {
  init() { _ = BLASEnvironment.pinned() }

  /// G = 2^exponent · unit.
  struct Sample {
    let unit: Matrix<Double>
    let exponent: Int
    let rank: Int

    func matrix<S: RealScalar>(_ type: S.Type) -> Matrix<S> {
      Matrix(
        rows: unit.rows, columns: unit.columns, elements: unit.elements.map { S(scaled($0)) })
    }

    func scaled(_ x: Double) -> Double {
      Double(sign: .plus, exponent: exponent, significand: x)
    }

    /// U diag(min(σ, τ)) Vᵀ, and the values above τ.
    func clipped(at tau: Double) -> (Matrix<Double>, above: Int) {
      let order = PlainSVD(unit).terms.sorted { $0.sigma > $1.sigma }
      var (result, above) = (Matrix<Double>(rows: unit.rows, columns: unit.columns), 0)
      for (sigma, w, v) in order.prefix(rank) {
        let isAbove = sigma > Double(sign: .plus, exponent: -exponent, significand: tau)
        above += isAbove ? 1 : 0
        for i in 0..<unit.rows {
          for j in 0..<unit.columns {
            result[i, j] += isAbove ? w[i] / sigma * v[j] * tau : scaled(w[i] * v[j])
          }
        }
      }
      return (result, above)
    }
  }

  static let shapes = [(1, 5), (4, 1), (3, 3), (2, 2), (5, 3), (4, 9), (12, 12)]

  private static func sample(
    _ m: Int, _ n: Int, isRankOne: Bool, exponents: ClosedRange<Int>,
    _ cursor: inout RandomCursor
  ) -> Sample {
    func entry() -> Double {
      Double(1 + cursor.integer(below: 3)) * (cursor.next() % 2 == 0 ? 1 : -1)
    }
    let (u, v) = ((0..<m).map { _ in entry() }, (0..<n).map { _ in entry() })
    let unit = Matrix<Double>(rows: m, columns: n) { i, j in
      isRankOne ? u[i] * v[j] : (i == j ? 40 : 0) + (cursor.next() % 3 == 0 ? 1 : 0)
    }
    let ends = [exponents.lowerBound, exponents.upperBound]
    let exponent =
      cursor.next() % 4 == 0
      ? ends[cursor.integer(below: 2)]
      : exponents.lowerBound + cursor.integer(below: exponents.count)
    return Sample(unit: unit, exponent: exponent, rank: isRankOne ? 1 : min(m, n))
  }

  /// Thresholds anywhere, and some near the matrix.
  private static func tau(
    _ exponents: ClosedRange<Int>, near sample: Sample, _ cursor: inout RandomCursor
  ) -> Double {
    let significand = 1 + cursor.uniform(as: Double.self)
    let exponent =
      cursor.next() % 3 == 0
      ? sample.exponent + cursor.integer(below: 12) - 4
      : exponents.lowerBound + cursor.integer(below: exponents.count)
    return Double(
      sign: .plus, exponent: min(exponents.upperBound, max(exponents.lowerBound, exponent)),
      significand: significand)
  }

  /// Whether a is b to `relative` · ‖b‖ and the rounding of the smallest numbers of S.
  private func isClose<S: RealScalar>(
    _ a: Matrix<S>, _ b: Matrix<Double>, relative: Double
  ) -> Bool {
    // Norms of the largest numbers would not be finite.
    let a = 0x1p-20 * a.converted(to: Double.self)
    let b = 0x1p-20 * b
    let tiny = Double(S.leastNonzeroMagnitude) * 0x1p-20 + .leastNonzeroMagnitude
    let rounding = 4 * Double(a.elements.count).squareRoot() * tiny
    return (a - b).frobeniusNorm <= relative * b.frobeniusNorm + rounding
  }

  private func sweep<S: RealScalar>(_ type: S.Type, _ exponents: ClosedRange<Int>) throws {
    var cursor = RandomStream(seed: 3, name: "extremes/\(type)").cursor()
    for (m, n) in Self.shapes {
      for trial in 0..<60 {
        let sample = Self.sample(
          m, n, isRankOne: trial % 2 == 0, exponents: exponents, &cursor)
        let tau = Self.tau(exponents, near: sample, &cursor)
        let (expected, above) = sample.clipped(at: tau)
        let context = "\(type) [\(m), \(n)] 2^\(sample.exponent) rank \(sample.rank) tau \(tau)"
        // Rounding to S once or twice, and 64 max(m, n) ulps of the decomposition, more where a Gram matrix is used.
        // What is left of singular values that are zero is let through up to 2^-26 of τ each.
        let exact =
          3 * Double(S.ulpOfOne) + 512 * Double(max(m, n)) * .ulpOfOne + 0x1p-26 * Double(min(m, n))
        // G - U diag(σ - τ) Vᵀ is formed in S while ε σ_1 <= τ/1000.
        let sketched = exact + 8e-3
        for (operation, relative) in [
          (SpectralClip.exact, exact),
          (try .randomized(rank: sample.rank, oversampling: 3), sketched),
        ] {
          for source in [
            ThresholdSource.fixed(tau), .fixedMeasuringSigmaMax(tau), .fromSigmaMax { _ in tau },
          ] {
            var g = sample.matrix(S.self)
            let report = try g.withMutableView { try operation.clip($0, at: source) }
            #expect(
              isClose(g, expected, relative: relative),
              "\(context) \(report)")
            #expect(report.tau == tau && report.clippedCount == above, "\(context) \(report)")
            #expect(report.remainingCount == 0)
            let after = g.frobeniusNorm
            #expect(
              report.normAfter == after
                || abs((report.normAfter ?? .nan) - after) <= 2 * relative * after,
              "\(context) \(report)")
          }
        }
        try checkNorm(sample, tau, S.self, context)
        if S.self == Double.self { try checkBatches(sample, tau, expected, exact, context) }
      }
    }
  }

  private func checkNorm<S: RealScalar>(
    _ sample: Sample, _ tau: Double, _ type: S.Type, _ context: String
  ) throws {
    var g = sample.matrix(S.self)
    let report = try NormClip(maximumNorm: tau).clip(&g)
    let unit = sample.unit.frobeniusNorm
    let isInside = unit <= Double(sign: .plus, exponent: -sample.exponent, significand: tau)
    let expected = Matrix<Double>(rows: g.rows, columns: g.columns) {
      isInside ? sample.scaled(sample.unit[$0, $1]) : sample.unit[$0, $1] / unit * tau
    }
    #expect(
      isClose(g, expected, relative: Double(8 + g.elements.count / 16) * Double(S.ulpOfOne)),
      "\(context) \(report)")
    let after = g.frobeniusNorm
    #expect(report.normAfter == after || abs((report.normAfter ?? 0) - after) <= 1e-6 * after)
  }

  private func checkBatches(
    _ sample: Sample, _ tau: Double, _ expected: Matrix<Double>, _ relative: Double,
    _ context: String
  ) throws {
    let (m, n) = (sample.unit.rows, sample.unit.columns)
    // Beside a neighbor of ordinary size.
    let elements = sample.matrix(Double.self).elements
    let clip = SmallBatchClip(rows: m, columns: n)
    var (fixed, dependent) = (elements + sample.unit.elements, elements + sample.unit.elements)
    try clip.clip(&fixed, at: tau)
    var sigmaMax = [0.0, 0.0]
    try clip.clip(&dependent, sigmaMax: &sigmaMax) { _ in tau }
    for batch in [fixed, dependent] {
      let got = Matrix(rows: m, columns: n, elements: Array(batch.prefix(m * n)))
      #expect(
        isClose(got, expected, relative: relative),
        "batch: \(context) \(got.elements) \(expected.elements)")
    }
  }

  @Test func everyRouteHoldsInFloat() throws { try sweep(Float.self, -149...120) }
  @Test func everyRouteHoldsInDouble() throws { try sweep(Double.self, -1074...1016) }

  @Test func aDoubleOfAnySizeIsClippedInABatch() throws {
    for (size, tau) in [
      (1e160, 1e150), (1e-165, 1e-170), (1e300, 1e-300), (1e-300, 2e13 * .leastNonzeroMagnitude),
    ] {
      for (m, n) in [(3, 3), (2, 4)] {
        var batch = [Double](repeating: size, count: m * n)
        try SmallBatchClip(rows: m, columns: n).clip(&batch, at: tau)
        let expected = tau / Double(m * n).squareRoot()
        for value in batch {
          #expect(abs(value - expected) <= 1e-9 * expected + 2 * .leastNonzeroMagnitude)
        }
      }
    }
  }

  @Test func aVectorWhoseFactorIsNoFloatGetsTheNormTau() throws {
    let tau = 1e-10
    var vector = Matrix<Float>(rows: 10, columns: 1, repeating: 1e37)
    var other = vector
    let reports = [
      try SpectralClip.exact.clip(&vector, at: tau), try NormClip(maximumNorm: tau).clip(&other),
    ]
    for (g, report) in zip([vector, other], reports) {
      #expect(abs(g.frobeniusNorm - tau) <= 1e-7 * tau && report.clippedCount == 1)
      #expect(abs((report.normAfter ?? .nan) - g.frobeniusNorm) <= 1e-7 * tau)
    }
    // Below half of the smallest Float nothing is left, and the report says so.
    var lost = Matrix<Float>(rows: 10, columns: 1, repeating: 1e37)
    #expect(try NormClip(maximumNorm: 1e-50).clip(&lost).normAfter == 0)
  }

  @Test func aSketchBeyondTheRangeOfFloatIsScaled() throws {
    let unit = Content.random.matrix(30, 20).converted(to: Float.self)
    var (large, plain) = (0x1p125 * unit, unit.converted(to: Double.self))
    let operation = try SpectralClip.randomized(rank: 5)
    let report = try operation.clip(&large, at: 0x1p126)
    try operation.clip(&plain, at: 2)
    #expect(report.clippedCount == 5)
    #expect((0x1p-125 * large.converted(to: Double.self) - plain).largestEntry <= 1e-6)
  }

  @Test func theValuesLeftAboveTauAreCounted() throws {
    let g = Matrix<Double>.diagonal([9, 8, 7, 6, 5, 0.1])
    for (rank, oversampling, left) in [(5, 1, 0), (2, 4, 3), (2, 2, 2)] {
      var clipped = g
      let report = try SpectralClip.randomized(
        rank: rank, oversampling: oversampling, powerIterations: 2
      ).clip(&clipped, at: 1)
      #expect(report.remainingCount == left, "rank \(rank), oversampling \(oversampling)")
    }
  }

  @Test func newtonSchulzDividesByAnyNorm() {
    let unit = Content.random.matrix(6, 9).converted(to: Float.self)
    func steps(_ g: Matrix<Float>) -> Matrix<Float> {
      newtonSchulz(g, iterations: 5, dividingBy: .clampedNorm)
    }
    let expected = steps(unit)
    for exponent in [-15, 40, 125] as [Float] {
      let got = steps(exp2(exponent) * unit)
      #expect((got - expected).largestEntry <= 1e-4, "2^\(exponent)")
    }
  }
}

/// The rules on two layers of four samples each, whose factors have any size.
@Suite struct ExtremeRuleTests {
  init() { _ = BLASEnvironment.pinned() }

  /// gradient = (1/4) Σ own_k, own_k = 4 left_k right_kᵀ.
  private final class Fixture {
    static let shapes = [(6, 8), (1, 6)]
    static let samples = 4
    private var buffers: [UnsafeMutablePointer<Float>] = []
    private(set) var layers: [Layer] = []

    init(seed: Int, leftExponent: Int, rightExponent: Int) {
      for (index, (m, n)) in Self.shapes.enumerated() {
        let stream = RandomStream(seed: UInt64(seed), name: "layer\(index)")
        func buffer(_ rows: Int, _ columns: Int, _ exponent: Int, _ name: String) -> MatrixView<
          Float
        > {
          let base = UnsafeMutablePointer<Float>.allocate(capacity: rows * columns)
          let normals: [Float] = stream.child(name).normals(rows * columns)
          for (i, x) in normals.enumerated() {
            let whole = (4 * x).rounded() + (x < 0 ? -1 : 1)
            (base + i).initialize(
              to: Float(sign: .plus, exponent: exponent, significand: whole))
          }
          buffers.append(base)
          return MatrixView(rows: rows, columns: columns, base: UnsafePointer(base))
        }
        let gradient = LayerGradient(rows: m, columns: n)
        gradient.setProduct(
          left: buffer(Self.samples, m, leftExponent, "left"),
          right: buffer(Self.samples, n, rightExponent, "right"))
        layers.append(
          Layer(name: "layer\(index)", gradient: gradient, weights: buffer(m, n, 0, "weights")))
      }
    }

    deinit { for buffer in buffers { buffer.deallocate() } }

    /// Of the samples in `range` their sum of left_k right_kᵀ.
    func sum(_ range: Range<Int>) -> [Matrix<Double>] {
      layers.map { layer in
        guard let (left, right) = layer.gradient.factors else {
          return layer.gradient.entries.readOnly.widened()
        }
        let (m, n) = (layer.gradient.rows, layer.gradient.columns)
        return Matrix(rows: m, columns: n) { i, j in
          range.reduce(0) { $0 + Double(left.base[$1 * m + i]) * Double(right.base[$1 * n + j]) }
        }
      }
    }
  }

  private typealias Layers = [Matrix<Double>]

  private func norm(_ g: Layers) -> Double {
    g.reduce(0) { $0 + $1.frobeniusNorm * $1.frobeniusNorm }.squareRoot()
  }

  private func scaled(_ factor: Double, _ g: Layers) -> Layers { g.map { factor * $0 } }

  private func sum(_ parts: [Layers]) -> Layers {
    parts.dropFirst().reduce(parts[0]) { zip($0, $1).map { $0 + $1 } }
  }

  /// U diag(w(σ) σ) Vᵀ, where values that are rounding errors count as zero.
  private func reweighted(_ g: Matrix<Double>, _ w: (Double) -> Double) -> Matrix<Double> {
    let plain = PlainSVD(g)
    let top = plain.sigma(1)[0]
    var result = Matrix<Double>(rows: g.rows, columns: g.columns)
    for (sigma, u, v) in plain.terms {
      if sigma <= 1e-12 * top { continue }
      for i in 0..<g.rows {
        for j in 0..<g.columns { result[i, j] += w(sigma) * u[i] * v[j] }
      }
    }
    return result
  }

  private func clipped(_ g: Matrix<Double>, _ tau: Double) -> Matrix<Double> {
    reweighted(g) { $0 > tau ? tau / $0 : 1 }
  }

  /// What every rule ought to make of the gradients, and how closely.
  private func rules(
    _ tau: Double, _ fixture: Fixture
  ) throws -> [(any GradientTransform, Layers, Double)] {
    let names = fixture.layers.map(\.name)
    let all = fixture.sum(0..<4)
    let size = norm(all)
    let (single, spectral) = (1e-6, 512 * Double(Float.ulpOfOne))
    let own = (0..<4).map { scaled(4, fixture.sum($0..<($0 + 1))) }
    let halves = [scaled(2, fixture.sum(0..<2)), scaled(2, fixture.sum(2..<4))]
    let rows = zip(fixture.layers, all).map { layer, g in
      Matrix<Double>(rows: g.rows, columns: g.columns) { i, j in
        let weights = (0..<g.columns).map { Double(layer.weights.base[i * g.columns + $0]) }
        let limit = tau * max(1e-3, dot(weights, weights).squareRoot())
        let length = Matrix(rows: 1, columns: g.columns, elements: g.row(i)).frobeniusNorm
        return length > limit ? g[i, j] / length * limit : g[i, j]
      }
    }
    let samples = own.enumerated().map { k, g in
      scaled(min(1, tau * Double(k + 1).squareRoot() / norm(g)) / 4, g)
    }
    return [
      (try NormClip(maximumNorm: tau), scaled(min(1, tau / size), all), single),
      (
        try DeltaNormClip(maximumNorm: tau, minimumFactor: 0x1p-140),
        scaled(min(1, max(0x1p-140, tau / size)), all), single
      ),
      (try NormalizedGradient(offset: 0), scaled(1 / size, all), single),
      (try AdaptiveGradientClip(ratio: tau), rows, single),
      (
        try CoordinateClip(limit: tau),
        all.map { g in Matrix(rows: g.rows, columns: g.columns) { min(tau, max(-tau, g[$0, $1])) }
        },
        single
      ),
      (try PerSampleClip(scale: tau, moment: 2), sum(samples), single),
      (
        try MicroBatchClip(microBatches: 2, inner: .norm(limit: tau)),
        sum(halves.map { scaled(min(1, tau / norm($0)) / 2, $0) }), single
      ),
      (
        try MicroBatchClip(microBatches: 2, inner: .spectral(tau: tau)),
        sum(halves.map { scaled(0.5, $0.map { clipped($0, tau) }) }), spectral
      ),
      (
        try LayerwiseSpectralClip(.constant(tau), .exact, layers: names, seed: 0),
        all.map { clipped($0, tau) }, spectral
      ),
      (
        try SoftSpectralClip(limit: tau),
        all.map { reweighted($0) { 1 / hypot(1, $0 / tau) } }, spectral
      ),
    ]
  }

  @Test func everyRuleHoldsOnGradientsOfAnySize() throws {
    var cursor = RandomStream(seed: 5, name: "rules").cursor()
    for seed in 0..<60 {
      // Factors of up to 2^±60 each, their product within the range of Float.
      let exponents: (Int, Int) =
        seed % 3 == 0
        ? (50 - cursor.integer(below: 100), 50 - cursor.integer(below: 100))
        : [(110, -100), (-110, 100), (50, 55), (-60, -50), (-70, -70)][cursor.integer(below: 5)]
      let tau = Double(
        sign: .plus, exponent: cursor.integer(below: 240) - 130,
        significand: 1 + cursor.uniform(as: Double.self))
      func fixture() -> Fixture {
        Fixture(seed: seed, leftExponent: exponents.0, rightExponent: exponents.1)
      }
      for (rule, expected, relative) in try rules(tau, fixture()) {
        var rule = rule
        let fixture = fixture()
        let gradients = Gradients(fixture.layers)
        try rule.apply(to: gradients)
        let context = "\(String(describing: rule)) at 2^\(exponents), seed \(seed)"
        let got = fixture.layers.map { $0.gradient.materialized.readOnly.widened() }
        let error = norm(zip(got, expected).map { $0 - $1 })
        let tiny = 8 * 54.0.squareRoot() * Double(Float.leastNonzeroMagnitude)
        #expect(
          error <= relative * norm(expected) + tiny,
          "\(context): error \(error) of \(norm(expected))")
        for (statistics, got) in zip(gradients.statistics, got) {
          guard let after = statistics.normAfter else { continue }
          #expect(
            abs(after - got.frobeniusNorm) <= relative * 4 * after + tiny,
            "\(context): reports \(after), is \(got.frobeniusNorm)")
        }
      }
    }
  }

  @Test func everyRuleNamesWhatIsNotFinite() throws {
    for value in [Float.nan, .infinity] {
      func fixture() -> Fixture { Fixture(seed: 1, leftExponent: 0, rightExponent: 0) }
      for (rule, _, _) in try rules(1, fixture()) {
        var rule = rule
        let fixture = fixture()
        let factors = try #require(fixture.layers[0].gradient.factors)
        UnsafeMutablePointer(mutating: factors.left.base)[3] = value
        let name = String(describing: rule)
        let gradients = Gradients(fixture.layers)
        let outcome = Result { try rule.apply(to: gradients) }
        #expect(throws: LinearAlgebraError.self, "\(name) of \(value)") { try outcome.get() }
      }
    }
  }
}
