// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Testing

@testable import Clipping

@Suite struct ThresholdTests {
  /// The thresholds of a rule for a sequence of top singular values.
  private func taus(_ rule: ThresholdRule, _ sigmas: [Double]) throws -> [Double] {
    var threshold = try Threshold(rule)
    return sigmas.map { sigma in
      defer { threshold.observe(sigmaMax: sigma) }
      return threshold.tau(sigmaMax: sigma)
    }
  }

  private func expectClose(_ got: [Double], _ expected: [Double]) {
    #expect(got.count == expected.count)
    for (a, b) in zip(got, expected) {
      #expect(a == b || abs(a - b) <= 4e-16 * abs(b), "got \(got), expected \(expected)")
    }
  }

  @Test func constant() throws { #expect(try taus(.constant(0.3), [1, 2, 3]) == [0.3, 0.3, 0.3]) }

  @Test func emaInItsThreeOrders() throws {
    // θ = 1/2, σ = 4, 2, 8, averages t = 2, 2, 5; corrections 1 - θ^k = 1/2, 3/4, 7/8.
    let sigmas: [Double] = [4, 2, 8]
    expectClose(
      try taus(.ema(coefficient: 0.5, .paper), sigmas), [2 / 0.5, 2 / 0.75, 5 / 0.875])
    expectClose(
      try taus(.ema(coefficient: 0.5, .repository), sigmas), [.infinity, 2 / 0.5, 2 / 0.75])
    // The script adds 1e-8 to every σ; a bias-corrected mean of σ + ε is that of σ, plus ε.
    expectClose(
      try taus(.ema(coefficient: 0.5, .traceScript), sigmas),
      [0, 2 / 0.5 + 1e-8, 2 / 0.75 + 1e-8].map { $0 })
  }

  @Test func quantilesOfASlidingWindow() throws {
    // w = 3, q = 1/2: windows [], [5], [5,1], [5,1,9], [1,9,9]: interpolated medians and ⌊(n-1)/2⌋.
    let sigmas: [Double] = [5, 1, 9, 9, 0]
    #expect(
      try taus(.quantile(level: 0.5, window: 3, .interpolated), sigmas) == [.infinity, 5, 3, 5, 9])
    #expect(
      try taus(.quantile(level: 0.5, window: 3, .lowerOrderStatistic), sigmas)
        == [.infinity, 5, 1, 5, 9])
    // q = 0.85 of [1, 9]: 1 + 8·0.85 = 7.8.
    let high = try taus(.quantile(level: 0.85, window: 2, .interpolated), [1, 9, 0])
    #expect(abs(high[2] - 7.8) <= 1e-15 * 8)
  }

  /// Of a gradient whose norm overflows though none of its entries does.
  @Test(arguments: [
    ThresholdRule.ema(coefficient: 0.9, .repository),
    .quantile(level: 0.5, window: 5, .interpolated),
  ])
  func aNormThatOverflowsDoesNotLast(_ rule: ThresholdRule) throws {
    var threshold = try Threshold(rule)
    for sigmaMax in [1, .infinity, .infinity, 1] { threshold.observe(sigmaMax: sigmaMax) }
    #expect(abs(threshold.tau(sigmaMax: 1) - 1) <= 1e-15)
  }

  @Test func theWindowForgetsDuplicatesOneByOne() throws {
    let stream = RandomStream(seed: 3, name: "window")
    let sigmas = (0..<400).map { Double(stream.integer(below: 7, at: $0)) }
    let got = try taus(.quantile(level: 0.85, window: 20), sigmas)
    for k in 1..<400 {
      #expect(got[k] == Statistics.quantile(Array(sigmas[max(0, k - 20)..<k]), 0.85))
    }
  }

  @Test(arguments: [
    ThresholdRule.constant(1), .ema(coefficient: 0.9, .paper), .ema(coefficient: 0.9, .repository),
    .ema(coefficient: 0.9, .traceScript), .quantile(level: 0.85, window: 10, .interpolated),
    .quantile(level: 0.85, window: 10, .lowerOrderStatistic),
  ])
  func savedInTheMiddleItGoesOnBitForBit(_ rule: ThresholdRule) throws {
    let sigmas = RandomStream(seed: 1, name: "sigma").uniforms(60, as: Double.self)
    var straight = try Threshold(rule)
    var broken = try Threshold(rule)
    for (k, sigma) in sigmas.enumerated() {
      if k == 33 {
        let data = try PropertyListEncoder().encode(broken)
        broken = try PropertyListDecoder().decode(Threshold.self, from: data)
      }
      #expect(straight.tau(sigmaMax: sigma) == broken.tau(sigmaMax: sigma))
      straight.observe(sigmaMax: sigma)
      broken.observe(sigmaMax: sigma)
      #expect(straight == broken)
    }
  }

  /// What no run leaves is refused when it is read: a later step could make nothing of it.
  @Test func aStateBelowZeroIsRefused() throws {
    for rule in [
      ThresholdRule.ema(coefficient: 0.5, .repository), .quantile(level: 0.5, window: 4),
    ] {
      var threshold = try Threshold(rule)
      threshold.observe(sigmaMax: -2)
      let data = try PropertyListEncoder().encode(threshold)
      #expect(throws: DecodingError.self) {
        try PropertyListDecoder().decode(Threshold.self, from: data)
      }
    }
  }

  @Test(arguments: [
    ThresholdRule.constant(-1), .constant(.nan), .ema(coefficient: 0), .ema(coefficient: 1),
    .quantile(level: -0.1), .quantile(level: 1.1), .quantile(window: 0),
  ])
  func parametersOutsideTheirRangeAreRefused(_ rule: ThresholdRule) {
    let error = #expect(throws: ClippingError.self) { try Threshold(rule) }
    #expect(!(error?.description.contains("\n") ?? true))
  }
}

@Suite struct LayerwiseSpectralClipTests {
  init() { _ = BLASEnvironment.pinned() }

  @Test func layersKeepTheirOwnState() throws {
    var clipper = try LayerwiseSpectralClip(
      .ema(coefficient: 0.5, .repository), .exact, layers: ["a", "b"], seed: 1)
    var g = Matrix<Double>.diagonal([4, 1])
    #expect(try clipper.clip(&g, layer: "a").tau == .infinity)
    g = .diagonal([100, 1])
    #expect(try clipper.clip(&g, layer: "b").tau == .infinity)
    g = .diagonal([8, 1])
    let report = try clipper.clip(&g, layer: "a")
    #expect(abs(report.tau - 4) <= 1e-14 && report.clippedCount == 1)
    #expect((g - .diagonal([4, 1])).largestEntry <= 1e-14)
    #expect(clipper.thresholds.map(\.step) == [2, 1])
    #expect(throws: ClippingError.self) { try clipper.clip(&g, layer: "c") }
  }

  @Test(arguments: SketchStart.allCases)
  func theOrderOfLayersDoesNotMatterAndSavingResumes(_ start: SketchStart) throws {
    let rule = ThresholdRule.quantile(level: 0.5, window: 5)
    let operation = try SpectralClip.randomized(rank: 2)
    var forward = try LayerwiseSpectralClip(
      rule, operation, layers: ["a", "b"], seed: 9, start: start)
    var backward = forward
    for k in UInt64(0)..<8 {
      var (a1, b1) = (Content.random.matrix(9, 7, seed: k), Content.random.matrix(6, 8, seed: k))
      var (a2, b2) = (a1, b1)
      try forward.clip(&a1, layer: "a")
      try forward.clip(&b1, layer: "b")
      try backward.clip(&b2, layer: "b")
      try backward.clip(&a2, layer: "a")
      #expect(a1 == a2 && b1 == b2)
      if k == 4 {
        let data = try PropertyListEncoder().encode(backward)
        backward = try PropertyListDecoder().decode(LayerwiseSpectralClip.self, from: data)
      }
    }
    #expect(forward == backward)
  }
}
