// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import LinearAlgebra

/// Seeds are fixed, so nothing here is flaky; the probabilities say how unlikely it is that a
/// correct generator fails at a new seed.
@Suite struct DistributionsTests {
  static let count = 8000

  /// Kolmogorov and Smirnov: sqrt(n) times the largest distance of the empirical law from `law`.
  /// P(statistic > 3.3) = 2 exp(-2 · 3.3²) = 7e-10 for a continuous law.
  private func distance(_ values: [Double], _ law: (Double) -> Double) -> Double {
    let n = Double(values.count)
    let largest = values.sorted().enumerated().reduce(0.0) { largest, item in
      let p = law(item.element)
      return max(largest, p - Double(item.offset) / n, Double(item.offset + 1) / n - p)
    }
    return largest * n.squareRoot()
  }

  private func cursor(_ name: String) -> RandomCursor {
    RandomStream(seed: 20_26, name: name).cursor()
  }

  private func draws<Law: Distribution>(_ law: Law, _ name: String) -> [Double]
  where Law.Value: RandomReal {
    var generator = cursor(name)
    return law.samples(Self.count, using: &generator).map { Double($0) }
  }

  private func normalLaw(_ x: Double) -> Double { 0.5 * erfc(-x / 2.0.squareRoot()) }

  @Test func uniformLaw() {
    let stream = RandomStream(seed: 1, name: "uniform")
    #expect(distance(stream.uniforms(Self.count)) { $0 } < 3.3)
    #expect(distance(stream.uniforms(Self.count, as: Float.self).map(Double.init)) { $0 } < 3.3)
    #expect(distance(draws(Uniform(-3.0, 5), "u")) { ($0 + 3) / 8 } < 3.3)
    #expect(distance(draws(Uniform<Float>(-3, 5), "uf")) { ($0 + 3) / 8 } < 3.3)
    var generator = cursor("positive")
    let positive = (0..<Self.count).map { _ in generator.positiveUniform() as Double }
    #expect(distance(positive) { $0 } < 3.3)
  }

  /// A generator of one word, for the ends of intervals.
  private struct Constant: RandomNumberGenerator {
    let word: UInt64
    func next() -> UInt64 { word }
  }

  @Test func uniformEnds() {
    var zero = Constant(word: 0)
    var ones = Constant(word: .max)
    #expect(zero.uniform() as Double == 0 && zero.uniform() as Float == 0)
    #expect(zero.positiveUniform() as Double == 1 && zero.positiveUniform() as Float == 1)
    #expect(ones.uniform() as Double == 1 - 0x1p-53 && ones.uniform() as Float == 1 - 0x1p-24)
    #expect(ones.positiveUniform() as Double == 0x1p-53)
    #expect(Pareto(shape: 1.1).sample(using: &ones) > 1e14)
  }

  /// Bounds at 6 standard errors: P < 2e-9 each. The mean of n values z^k has variance Var(z^k)/n;
  /// for z, z², z³, z⁴ the variances are 1, 2, 15, 96.
  @Test(arguments: [0, 1])
  func normalMomentsAndLaw(kind: Int) {
    let stream = RandomStream(seed: 9, name: "normal")
    let z: [Double] =
      kind == 0
      ? stream.normals(Self.count) : stream.normals(Self.count, as: Float.self).map(Double.init)
    #expect(distance(z, normalLaw) < 3.3)
    for (power, mean, variance) in [(1.0, 0.0, 1.0), (2, 1, 2), (3, 0, 15), (4, 3, 96)] {
      let moment = Statistics.mean(z.map { pow($0, power) })
      let bound = 6 * (variance / Double(z.count)).squareRoot()
      #expect(abs(moment - mean) < bound, "moment \(power): \(moment)")
    }
    // The members of a pair, and neighbouring pairs, are uncorrelated: Var(z z') = 1.
    for lag in 1...4 {
      let product = Statistics.mean(zip(z, z.dropFirst(lag)).map { $0 * $1 })
      #expect(abs(product) < 6 / Double(z.count - lag).squareRoot(), "lag \(lag): \(product)")
    }
  }

  @Test func scaledNormal() {
    #expect(
      distance(draws(Normal(mean: 2.0, standardDeviation: 3), "n")) { normalLaw(($0 - 2) / 3) }
        < 3.3)
    #expect(draws(Normal<Float>(mean: 2, standardDeviation: 0), "n0").allSatisfy { $0 == 2 })
  }

  @Test(arguments: [1.1, 1.5, 3])
  func paretoLaw(shape: Double) {
    let values = draws(Pareto(shape: shape, scale: 5), "pareto")
    #expect(values.allSatisfy { $0 >= 5 })
    #expect(distance(values) { $0 < 5 ? 0 : 1 - pow(5 / $0, shape) } < 3.3)
    // The tail: log(X / scale) is exponential of rate shape, so Hill's estimate over all draws has
    // relative standard error n^-1/2; 6 of them, P < 2e-9.
    let hill = 1 / Statistics.mean(values.map { log($0 / 5) })
    #expect(abs(hill / shape - 1) < 6 / Double(values.count).squareRoot(), "tail exponent \(hill)")
  }

  @Test func twoSidedParetoLaw() {
    let values = draws(TwoSidedPareto<Float>(shape: 1.1, scale: 2), "two-sided")
    #expect(values.allSatisfy { abs($0) >= 2 })
    let law: (Double) -> Double = { x in
      let tail = abs(x) <= 2 ? 0.5 : 0.5 * pow(2 / abs(x), 1.1)
      return x < 0 ? tail : 1 - tail
    }
    #expect(distance(values, law) < 3.3)
    // A fair coin: 6 standard errors of n^-1/2 / 2.
    let share = Double(values.count { $0 > 0 }) / Double(values.count)
    #expect(abs(share - 0.5) < 3 / Double(values.count).squareRoot())
  }

  @Test func gammaFamilyLaws() {
    #expect(
      distance(draws(ChiSquare(degreesOfFreedom: 1.0), "c1")) { erf(($0 / 2).squareRoot()) } < 3.3)
    #expect(distance(draws(ChiSquare(degreesOfFreedom: 2.0), "c2")) { 1 - exp(-$0 / 2) } < 3.3)
    // Erlang's law of shape 3: 1 - e^-x (1 + x + x²/2).
    #expect(
      distance(draws(Gamma(shape: 3.0, scale: 2), "g3")) {
        1 - exp(-$0 / 2) * (1 + $0 / 2 + $0 * $0 / 8)
      } < 3.3)
  }

  /// Pearson's statistic of equal expected counts and its quantile at 1 - 1e-9 (the approximation
  /// of Wilson and Hilferty at six standard deviations).
  private func chiSquare(_ counts: [Int]) -> (statistic: Double, bound: Double) {
    let expected = Double(counts.reduce(0, +)) / Double(counts.count)
    let statistic = counts.reduce(0.0) { $0 + pow(Double($1) - expected, 2) / expected }
    let k = Double(counts.count - 1)
    return (statistic, k * pow(1 - 2 / (9 * k) + 6 * (2 / (9 * k)).squareRoot(), 3))
  }

  @Test(arguments: [2, 3, 7, 10])
  func integersAreUniform(n: Int) {
    var generator = cursor("integers")
    let stream = RandomStream(seed: 6, name: "integers")
    var counts = [Int](repeating: 0, count: n)
    var countsByAccess = counts
    for index in 0..<Self.count {
      counts[generator.integer(below: n)] += 1
      countsByAccess[stream.integer(below: n, at: index)] += 1
    }
    for counts in [counts, countsByAccess] {
      let (statistic, bound) = chiSquare(counts)
      #expect(statistic < bound, "below \(n): \(counts)")
    }
  }

  /// n = 3 · 2^61: the multiplication alone would hand the residues mod 3 out as 3 : 3 : 2.
  @Test func integersRejectWhereTheyMust() {
    let n = 3 << 61
    var generator = cursor("rejection")
    var thirds = [0, 0, 0]
    for _ in 0..<Self.count {
      let value = generator.integer(below: n)
      thirds[value % 3] += 1
      #expect(value >= 0 && value < n)
    }
    let (statistic, bound) = chiSquare(thirds)
    #expect(statistic < bound, "\(thirds)")
    #expect(generator.position > UInt64(Self.count) * 5 / 4, "a quarter of the words is rejected")
    var one = cursor("one")
    #expect(one.integer(below: 1) == 0)
  }

  @Test func permutations() {
    var generator = cursor("permutation")
    #expect(generator.permutation(0) == [])
    #expect(generator.permutation(1) == [0])
    for n in [2, 10, 257] { #expect(generator.permutation(n).sorted() == Array(0..<n)) }
    var counts = [Int](repeating: 0, count: 6)
    for _ in 0..<Self.count {
      let order = generator.permutation(3)
      counts[order[0] * 2 + (order[1] > order[2] ? 1 : 0)] += 1
    }
    let (statistic, bound) = chiSquare(counts)
    #expect(statistic < bound, "\(counts)")
  }

  @Test func unitVectors() {
    var generator = cursor("sphere")
    for n in [1, 2, 3, 100] {
      let u: [Double] = generator.unitVector(n)
      #expect(u.count == n)
      #expect(abs(u.reduce(0) { $0 + $1 * $1 } - 1) <= Double(n + 2) * 0x1p-52, "n \(n)")
    }
    // On the sphere in three dimensions each coordinate is uniform on [-1, 1] (Archimedes).
    let heights = (0..<Self.count).map { _ in Double((generator.unitVector(3) as [Float])[1]) }
    #expect(distance(heights) { ($0 + 1) / 2 } < 3.3)
  }
}
