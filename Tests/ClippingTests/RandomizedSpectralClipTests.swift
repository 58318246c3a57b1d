// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Testing

@testable import Clipping

@Suite struct RandomizedSpectralClipTests {
  init() { _ = BLASEnvironment.pinned() }
  private let stream = RandomStream(seed: 7, name: "sketch")

  /// G[m, n] with the singular values `sigma` and random directions.
  private func matrix(_ sigma: [Double], _ m: Int, _ n: Int) throws -> Matrix<Double> {
    let u = try qr(Content.random.matrix(m, sigma.count, seed: 21)).q
    let v = try qr(Content.random.matrix(n, sigma.count, seed: 22)).q
    return matmul(matmul(u, .diagonal(sigma)), .no, v, .yes)
  }

  @Test(arguments: [(30, 20), (20, 30), (24, 24)])
  func isExactWhereTheRankSuffices(_ m: Int, _ n: Int) throws {
    let g = try matrix([9, 7, 4, 0.5], m, n)
    for tau in [0.1, 1, 5, 8.5] {
      let expected = PlainSVD(g).clipped(at: tau, rows: m)
      var double = g
      let report = try SpectralClip.randomized(rank: 4).clip(&double, at: tau, sketch: stream)
      #expect((double - expected).largestEntry <= 1e-12, "[\(m), \(n)] tau \(tau)")
      #expect(report.clippedCount == [9, 7, 4, 0.5].count { $0 > tau })
      #expect(abs((report.sigmaMax ?? 0) - 9) <= 1e-11)
      #expect(abs((report.normAfter ?? .nan) - expected.frobeniusNorm) <= 1e-11)
      var single = g.converted(to: Float.self)
      try SpectralClip.randomized(rank: 4).clip(&single, at: tau, sketch: stream)
      #expect((single.converted(to: Double.self) - expected).largestEntry <= 2e-5)
    }
  }

  @Test func valuesBeyondTheRankStayUntouched() throws {
    let g = try matrix([9, 8, 7, 6, 0.01], 30, 20)
    var clipped = g
    let report = try SpectralClip.randomized(rank: 2, oversampling: 3, powerIterations: 2)
      .clip(&clipped, at: 1, sketch: stream)
    #expect(report.clippedCount == 2)
    let after = PlainSVD(clipped).sigma(5)
    for (got, expected) in zip(after, [7, 6, 1, 1, 0.01]) {
      #expect(abs(got - expected) <= 1e-10, "\(after)")
    }
  }

  @Test func equalsATextbookHalkoOnTheSameSketch() throws {
    // Tall G: Y = GΩ, Q = qr(Y), then Z = qr(GᵀQ), Q = qr(GZ); B = QᵀG; clip the r largest of QB.
    let g = Content.random.matrix(25, 18, seed: 31)
    let (rank, q) = (3, 6)
    let omega = Matrix<Double>(rows: q, columns: 18, elements: stream.normals(q * 18))
    var basis = try qr(matmul(g, .no, omega, .yes)).q
    basis = try qr(matmul(g, try qr(matmul(g, .yes, basis, .no)).q)).q
    let s = try svd(matmul(basis, .yes, g, .no))
    let tau = Double(s.sigma[1]) * 0.9
    let excess = Matrix<Double>.diagonal((0..<q).map { $0 < rank ? max(s.sigma[$0] - tau, 0) : 0 })
    let expected = g - matmul(matmul(matmul(basis, s.u), excess), s.vT)
    var clipped = g
    try SpectralClip.randomized(rank: rank, oversampling: 3, powerIterations: 1)
      .clip(&clipped, at: tau, sketch: stream)
    #expect((clipped - expected).largestEntry <= 1e-12)
  }

  @Test func theStreamSufficesAndMatters() throws {
    let g = Content.random.matrix(40, 30).converted(to: Float.self)
    func clip(_ stream: RandomStream) throws -> Matrix<Float> {
      var copy = g
      try SpectralClip.randomized(rank: 3).clip(&copy, at: 2, sketch: stream)
      return copy
    }
    #expect(try clip(stream) == clip(stream))
    #expect(try clip(stream) != clip(stream.at(step: 1)))
    #expect(try clip(stream) != g)
  }
}
