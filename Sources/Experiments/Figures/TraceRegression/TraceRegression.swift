// SPDX-License-Identifier: Apache-2.0

import Lab
import Clipping
import Datasets
import Foundation
import LinearAlgebra
import Storage
import Training

/// Fig 5a: the bias of spectrally clipped stochastic gradients in trace regression, eq. (11).
///
/// SGD with clipped gradients, x ← x - η C_τ(∇f_i(x)), for constant, EMA and quantile thresholds; at
/// every iterate the squared bias Δ² = ‖∇f(x) - E C_τ(∇f_i(x))‖_F² is measured twice: by the mean of a
/// few sampled gradients, as the authors do (`bias_sq_monte_carlo`), and with all N terms, free of
/// sampling noise (`bias_sq_exact`).
package enum TraceRegression: Experiment {
  /// The generator behind the problem and the samples.
  package enum Generator: String, Codable, Sendable, CaseIterable {
    /// Counter-based streams; every method of a seed sees the same samples.
    case philox
    /// NumPy's default_rng, one per seed, running on from method to method as in the authors' script.
    case numpy
  }

  /// Settings; the defaults are the paper's.
  package struct Config: ExperimentConfig {
    package static let limits: [String: ClosedRange<Int>] = [
      "dimension": 1...10_000, "terms": 1...100_000, "steps": .positive,
      "quantileWindow": 0...100_000_000, "monteCarloSamples": 1...1_000_000,
      "denseSteps": 1...10_000_000, "pointsPerDecade": 1...100_000,
    ]
    /// n: X is n×n.
    package var dimension = 3
    /// N, the number of terms.
    package var terms = 10
    /// Standard deviation of the noise in b.
    package var noise = 0.01
    /// K, the number of iterations.
    package var steps = 100_000
    /// η L, the step size in units of 1/L.
    package var learningRateScale = 0.5
    /// θ of eq. (8).
    package var emaCoefficient = 0.9
    /// Which order of eq. (8) the method "ema" follows.
    package var emaVariant = ThresholdRule.EMAVariant.traceScript
    /// q of eq. (9).
    package var quantileLevel = 0.85
    /// w of eq. (10).
    package var quantileWindow = 100
    /// Which quantile the method "quantile" reads.
    package var quantileVariant = QuantileRule.interpolated
    /// Gradients in the Monte-Carlo estimate of the bias.
    package var monteCarloSamples = 10
    /// Every one of the first iterations is recorded …
    package var denseSteps = 2000
    /// … and this many for each tenfold after that.
    package var pointsPerDecade = 100
    /// Where randomness comes from.
    package var rng = Generator.philox
    /// ema, ema-paper, ema-repository, ema-traceScript, quantile, quantile-interpolated,
    /// quantile-lowerOrderStatistic, constant-<tau>; run in this order.
    package var methods = [
      "ema", "quantile", "constant-0.05", "constant-0.1", "constant-0.5", "constant-1",
      "constant-5",
    ]
    /// One run a method and seed.
    package var seeds: [UInt64] = [11, 12, 13]

    /// The paper's settings.
    package init() {}

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
      func check(_ key: String, _ value: some Any, _ holds: Bool, _ expected: String) throws {
        guard holds else { throw ConfigError.value(key, value, expected) }
      }
      try check("noise", noise, noise >= 0 && noise.isFinite, "a number >= 0")
      try check(
        "learningRateScale", learningRateScale, learningRateScale > 0 && learningRateScale.isFinite,
        "a number > 0")
      for method in methods { _ = try Threshold(rule(for: method)) }
    }

    /// The threshold rule that `method` names.
    func rule(for method: String) throws -> ThresholdRule {
      let parts = method.split(separator: "-", maxSplits: 1).map(String.init)
      let detail = parts.count == 2 ? parts[1] : nil
      switch parts.first {
      case "ema":
        if let variant = detail.map({ ThresholdRule.EMAVariant(rawValue: $0) }) ?? emaVariant {
          return .ema(coefficient: emaCoefficient, variant)
        }
      case "quantile":
        if let variant = detail.map({ QuantileRule(rawValue: $0) }) ?? quantileVariant {
          return .quantile(level: quantileLevel, window: quantileWindow, variant)
        }
      case "constant":
        if let tau = detail.flatMap(Double.init) { return .constant(tau) }
      default: break
      }
      throw ConfigError(
        "method '\(method)'", "unknown",
        hint: "use ema, ema-paper, ema-repository, ema-traceScript, quantile, "
          + "quantile-lowerOrderStatistic or constant-<tau>")
    }
  }

  package static let defaults = Config()
  package static let name = "trace-regression"
  package static let abstract =
    "Bias of spectrally clipped stochastic gradients in trace regression (Fig 5a)."
  package static let version = 1

  package static func jobs(of config: Config) -> [Job] {
    switch config.rng {
    case .philox:
      return config.seeds.flatMap { seed in
        config.methods.map { Job(methods: [$0], seed: seed) }
      }
    case .numpy: return config.seeds.map { Job(methods: config.methods, seed: $0) }
    }
  }

  package static func work(of job: Job, _ config: Config) -> Int {
    job.methods.count * config.steps
  }

  package static func secondsPerStep(
    _ config: Config, _ context: RunContext
  ) throws -> Double? {
    try timePerStep {
      var short = config
      short.steps = min(config.steps, 2000)
      let job = Job(methods: config.methods, seed: config.seeds.first ?? 0)
      short.denseSteps = 1
      _ = try run(job, short, RunContext())
      return work(of: job, short)
    }
  }

  package static func dataName(_ config: Config) -> String {
    "synthetic data (\(config.rng.rawValue))"
  }

  package static func run(
    _ job: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    switch config.rng {
    case .philox:
      let stream = RandomStream(seed: job.seed, name: name)
      return try run(
        job, config, context, problem: stream.child("problem").cursor(),
        samples: { _ in stream.child("samples").cursor() })
    case .numpy:
      return try run(
        job, config, context, problem: NumPyGenerator(seed: job.seed), samples: { $0 })
    }
  }
}

// MARK: - The loop

extension TraceRegression {
  /// Everything a resumed run needs.
  private struct State<Source: DrawSource>: Codable {
    var source: Source
    var method = 0
    var step = 0
    var x: [Double]
    var threshold: Threshold
    var series = Series()
    var finished: [Series] = []
  }

  /// What one method has measured so far.
  private struct Series: Codable {
    var step: [Int] = []
    var tau: [Double] = []
    var sigmaMax: [Double] = []
    var monteCarlo: [Double] = []
    var exact: [Double] = []
    var monteCarloMean: [Double] = []
    var exactMean: [Double] = []
    var loss: [Double] = []
    var gradientSquare: [Double] = []
    var monteCarloSum = 0.0
    var exactSum = 0.0
    var monteCarloTail = 0.0
    var exactTail = 0.0
    var exactBeforeTail = 0.0
  }

  private static func run<Source: DrawSource>(
    _ job: Job, _ config: Config, _ context: RunContext, problem source: Source,
    samples: (Source) -> Source
  ) throws -> [Record] {
    var source = source
    let problem = try TraceRegressionProblem(
      dimension: config.dimension, termCount: config.terms, noise: config.noise, using: &source)
    let start = [Double](repeating: 0, count: config.dimension * config.dimension)
    func threshold(_ method: Int) throws -> Threshold {
      try Threshold(config.rule(for: job.methods[method]))
    }

    var checkpoint = context.checkpoint(State<Source>.self)
    var state =
      try checkpoint?.load()
      ?? State(source: samples(source), x: start, threshold: try threshold(0))
    context.advance(state.method * config.steps + state.step)

    while state.method < job.methods.count {
      try advance(&state, problem, config, context, &checkpoint)
      state.finished.append(state.series)
      state.series = Series()
      state.method += 1
      state.step = 0
      state.x = start
      if state.method < job.methods.count { state.threshold = try threshold(state.method) }
    }
    return zip(job.methods, state.finished).map { record($0, $1, problem, config) }
  }

  /// Takes the present method from where it stands to the last step.
  private static func advance<Source: DrawSource>(
    _ state: inout State<Source>, _ problem: TraceRegressionProblem, _ config: Config,
    _ context: RunContext, _ checkpoint: inout Checkpoint<State<Source>>?
  ) throws {
    let (n, count, size) = (config.dimension, config.terms, config.dimension * config.dimension)
    let learningRate = config.learningRateScale / problem.smoothness
    let (tailStart, beforeTailStart) = (config.steps - config.steps / 10, config.steps * 8 / 10)
    let sampleCount = Double(config.monteCarloSamples)
    var clipped = [Double](repeating: 0, count: count * size)
    var full = [Double](repeating: 0, count: size)
    var estimate = [Double](repeating: 0, count: size)
    var sigmaMax = [Double](repeating: 0, count: count)
    let clip = SmallBatchClip(rows: n, columns: n)
    var progress = 0

    while state.step < config.steps {
      let k = state.step
      try context.willStep?(state.method * config.steps + k)
      if checkpoint?.isDue ?? false { try checkpoint?.save(state) }
      let recorded = isRecorded(k, config)

      // Gradients of all terms and their clipped versions at the present threshold.
      let loss = problem.gradients(at: state.x, terms: &clipped, full: &full)
      guard loss.isFinite else {
        throw ConfigError(name, "loss \(loss) at step \(k)", hint: "lower the learning rate")
      }
      let threshold = state.threshold
      if recorded || threshold.rule.isAdaptive {
        try clip.clip(&clipped, sigmaMax: &sigmaMax) { threshold.tau(sigmaMax: $0) }
      } else {
        try clip.clip(&clipped, at: threshold.tau(sigmaMax: .nan))
      }

      // Δ²: exactly, and from a few samples.
      mean(of: clipped, into: &estimate)
      let exact = squaredDistance(full, estimate)
      for j in 0..<size { estimate[j] = 0 }
      for _ in 0..<config.monteCarloSamples {
        add(clipped, state.source.index(below: count), to: &estimate)
      }
      for j in 0..<size { estimate[j] /= sampleCount }
      let monteCarlo = squaredDistance(full, estimate)

      // The step, and what the threshold learns from it.
      let i = state.source.index(below: count)
      if recorded {
        state.series.step.append(k)
        state.series.tau.append(threshold.tau(sigmaMax: sigmaMax[i]))
        state.series.sigmaMax.append(sigmaMax[i])
        state.series.monteCarlo.append(monteCarlo)
        state.series.exact.append(exact)
        state.series.loss.append(loss)
        state.series.gradientSquare.append(full.reduce(0) { $0 + $1 * $1 })
      }
      for j in 0..<size { state.x[j] -= learningRate * clipped[i * size + j] }
      if threshold.rule.isAdaptive { state.threshold.observe(sigmaMax: sigmaMax[i]) }

      state.series.monteCarloSum += monteCarlo
      state.series.exactSum += exact
      if k >= tailStart {
        state.series.monteCarloTail += monteCarlo
        state.series.exactTail += exact
      } else if k >= beforeTailStart {
        state.series.exactBeforeTail += exact
      }
      if recorded {
        state.series.monteCarloMean.append(state.series.monteCarloSum / Double(k + 1))
        state.series.exactMean.append(state.series.exactSum / Double(k + 1))
      }
      state.step += 1
      progress += 1
      if progress == 4096 || state.step == config.steps {
        context.advance(progress)
        progress = 0
      }
    }
  }

  /// Whether iteration `k` is recorded: all of the first, then evenly in log k, and always the last.
  static func isRecorded(_ k: Int, _ config: Config) -> Bool {
    if k < max(2, config.denseSteps) || k == config.steps - 1 { return true }
    func cell(_ k: Int) -> Int {
      Int((Double(config.pointsPerDecade) * log10(Double(k))).rounded(.down))
    }
    return cell(k) != cell(k - 1)
  }
}

/// mean[j] over the count of matrices[size] in `terms`.
private func mean(of terms: [Double], into mean: inout [Double]) {
  let size = mean.count
  let count = terms.count / size
  for j in 0..<size { mean[j] = 0 }
  for i in 0..<count { add(terms, i, to: &mean) }
  for j in 0..<size { mean[j] /= Double(count) }
}

/// sum += terms[i].
private func add(_ terms: [Double], _ i: Int, to sum: inout [Double]) {
  let start = i * sum.count
  for j in 0..<sum.count { sum[j] += terms[start + j] }
}

/// ‖a - b‖² of two arrays of equal length.
private func squaredDistance(_ a: [Double], _ b: [Double]) -> Double {
  var sum = 0.0
  for j in 0..<a.count { sum += (a[j] - b[j]) * (a[j] - b[j]) }
  return sum
}

// MARK: - The record

extension TraceRegression {
  private static func record(
    _ method: String, _ series: Series, _ problem: TraceRegressionProblem, _ config: Config
  ) -> Record {
    let tailCount = Double(config.steps / 10)
    var record = Record(attributes: [
      "smoothness": .double(problem.smoothness),
      "learning_rate": .double(config.learningRateScale / problem.smoothness),
      "initial_grad_norm_sq": .double(series.gradientSquare.first ?? .nan),
      "tail_bias_sq_monte_carlo": .double(series.monteCarloTail / tailCount),
      "tail_bias_sq_exact": .double(series.exactTail / tailCount),
      "before_tail_bias_sq_exact": .double(
        series.exactBeforeTail
          / Double(config.steps - config.steps / 10 - config.steps * 8 / 10)),
    ])
    record.add(
      .init(
        "step", .int64(series.step.map { Int64($0) }), longName: "iteration k, from 0", units: "1"))
    func add(_ name: String, _ values: [Double], _ longName: String) {
      record.add(
        .init(name, .double(values), longName: longName, units: "1", dimensions: ["step"]))
    }
    let samples = config.monteCarloSamples
    add(
      "bias_sq_monte_carlo", series.monteCarlo,
      "squared bias of the clipped gradient at x_k, from \(samples) sampled gradients")
    add(
      "bias_sq_exact", series.exact,
      "squared bias of the clipped gradient at x_k, exact expectation over all terms")
    add(
      "bias_sq_monte_carlo_mean", series.monteCarloMean,
      "mean of bias_sq_monte_carlo over iterations 0…k")
    add("bias_sq_exact_mean", series.exactMean, "mean of bias_sq_exact over iterations 0…k")
    add("tau", series.tau, "clipping threshold of the step's gradient")
    add("sigma_max", series.sigmaMax, "largest singular value of the step's raw gradient")
    add("loss", series.loss, "f(x_k)")
    add("grad_norm_sq", series.gradientSquare, "squared Frobenius norm of the full gradient at x_k")
    return record
  }
}
