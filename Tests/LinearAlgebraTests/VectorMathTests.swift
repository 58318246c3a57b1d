// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import LinearAlgebra

@Suite struct VectorMathTests {
  /// Units in the last place of the larger of the value and `floor`.
  private func ulps(_ got: Float, _ want: Double, floor: Double = 0) -> Double {
    abs(Double(got) - want) / (max(abs(want), floor) * 0x1p-23)
  }

  private var arguments: [Float] {
    (-2000...2000).map { Float($0) * 0.0431 } + [0, -0.0, 1e-20, -1e-20, 5e-5]
  }

  @Test func exponentialsAreRightToTwoUnits() {
    for x in arguments where x > -87 && x < 88 {
      let got = VectorMath.exp(.init(repeating: x))[3]
      #expect(ulps(got, exp(Double(x))) <= 2, "exp \(x): \(got)")
    }
    #expect(VectorMath.exp(.init(repeating: -88))[0] == 0)
    #expect(VectorMath.exp(.init(repeating: -.infinity))[0] == 0)
    #expect(VectorMath.exp(.init(repeating: 1000))[0] > 1e38)
    #expect(VectorMath.exp(.init(repeating: .nan))[0].isNaN)
  }

  @Test func theNormalDistributionIsRightToAFewUnits() {
    for x in arguments where abs(x) < 6.4 {
      let (distribution, density) = VectorMath.normal(.init(repeating: x))
      let x = Double(x)
      // e^(-x²/2) inherits the rounding of x²: x²/2 units.
      let slack = 4 + x * x / 2
      #expect(ulps(distribution[5], 0.5 * erfc(-x / 2.0.squareRoot())) <= slack, "Φ(\(x))")
      #expect(
        ulps(density[5], Foundation.exp(-x * x / 2) / (2 * Double.pi).squareRoot()) <= slack)
    }
    #expect(VectorMath.normal(.init(repeating: 50)).distribution[0] == 1)
    #expect(VectorMath.normal(.init(repeating: -50)).distribution[0] == 0)
  }

  /// Subnormal factors make a product of matrices twenty times as slow.
  @Test func nothingBecomesSubnormal() {
    let least = Float.leastNormalMagnitude
    for x: Float in [least, -least, 1, -.infinity, 0] {
      #expect(VectorMath.flushed(.init(repeating: x))[5].bitPattern == x.bitPattern)
    }
    for x: Float in [least.nextDown, -least.nextDown, 0x1p-149, -0x1p-140] {
      #expect(VectorMath.flushed(.init(repeating: x))[5] == 0)
    }
    #expect(VectorMath.flushed(.init(repeating: .nan))[5].isNaN)
    let far = (860...900).map { -Float($0) / 10 }
    for x in far {
      let y = VectorMath.sigmoid(.init(repeating: x))[2]
      #expect(x < -87.3 ? y == 0 : ulps(y, 1 / (1 + exp(-Double(x)))) <= 3, "σ(\(x)): \(y)")
    }
    #expect(VectorMath.sigmoid(.init(repeating: .nan))[0].isNaN)
    var row = [0] + far + far + far + far + far.prefix(11)
    _ = row.withUnsafeMutableBufferPointer {
      VectorMath.softmax($0.baseAddress!, valid: 176, count: 176, scale: 1)
    }
    #expect(row.allSatisfy { !$0.isSubnormal } && row[1] > 0, "\(row)")
  }

  @Test(arguments: [1, 15, 16, 17, 40, 64])
  func softmaxSumsToOneAndMasksExactly(_ valid: Int) {
    let count = 70
    for scale in [Float(1), 0.125] {
      let x: [Float] = RandomStream(seed: 1, name: "softmax").normals(96).map { 5 * $0 }
      var y = x
      for i in valid..<96 { y[i] = i % 2 == 0 ? .infinity : .nan }
      let logSum = y.withUnsafeMutableBufferPointer {
        VectorMath.softmax($0.baseAddress!, valid: valid, count: count, scale: scale)
      }
      let terms = x[..<valid].map { exp(Double(scale) * Double($0)) }
      let sum = terms.reduce(0, +)
      #expect(abs(Double(logSum) - log(sum)) <= 4e-6)
      for i in 0..<valid { #expect(abs(Double(y[i]) - terms[i] / sum) <= 1e-6) }
      for i in valid..<count { #expect(y[i] == 0) }
      let alone = x.withUnsafeBufferPointer {
        VectorMath.logSumExp($0.baseAddress!, count: valid, scale: scale)
      }
      #expect(abs(Double(alone) - log(sum)) <= 4e-6)
    }
  }

  @Test func sixteenBitWordsAreUniformAndIndependentOfHowTheyAreTaken() {
    let stream = RandomStream(seed: 9, name: "bits", step: 4)
    var all = [UInt16](repeating: 0, count: 100_000)
    all.withUnsafeMutableBufferPointer { stream.fill(bits: $0, from: 0) }
    var part = [UInt16](repeating: 0, count: 77)
    part.withUnsafeMutableBufferPointer { stream.fill(bits: $0, from: 640) }
    #expect(part == Array(all[640..<717]))
    // Each of 16 bits is set half of the time, four standard errors.
    for bit in 0..<16 {
      let share = Double(all.count { $0 >> bit & 1 == 1 }) / 100_000
      #expect(abs(share - 0.5) <= 4 * 0.5 / 100_000.0.squareRoot(), "bit \(bit): \(share)")
    }
    // 64 words come from eight blocks of the published generator.
    let words = (0..<8).map { stream.words(.bits, UInt64($0)) }
    let first = Set(all[..<64].map { $0 })
    for (low, high) in words {
      for shift in [0, 16, 32, 48] {
        #expect(first.contains(UInt16(truncatingIfNeeded: low >> shift)))
        #expect(first.contains(UInt16(truncatingIfNeeded: high >> shift)))
      }
    }
  }
}
