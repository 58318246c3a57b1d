// SPDX-License-Identifier: Apache-2.0

import Clipping
import Foundation
import LinearAlgebra
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab

/// A folder of its own for each test, gone at the end.
struct Scratch: ~Copyable {
  let path = NSTemporaryDirectory() + "spectral-clipping-\(UUID().uuidString)"
  deinit { try? FileManager.default.removeItem(atPath: path) }
}

private func config(
  steps: Int, seeds: [UInt64] = [11, 12], rng: TraceRegression.Generator = .philox
)
  -> TraceRegression.Config
{
  var config = TraceRegression.Config()
  config.steps = steps
  config.seeds = seeds
  config.rng = rng
  return config
}

private func runner(
  _ config: TraceRegression.Config, _ results: String, jobs: Int = 1, threads: Int = 1,
  wanted: [String]? = nil, checkpointSeconds: Double = 60
) -> Runner<TraceRegression> {
  Runner(
    config: config, wanted: wanted, profile: "test", results: results,
    telemetry: Telemetry(root: nil, threads: threads, jobs: jobs),
    checkpointSeconds: checkpointSeconds)
}

private func records(
  _ runner: Runner<TraceRegression>, wanted: [String]? = nil
) throws -> [Record] {
  try runner.config.seeds.flatMap { seed in
    try (wanted ?? runner.wanted).map { try Record.read(from: runner.path($0, seed)) }
  }
}

/// The authors' algorithm written plainly: LAPACK SVDs, arrays, no shortcut, one generator.
private func plainBias(seed: UInt64, steps: Int) throws -> [String: [Double]] {
  var rng = NumPyGenerator(seed: seed)
  let n = 3
  var a: [Matrix<Double>] = []
  for _ in 0..<10 {
    let q = try qr(Matrix(rows: n, columns: n, elements: rng.standardNormal(9))).q
    a.append(matmul(matmul(q, .diagonal(rng.uniform(0.5, 1.5, n))), .no, q, .yes))
  }
  func inner(_ x: Matrix<Double>, _ y: Matrix<Double>) -> Double {
    zip(x.elements, y.elements).reduce(0) { $0 + $1.0 * $1.1 }
  }
  let truth = Matrix(rows: n, columns: n, elements: rng.standardNormal(9))
  let noise = rng.standardNormal(10)
  let b = (0..<10).map { inner(a[$0], truth) + 0.01 * noise[$0] }
  let learningRate = 0.5 / (2 * a.reduce(0) { $0 + inner($1, $1) } / 10)

  func gradient(_ x: Matrix<Double>, _ i: Int) -> Matrix<Double> {
    2 * (inner(a[i], x) - b[i]) * a[i]
  }
  func clip(_ g: Matrix<Double>, _ tau: Double) throws -> (Matrix<Double>, Double) {
    let s = try svd(g)
    return (matmul(matmul(s.u, .diagonal(s.sigma.map { min($0, tau) })), s.vT), s.sigma[0])
  }
  func descend(_ tau: () -> Double, _ learn: (Double) -> Void) throws -> [Double] {
    var x = Matrix<Double>(rows: n, columns: n)
    var biases: [Double] = []
    for _ in 0..<steps {
      let full = (0..<10).reduce(Matrix<Double>(rows: n, columns: n)) { $0 + gradient(x, $1) }
      var sum = Matrix<Double>(rows: n, columns: n)
      for _ in 0..<10 { sum = sum + (try clip(gradient(x, rng.integers(below: 10)), tau())).0 }
      biases.append(pow((0.1 * full - 0.1 * sum).frobeniusNorm, 2))
      let (clipped, top) = try clip(gradient(x, rng.integers(below: 10)), tau())
      x = x - learningRate * clipped
      learn(top)
    }
    return biases
  }

  var result: [String: [Double]] = [:]
  var (average, corrected, seen) = (0.0, 0.0, 0)
  result["ema"] = try descend({ corrected }) {
    average = 0.9 * average + (1 - 0.9) * ($0 + 1e-8)
    seen += 1
    corrected = average / (1 - pow(0.9, Double(seen)))
  }
  var history: [Double] = []
  result["quantile"] = try descend(
    { history.isEmpty ? .infinity : Statistics.quantile(history.suffix(100), 0.85) },
    { history.append($0) })
  for tau in ["0.05", "0.1", "0.5", "1", "5"] {
    result["constant-\(tau)"] = try descend({ Double(tau) ?? .nan }) { _ in }
  }
  return result
}

@Suite struct TraceRegressionTests {
  @Test func followsTheAuthorsScriptOnNumPysGenerator() throws {
    let scratch = Scratch()
    let config = config(steps: 300, seeds: [11], rng: .numpy)
    _ = try runner(config, scratch.path).run()
    let plain = try plainBias(seed: 11, steps: 300)
    for method in config.methods {
      let record = try Record.read(from: runner(config, scratch.path).path(method, 11))
      let got = try record.doubles("bias_sq_monte_carlo")
      let expected = try #require(plain[method])
      #expect(got.count == 300)
      // Rounding enters at 1e-16 and the contraction keeps it there; 1e-8 is the contract.
      for k in 0..<300 {
        let error = abs(got[k] - expected[k]) / max(expected[k], 1e-20)
        #expect(error < 1e-8, "\(method), k = \(k): got \(got[k]), expected \(expected[k])")
      }
      let mean = try record.doubles("bias_sq_monte_carlo_mean")
      let expectedMean = expected.reduce(0, +) / 300
      #expect(abs(mean[299] - expectedMean) <= 1e-8 * expectedMean)
    }
  }

  @Test func exactBiasIsWhatManySamplesEstimate() throws {
    // With 10 000 samples the Monte-Carlo estimate is the exact bias plus Var(C)/10 000.
    let scratch = Scratch()
    var many = config(steps: 40, seeds: [3])
    many.monteCarloSamples = 10_000
    many.methods = ["constant-0.5"]
    _ = try runner(many, scratch.path).run()
    let record = try Record.read(from: runner(many, scratch.path).path("constant-0.5", 3))
    let (sampled, exact) = try (
      record.doubles("bias_sq_monte_carlo"), record.doubles("bias_sq_exact")
    )
    for k in 0..<40 {
      // C lies in the ball of radius √3 τ, so Var(C) <= 0.75; five standard errors either way.
      let slack = 5 * (0.75 / 10_000 + 2 * (exact[k] * 0.75 / 10_000).squareRoot())
      #expect(abs(sampled[k] - exact[k]) <= slack, "k = \(k): \(sampled[k]) against \(exact[k])")
    }
  }

  @Test func biasIsZeroWithoutClippingAndTheFirstTraceScriptStepIsZero() throws {
    let scratch = Scratch()
    var plain = config(steps: 50, seeds: [5])
    plain.methods = ["constant-1e9", "ema-traceScript", "ema-repository", "ema-paper"]
    let run = runner(plain, scratch.path)
    _ = try run.run()
    let free = try Record.read(from: run.path("constant-1e9", 5))
    let scale = try free.double(attribute: "initial_grad_norm_sq")
    #expect(try free.doubles("bias_sq_exact").allSatisfy { $0 <= 1e-28 * scale })
    let script = try Record.read(from: run.path("ema-traceScript", 5))
    #expect(try script.doubles("tau")[0] == 0)
    #expect(try script.doubles("loss")[0] == script.doubles("loss")[1])  // clipped to zero: no step
    let first = try script.doubles("bias_sq_exact")[0]
    #expect(abs(first - scale) <= 1e-14 * scale)  // the bias is then the whole gradient
    #expect(try Record.read(from: run.path("ema-repository", 5)).doubles("tau")[0] == .infinity)
    let paper = try Record.read(from: run.path("ema-paper", 5))
    #expect(try paper.doubles("tau")[0] == paper.doubles("sigma_max")[0])
  }

  @Test(arguments: [1, 2, 3])
  func recordsDoNotDependOnJobsThreadsOrOrder(jobs: Int) throws {
    let one = Scratch()
    let other = Scratch()
    let base = config(steps: 400)
    let reference = runner(base, one.path)
    _ = try reference.run()
    var reordered = base
    reordered.seeds.reverse()
    reordered.methods.reverse()
    let second = runner(reordered, other.path, jobs: jobs, threads: jobs)
    _ = try second.run()
    for seed in base.seeds {
      for method in base.methods {
        let a = try Record.read(from: reference.path(method, seed))
        let b = try Record.read(from: second.path(method, seed))
        for dataSet in a.root.dataSets {
          #expect(b[dataSet.name] == dataSet, "\(method), seed \(seed), \(dataSet.name)")
        }
      }
    }
  }

  @Test(arguments: TraceRegression.Generator.allCases)
  func killedAndResumedIsBitwiseEqual(rng: TraceRegression.Generator) throws {
    let whole = Scratch()
    let broken = Scratch()
    var settings = config(steps: 150, seeds: [11], rng: rng)
    settings.methods = ["ema", "quantile", "constant-0.1"]
    let reference = runner(settings, whole.path)
    _ = try reference.run()
    // A checkpoint before every step; each attempt dies 37 steps after the last one died.
    let fragile = runner(settings, broken.path, checkpointSeconds: 0)
    var kills = 0
    let counter = Counter()
    while true {
      counter.reset()
      do {
        _ = try fragile.run { _, _ in if counter.next() > 37 { throw Killed() } }
        break
      } catch is Killed {
        kills += 1
        #expect(kills < 100)
      }
    }
    #expect(kills >= 10, "the run was killed \(kills) times")
    for (a, b) in zip(try records(reference), try records(fragile)) {
      #expect(a.firstDifference(from: b) == nil)
    }
    let left = try FileManager.default.contentsOfDirectory(atPath: fragile.folder)
    #expect(!left.contains { $0.hasSuffix(".checkpoint") })
  }

  @Test func aCheckpointOfOtherSettingsIsRefusedByName() throws {
    let scratch = Scratch()
    var settings = config(steps: 100, seeds: [11])
    settings.methods = ["ema"]
    #expect(throws: Killed.self) {
      _ = try runner(settings, scratch.path, checkpointSeconds: 0)
        .run { _, step in if step == 50 { throw Killed() } }
    }
    settings.noise = 0.5
    let error = #expect(throws: StorageError.self) { _ = try runner(settings, scratch.path).run() }
    #expect(error?.description.contains("noise = 1e-2") ?? false, "\(error?.description ?? "")")
  }

  @Test func validRecordsAreReusedAndDamagedOnesMadeAgain() throws {
    let scratch = Scratch()
    let settings = config(steps: 60)
    let run = runner(settings, scratch.path)
    #expect(try run.run() == .init(computed: 14, reused: 0))
    #expect(try run.run() == .init(computed: 0, reused: 14))
    let file = run.path("ema", 12)
    let whole = try Record.read(from: file)
    let bytes = try Data(contentsOf: URL(fileURLWithPath: file))
    try bytes.prefix(bytes.count / 2).write(to: URL(fileURLWithPath: file))
    #expect(try run.run() == .init(computed: 1, reused: 13))
    #expect(try Record.read(from: file).firstDifference(from: whole) == nil)
    var longer = settings
    longer.steps = 61
    #expect(try runner(longer, scratch.path).run() == .init(computed: 14, reused: 0))
  }

  @Test func theSeedSufficesAndMatters() throws {
    let scratch = Scratch()
    let run = runner(config(steps: 50, seeds: [1, 2]), scratch.path, wanted: ["quantile"])
    _ = try run.run()
    let loaded = try records(run)
    #expect(try loaded[0].doubles("loss") != loaded[1].doubles("loss"))
  }

  @Test func aReadOnlyOrBlockedResultsFolderIsOneClearLine() throws {
    let scratch = Scratch()
    try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
    try Data("a file".utf8).write(to: URL(fileURLWithPath: scratch.path + "/blocked"))
    let error = #expect(throws: StorageError.self) {
      _ = try runner(config(steps: 10), scratch.path + "/blocked").run()
    }
    #expect(error?.description.contains("--results") ?? false)
    #expect(!(error?.description.contains("\n") ?? true))
  }
}

/// Counts up, from several threads.
final class Counter: @unchecked Sendable {
  private let lock = NSLock()
  private var value = 0
  func next() -> Int {
    lock.withLock {
      value += 1
      return value
    }
  }
  func reset() { lock.withLock { value = 0 } }
}
