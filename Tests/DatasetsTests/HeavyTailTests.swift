// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Testing

@testable import Datasets

@Suite struct ProductRegressionTests {
  @Test func targetsAreProductsAndTheSplitIsClean() {
    let data = ProductRegression(
      samples: 50, inputs: 7, trainingFraction: 0.8, stream: RandomStream(seed: 1, name: "data"))
    #expect(data.trainingCount == 40 && data.validationCount == 10)
    for i in 0..<50 { #expect(data.y[i] == data.x[7 * i] * data.x[7 * i + 1] * data.x[7 * i + 2]) }
    var (batch, target) = ([Float](repeating: 0, count: 14), [Float](repeating: 0, count: 2))
    batch.withUnsafeMutableBufferPointer { batch in
      target.withUnsafeMutableBufferPointer { target in
        if let b = batch.baseAddress, let t = target.baseAddress { data.fill([3, 41], b, t) }
      }
    }
    #expect(
      batch == Array(data.x[21..<28] + data.x[287..<294]) && target == [data.y[3], data.y[41]])
  }

  @Test func epochsCoverTheDataOnce() {
    for order in BatchOrder.allCases {
      var sampler = BatchSampler(
        count: 23, size: 5, order: order, stream: RandomStream(seed: 2, name: "batches"))
      #expect(sampler.batchesPerEpoch == 4)
      func epoch(_ e: Int) -> [[Int]] { (0..<4).map { Array(sampler.batch(step: 4 * e + $0)) } }
      let (first, second) = (epoch(0), epoch(1))
      #expect(Set(first.joined()).count == 20 && first.joined().allSatisfy { $0 >= 0 && $0 < 23 })
      #expect((first == second) == (order == .replayed))
      #expect(
        first != [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14], [15, 16, 17, 18, 19]])
      #expect(Array(sampler.batch(step: 2)) == first[2], "a function of the step alone")
    }
  }
}

@Suite struct HeavyTailedNoiseTests {
  @Test func termsAreRankOneOfParetoSize() throws {
    var noise = HeavyTailedNoise(
      probability: 0.25, alpha: 1.5, scale: 2, layers: ["a", "b"],
      stream: RandomStream(seed: 3, name: "noise"))
    let gradients = [LayerGradient(rows: 6, columns: 4), LayerGradient(rows: 1, columns: 6)]
    var sizes: [Double] = []
    var on = 0
    for step in 0..<2000 {
      for gradient in gradients { gradient.entries.scale(by: 0) }
      guard noise.add(to: gradients, step: step, batchSize: 5) else {
        #expect(gradients[0].entries.readOnly.frobeniusNorm == 0)
        continue
      }
      on += 1
      for gradient in gradients { sizes.append(gradient.entries.readOnly.frobeniusNorm) }
      let sigma = try singularValues(gradients[0].entries.readOnly.widened())
      #expect(sigma[1] <= 1e-5 * sigma[0])
    }
    // 2000 coins of 0.25: 500 ± 19; sizes have the law P(s > x) = (2/x)^1.5.
    #expect(abs(on - 500) < 80, "\(on) steps with noise")
    #expect((sizes.min() ?? 0) >= 2 * (1 - 1e-6))
    let beyond = Double(sizes.count { $0 > 8 }) / Double(sizes.count)
    #expect(abs(beyond - 0.125) < 4 * (0.125 * 0.875 / Double(sizes.count)).squareRoot())
  }

  @Test func noProbabilityNoNoise() {
    var noise = HeavyTailedNoise(
      probability: 0, alpha: 1.1, scale: 5, layers: ["a"],
      stream: RandomStream(seed: 3, name: "noise"))
    let gradient = LayerGradient(rows: 2, columns: 2)
    #expect(!(0..<100).contains { noise.add(to: [gradient], step: $0, batchSize: 4) })
  }
}
