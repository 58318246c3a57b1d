// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Theory

@Suite struct NoiseLawTests {
  private func draws(_ law: NoiseLaw, rows: Int, columns: Int, _ count: Int) -> [[Double]] {
    var cursor = RandomStream(seed: 1, name: "law").cursor()
    var scratch = [Double](repeating: 0, count: 2 * (rows + columns) + 4)
    return (0..<count).map { _ in
      var g = [Double](repeating: 0, count: rows * columns)
      g.withUnsafeMutableBufferPointer { g in
        scratch.withUnsafeMutableBufferPointer { scratch in
          if let g = g.baseAddress, let work = scratch.baseAddress {
            law.add(to: g, rows: rows, columns: columns, using: &cursor, scratch: work)
          }
        }
      }
      return g
    }
  }

  @Test func momentsAreTheLaws() {
    // Orders so low that the empirical moment has a variance.
    for (law, alpha) in [
      (NoiseLaw.rankOnePareto(shape: 3, scale: 2), 1.2),
      (.multivariateT(degreesOfFreedom: 5, scale: 0.5), 1.5),
    ] {
      let values = draws(law, rows: 2, columns: 3, 4000).map { g in
        pow(g.reduce(0) { $0 + $1 * $1 }.squareRoot(), alpha)
      }
      let mean = values.reduce(0, +) / 4000
      let error = Statistics.sampleStandardDeviation(values) / 4000.0.squareRoot()
      let exact = law.moment(alpha, count: 6)
      #expect(abs(mean - exact) <= 5 * error, "\(law): \(mean) ± \(error), exactly \(exact)")
    }
    #expect(NoiseLaw.rankOnePareto(shape: 1.5, scale: 1).moment(1.5, count: 4) == .infinity)
    // A t law of many degrees of freedom is normal: E‖N‖² = 6.
    let normal = NoiseLaw.multivariateT(degreesOfFreedom: 1e7, scale: 1).moment(2, count: 6)
    #expect(abs(normal - 6) < 1e-4)
  }

  @Test func lawsAreUnbiased() {
    for law in [
      NoiseLaw.rankOnePareto(shape: 3, scale: 1), .multivariateT(degreesOfFreedom: 5, scale: 1),
    ] {
      let values = draws(law, rows: 3, columns: 2, 4000)
      for entry in 0..<6 {
        let own = values.map { $0[entry] }
        let error = Statistics.sampleStandardDeviation(own) / 4000.0.squareRoot()
        #expect(abs(Statistics.mean(own)) <= 5 * error, "\(law), entry \(entry)")
      }
    }
    // Nearly all weight on one large atom: the centring must hold there too.
    let law = DiscreteLaw(
      centring: [
        Matrix(rows: 1, columns: 1, elements: [1e6]), Matrix(rows: 1, columns: 1, elements: [-3]),
      ], weights: [1, 1e-12])
    #expect(abs(law.mean { $0 }[0, 0]) <= 1e-15 * law.expectation { $0.frobeniusNorm })
  }

  @Test func discreteDrawsFollowTheirProbabilities() {
    let law = DiscreteLaw(
      centring: (0..<3).map { Matrix(rows: 1, columns: 1, elements: [Double($0)]) },
      weights: [5, 3, 2])
    let values = draws(.discrete(law), rows: 1, columns: 1, 5000).map { $0[0] }
    for (atom, p) in zip(law.atoms, law.probabilities) {
      let share = Double(values.count { $0 == atom[0, 0] }) / 5000
      #expect(abs(share - p) <= 5 * (p * (1 - p) / 5000).squareRoot())
    }
  }
}

@Suite struct StatementTests {
  @Test(arguments: Statement.allCases)
  func holdsOnRandomInstances(_ statement: Statement) throws {
    for (m, n) in [(1, 1), (2, 3), (4, 2)] {
      var cursor = RandomStream(seed: 2, name: "\(statement)/\(m)x\(n)").cursor()
      for index in 0..<25 {
        let instance = ProofInstance.random(rows: m, columns: n, using: &cursor)
        let inequality = try statement.evaluate(instance)
        #expect(
          !inequality.isViolated,
          "\(inequality.name), [\(m), \(n)] number \(index): \(inequality.lhs) > \(inequality.rhs)")
      }
    }
  }

  /// The checker must see through a bound that is too small.
  @Test func aBoundFivePercentTooSmallIsCaught() {
    let honest = Inequality("tight", 1, 1 - 1e-16)
    #expect(!honest.isViolated)
    #expect(Inequality("wrong", 1, 0.95).isViolated)
    #expect(Inequality("nan", .nan, 1).isViolated)
  }

  @Test func theAdversaryFindsNothingButFindsFaults() throws {
    let finding = try AdversarialSearch.run(
      .oneStep34, rows: 2, columns: 2, restarts: 1, steps: 60,
      stream: RandomStream(seed: 3, name: "adversary"))
    #expect(finding.violations == 0 && finding.tried == 61)
    // Without the hypothesis τ >= 8σ the same step would be refused, not clamped.
    let law = DiscreteLaw(
      centring: [Matrix<Double>.identity(2), -1 * Matrix<Double>.identity(2)], weights: [1, 1])
    #expect(throws: HypothesisError.self) {
      try Theorem34.oneStep(
        Problem(.ripple, rows: 2, columns: 2), at: .identity(2), law: law, tau: 2, eta: 0.1,
        alpha: 1.5)
    }
  }

  /// The worst instances that the adversary has found so far (results/theory-bounds/full) hold, with the
  /// slack they had.
  @Test func theAdversarysFindsStillHold() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let record = try Record.read(
      from: root.appendingPathComponent("results/theory-bounds/full/adversarial-seed1.h5").path)
    let names = try record.strings("statement")
    let (rows, columns) = (try record.ints("rows"), try record.ints("columns"))
    let slacks = try record.doubles("smallest_relative_slack")
    let (parameters, shape) = try record.doubles("worst_instance", axes: 2)
    let width = shape[1]
    #expect(names == Statement.allCases.map(\.rawValue))
    for (index, statement) in Statement.allCases.enumerated() {
      let count = ProofInstance.parameterCount(rows: rows[index], columns: columns[index])
      let own = Array(parameters[(index * width)..<(index * width + count)])
      let instance = ProofInstance(rows: rows[index], columns: columns[index], parameters: own)
      let inequality = try statement.evaluate(instance)
      #expect(!inequality.isViolated, "\(statement): \(inequality.lhs) > \(inequality.rhs)")
      #expect(
        abs(inequality.relativeSlack - slacks[index]) <= 1e-9 + 1e-6 * abs(slacks[index]),
        "\(statement): slack \(inequality.relativeSlack), recorded \(slacks[index])")
    }
  }
}

@Suite struct TheoremTests {
  /// f = ‖X‖²/2, η = 1/L = 1, τ = ∞: each step lands on the last noise, and the slack is σ²/K exactly.
  @Test func theTightInstanceOfTheorem33() throws {
    let (m, n, steps) = (2, 2, 5)
    let problem = Problem(
      .quadratic(
        curvatures: [Double](repeating: 1, count: 4), minimizer: [Double](repeating: 0, count: 4)),
      rows: m, columns: n)
    let atom = Matrix<Double>(rows: 2, columns: 2, elements: [3, -1, 0.5, 2])
    let law = DiscreteLaw(centring: [atom, -1 * atom], weights: [1, 1])
    let x0 = Matrix<Double>(rows: 2, columns: 2, elements: [1, 2, -1, 0.5])
    let measured = try ClippedDescent(
      problem, law: .discrete(law), rule: .spectral(.infinity), eta: 1, start: x0
    ).exactAverages(steps: steps)
    let sigma = law.sigma(2)
    let theorem = try Theorem33(
      .b, smoothness: 1, initialGap: problem.value(x0), eta: 1, steps: steps,
      variance: LemmaC1.variance(tau: .infinity, rank: 2, alpha: 2, sigma: sigma))
    let bound = theorem.bound(meanSquaredBias: measured.squaredBias)
    #expect(measured.squaredBias < 1e-25)
    #expect(abs(bound - measured.squaredNorm - sigma * sigma / Double(steps)) <= 1e-13 * bound)
    // With more steps the slack shrinks below 5 %: a bound that is 5 % too small must fail.
    let many = 12
    let longer = try ClippedDescent(
      problem, law: .discrete(law), rule: .spectral(.infinity), eta: 1, start: x0
    ).exactAverages(steps: many)
    let longBound = try Theorem33(
      .b, smoothness: 1, initialGap: problem.value(x0), eta: 1, steps: many,
      variance: sigma * sigma
    ).bound(meanSquaredBias: 0)
    #expect(!Inequality("b", longer.squaredNorm, longBound).isViolated)
    #expect(longBound - longer.squaredNorm <= 0.1 * longBound)
    #expect(Inequality("b", longer.squaredNorm, 0.9 * longBound).isViolated)
  }

  @Test func simulationAgreesWithAllPaths() throws {
    for (m, n) in [(3, 3), (2, 4)] {
      let problem = Problem.quadratic(
        rows: m, columns: n, condition: 5, stream: RandomStream(seed: 4, name: "p"))
      let atoms = (0..<3).map {
        Matrix<Double>(
          rows: m, columns: n, elements: RandomStream(seed: 5, name: "a\($0)").normals(m * n))
      }
      let law = DiscreteLaw(centring: atoms, weights: [3, 2, 1])
      let descent = ClippedDescent(
        problem, law: .discrete(law), rule: .spectral(0.7), eta: 0.5,
        start: Matrix(rows: m, columns: n, repeating: 1))
      let exact = try descent.exactAverages(steps: 4)
      let runs = try descent.run(
        steps: 4, count: 400, stream: RandomStream(seed: 6, name: "runs"), measuringBias: true)
      for (name, value, path) in [
        ("norm", exact.squaredNorm, \ClippedDescent.Averages.squaredNorm),
        ("potential", exact.potential, \.potential), ("bias", exact.squaredBias, \.squaredBias),
      ] {
        let values = runs.map { $0[keyPath: path] }
        let error = Statistics.sampleStandardDeviation(values) / 20
        #expect(
          abs(Statistics.mean(values) - value) <= 5 * error + 1e-12 * value,
          "[\(m), \(n)] \(name): \(Statistics.mean(values)) ± \(error), exactly \(value)")
      }
    }
  }

  @Test func theNoiseTermIsFreeOfTauForFiniteVariance() throws {
    let values = try [0.1, 1, 1e6, .infinity].map {
      try LemmaC1.variance(tau: $0, rank: 3, alpha: 2, sigma: 0.7)
    }
    #expect(Set(values).count == 1 && abs(values[0] - 0.49) < 1e-15)
    let heavy = try LemmaC1.variance(tau: 2, rank: 4, alpha: 1.5, sigma: 3)
    #expect(abs(heavy - 8.0.squareRoot() * pow(3, 1.5)) < 1e-12)
  }

  @Test func theScheduleOfTheorem34GivesItsRate() throws {
    for alpha in [1.1, 1.5, 2.0] {
      func bound(_ k: Int) throws -> Double {
        try Theorem34(
          smoothness: 2, initialGap: 3, alpha: alpha, sigma: 0.01, rank: 3, steps: k
        ).bound
      }
      let slope = try log(bound(1_000_000) / bound(100)) / log(1e4)
      #expect(abs(slope - Theorem34.rate(alpha: alpha)) < 1e-9, "alpha \(alpha): \(slope)")
    }
  }

  @Test func violatedHypothesesAreNamed() {
    func message(_ body: () throws -> Void) -> String {
      do { try body() } catch { return "\(error)" }
      return ""
    }
    #expect(
      message { _ = try LemmaC1.variance(tau: 1, rank: 1, alpha: 2.5, sigma: 1) }
        .contains("1 < alpha <= 2, got 2.5"))
    #expect(
      message {
        _ = try Theorem34(
          smoothness: 1, initialGap: 1, alpha: 1.5, sigma: 1, rank: 1, steps: 10, tau: 4, eta: 0.1)
      }.contains("tau >= max{1, 8 sigma} = 8.0, got 4.0"))
    #expect(
      message {
        _ = try Theorem33(.a, smoothness: 2, initialGap: 1, eta: 0.2, steps: 1, variance: 0)
      }.contains("0.125"))
    #expect(
      message { _ = try DeltaClipping(eta: 1, gamma: 1, delta: 0) }.contains("0 < delta <= 1"))
    #expect(
      message { _ = try PerSampleClipping(moment: 1, size: 1, scale: 1) }.contains("1 < p <= 2"))
  }

  @Test func vectorsAreClippedByTheirNorm() throws {
    for n in [1, 2, 9, 33] {
      let values: [Double] = RandomStream(seed: 7, name: "v").normals(n)
      for (m, k) in [(n, 1), (1, n)] {
        let g = Matrix(rows: m, columns: k, elements: values)
        for tau in [0.01, 1, 50] {
          let bits = try SectionTwoThree.differingBits(g.converted(to: Float.self), tau: tau)
          #expect(bits == 0)
          #expect(!(try SectionTwoThree.throughSVD(g, tau: tau)).isViolated)
        }
      }
    }
  }
}

@Suite struct NeighbourTests {
  @Test func clippedDescentNeedsFewerIterationsFromFarAway() {
    for f in RelaxedSmoothness.Function.allCases {
      let start = [f == .quartic ? 8.0 : 6, -2]
      func count(_ rule: RelaxedSmoothness.Descent) -> Int {
        RelaxedSmoothness.iterations(rule, f, from: start, epsilon: 0.1, limit: 100_000)
      }
      #expect(count(.clipped) * 5 < count(.fixed), "\(f)")
      for rule in [RelaxedSmoothness.Descent.clipped, .fixed] {
        let bound = RelaxedSmoothness.bound(rule, f, from: start, epsilon: 0.1) ?? 0
        #expect(Double(count(rule)) <= bound)
      }
      #expect(!RelaxedSmoothness.definition(f, at: start).isViolated)
    }
  }

  @Test func deltaClippingDecaysGeometrically() throws {
    let problem = try DeltaClipping.LeastSquares(
      samples: 5, dimension: 9, stream: RandomStream(seed: 8, name: "ls"))
    let clip = try DeltaClipping(eta: 1 / problem.smoothness, gamma: 0.1, delta: 0.2)
    #expect(try clip.onLeastSquares(problem, steps: 100).allSatisfy { !$0.isViolated })
    let greedy = try DeltaClipping(eta: 2 / problem.smoothness, gamma: 0.1, delta: 0.2)
    #expect(throws: HypothesisError.self) { try greedy.onLeastSquares(problem, steps: 1) }
    let net = DeltaClipping.onWideNet(
      width: 60, samples: 4, inputs: 5,
      clip: try DeltaClipping(eta: 0.5, gamma: 0.5, delta: 0.1), steps: 100,
      stream: RandomStream(seed: 9, name: "net"))
    #expect(net.mu > 0 && (net.losses.last ?? 1) < 0.1 * net.losses[0])
  }

  @Test func perSampleClippingKeepsItsBounds() throws {
    let atoms = (0..<4).map { index in
      pow(4, Double(index))
        * Matrix<Double>(
          rows: 2, columns: 2, elements: RandomStream(seed: 10, name: "\(index)").normals(4))
    }
    let law = DiscreteLaw(centring: atoms, weights: [64, 16, 4, 1])
    let g = Matrix<Double>(rows: 2, columns: 2, elements: [0.3, 0, -0.2, 0.1])
    for p in [1.2, 2.0] {
      let size = pow(law.expectation { pow((g + $0).frobeniusNorm, p) }, 1 / p)
      let rule = try PerSampleClipping(moment: p, size: size, scale: size)
      for n in [1, 8, 40] {
        #expect(try rule.check(g, law: law, n: n).allSatisfy { !$0.isViolated })
      }
      #expect(throws: HypothesisError.self) {
        try PerSampleClipping(moment: p, size: 0.5 * size, scale: 1).check(g, law: law, n: 2)
      }
    }
  }
}
