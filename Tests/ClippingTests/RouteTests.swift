// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Testing

@testable import Clipping

/// Every route of the exact clip against the definition, `referenceSpectralClip`, which is itself held against a
/// plain Jacobi SVD; and what each route says about itself.
@Suite struct RouteTests {
  init() { _ = BLASEnvironment.pinned() }

  @Test(arguments: Case.all) func theReferenceIsTheDefinition(_ c: Case) throws {
    let g = c.content.matrix(c.rows, c.columns)
    let plain = PlainSVD(g)
    let top = plain.sigma(1)[0]
    for tau in [0, 0.3 * top, top, .infinity] {
      let error = (try referenceSpectralClip(g, at: tau) - plain.clipped(at: tau, rows: c.rows))
        .largestEntry
      #expect(
        error <= 32 * Double(max(c.rows, c.columns)) * .ulpOfOne * top, "\(c) tau \(tau): \(error)")
    }
  }

  @Test func theReferenceRefusesWhatTheOperatorRefuses() {
    let g = Matrix<Double>.diagonal([2, 1])
    for tau in [-1, Double.nan] {
      #expect(throws: ClippingError.self) { try referenceSpectralClip(g, at: tau) }
    }
    var broken = g
    broken[1, 0] = .nan
    #expect(throws: LinearAlgebraError.self) { try referenceSpectralClip(broken, at: 1) }
  }

  /// A dense matrix, a threshold, and the route it should take.
  struct Dense: Sendable, CustomStringConvertible {
    let route: ClipStatistics.Route
    let (rows, columns, content): (Int, Int, Content)
    /// τ as a fraction of σ_1.
    let fraction: Double
    var description: String { "\(route.rawValue) \(content.rawValue)[\(rows), \(columns)]" }

    static let all: [Dense] = [
      Dense(route: .insideBall, rows: 5, columns: 4, content: .random, fraction: 3),
      Dense(route: .insideBall, rows: 5, columns: 4, content: .zero, fraction: 1),
      Dense(route: .vector, rows: 1, columns: 7, content: .random, fraction: 0.5),
      Dense(route: .vector, rows: 7, columns: 1, content: .random, fraction: 0.5),
      Dense(route: .jacobi3x3, rows: 3, columns: 3, content: .random, fraction: 0.5),
      Dense(route: .jacobi3x3, rows: 3, columns: 3, content: .hugeSpike, fraction: 1e-6),
      Dense(route: .gram, rows: 9, columns: 6, content: .random, fraction: 0.5),
      Dense(route: .gram, rows: 6, columns: 9, content: .random, fraction: 0.5),
      Dense(route: .gram, rows: 6, columns: 9, content: .repeated, fraction: 0.1),
      Dense(route: .svd, rows: 9, columns: 6, content: .hugeSpike, fraction: 1e-6),
      Dense(route: .svd, rows: 6, columns: 9, content: .random, fraction: 1e-3),
    ]
  }

  @Test(arguments: Dense.all) func denseRoutesEqualTheReference(_ c: Dense) throws {
    let g = c.content.matrix(c.rows, c.columns)
    let sigma = try singularValues(g)
    let tau = c.fraction * sigma[0]
    let expected = try referenceSpectralClip(g, at: tau)
    let limit = 32 * Double(max(c.rows, c.columns)) * Double.ulpOfOne * sigma[0]
    for threshold in [
      ThresholdSource.fixed(tau), .fixedMeasuringSigmaMax(tau),
      .fromSigmaMax { c.content == .zero ? tau : c.fraction * $0 },
    ] {
      var clipped = g
      let statistics = try clipped.withMutableView {
        try SpectralClip.exact.clip($0, at: threshold)
      }
      // A source that needs σ_1 cannot stop at the norm.
      if case .fixed = threshold { #expect(statistics.route == c.route, "\(c)") }
      #expect((clipped - expected).largestEntry <= limit, "\(c), \(statistics.route)")
      try expectFilled(statistics, sigma, tau, after: expected, limit)
    }
  }

  /// Thin factors: proved to be inside by one of three bounds, clipped by the small eigenproblem, or, where Gram
  /// matrices would be too coarse, by QR.
  @Test(arguments: [0.02, 0.5, 0.9, 1.0 + 1e-6, 3, 1e-7])
  func factorRoutesEqualTheReference(_ fraction: Double) throws {
    for (m, n, r) in [(24, 16, 5), (12, 30, 9)] {
      let left = Content.random.matrix(r, m, seed: 5).converted(to: Float.self)
      let right = Content.random.matrix(r, n, seed: 6).converted(to: Float.self)
      let dense = matmul(
        left.converted(to: Double.self), .yes, right.converted(to: Double.self), .no)
      let sigma = try singularValues(dense)
      let tau = fraction * sigma[0]
      let expected = try referenceSpectralClip(dense, at: tau)
      // The product is rounded to Float once it is formed.
      let limit = 32 * Double(max(m, n)) * Double(Float.ulpOfOne) * sigma[0]
      for threshold in [ThresholdSource.fixed(tau), .fixedMeasuringSigmaMax(tau)] {
        try left.withView { left in
          try right.withView { right in
            let gradient = LayerGradient(rows: m, columns: n)
            gradient.setProduct(left: left, right: right)
            let statistics = try SpectralClip.exact.clip(
              gradient, at: threshold, workspace: FactoredSpectrum())
            #expect(gradient.factors == nil)
            let got = gradient.entries.readOnly.widened()
            #expect((got - expected).largestEntry <= limit, "[\(m), \(n)] at \(fraction)")
            try expectFilled(statistics, sigma, tau, after: expected, limit)
            let isInside: Bool = if case .fixed = threshold { fraction == 3 } else { false }
            #expect(statistics.route == (isInside ? .insideBall : .factors))
          }
        }
      }
    }
  }

  private func expectFilled(
    _ statistics: ClipStatistics, _ sigma: [Double], _ tau: Double, after: Matrix<Double>,
    _ limit: Double
  ) throws {
    #expect(abs(statistics.tau - tau) <= limit)
    #expect(statistics.valueCount == sigma.count)
    #expect(statistics.clippedCount == sigma.count { $0 > tau })
    if let sigmaMax = statistics.sigmaMax {
      #expect(abs(sigmaMax - sigma[0]) <= limit, "\(sigmaMax), reference \(sigma[0])")
    } else {
      #expect(statistics.clippedCount == 0, "sigma_1 is missing where values were clipped")
    }
    #expect(statistics.sigmaMaxBound >= sigma[0] - limit)
    let before = sigma.reduce(0) { $0 + $1 * $1 }.squareRoot()
    #expect(abs((statistics.normBefore ?? .nan) - before) <= 4 * limit)
    #expect(abs((statistics.normAfter ?? .nan) - after.frobeniusNorm) <= 4 * limit)
  }

  @Test func theRandomizedRouteAtFullRankEqualsTheReference() throws {
    let g = Content.random.matrix(14, 9)
    let sigma = try singularValues(g)
    var clipped = g
    let statistics = try SpectralClip.randomized(rank: 9).clip(&clipped, at: 0.4 * sigma[0])
    let expected = try referenceSpectralClip(g, at: 0.4 * sigma[0])
    #expect((clipped - expected).largestEntry <= 1e-13 * sigma[0])
    #expect(statistics.route == .randomized)
    #expect(abs((statistics.sigmaMax ?? .nan) - sigma[0]) <= 1e-13 * sigma[0])
  }

  @Test func smallMatricesHaveLapacksSingularValues() throws {
    for seed in UInt64(1)...40 {
      var g = Content.random.matrix(3, 3, seed: seed)
      if seed % 4 == 0 {
        g = matmul(
          Content.random.matrix(3, 1, seed: seed), Content.random.matrix(1, 3, seed: seed))
      }
      let got = Jacobi3x3.decompose(&g.elements, 1).singularValues(lane: 0)
      let expected = try svd(g).sigma
      for i in 0..<3 { #expect(abs(got[i] - expected[i]) <= 1e-14 * expected[0], "seed \(seed)") }
    }
    var zero = [Double](repeating: 0, count: 9)
    #expect(Jacobi3x3.decompose(&zero, 1).singularValues(lane: 0) == [0, 0, 0])
  }

  @Test func smallBatchesRefuseWhatTheOperatorRefuses() throws {
    let clip = SmallBatchClip(rows: 2, columns: 4)
    var batch = [Double](repeating: 1, count: 16)
    for tau in [-1, Double.nan] {
      #expect(throws: ClippingError.self) { try clip.clip(&batch, at: tau) }
    }
    #expect(batch == [Double](repeating: 1, count: 16))
    batch[11] = .nan
    #expect(throws: LinearAlgebraError.self) { try clip.clip(&batch, at: 0.5) }
    batch[11] = 1e200
    try clip.clip(&batch, at: 0.5)
    #expect(batch.allSatisfy { $0.magnitude <= 0.5 * (1 + 1e-14) })
  }

  @Test func aThresholdThatIsNoneIsRefusedInBatchesOf3x3Too() throws {
    let clip = SmallBatchClip(rows: 3, columns: 3)
    let diagonal: [Double] = [4, 0, 0, 0, 2, 0, 0, 0, 1]
    for bad in [-1, Double.nan] {
      var batch = diagonal + diagonal.map { 10 * $0 }
      var sigmaMax = [Double](repeating: 0, count: 2)
      #expect(throws: ClippingError.self) {
        try clip.clip(&batch, sigmaMax: &sigmaMax) { $0 > 5 ? 3 : bad }
      }
      #expect(Array(batch[..<9]) == diagonal)
      #expect(abs((batch[9...].max() ?? 0) - 3) <= 1e-14)
    }
  }
}
