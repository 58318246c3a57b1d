import Foundation
import LinearAlgebra
import Storage
import Theory

extension TheoryBounds {
  /// Theorem 3.3: bound and measurement over τ, for α = 1.5 and 2, on every problem; the bias is exact at each
  /// iterate, so only the average over runs is a Monte-Carlo estimate.
  static func theorem33(_ config: Config, _ stream: RandomStream) throws -> Record {
    var names: [String] = []
    var (tau, alpha, noise, optimisation): ([Double], [Double], [Double], [Double]) =
      ([], [], [], [])
    var (measured, biases, excess): ([[Double]], [[Double]], [[Double]]) = ([], [], [])
    let taus = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, Double.infinity]
    for (name, problem) in problems(stream) {
      let law = heavyLaw(
        rows: problem.rows, columns: problem.columns, alpha: 1.5, scale: 0.5,
        stream: stream.child("law/\(name)"))
      let x0 = start(problem.rows, problem.columns)
      let eta = 0.5 / problem.smoothness
      for level in taus {
        let averages = try ClippedDescent(
          problem, law: .discrete(law), rule: .spectral(level), eta: eta, start: x0
        ).run(
          steps: config.steps33, count: config.runs, stream: stream.child("runs"),
          measuringBias: true)
        // Without clipping only a finite variance bounds the noise.
        for order in level.isInfinite ? [2.0] : [1.5, 2] {
          let v = try LemmaC1.variance(
            tau: level, rank: min(problem.rows, problem.columns), alpha: order,
            sigma: law.sigma(order))
          let theorem = try Theorem33(
            .b, smoothness: problem.smoothness, initialGap: problem.value(x0), eta: eta,
            steps: config.steps33, variance: v)
          names.append(name)
          tau.append(level)
          alpha.append(order)
          noise.append(theorem.noise)
          optimisation.append(theorem.optimisation)
          measured.append(averages.map(\.squaredNorm))
          biases.append(averages.map(\.squaredBias))
          excess.append(
            averages.map {
              $0.squaredNorm - theorem.bound(meanSquaredBias: $0.squaredBias)
            })
        }
      }
    }
    var columns = Columns(axis: "case")
    columns.add("problem", names, "problem")
    columns.add("tau", tau, "threshold")
    columns.add("alpha", alpha, "moment order of the noise term")
    columns.add("optimisation", optimisation, "optimisation error of Theorem 3.3(b)")
    columns.add("noise", noise, "noise term of Theorem 3.3(b)")
    columns.addRuns("squared_norm", measured, "mean squared gradient norm of each run")
    columns.addRuns("squared_bias", biases, "mean squared bias of each run, exact at each iterate")
    columns.addRuns("excess", excess, "squared norm minus bound, of each run")
    return columns.set([
      "steps": .int(config.steps33), "violations_total": .int(violations(excess)),
      "instances_total": .int(excess.count),
    ])
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
  /// clipping, with norm clipping at equal τ, and at equal mean update norm.
  static func theorem34(_ config: Config, _ stream: RandomStream) throws -> Record {
    // All curvatures equal to L: the flatter a direction, the longer the start is felt in the average.
    let problem = Problem.quadratic(
      rows: 3, columns: 3, condition: 1, stream: stream.child("problem"))
    let x0 = start(3, 3)
    var (alphas, steps, taus, etas, sigmas, bounds): (
      [Double], [Int], [Double], [Double], [Double], [Double]
    ) = ([], [], [], [], [], [])
    var scheduled: [Int] = []
    var potentials = [[[Double]]](repeating: [], count: rules.count)
    var matched: [Double] = []
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
      for k in config.steps34 {
        let theorem = try Theorem34(
          smoothness: problem.smoothness, initialGap: problem.value(x0), alpha: alpha,
          sigma: sigma, rank: 3, steps: k)
        func run(_ rule: ClippedDescent.Rule, _ count: Int) throws -> [ClippedDescent.Averages] {
          try ClippedDescent(problem, law: law, rule: rule, eta: theorem.eta, start: x0).run(
            steps: k, count: count, stream: stream.child("alpha\(alpha)/\(k)"))
        }
        let spectral = try run(.spectral(theorem.tau), config.runs)
        let update = Statistics.mean(spectral.map(\.updateNorm))
        // Norm clipping with longer or shorter steps until its mean update is as long.
        var own = theorem.tau
        for _ in 0..<4 {
          let found = Statistics.mean(try run(.norm(own), max(2, config.runs / 4)).map(\.updateNorm))
          if found > 0 { own *= min(3, max(1 / 3.0, update / found)) }
        }
        let results = [
          spectral, try run(.none, config.runs), try run(.norm(theorem.tau), config.runs),
          try run(.norm(own), config.runs),
        ]
        for (index, result) in results.enumerated() {
          potentials[index].append(result.map(\.potential))
        }
        alphas.append(alpha)
        steps.append(k)
        taus.append(theorem.tau)
        etas.append(theorem.eta)
        sigmas.append(sigma)
        bounds.append(theorem.bound)
        matched.append(own)
        scheduled.append(
          Theorem34.scheduledTau(steps: k, alpha: alpha) >= max(1, 8 * sigma) ? 1 : 0)
      }
    }
    let excess = zip(potentials[0], bounds).map { runs, bound in runs.map { $0 - bound } }
    var columns = Columns(axis: "case")
    columns.add("alpha", alphas, "moment order of the noise")
    columns.add("steps", steps, "number of steps K")
    columns.add("tau", taus, "threshold of Theorem 3.4")
    columns.add("eta", etas, "step size of Theorem 3.4")
    columns.add("sigma", sigmas, "noise level, exact")
    columns.add("bound", bounds, "bound of Theorem 3.4")
    columns.add("matched_tau", matched, "norm threshold with the same mean update norm")
    columns.add("scheduled", scheduled, "1 where tau is K^(1/(3 alpha - 2)), not 8 sigma or 1")
    for (index, rule) in rules.enumerated() {
      columns.addRuns(
        "potential_\(rule)", potentials[index],
        "mean of min(norm, norm squared) of each run, rule \(rule); infinite if it diverged")
    }
    return columns.set([
      "violations_total": .int(violations(excess)), "instances_total": .int(excess.count),
    ])
  }

  /// The bias of the clipped gradient over τ against 2^(α-1) σ^α τ^(1-α), exactly, on a heavy discrete law.
  static func bias(_ config: Config, _ stream: RandomStream) throws -> Record {
    var (alphas, taus, measured, bounds): ([Double], [Double], [Double], [Double]) =
      ([], [], [], [])
    var tally = StatementTally(name: "bias by moment")
    let g = 0.1 * start(3, 3)
    for alpha in config.alphas {
      let law = heavyLaw(
        rows: 3, columns: 3, alpha: alpha, scale: 1, stream: stream.child("\(alpha)"))
      for i in 0...24 {
        let tau = pow(10, Double(i) / 12)
        let inequality = try Ingredients.biasByMoment(g, law: law, tau: tau, alpha: alpha)
        tally.add(inequality)
        alphas.append(alpha)
        taus.append(tau)
        measured.append(inequality.lhs)
        bounds.append(inequality.rhs)
      }
    }
    var columns = Columns(axis: "case")
    columns.add("alpha", alphas, "moment order")
    columns.add("tau", taus, "threshold")
    columns.add("bias", measured, "norm of the bias of the clipped gradient, exact")
    columns.add("bound", bounds, "2^(alpha-1) sigma^alpha tau^(1-alpha)")
    return columns.set([
      "violations_total": .int(tally.violations), "instances_total": .int(tally.instances),
    ])
  }

  /// Iterations of clipped, normalised and fixed-step descent from farther and farther away (paper 3), the decay
  /// of δ-GClip on a wide net (paper 4) and the error of per-sample clipping over n (paper 2).
  static func acceleration(_ config: Config, _ stream: RandomStream) throws -> Record {
    var (functions, starts): ([String], [Double]) = ([], [])
    var (clipped, normalised, fixed): ([Int], [Int], [Int]) = ([], [], [])
    for f in RelaxedSmoothness.Function.allCases {
      for start in f == .quartic ? [1.0, 2, 4, 8, 16] : [1, 2, 4, 6, 8] {
        func count(_ rule: RelaxedSmoothness.Descent) -> Int {
          RelaxedSmoothness.iterations(
            rule, f, from: [start, -0.5 * start], epsilon: 0.1, limit: 3_000_000)
        }
        functions.append(f == .quartic ? "x^4" : "cosh")
        starts.append(start)
        clipped.append(count(.clipped))
        normalised.append(count(.normalised))
        fixed.append(count(.fixed))
      }
    }
    var columns = Columns(axis: "case")
    columns.add("function", functions, "function")
    columns.add("start", starts, "first coordinate of the start")
    columns.add("clipped", clipped, "iterations of clipped gradient descent to norm 0.1")
    columns.add("normalised", normalised, "iterations of normalised gradient descent")
    columns.add("fixed", fixed, "iterations of gradient descent with fixed step")
    let net = DeltaClipping.onWideNet(
      width: 200, samples: 8, inputs: 10, clip: try DeltaClipping(eta: 0.5, gamma: 0.5, delta: 0.1),
      steps: 400, stream: stream.child("net"))
    var record = columns.set(["wide_net_mu": .double(net.mu)])
    record.add(
      .init(
        "wide_net_loss", .double(net.losses), longName: "loss of the wide net under delta-GClip",
        units: "1"))
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
}
