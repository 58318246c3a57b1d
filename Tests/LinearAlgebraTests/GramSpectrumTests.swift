// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import LinearAlgebra

@Suite struct GramSpectrumTests {
  init() { _ = BLASEnvironment.pinned() }

  private static let shapes = [
    (1, 1), (1, 9), (9, 1), (2, 2), (3, 40), (40, 3), (17, 17), (33, 70), (70, 33),
  ]

  private static func random(_ m: Int, _ n: Int, _ name: String = "g") -> Matrix<Double> {
    Matrix(
      rows: m, columns: n,
      elements: RandomStream(seed: 5, name: "gram/\(name)/\(m)x\(n)").normals(m * n))
  }

  /// u · diag(sigma) · vᵀ[m,n], rounded to Float.
  private static func matrix(
    _ m: Int, _ n: Int, _ sigma: (Int) -> Double
  ) throws -> Matrix<Float> {
    let k = min(m, n)
    let (u, v) = (try qr(random(m, k, "u")).q, try qr(random(n, k, "v")).q)
    return matmul(matmul(u, .diagonal((0..<k).map(sigma))), .no, v, .yes).converted(
      to: Float.self)
  }

  private static func spectrum(
    _ g: Matrix<Float>, above limit: Double = .infinity
  ) throws -> GramSpectrum {
    let found: Result<GramSpectrum, any Error> = g.withView { view in
      Result { try GramSpectrum(of: view, vectorsAbove: limit) }
    }
    return try found.get()
  }

  /// σ_i² are the eigenvalues of a Gram matrix that is off by at most `slack`: k ε σ_1² (as documented).
  private static func slack(_ g: Matrix<Float>, _ top: Double) -> Double {
    2 * Double(min(g.rows, g.columns)) * Double.ulpOfOne * top * top
  }

  private func check(_ g: Matrix<Float>, _ what: String) throws {
    let want = try singularValues(g.converted(to: Double.self))
    let got = try Self.spectrum(g).sigma
    let place = "\(what) [\(g.rows), \(g.columns)]"
    #expect(got.count == want.count && zip(got, got.dropFirst()).allSatisfy(>=), "\(place)")
    let slack = Self.slack(g, want[0])
    for i in want.indices {
      let error = abs(got[i] * got[i] - want[i] * want[i])
      #expect(error <= slack, "\(place): σ_\(i + 1) \(got[i]), LAPACK \(want[i]), of \(want[0])")
    }
  }

  @Test(arguments: shapes) func valuesAreLAPACKs(_ m: Int, _ n: Int) throws {
    try check(Self.random(m, n).converted(to: Float.self), "normal")
    // The values span twelve decades: those below √(k ε) σ_1 are lost, as documented.
    try check(Self.matrix(m, n) { pow(10, -12 * Double($0) / Double(min(m, n))) }, "decades")
    try check(Self.matrix(m, n) { $0 < 2 ? 3 : 0 }, "rank two, equal values")
    let scales: [Float] = [1e-30, 1e30]
    for scale in scales {
      let g = Self.random(m, n).converted(to: Float.self)
      let scaled = Matrix(rows: m, columns: n, elements: g.elements.map { scale * $0 })
      try check(scaled, "times \(scale)")
    }
  }

  @Test(arguments: shapes) func zeroHasNoValuesAndNoVectors(_ m: Int, _ n: Int) throws {
    for limit in [0, 1, Double.infinity] {
      let spectrum = try Self.spectrum(Matrix(rows: m, columns: n), above: limit)
      #expect(spectrum.sigma == Array(repeating: 0, count: min(m, n)))
      #expect(spectrum.left.rows == 1 && spectrum.right.rows == 1)
      #expect((spectrum.left.elements + spectrum.right.elements).allSatisfy { $0 == 0 })
    }
  }

  @Test(arguments: shapes) func vectorsAreThoseAboveTheLimit(_ m: Int, _ n: Int) throws {
    let k = min(m, n)
    let g = try Self.matrix(m, n) { pow(2, -0.5 * Double($0)) }
    for wanted in Set([1, 2, k / 2, k]).filter({ $0 >= 1 && $0 <= k }) {
      // Between the last one wanted and the next, which is 0.7 times as large.
      let spectrum = try Self.spectrum(g, above: 0.85 * pow(2, 0.5 * Double(1 - wanted)))
      let place = "[\(m), \(n)], \(wanted) wanted"
      try #require(spectrum.left.rows == wanted && spectrum.right.rows == wanted, "\(place)")
      #expect(spectrum.left.columns == m && spectrum.right.columns == n, "\(place)")
      let top = spectrum.sigma[0]
      for i in 0..<wanted {
        let (u, v, sigma) = (spectrum.left.row(i), spectrum.right.row(i), spectrum.sigma[i])
        let (image, coimage) = g.withView { (product($0, v), product(u, $0)) }
        // One of both is made by the product with g; the other is an eigenvector, good to k ε σ_1²/σ.
        let limit = 8 * Double(k + 4) * Double.ulpOfOne * top * top / sigma
        for (got, want) in zip(image, u) { #expect(abs(got - sigma * want) <= limit, "\(place)") }
        for (got, want) in zip(coimage, v) { #expect(abs(got - sigma * want) <= limit, "\(place)") }
        for vector in [u, v] {
          let norm = vector.reduce(0) { $0 + $1 * $1 }
          #expect(abs(norm - 1) <= limit / sigma, "\(place): vector \(i), norm² \(norm)")
        }
      }
    }
    // However high the limit, the largest comes with its vectors.
    #expect(try Self.spectrum(g, above: 1e9).left.rows == 1)
  }

  @Test func aNaNOrInfinityIsAnError() {
    for value in [Float.nan, .infinity] {
      let g = Matrix<Float>(rows: 2, columns: 3, elements: [1, 2, value, 4, 5, 6])
      #expect(throws: LinearAlgebraError.self) { try Self.spectrum(g) }
    }
  }

  @Test func effectiveRankCountsEqualValues() {
    #expect(effectiveRank(ofSingularValues: []) == 0)
    #expect(effectiveRank(ofSingularValues: [0, 0]) == 0)
    for count in [1, 2, 7, 100] {
      for scale in [1, 1e-200, 1e200] {
        let values = Array(repeating: scale, count: count) + [0, 0]
        let rank = effectiveRank(ofSingularValues: values)
        // The entropy is a sum of `count` terms log(count)/count.
        #expect(
          abs(rank / Double(count) - 1) <= 10 * Double(count) * Double.ulpOfOne,
          "\(count) values of \(scale): \(rank)")
      }
    }
    // σ² = 3 : 1, by hand: exp(-(3/4) log(3/4) - (1/4) log(1/4)) = 4/3^(3/4).
    let rank = effectiveRank(ofSingularValues: [pow(3, 0.5), 1])
    #expect(abs(rank - 4 / pow(3, 0.75)) <= 1e-15 * 8, "\(rank)")
  }
}
