// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Models
import Testing

@testable import Experiments
@testable import Lab

/// How often what is random happens, at the paper's settings, within the exact limits of the binomial law: two tails of
/// 1e-9, and so many draws that a frequency a tenth lower or higher lies beyond them.
@Suite struct FrequencyTests {
  @Test func theLimitsAreTheLaws() {
    // 10 coins: P(0 heads) = P(10) = 1/1024.
    #expect(BinomialLimits(10, 0.5, tail: 0.0009).range == 0...10)
    #expect(BinomialLimits(10, 0.5, tail: 0.001).range == 1...9)
    // P(at most 1 of 10) = 11/1024.
    #expect(BinomialLimits(10, 0.5, tail: 0.0108).range == 2...8)
    #expect(BinomialLimits(4, 0.1, tail: 0.001).range == 0...3)
    // Normal limits of 6 deviations for many draws.
    let many = BinomialLimits(200_000, 0.1)
    #expect(abs(many.range.lowerBound - (20_000 - 805)) <= 8, "\(many.range)")
    #expect(abs(many.range.upperBound - (20_000 + 805)) <= 8, "\(many.range)")
  }

  /// Whether `count` of `n` fits p, and would fit neither 0.9 p nor 1.1 p.
  private func expect(_ count: Int, of n: Int, _ p: Double, _ what: String) {
    let limits = BinomialLimits(n, p)
    #expect(limits.contains(count), "\(what): \(count) of \(n), allowed \(limits.range)")
    for other in [0.9 * p, 1.1 * p] {
      let far = BinomialLimits(n, other, tail: 1e-6).range
      #expect(!far.overlaps(limits.range), "\(what): \(n) draws do not tell \(p) from \(other)")
    }
  }

  @Test func noiseHitsATenthOfTheSteps() {
    let (counts, values) = MLPHarness.noise(steps: 150_000, draws: 40_000)
    expect(counts.last ?? 0, of: 150_000, 0.1, "steps with noise")
    // Each of the 32 samples alike; too few draws to see a tenth of that.
    for (sample, count) in counts.dropLast().enumerated() {
      let limits = BinomialLimits(40_000, 1.0 / 32)
      #expect(limits.contains(count), "sample \(sample): \(count), allowed \(limits.range)")
    }
    expect(values.count { $0 > 0 }, of: 40_000, 0.5, "positive signs")
    // P(s > x) = (5/x)^1.1; nothing lies below 5.
    let sizes = values.map(\.magnitude)
    #expect((sizes.min() ?? 0) >= 5 * (1 - 1e-6))
    for share in [0.9, 0.5, 0.1, 0.02] {
      let place = 5 * pow(share, -1 / 1.1)
      let limits = BinomialLimits(40_000, share)
      let beyond = sizes.count { $0 > place }
      #expect(limits.contains(beyond), "\(beyond) sizes beyond \(place), allowed \(limits.range)")
      // A scale or an exponent a tenth off is seen at one of the places at least.
    }
    for (scale, exponent) in [(4.5, 1.1), (5.5, 1.1), (5, 0.99), (5, 1.21)] {
      let seen = [0.9, 0.5, 0.1, 0.02].contains { share in
        let place = 5 * pow(share, -1 / 1.1)
        let other = min(0.999999, pow(scale / place, exponent))
        return !BinomialLimits(40_000, other, tail: 1e-6).range
          .overlaps(BinomialLimits(40_000, share).range)
      }
      #expect(seen, "scale \(scale), exponent \(exponent)")
    }
  }

  /// The four places of dropout in a GPT, one at a time: embeddings, attention probabilities, and the two branches.
  enum Place: String, CaseIterable { case embedding, attention, projection, contraction }

  @Test(arguments: Place.allCases)
  func dropoutDropsAFifth(_ place: Place) {
    // Embeddings at nanoGPT's 0.2; elsewhere at a half, for which a debug build needs fewer draws.
    let isEmbedding = place == .embedding
    let (rows, width) = (isEmbedding ? 3200 : 800, 16)
    let p = isEmbedding ? LanguageHarness.dropout : 0.5
    let model = GPT(
      .nanoGPT,
      GPT.Shape(
        vocabulary: 2, block: 1, layers: isEmbedding ? 0 : 1, heads: width, width: width),
      dropout: p)
    // What reaches the last norm is 0 or one number: a dropped element falls below the row's mean.
    func fill(_ suffix: String, _ value: Float) {
      for parameter in model.parameters where parameter.name.hasSuffix(suffix) {
        parameter.tensor.value.fill(value)
      }
    }
    fill("ln_f.weight", 1)
    switch place {
    case .embedding: fill("token_emb.weight", 1)
    case .attention, .projection:
      // A single position sees itself: a head's only probability is 1, and its value the bias.
      fill(place == .attention ? "to_v.bias" : "attn.c_proj.bias", 1)
      for parameter in model.parameters where parameter.name.hasSuffix("attn.c_proj.weight") {
        for i in 0..<width { parameter.base[i * width + i] = place == .attention ? 1 : 0 }
      }
    case .contraction: fill("mlp.c_proj.bias", 1)
    }
    let tape = Tape(dropoutStream: RandomStream(seed: 8, name: "frequencies"))
    let tokens = tape.indices([rows, 1])
    tokens.assign([Int32](repeating: 0, count: rows))
    let hidden = model.hidden(tape, tokens)
    tape.step = 3
    tape.forward()
    let dropped = hidden.array.count { $0 < -0.1 }
    // Attention's values pass the projection's branch as well, which drops on its own.
    let want = isEmbedding ? 0.2 : place == .attention ? 0.75 : 0.5
    expect(dropped, of: rows * width, want, "\(place)")
  }
}
