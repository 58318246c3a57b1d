// SPDX-License-Identifier: Apache-2.0

import Lab
import Clipping
import Datasets
import Foundation
import LinearAlgebra
import Storage
import Theory

extension TheoryBounds {
  /// What Theorem 3.3 is held against: a row a case.
  private struct Cases33 {
    var columns = Columns(axis: "case")
    var excess: [[Double]] = []

    /// Adds a case; `variances` are V of Lemma C.1, one a run.
    mutating func add(
      _ name: String, tau: Double, alpha: Double, smoothness: Double, gap: Double, eta: Double,
      steps: Int, variances: [Double], squaredNorms: [Double], squaredBiases: [Double]
    ) throws {
      let theorems = try variances.map {
        try Theorem33(
          .b, smoothness: smoothness, initialGap: gap, eta: eta, steps: steps, variance: $0)
      }
      let own = squaredNorms.indices.map {
        squaredNorms[$0] - theorems[$0].bound(meanSquaredBias: squaredBiases[$0])
      }
      excess.append(own)
      columns.append([
        ("problem", .text(name), "problem"), ("steps", .count(steps), "number of steps K"),
        ("tau", .real(tau), "threshold"),
        ("alpha", .real(alpha), "moment order of the noise term"),
        (
          "optimisation", .runs(theorems.map(\.optimization)),
          "optimisation error of Theorem 3.3(b)"
        ), ("noise", .runs(theorems.map(\.noise)), "noise term of Theorem 3.3(b), of each run"),
        ("squared_norm", .runs(squaredNorms), "mean squared gradient norm of each run"),
        (
          "squared_bias", .runs(squaredBiases),
          "mean squared bias of each run, exact at each iterate"
        ), ("excess", .runs(own), "squared norm minus bound, of each run"),
      ])
    }
  }

  /// Theorem 3.3: bound and measurement over τ, for α = 1.5 and 2, on every problem; the bias is exact at each
  /// iterate, so only the average over runs is a Monte-Carlo estimate.
  static func theorem33(_ config: Config, _ stream: RandomStream) throws -> Record {
    var cases = Cases33()
    for (name, problem) in problems(stream) {
      let law = heavyLaw(
        rows: problem.rows, columns: problem.columns, alpha: 1.5, scale: 0.5,
        stream: stream.child("law/\(name)"))
      let x0 = start(problem.rows, problem.columns)
      let eta = 0.5 / problem.smoothness
      // Large matrices: fewer, shorter runs and thresholds.
      let isLarge = problem.rows * problem.columns > 100
      for steps in isLarge ? [config.steps33 / 10] : [config.steps33 / 10, config.steps33]
      where steps >= 1 {
        for level in isLarge ? [1, 5] : [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, Double.infinity] {
          let averages = try ClippedDescent(
            problem, law: .discrete(law), rule: .spectral(level), eta: eta, start: x0
          ).run(
            steps: steps, count: isLarge ? max(2, config.runs / 5) : config.runs,
            stream: stream.child("runs"), measuringBias: true)
          // Without clipping only a finite variance bounds the noise.
          for order in level.isInfinite ? [2.0] : [1.5, 2] {
            let v = try LemmaC1.variance(
              tau: level, rank: min(problem.rows, problem.columns), alpha: order,
              sigma: law.sigma(order))
            try cases.add(
              name, tau: level, alpha: order, smoothness: problem.smoothness,
              gap: problem.value(x0), eta: eta, steps: steps,
              variances: averages.map { _ in v }, squaredNorms: averages.map(\.squaredNorm),
              squaredBiases: averages.map(\.squaredBias))
          }
        }
      }
    }
    try addTraceRegression(config, stream.child("trace"), to: &cases)
    return cases.columns.record([
      "steps": .int(config.steps33), "violations_total": .int(violations(cases.excess)),
      "instances_total": .int(cases.excess.count),
    ])
  }

  /// The paper's trace regression: the noise is the choice of a term, grows with X, and has no uniform σ, so σ_k is
  /// taken exactly at each iterate and V is its mean over the steps of the run.
  private static func addTraceRegression(
    _ config: Config, _ stream: RandomStream, to cases: inout Cases33
  ) throws {
    var source = stream.cursor()
    let data = try TraceRegressionProblem(dimension: 3, termCount: 10, noise: 0.01, using: &source)
    let eta = 0.5 / data.smoothness
    let orders = [1.5, 2.0]
    let clip = SmallBatchClip(rows: 3, columns: 3)
    for tau in [0.1, 0.5, 2, 10] {
      var (norms, biases) = ([Double](), [Double]())
      var variances = [[Double]](repeating: [], count: orders.count)
      for run in 0..<config.runs {
        var cursor = stream.child("runs").at(step: run).cursor()
        var x = [Double](repeating: 0, count: 9)
        var (terms, full) = ([Double](repeating: 0, count: 90), x)
        var (norm, bias, sums) = (0.0, 0.0, [Double](repeating: 0, count: orders.count))
        for _ in 0..<config.steps33 {
          _ = data.gradients(at: x, terms: &terms, full: &full)
          norm += full.reduce(0) { $0 + $1 * $1 }
          for (index, order) in orders.enumerated() {
            let moment = (0..<10).reduce(0.0) { sum, i in
              let square = (0..<9).reduce(0.0) { $0 + pow(terms[9 * i + $1] - full[$1], 2) }
              return sum + pow(square, 0.5 * order) / 10
            }
            sums[index] += try LemmaC1.variance(
              tau: tau, rank: 3, alpha: order, sigma: pow(moment, 1 / order))
          }
          try clip.clip(&terms, at: tau)
          for j in 0..<9 {
            let mean = (0..<10).reduce(0.0) { $0 + terms[9 * $1 + j] } / 10
            bias += (full[j] - mean) * (full[j] - mean)
          }
          let chosen = cursor.integer(below: 10)
          for j in 0..<9 { x[j] -= eta * terms[9 * chosen + j] }
        }
        let k = Double(config.steps33)
        norms.append(norm / k)
        biases.append(bias / k)
        for index in orders.indices { variances[index].append(sums[index] / k) }
      }
      for (index, order) in orders.enumerated() {
        try cases.add(
          "trace regression", tau: tau, alpha: order, smoothness: data.smoothness,
          gap: data.targets.reduce(0) { $0 + $1 * $1 } / 10, eta: eta, steps: config.steps33,
          variances: variances[index], squaredNorms: norms, squaredBiases: biases)
      }
    }
  }

  /// Cases whose mean over runs lies above zero beyond doubt: the one-sided 99.9 % lower limit, Bonferroni
  /// over all cases, by Student's t.
  static func violations(_ excess: [[Double]]) -> Int {
    excess.count { runs in
      guard runs.allSatisfy(\.isFinite) else { return false }
      let t = StudentT(degreesOfFreedom: Double(runs.count - 1))
        .quantile(upperTail: 0.001 / Double(excess.count))
      let error = Statistics.sampleStandardDeviation(runs) / Double(runs.count).squareRoot()
      let mean = Statistics.mean(runs)
      return mean - t * error > 1e-12 * mean.magnitude
    }
  }

  /// Rules that run on Theorem 3.4's problems.
  static let rules = ["spectral", "none", "norm", "norm-matched"]

  /// Theorem 3.4: the averaged potential over K with the theorem's τ and η, for every α; the same runs without
  /// clipping, with norm clipping at equal τ, and at equal median update norm.
  static func theorem34(_ config: Config, _ stream: RandomStream) throws -> Record {
    var source = stream.child("trace").cursor()
    let data = try TraceRegressionProblem(dimension: 3, termCount: 10, noise: 0.01, using: &source)
    // All curvatures equal to L: the flatter a direction, the longer the start is felt in the average.
    let problems: [(name: String, problem: Problem)] = [
      (
        "quadratic",
        .quadratic(rows: 3, columns: 3, condition: 1, stream: stream.child("problem"))
      ),
      (
        "trace regression, additive noise",
        Problem(
          .traceRegression(sensing: data.sensing, targets: data.targets), rows: 3, columns: 3)
      ),
    ]
    let x0 = start(3, 3)
    var columns = Columns(axis: "case")
    var excess: [[Double]] = []
    for (name, problem) in problems {
      for alpha in config.alphas {
        // The tail exponent lies above α, so σ is finite and known: Pareto for α < 2, t for α = 2.
        let unit: NoiseLaw =
          alpha < 2
          ? .rankOnePareto(shape: alpha + 0.1, scale: 1)
          : .multivariateT(degreesOfFreedom: 2.5, scale: 1)
        let scale = 0.3 / unit.sigma(alpha, count: 9)
        let law: NoiseLaw =
          alpha < 2
          ? .rankOnePareto(shape: alpha + 0.1, scale: scale)
          : .multivariateT(degreesOfFreedom: 2.5, scale: scale)
        let sigma = law.sigma(alpha, count: 9)
        for k in name == "quadratic" ? config.steps34 : Array(config.steps34.prefix(3)) {
          let theorem = try Theorem34(
            smoothness: problem.smoothness, initialGap: problem.value(x0), alpha: alpha,
            sigma: sigma, rank: 3, steps: k)
          func run(_ rule: ClippedDescent.Rule, _ count: Int) throws -> [ClippedDescent.Averages] {
            try ClippedDescent(problem, law: law, rule: rule, eta: theorem.eta, start: x0).run(
              steps: k, count: count, stream: stream.child("\(name)/alpha\(alpha)/\(k)"))
          }
          let spectral = try run(.spectral(theorem.tau), config.runs)
          let update = Statistics.mean(spectral.map(\.updateNorm))
          // Norm clipping with longer or shorter steps until its median update is as long.
          var own = theorem.tau
          for _ in 0..<4 {
            let found = Statistics.mean(
              try run(.norm(own), max(2, config.runs / 4)).map(\.updateNorm))
            if found > 0 { own *= min(3, max(1 / 3.0, update / found)) }
          }
          let results = [
            spectral, try run(.none, config.runs), try run(.norm(theorem.tau), config.runs),
            try run(.norm(own), config.runs),
          ]
          let isScheduled =
            Theorem34.scheduledTau(steps: k, alpha: alpha) >= max(1, 8 * sigma)
          columns.append(
            [
              ("problem", .text(name), "problem"),
              ("alpha", .real(alpha), "moment order of the noise"),
              ("steps", .count(k), "number of steps K"),
              ("tau", .real(theorem.tau), "threshold of Theorem 3.4"),
              ("eta", .real(theorem.eta), "step size of Theorem 3.4"),
              ("sigma", .real(sigma), "noise level, exact"),
              ("bound", .real(theorem.bound), "bound of Theorem 3.4"),
              ("matched_tau", .real(own), "norm threshold with the same median update norm"),
              (
                "scheduled", .count(isScheduled ? 1 : 0),
                "1 where tau is K^(1/(3 alpha - 2)), not 8 sigma or 1"
              ),
            ]
              + zip(rules, results).map { rule, result in
                (
                  "potential_\(rule)", .runs(result.map(\.potential)),
                  "mean of min(norm, norm squared) of each run, rule \(rule); infinite if it diverged"
                )
              })
          excess.append(spectral.map { $0.potential - theorem.bound })
        }
      }
    }
    return columns.record([
      "violations_total": .int(violations(excess)), "instances_total": .int(excess.count),
    ])
  }

  /// The bias of the clipped gradient over τ against 2^(α-1) σ^α τ^(1-α), exactly, on a heavy discrete law.
  static func bias(_ config: Config, _ stream: RandomStream) throws -> Record {
    var columns = Columns(axis: "case")
    var tally = StatementTally(name: "bias by moment")
    let g = 0.1 * start(3, 3)
    for alpha in config.alphas {
      let law = heavyLaw(
        rows: 3, columns: 3, alpha: alpha, scale: 1, stream: stream.child("\(alpha)"))
      for i in 0...24 {
        let tau = pow(10, Double(i) / 12)
        let inequality = try Ingredients.biasByMoment(g, law: law, tau: tau, alpha: alpha)
        tally.add(inequality)
        columns.append([
          ("alpha", .real(alpha), "moment order"), ("tau", .real(tau), "threshold"),
          ("bias", .real(inequality.lhs), "norm of the bias of the clipped gradient, exact"),
          ("bound", .real(inequality.rhs), "2^(alpha-1) sigma^alpha tau^(1-alpha)"),
        ])
      }
    }
    return columns.record([
      "violations_total": .int(tally.violations), "instances_total": .int(tally.instances),
    ])
  }

  /// Iterations of clipped, normalised and fixed-step descent from farther and farther away (paper 3), the decay
  /// of δ-GClip on a wide net (paper 4) and the error of per-sample clipping over n (paper 2).
  static func acceleration(_ config: Config, _ stream: RandomStream) throws -> Record {
    var columns = Columns(axis: "case")
    for f in RelaxedSmoothness.Function.allCases {
      for start in f == .quartic ? [1.0, 2, 4, 8, 16] : [1, 2, 4, 6, 8] {
        let x = [start, -0.5 * start]
        func count(_ rule: RelaxedSmoothness.Descent) -> Columns.Cell {
          .count(
            RelaxedSmoothness.iterations(rule, f, from: x, epsilon: 0.1, limit: 3_000_000))
        }
        func bound(_ rule: RelaxedSmoothness.Descent) -> Columns.Cell {
          .real(RelaxedSmoothness.bound(rule, f, from: x, epsilon: 0.1) ?? .nan)
        }
        columns.append([
          ("function", .text(f == .quartic ? "x^4" : "cosh"), "function"),
          ("start", .real(start), "first coordinate of the start"),
          (
            "clipped", count(.clipped), "iterations of clipped gradient descent to norm 0.1"
          ), ("normalised", count(.normalised), "iterations of normalised gradient descent"),
          ("fixed", count(.fixed), "iterations of gradient descent with fixed step"),
          ("clipped_bound", bound(.clipped), "upper bound for clipped gradient descent"),
          ("fixed_bound", bound(.fixed), "upper bound for fixed steps"),
          (
            "minimax_lower_bound",
            .real(RelaxedSmoothness.minimaxLowerBound(f, from: x, epsilon: 0.1)),
            "lower bound for fixed steps over the class"
          ),
        ])
      }
    }
    let net = DeltaClipping.onWideNet(
      width: 200, samples: 8, inputs: 10, clip: try DeltaClipping(eta: 0.5, gamma: 0.5, delta: 0.1),
      steps: 400, stream: stream.child("net"))
    var record = columns.record(["wide_net_mu": .double(net.mu)])
    record.add(
      .init(
        "wide_net_loss", .double(net.losses), longName: "loss of the wide net under delta-GClip",
        units: "1", dimensions: ["wide_net_step"]))
    let counts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    record.add(
      .init("samples", .int64(counts.map { Int64($0) }), longName: "samples n", units: "1"))
    record.add(.init("moment", .double(config.alphas), longName: "moment order p", units: "1"))
    var (errors, bounds): ([Double], [Double]) = ([], [])
    for p in config.alphas {
      let law = heavyLaw(
        rows: 3, columns: 3, alpha: p, scale: 0.5, stream: stream.child("law\(p)"))
      let g = 0.2 * Self.start(3, 3)
      let size = pow(law.expectation { pow((g + $0).frobeniusNorm, p) }, 1 / p)
      let rule = try PerSampleClipping(moment: p, size: size, scale: size)
      for n in counts {
        let (bias, variance) = rule.exactError(g, law: law, n: n)
        errors.append(bias * bias + variance)
        bounds.append(rule.biasBound(n) * rule.biasBound(n) + rule.varianceBound(n))
      }
    }
    try addPerSampleRuns(config, stream.child("per-sample"), to: &record)
    let shape = [config.alphas.count, counts.count]
    record.add(
      .init(
        "per_sample_error", .double(errors), shape: shape,
        longName: "mean squared error of per-sample clipping, exact", units: "1",
        dimensions: ["moment", "samples"]))
    record.add(
      .init(
        "per_sample_bound", .double(bounds), shape: shape, longName: "its bound", units: "1",
        dimensions: ["moment", "samples"]))
    return record
  }

  /// Per-sample clipping on log cosh, whose gradients are bounded, so that a raw moment exists: the mean squared
  /// gradient of every run against 2LΔ₀/T + bias² + variance.
  private static func addPerSampleRuns(
    _ config: Config, _ stream: RandomStream, to record: inout Record
  ) throws {
    let problem = Problem(.logCosh, rows: 3, columns: 3)
    let (x0, steps, batches) = (start(3, 3), 200, [1, 4, 16, 64])
    var (measured, excess, bounds): ([[Double]], [[Double]], [Double]) = ([], [], [])
    for p in config.alphas {
      let law: NoiseLaw =
        p < 2
        ? .rankOnePareto(shape: p + 0.1, scale: 0.1)
        : .multivariateT(degreesOfFreedom: 2.5, scale: 0.1)
      // Minkowski: (E‖g + Z‖^p)^(1/p) <= max‖g‖ + σ_p, and ‖tanh‖ <= 3 on nine entries.
      let size = 3 + law.sigma(p, count: 9)
      let rule = try PerSampleClipping(moment: p, size: size, scale: size)
      for n in batches {
        let runs = PerSampleClipping.descent(
          problem, law: law, rule: rule, samples: n, steps: steps, count: config.runs, start: x0,
          stream: stream.child("\(p)/\(n)"))
        let bound = rule.descentBound(
          smoothness: 1, gap: problem.value(x0), samples: n, steps: steps)
        measured.append(runs)
        bounds.append(bound)
        excess.append(runs.map { $0 - bound })
      }
    }
    record.add(
      .init(
        "batch", .int64(batches.map { Int64($0) }), longName: "samples a step", units: "1"))
    record.add(
      .init(
        "descent_squared_norm", .double(measured.flatMap { $0 }),
        shape: [config.alphas.count, batches.count, config.runs],
        longName: "mean squared gradient norm of per-sample clipped descent on log cosh",
        units: "1", dimensions: ["moment", "batch", "run"]))
    record.add(
      .init(
        "descent_bound", .double(bounds), shape: [config.alphas.count, batches.count],
        longName: "its bound", units: "1", dimensions: ["moment", "batch"]))
    record.attributes["violations_total"] = .int(violations(excess))
    record.attributes["instances_total"] = .int(excess.count)
  }
}
