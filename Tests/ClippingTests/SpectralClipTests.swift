// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Testing

@testable import Clipping

/// Errors of the routes are a modest multiple of max(m, n) ulps of σ_1 (backward stability), with
/// an allowance of 32 for the constants.
private func tolerance<S: RealScalar>(_ type: S.Type, _ c: Case, _ sigma: Double) -> Double {
  32 * Double(max(c.rows, c.columns)) * Double(S.ulpOfOne) * sigma
}

private func thresholds(_ sigma: [Double]) -> [Double] {
  let top = sigma.first ?? 0
  let middle = sigma[sigma.count / 2]
  return [0, 0.3 * middle, middle * 0.999, 0.9 * top, top * 1.001, .infinity]
}

@Suite struct SpectralClipTests {
  init() { _ = BLASEnvironment.pinned() }

  @Test(arguments: Case.all) func equalsThePlainTwinInDouble(_ c: Case) throws {
    try check(c, Double.self)
  }

  @Test(arguments: Case.all) func equalsThePlainTwinInFloat(_ c: Case) throws {
    try check(c, Float.self)
  }

  /// Against U diag(min(σ, τ)) Vᵀ of the plain SVD, with every number of the report, and the properties
  /// that follow from being a projection.
  private func check<S: RealScalar>(_ c: Case, _ type: S.Type) throws {
    let g = c.content.matrix(c.rows, c.columns).converted(to: S.self)
    let wide = g.converted(to: Double.self)
    let plain = PlainSVD(wide)
    let sigma = plain.sigma(min(c.rows, c.columns))
    let clip = SpectralClip.exact
    for tau in thresholds(sigma) {
      var result = g
      let report = try result.withMutableView {
        try clip.clip($0, at: .fixedMeasuringSigmaMax(tau))
      }
      let expected = plain.clipped(at: tau, rows: c.rows)
      let limit = tolerance(S.self, c, max(sigma[0], 1e-300))
      let error = (result.converted(to: Double.self) - expected).largestEntry
      #expect(error <= limit, "\(c) tau \(tau) route \(report.route): off by \(error) > \(limit)")

      #expect(report.tau == tau)
      #expect(report.valueCount == sigma.count)
      let sigmaMax = try #require(report.sigmaMax)
      #expect(abs(sigmaMax - sigma[0]) <= limit, "\(c): sigma_1 \(sigmaMax), expected \(sigma[0])")
      // Values within rounding of τ may count either way.
      let (sure, possible) = (sigma.count { $0 > tau + limit }, sigma.count { $0 > tau - limit })
      #expect((sure...max(sure, possible)).contains(report.clippedCount), "\(c) tau \(tau)")
      #expect(abs((report.normBefore ?? .nan) - wide.frobeniusNorm) <= limit * 4)
      #expect(
        abs((report.normAfter ?? .nan) - result.frobeniusNorm) <= limit * 4, "\(c) tau \(tau)")

      if tau >= sigma[0] * (1 + 1e-6) || sigma[0] == 0 {
        #expect(result == g, "\(c): the very same bits")
      } else if tau > 0 {
        let after = PlainSVD(result.converted(to: Double.self)).sigma(1)[0]
        #expect(after <= tau + limit, "\(c) tau \(tau): sigma_1 \(after) after the clip")
      } else {
        #expect(result.largestEntry <= limit, "\(c): zero")
      }
      var twice = result
      try clip.clip(&twice, at: tau)
      #expect((twice - result).largestEntry <= limit, "\(c) tau \(tau): not idempotent")
      var negative = -1 * g
      try clip.clip(&negative, at: tau)
      #expect((negative + result).largestEntry <= limit, "\(c) tau \(tau): not odd")
      var scaled = 4 * g
      try clip.clip(&scaled, at: 4 * tau)
      #expect((scaled - 4 * result).largestEntry <= 4 * limit, "\(c) tau \(tau): not homogeneous")
    }
  }

  @Test(arguments: Case.all) func isEquivariantNonExpansiveAndTheProjection(_ c: Case) throws {
    let g = c.content.matrix(c.rows, c.columns)
    let h = Content.random.matrix(c.rows, c.columns, seed: 2)
    let clip = SpectralClip.exact
    let top = PlainSVD(g).sigma(1)[0]
    let tau = 0.5 * max(top, 1)
    let limit = tolerance(Double.self, c, max(top, 10)) * 4
    var (clippedG, clippedH) = (g, h)
    try clip.clip(&clippedG, at: tau)
    try clip.clip(&clippedH, at: tau)
    #expect((clippedG - clippedH).frobeniusNorm <= (g - h).frobeniusNorm + limit, "\(c)")
    // Orthogonal equivariance.
    let left = try qr(Content.random.matrix(c.rows, c.rows, seed: 3)).q
    let right = try qr(Content.random.matrix(c.columns, c.columns, seed: 4)).q
    var turned = matmul(matmul(left, g), right)
    try clip.clip(&turned, at: tau)
    #expect((turned - matmul(matmul(left, clippedG), right)).largestEntry <= limit * 4, "\(c)")
    // ⟨G - C, Z - C⟩ <= 0 for Z in the ball: C is the nearest point of it.
    for seed in UInt64(10)..<14 {
      var z = max(top, 1) * Content.random.matrix(c.rows, c.columns, seed: seed)
      try clip.clip(&z, at: tau)
      let product = dot((g - clippedG).elements, (z - clippedG).elements)
      #expect(product <= limit * (max(top, 1) + tau) * 40, "\(c): \(product)")
    }
  }

  @Test(arguments: [1, 2, 5, 64]) func vectorsAreNormClippedToTheLastBit(_ n: Int) throws {
    for tau in [0.0, 0.1, 1, 100] {
      for (rows, columns) in [(n, 1), (1, n)] {
        var spectral = Content.random.matrix(rows, columns).converted(to: Float.self)
        var norm = spectral
        try SpectralClip.exact.clip(&spectral, at: tau)
        try NormClip(maximumNorm: tau).clip(&norm)
        #expect(spectral == norm)
      }
    }
  }

  @Test func everyRouteIsTaken() throws {
    func route(_ g: Matrix<Double>, _ tau: Double) throws -> ClipStatistics.Route {
      var g = g
      return try SpectralClip.exact.clip(&g, at: tau).route
    }
    #expect(try route(Content.random.matrix(7, 7), 1e3) == .insideBall)
    #expect(try route(Content.random.matrix(7, 1), 0.1) == .vector)
    #expect(try route(Content.random.matrix(3, 3), 0.1) == .jacobi3x3)
    #expect(try route(Content.random.matrix(16, 33), 4) == .gram)
    #expect(try route(Content.hugeSpike.matrix(16, 33), 4) == .svd)
    #expect(try route(1e200 * Content.random.matrix(16, 33), 4e200) == .gram)
    #expect(try route(1e-200 * Content.random.matrix(16, 33), 4e-200) == .gram)
  }

  @Test(arguments: [1e200, 1e-200, 0x1p-1030])
  func extremeScalesKeepTheirAccuracy(_ scale: Double) throws {
    for (m, n) in [(3, 3), (16, 33), (40, 12)] {
      let g = Content.random.matrix(m, n)
      var (scaled, plain) = (scale * g, g)
      try SpectralClip.exact.clip(&plain, at: 2)
      try SpectralClip.exact.clip(&scaled, at: 2 * scale)
      // Denormal entries carry an absolute error of half a unit of 5e-324.
      let limit = 1e-13 * 10 * scale + 64 * Double.leastNonzeroMagnitude
      #expect((scaled - scale * plain).largestEntry <= limit, "[\(m), \(n)] times \(scale)")
    }
  }

  @Test func anEmptyMatrixHasNothingToClip() throws {
    for (m, n) in [(0, 4), (4, 0), (0, 0)] {
      var g = Matrix<Float>(rows: m, columns: n)
      let report = try SpectralClip.exact.clip(&g, at: 1)
      #expect(report.valueCount == 0 && report.clippedFraction == 0)
    }
  }

  @Test(arguments: [Content.random, .rankDeficient, .spike, .zero])
  func productsFromThinFactorsEqualDenseOnes(_ content: Content) throws {
    for (r, m, n) in [(4, 30, 20), (6, 20, 31), (1, 12, 12), (12, 14, 13), (9, 12, 40)] {
      let a = content.matrix(r, m, seed: 5).converted(to: Float.self)
      let b = Content.random.matrix(r, n, seed: 6).converted(to: Float.self)
      let dense = matmul(a.converted(to: Double.self), .yes, b.converted(to: Double.self), .no)
      let plain = PlainSVD(dense)
      let top = plain.sigma(1)[0]
      for tau in [1e-6 * top, 0.05 * top, 0.5 * top, 0.999 * top, 1.001 * top, 2 * top + 1] {
        let expected = plain.clipped(at: tau, rows: m)
        for measuring in [false, true] {
          let g = LayerGradient(rows: m, columns: n)
          let report = try a.withView { a in
            try b.withView { b in
              g.setProduct(left: a, right: b)
              return try SpectralClip.exact.clip(
                g, at: measuring ? .fixedMeasuringSigmaMax(tau) : .fixed(tau),
                workspace: FactoredSpectrum())
            }
          }
          #expect(g.factors == nil)
          let error = (g.entries.readOnly.widened() - expected).frobeniusNorm
          // One product in Float, of factors whose sizes multiply to at most 256 ‖C‖ (checked inside);
          // where the factors are multiplied out first, the product of all of G.
          let formedFirst = 4 * r > 3 * min(m, n)
          let limit = 4e-6 * (formedFirst ? top : expected.frobeniusNorm)
          #expect(
            error <= limit,
            "\(content) r \(r) [\(m), \(n)] tau \(tau) \(report.route): \(error) > \(limit)")
          if top > 0 {
            #expect(report.sigmaMaxBound >= min(tau, top) * (1 - 1e-6))
            if measuring {
              #expect(abs((report.sigmaMax ?? .nan) - top) <= (formedFirst ? 1e-6 : 1e-9) * top)
            }
          }
          let exceeding = plain.sigma(min(m, n)).count { $0 > tau }
          if !formedFirst || tau > 1e-3 * top {
            #expect(report.clippedCount == exceeding, "\(content) r \(r) tau \(tau)")
          }
          if content == .random && 4 * r <= 3 * min(m, n) && tau < top {
            #expect(report.route == .factors)
          }
        }
      }
    }
  }

  @Test func tensorsOfHigherOrderAreMatricesOfTheirFirstAxis() {
    #expect(SpectralClip.matrixShape(of: [8, 3, 3, 2]) == (8, 18))
    #expect(SpectralClip.matrixShape(of: [8, 3]) == (8, 3))
    #expect(SpectralClip.matrixShape(of: [8]) == (8, 1))
    #expect(SpectralClip.matrixShape(of: []) == (1, 1))
  }

  @Test(arguments: 1...9) func batchesEqualSingleClipsBitForBit(_ count: Int) throws {
    let matrices = (0..<count).map { Content.random.matrix(3, 3, seed: UInt64($0)) }
    var batch = matrices.flatMap(\.elements)
    var sigmaMax = [Double](repeating: 0, count: count)
    let three = SmallBatchClip(rows: 3, columns: 3)
    try three.clip(&batch, sigmaMax: &sigmaMax) { _ in 1.5 }
    var fixed = matrices.flatMap(\.elements)
    try three.clip(&fixed, at: 1.5)
    #expect(batch == fixed)
    for (i, matrix) in matrices.enumerated() {
      var single = matrix
      let report = try SpectralClip.exact.clip(&single, at: 1.5)
      #expect(Array(batch[(9 * i)..<(9 * i + 9)]) == single.elements)
      if let top = report.sigmaMax { #expect(sigmaMax[i] == top) }
    }
    // Other sizes go one by one, by the small Gram route or, where τ depends on σ_1, the general ones.
    let larger = (0..<count).map { Content.random.matrix(4, 5, seed: UInt64($0)) }
    var general = larger.flatMap(\.elements)
    var dependent = general
    let others = SmallBatchClip(rows: 4, columns: 5)
    try others.clip(&general, at: 1.5)
    try others.clip(&dependent, sigmaMax: &sigmaMax) { _ in 1.5 }
    for (i, matrix) in larger.enumerated() {
      let expected = PlainSVD(matrix).clipped(at: 1.5, rows: 4)
      for j in 0..<20 {
        #expect(abs(general[20 * i + j] - expected.elements[j]) <= 1e-13)
        #expect(abs(dependent[20 * i + j] - expected.elements[j]) <= 1e-13)
      }
      #expect(abs(sigmaMax[i] - PlainSVD(matrix).sigma(1)[0]) <= 1e-13)
    }
  }

  @Test func faultsAreNamedAndLeaveTheGradientAlone() throws {
    let g = Content.random.matrix(5, 4)
    for tau in [-1, -Double.infinity, .nan] {
      var copy = g
      #expect(throws: ClippingError.self) { try SpectralClip.exact.clip(&copy, at: tau) }
      #expect(throws: ClippingError.self) {
        try copy.withMutableView { try SpectralClip.exact.clip($0, at: .fromSigmaMax { _ in tau }) }
      }
      #expect(copy == g)
    }
    for bad in [Double.nan, .infinity, -.infinity] {
      for operation in [.exact, try SpectralClip.randomized(rank: 2)] {
        var broken = g
        broken[3, 2] = bad
        let before = broken.elements.map(\.bitPattern)
        do {
          try operation.clip(&broken, at: 0.1)
          Issue.record("no error for \(bad)")
        } catch {
          #expect("\(error)".contains("(3, 2)"), "\(error)")
          #expect(!"\(error)".contains("\n"))
        }
        #expect(broken.elements.map(\.bitPattern) == before)
      }
    }
    #expect(throws: ClippingError.self) { try SpectralClip.randomized(rank: 0) }
    #expect(throws: ClippingError.self) {
      try SpectralClip.randomized(rank: 1, oversampling: -1)
    }
    #expect(throws: ClippingError.self) {
      try SpectralClip.randomized(rank: 1, powerIterations: -1)
    }
    #expect(throws: ClippingError.self) { try NormClip(maximumNorm: -1) }
    #expect(throws: ClippingError.self) { try NormClip(maximumNorm: .nan) }
  }
}

@Suite struct NormClipTests {
  @Test func bothFormulasByHand() throws {
    var g = Matrix<Double>(rows: 1, columns: 2, elements: [3, 4])
    let report = try NormClip(maximumNorm: 1).clip(&g)
    let fifth: Double = 1 / 5
    #expect(g.elements == [3 * fifth, 4 * fifth])
    #expect(report.normBefore == 5 && report.normAfter == 1)
    var h = Matrix<Double>(rows: 1, columns: 2, elements: [3, 4])
    try NormClip(maximumNorm: 1, formula: .torch).clip(&h)
    let factor: Double = 1 / (5 + 1e-6)
    #expect(h.elements == [3 * factor, 4 * factor])
    var inside = Matrix<Double>(rows: 1, columns: 2, elements: [0.3, 0.4])
    try NormClip(maximumNorm: 1, formula: .torch).clip(&inside)
    #expect(inside.elements == [0.3, 0.4])
  }

  @Test func layersShareOneNorm() throws {
    let layers = [("a", 1, 2), ("b", 2, 1)].map { name, rows, columns in
      let gradient = LayerGradient(rows: rows, columns: columns)
      return Layer(name: name, gradient: gradient, weights: gradient.entries.readOnly)
    }
    for (layer, values) in zip(layers, [[2, 0], [1, 2]] as [[Float]]) {
      layer.gradient.base.update(from: values, count: 2)
    }
    let gradients = Gradients(layers)
    try NormClip(maximumNorm: 1.5).apply(to: gradients)
    let after = layers.map { layer in (0..<2).map { layer.gradient.base[$0] } }
    #expect(after == [[1, 0], [0.5, 1]])
    #expect(gradients.statistics.map(\.normBefore) == [2, 5.0.squareRoot()])
    #expect(gradients.statistics.map(\.normAfter) == [1, 0.5 * 5.0.squareRoot()])
    #expect(gradients.statistics.map(\.clippedFraction) == [1, 1])
  }
}
