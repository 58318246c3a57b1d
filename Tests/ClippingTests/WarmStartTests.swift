// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Testing

@testable import Clipping

/// Algorithm 2 that starts from the step before, on gradients that drift.
@Suite struct WarmStartTests {
  init() { _ = BLASEnvironment.pinned() }
  private let stream = RandomStream(seed: 7, name: "sketch")

  /// G_k[40, 30] = A + k/50 · B, the singular values of A falling by a tenth each.
  private func gradient(_ k: Int) throws -> Matrix<Float> {
    let u = try qr(Content.random.matrix(40, 30, seed: 21)).q
    let v = try qr(Content.random.matrix(30, 30, seed: 22)).q
    let sigma = Matrix<Double>.diagonal((0..<30).map { 20 * pow(0.9, Double($0)) })
    var drift = Content.random.matrix(40, 30, seed: 23)
    drift.scaleRows(by: [Double](repeating: 0.02 * Double(k), count: 40))
    return (matmul(matmul(u, sigma), .no, v, .yes) + drift).converted(to: Float.self)
  }

  /// ‖C - C_exact‖_F/‖C_exact‖_F at each of ten steps; τ lies above the fifth value.
  private func errors(_ start: SketchStart, powerIterations: Int) throws -> [Double] {
    var clip = try LayerwiseSpectralClip(
      .constant(13), .randomized(rank: 6, oversampling: 3, powerIterations: powerIterations),
      layers: ["w"], seed: 3, start: start)
    return try (0..<10).map { k in
      var (g, exact) = (try gradient(k), try gradient(k))
      try clip.clip(&g, layer: "w")
      try SpectralClip.exact.clip(&exact, at: 13)
      return (g - exact).frobeniusNorm / exact.frobeniusNorm
    }
  }

  @Test func itBeatsAColdSketchOfTwiceAsManyPasses() throws {
    let cold = try errors(.normal, powerIterations: 1)  // four products with G a step
    let warm = try errors(.lastBasis, powerIterations: 0)  // two
    let same = try errors(.lastBasis, powerIterations: 1)
    for k in 5..<10 {
      #expect(warm[k] < cold[k], "step \(k): warm \(warm), cold \(cold)")
      #expect(same[k] < warm[k] && same[k] < cold[k] / 4, "step \(k): \(same), cold \(cold)")
    }
    // The first step has nothing to start from.
    #expect(same[0] == cold[0])
  }

  @Test func whatAppearsAtOnceIsFoundByTheNormalVectors() throws {
    // A spike at right angles to all that the step before has left.
    let old = Matrix<Double>.diagonal((0..<30).map { $0 < 6 ? 9 : 0.1 })
    var new = old
    new[20, 21] = 50
    var start: WarmStart? = WarmStart()
    let clip = try SpectralClip.randomized(rank: 6, oversampling: 3, powerIterations: 1)
    for (g, sigmaMax) in [(old, 9.0), (new, 50)] {
      var copy = g
      let report = try copy.withMutableView {
        try clip.clip($0, at: .fixed(5), sketch: stream, from: &start)
      }
      // (σ_7/σ_1)^3 is what a step of the power iteration leaves of the others.
      #expect(abs((report.sigmaMax ?? 0) - sigmaMax) <= 1e-4 * sigmaMax, "\(report)")
      #expect(report.clippedCount == 6)
    }
  }

  @Test func lookingAtAStepInsideTheBallChangesNothing() throws {
    let names = ["w"]
    func clipped(measuring: Bool) throws -> (LayerwiseSpectralClip, [Float]) {
      var clip = try LayerwiseSpectralClip(
        .constant(8), .randomized(rank: 2), layers: names, seed: 3, start: .lastBasis)
      let layer = LayerGradient(rows: 40, columns: 30)
      let gradients = Gradients([
        Layer(name: "w", gradient: layer, weights: layer.entries.readOnly)
      ])
      for k in 0..<4 {
        let scale: Float = k == 2 ? 0.01 : 1
        let values = try gradient(k).elements.map { scale * $0 }
        layer.setMaterialized()
        layer.entries.base.update(from: values, count: values.count)
        gradients.measuresSigmaMax = measuring
        try clip.apply(to: gradients)
      }
      return (clip, layer.entries.readOnly.copied().elements)
    }
    let (looked, plain) = (try clipped(measuring: true), try clipped(measuring: false))
    #expect(looked.0 == plain.0 && looked.1 == plain.1)
  }

  @Test func theStartOfAnotherMatrixIsRefused() throws {
    var start: WarmStart? = WarmStart()
    let clip = try SpectralClip.randomized(rank: 6)
    var g = try gradient(0)
    try g.withMutableView { _ = try clip.clip($0, at: .fixed(1), sketch: stream, from: &start) }
    for (other, rank) in [(Content.random.matrix(30, 20), 6), (Content.random.matrix(40, 30), 0)] {
      let before = start
      var copy = other
      let smaller = try SpectralClip.randomized(rank: max(1, rank), oversampling: rank)
      let error = #expect(throws: ClippingError.self) {
        try copy.withMutableView {
          _ = try smaller.clip($0, at: .fixed(1), sketch: stream, from: &start)
        }
      }
      #expect(!(error?.description.contains("\n") ?? true))
      #expect(start == before && copy == other)
    }
  }
}
