// SPDX-License-Identifier: Apache-2.0

import Lab
import Foundation
import LinearAlgebra
import Storage
import Theory

/// Instances, violations and the smallest slack of one statement.
struct StatementTally {
  let name: String
  var instances = 0
  var violations = 0
  var smallestSlack = Double.infinity
  var smallestRelative = Double.infinity

  mutating func add(_ inequality: Inequality) {
    instances += 1
    if inequality.isViolated { violations += 1 }
    smallestSlack = min(smallestSlack, inequality.slack)
    smallestRelative = min(smallestRelative, inequality.relativeSlack)
  }
}

extension TheoryBounds {
  static func record(_ tallies: [StatementTally]) -> Record {
    var columns = Columns(axis: "statement")
    for tally in tallies {
      columns.append([
        ("statement", .text(tally.name), "statement"),
        ("instances", .count(tally.instances), "instances tried"),
        ("violations", .count(tally.violations), "instances that fail beyond rounding"),
        ("smallest_slack", .real(tally.smallestSlack), "smallest rhs - lhs"),
        (
          "smallest_relative_slack", .real(tally.smallestRelative),
          "smallest slack over the size of what was rounded"
        ),
      ])
    }
    return columns.record([
      "instances_total": .int(tallies.reduce(0) { $0 + $1.instances }),
      "violations_total": .int(tallies.reduce(0) { $0 + $1.violations }),
    ])
  }

  /// Every statement on random instances, the theorems over all paths of small discrete problems, and what
  /// the neighbours' papers state.
  static func inequalities(_ config: Config, _ stream: RandomStream) throws -> Record {
    var tallies: [StatementTally] = []
    for statement in Statement.allCases {
      var tally = StatementTally(name: statement.rawValue)
      for (m, n) in shapes {
        var cursor = stream.child("\(statement.rawValue)/\(m)x\(n)").cursor()
        for _ in 0..<config.instances {
          let instance = ProofInstance.random(rows: m, columns: n, using: &cursor)
          tally.add(try statement.evaluate(instance))
        }
      }
      tallies.append(tally)
    }
    tallies += try exactTheorems(config, stream.child("exact"))
    tallies += try vectors(config, stream.child("vectors"))
    tallies += try neighbours(config, stream.child("neighbours"))
    return record(tallies)
  }

  /// Theorems 3.3 and 3.4 with expectations taken over every path.
  private static func exactTheorems(
    _ config: Config, _ stream: RandomStream
  ) throws -> [StatementTally] {
    var (a, b, c) = (
      StatementTally(name: "theorem33a, all paths"), StatementTally(name: "theorem33b, all paths"),
      StatementTally(name: "theorem34, all paths")
    )
    let steps = 4
    for index in 0..<max(4, config.instances / 20) {
      let own = stream.child("\(index)")
      let (m, n) = shapes[index % shapes.count]
      let problem =
        index % 3 == 0
        ? Problem(.ripple, rows: m, columns: n)
        : Problem.quadratic(rows: m, columns: n, condition: 30, stream: own)
      let atoms = (0..<3).map { atom in
        let scale = pow(8, Double(atom) - 1)
        return Matrix<Double>(
          rows: m, columns: n, elements: own.child("atom\(atom)").normals(m * n).map { scale * $0 })
      }
      let law = DiscreteLaw(centring: atoms, weights: [10, 3, 1])
      let alpha = config.alphas[index % config.alphas.count]
      let (sigma, x0, l) = (law.sigma(alpha), start(m, n), problem.smoothness)
      let gap = problem.value(x0)
      for tau in [0.3, 1, 3, 10] {
        let v = try LemmaC1.variance(tau: tau, rank: min(m, n), alpha: alpha, sigma: sigma)
        for (version, eta) in [(Theorem33.Version.a, 0.25 / l), (.b, 1 / l), (.b, 0.3 / l)] {
          let theorem = try Theorem33(
            version, smoothness: l, initialGap: gap, eta: eta, steps: steps, variance: v)
          let measured = try ClippedDescent(
            problem, law: .discrete(law), rule: .spectral(tau), eta: eta, start: x0
          ).exactAverages(steps: steps)
          let inequality = Inequality(
            "Theorem 3.3(\(version.rawValue))", measured.squaredNorm,
            theorem.bound(meanSquaredBias: measured.squaredBias), size: max(m, n))
          if version == .a { a.add(inequality) } else { b.add(inequality) }
        }
      }
      let tau = max(1, 8 * sigma) * (1 + Double(index % 3))
      for eta in [0.25 / l, 0.05 / l] {
        let theorem = try Theorem34(
          smoothness: l, initialGap: gap, alpha: alpha, sigma: sigma, rank: min(m, n),
          steps: steps, tau: tau, eta: eta)
        let measured = try ClippedDescent(
          problem, law: .discrete(law), rule: .spectral(tau), eta: eta, start: x0
        ).exactAverages(steps: steps)
        c.add(
          Inequality("Theorem 3.4", measured.potential, theorem.bound, size: max(m, n)))
      }
    }
    return [a, b, c]
  }

  /// Section 2.3.
  private static func vectors(_ config: Config, _ stream: RandomStream) throws -> [StatementTally] {
    var (bits, svd) = (
      StatementTally(name: "section 2.3, same bits"),
      StatementTally(name: "section 2.3, through the SVD")
    )
    for index in 0..<config.instances {
      let n = 1 + index % 40
      let values: [Double] = stream.at(step: index).normals(n)
      let column = Matrix(rows: n, columns: 1, elements: values)
      let row = Matrix(rows: 1, columns: n, elements: values)
      for tau in [0.01, 0.5, 3, 100] {
        for g in [column, row] {
          svd.add(try SectionTwoThree.throughSVD(g, tau: tau))
          let different = try SectionTwoThree.differingBits(g.converted(to: Float.self), tau: tau)
          bits.add(Inequality("Section 2.3", Double(different), 0))
        }
      }
    }
    return [bits, svd]
  }

  /// Papers 2605.02701, 1905.11881 and 2404.08624.
  private static func neighbours(_ config: Config, _ stream: RandomStream) throws
    -> [StatementTally]
  {
    var relaxed = StatementTally(name: "1905.11881, (L0, L1)-smoothness")
    var factor = StatementTally(name: "1905.11881, clipped and normalised steps")
    var counts = StatementTally(name: "1905.11881, iteration bounds")
    for f in RelaxedSmoothness.Function.allCases {
      for index in 0..<config.instances {
        let x: [Double] = stream.child("x").at(step: index).normals(1 + index % 5)
        let scale = pow(10, Double(index % 7) / 3 - 1)
        relaxed.add(RelaxedSmoothness.definition(f, at: x.map { scale * $0 }))
        for inequality in RelaxedSmoothness.equivalence(
          f, norm: pow(10, Double(index % 90) / 10 - 4))
        {
          factor.add(inequality)
        }
      }
      for start in [1.0, 2, 4] {
        for rule in [RelaxedSmoothness.Descent.clipped, .fixed] {
          let x = [start, -0.5 * start]
          guard let bound = RelaxedSmoothness.bound(rule, f, from: x, epsilon: 0.1) else {
            continue
          }
          let count = RelaxedSmoothness.iterations(
            rule, f, from: x, epsilon: 0.1, limit: 2_000_000)
          counts.add(Inequality("1905.11881", Double(count), bound))
        }
      }
    }
    var decay = StatementTally(name: "2404.08624, decay and path on least squares")
    for index in 0..<max(3, config.instances / 40) {
      let problem = try DeltaClipping.LeastSquares(
        samples: 4 + index % 5, dimension: 12, stream: stream.child("ls\(index)"))
      for (delta, gamma) in [(1.0, 1.0), (0.1, 1), (0.01, 0.3), (0.5, 1e-3)] {
        let clip = try DeltaClipping(eta: 1 / problem.smoothness, gamma: gamma, delta: delta)
        for inequality in try clip.onLeastSquares(problem, steps: 200) { decay.add(inequality) }
      }
    }
    var samples = StatementTally(name: "2605.02701, bias and variance")
    for (index, p) in config.alphas.enumerated() {
      let law = heavyLaw(
        rows: 3, columns: 3, alpha: p, scale: 0.5, stream: stream.child("law\(index)"))
      let g = 0.2 * start(3, 3)
      let size = pow(law.expectation { pow((g + $0).frobeniusNorm, p) }, 1 / p)
      for n in [1, 4, 16, 64, 256] {
        for a in [0.3, 1, 3] {
          let rule = try PerSampleClipping(moment: p, size: size, scale: a * size)
          for inequality in try rule.check(g, law: law, n: n) { samples.add(inequality) }
        }
      }
    }
    return [relaxed, factor, counts, decay, samples]
  }

  /// The adversary: the worst instance of every statement and shape.
  static func adversarial(_ config: Config, _ stream: RandomStream) throws -> Record {
    var (tallies, rows, columns): ([StatementTally], [Int], [Int]) = ([], [], [])
    var worst: [[Double]] = []
    let searched = [(1, 1), (2, 2), (2, 3), (3, 3)]
    for statement in Statement.allCases {
      var tally = StatementTally(name: statement.rawValue)
      var found: AdversarialSearch.Finding?
      for (m, n) in searched {
        let own = try AdversarialSearch.run(
          statement, rows: m, columns: n, restarts: config.restarts, steps: config.searchSteps,
          stream: stream.child("\(m)x\(n)"))
        tally.instances += own.tried
        tally.violations += own.violations
        if own.relativeSlack < found?.relativeSlack ?? .infinity { found = own }
      }
      guard let found else { continue }
      let inequality = try statement.evaluate(found.instance)
      (tally.smallestSlack, tally.smallestRelative) = (inequality.slack, found.relativeSlack)
      tallies.append(tally)
      rows.append(found.instance.rows)
      columns.append(found.instance.columns)
      worst.append(found.instance.parameters)
    }
    var result = record(tallies)
    // Instances of different shapes have different numbers of parameters: the rest is NaN.
    let width = worst.map(\.count).max() ?? 0
    result.add(
      .init(
        "rows", .int64(rows.map { Int64($0) }), longName: "rows of the worst instance",
        dimensions: ["statement"]))
    result.add(
      .init(
        "columns", .int64(columns.map { Int64($0) }), longName: "columns of the worst instance",
        dimensions: ["statement"]))
    result.add(
      .init(
        "worst_instance",
        .double(worst.flatMap { $0 + Array(repeating: .nan, count: width - $0.count) }),
        shape: [worst.count, width], longName: "parameters of the worst instance (ProofInstance)",
        dimensions: ["statement", "parameter"]))
    return result
  }
}
