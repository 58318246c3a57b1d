// SPDX-License-Identifier: Apache-2.0

import Lab
import Clipping
import Foundation
import LinearAlgebra
import Storage
import Training

/// §5.2's cost claim: what one clip of a Float gradient matrix costs, exactly and by Algorithm 2.
///
/// The matrices are normal noise plus a few rank-one spikes beyond the noise's largest singular value,
/// and τ lies between the two, as when a few bad directions are to be clipped. Times go to
/// the telemetry; what the clip did (count, error against the exact clip) is reproducible.
package enum ClipCost: Experiment {
  /// Settings.
  package struct Config: ExperimentConfig {
    package static let limits: [String: ClosedRange<Int>] = [
      "ranks": 1...100_000, "oversampling": 0...100_000,
      "powerIterations": 0...1000, "spikes": 0...100_000, "repeats": 1...100_000,
    ]
    /// Matrix sizes, rows x columns.
    package var sizes = [
      "128x128", "256x256", "512x512", "768x768", "1024x1024", "256x2304", "768x3072", "3072x768",
    ]
    /// Ranks r of Algorithm 2.
    package var ranks = [1, 2, 5, 10, 20, 50]
    /// Further sketch vectors p.
    package var oversampling = 5
    /// Power iterations q.
    package var powerIterations = 1
    /// Spikes above τ.
    package var spikes = 5
    /// Timed repetitions; the median counts.
    package var repeats = 7
    /// The `ClipCost.methods`.
    package var methods = ClipCost.methods
    /// Seeds of the matrices.
    package var seeds: [UInt64] = [1]

    /// Everything up to GPT-2's largest gradient.
    package init() {}

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
      for size in sizes {
        let (rows, columns) = try shape(size)
        guard spikes <= min(rows, columns) else {
          throw ConfigError.value(
            "spikes", spikes, "at most \(min(rows, columns)), the sides of \(size)")
        }
      }
      if sizes.isEmpty { throw ConfigError.value("sizes", sizes, "a list of sizes") }
      for method in methods where !ClipCost.methods.contains(method) {
        throw ConfigError(
          "method '\(method)'", "unknown",
          hint: "use \(ClipCost.methods.joined(separator: ", "))")
      }
    }

    /// Entries of a matrix, half a gigabyte in single precision; GPT-2's embedding has 39 million.
    private var largestSize: Int { 1 << 27 }

    func shape(_ size: String) throws -> (rows: Int, columns: Int) {
      let sides = size.split(separator: "x").compactMap { Int($0) }
      guard sides.count == 2, sides.allSatisfy({ $0 >= 2 }), "\(sides[0])x\(sides[1])" == size
      else {
        throw ConfigError("size '\(size)'", "not rows x columns", hint: "write 768x3072")
      }
      guard sides.allSatisfy({ $0 <= 100_000 }), sides[0] * sides[1] <= largestSize else {
        throw ConfigError(
          "size '\(size)'", "above \(largestSize) entries, or a side above 100000",
          hint: "take a smaller one")
      }
      return (sides[0], sides[1])
    }
  }

  /// svd: full SVD and reassembly; exact: SpectralClip.exact; randomized: Algorithm 2; warm: the same, one power iteration
  /// less, from the directions that it found in the same spikes under other noise, as if in the step before.
  static let methods = ["svd", "exact", "randomized", "warm"]

  package static let defaults = Config()
  package static let name = "clip-cost"
  package static let abstract =
    "Time of exact, randomized and warm-started spectral clipping over size and rank (§5.2); use --jobs 1."
  package static let version = 1

  package static func work(of job: Job, _ config: Config) -> Int { config.sizes.count }

  package static func secondsPerStep(
    _ config: Config, _ context: RunContext
  ) throws -> Double? {
    try timePerStep {
      var short = config
      short.repeats = 1
      short.sizes = [config.sizes[config.sizes.count / 2]]
      _ = try run(
        Job(methods: [config.methods[0]], seed: config.seeds.first ?? 1), short, RunContext())
      return 1
    }
  }

  package static func dataName(_ config: Config) -> String { "synthetic data" }

  package static func run(
    _ job: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let method = job.methods[0]
    var (rows, columns, ranks, clipped): ([Int], [Int], [Int], [Int]) = ([], [], [], [])
    var (errors, medians, fastest): ([Double], [Double], [Double]) = ([], [], [])
    for size in config.sizes {
      let (m, n) = try config.shape(size)
      let stream = RandomStream(seed: job.seed, name: "\(name)/\(size)")
      let (g, tau) = spiked(m, n, config.spikes, stream)
      var reference = g
      let exact = try SpectralClip.exact.clip(&reference, at: tau)
      let isTruncated = ["randomized", "warm"].contains(method)
      for rank in isTruncated ? config.ranks.filter({ $0 <= min(m, n) }) : [min(m, n)] {
        var (times, result, count) = ([Double](), g, exact.clippedCount)
        let found =
          method == "warm" ? try directions(m, n, rank, at: tau, config, stream) : nil
        for _ in 0..<config.repeats {
          result = g
          switch method {
          case "svd":
            let watch = Stopwatch()
            let s = try svd(result)
            var scaled = s.vT
            scaled.scaleRows(by: s.sigma.map { min(Double($0), tau) })
            result = matmul(s.u, scaled)
            times.append(watch.seconds)
          case "exact":
            let clip = SpectralClip.exact
            result.elements[0] += 0  // a copy of its own before the clock starts
            let watch = Stopwatch()
            try clip.clip(&result, at: tau)
            times.append(watch.seconds)
          default:
            let clip = try SpectralClip.randomized(
              rank: rank, oversampling: config.oversampling,
              powerIterations: max(0, config.powerIterations - (method == "warm" ? 1 : 0)))
            result.elements[0] += 0
            var start = found
            let watch = Stopwatch()
            count = try result.withMutableView {
              try clip.clip($0, at: .fixed(tau), sketch: stream.child("sketch"), from: &start)
            }.clippedCount
            times.append(watch.seconds)
          }
        }
        rows.append(m)
        columns.append(n)
        ranks.append(rank)
        clipped.append(count)
        errors.append((result - reference).frobeniusNorm / reference.frobeniusNorm)
        medians.append(Statistics.median(times))
        fastest.append(times.min() ?? .nan)
      }
      context.advance(1)
    }
    return [
      record(rows, columns, ranks, clipped, errors: errors, medians: medians, fastest: fastest)
    ]
  }

  /// What Algorithm 2 leaves for the next step when it clips the same spikes under other noise.
  private static func directions(
    _ m: Int, _ n: Int, _ rank: Int, at tau: Double, _ config: Config, _ stream: RandomStream
  ) throws -> WarmStart? {
    var (before, _) = spiked(m, n, config.spikes, stream, noise: "noise before")
    let clip = try SpectralClip.randomized(
      rank: rank, oversampling: config.oversampling, powerIterations: config.powerIterations)
    var start: WarmStart? = WarmStart()
    _ = try before.withMutableView {
      try clip.clip(
        $0, at: .fixed(tau), sketch: stream.child("sketch before"), from: &start)
    }
    return start
  }

  /// Noise[m,n] with `spikes` orthonormal-like rank-one terms of twice to six times the noise's edge
  /// √m + √n, and the threshold 1.5 (√m + √n) between them.
  static func spiked(
    _ m: Int, _ n: Int, _ spikes: Int, _ stream: RandomStream, noise: String = "noise"
  ) -> (g: Matrix<Float>, tau: Double) {
    var g = Matrix<Float>(
      rows: m, columns: n, elements: stream.child(noise).normals(m * n, as: Float.self))
    let edge = Double(m).squareRoot() + Double(n).squareRoot()
    var left = Matrix<Double>(rows: spikes, columns: m)
    var right = Matrix<Double>(rows: spikes, columns: n)
    var cursor = stream.child("spikes").cursor()
    for i in 0..<spikes {
      let strength = edge * (2 + 4 * Double(i) / Double(max(1, spikes - 1)))
      for (j, value) in cursor.unitVector(m, as: Double.self).enumerated() {
        left[i, j] = -strength * value
      }
      for (j, value) in cursor.unitVector(n, as: Double.self).enumerated() { right[i, j] = value }
    }
    g.withMutableView { subtractProduct(left, right, from: $0) }
    return (g, 1.5 * edge)
  }

  private static func record(
    _ rows: [Int], _ columns: [Int], _ ranks: [Int], _ clipped: [Int], errors: [Double],
    medians: [Double], fastest: [Double]
  ) -> Record {
    func whole(_ name: String, _ values: [Int], _ longName: String) -> Record.DataSet {
      .init(name, .int64(values.map { Int64($0) }), longName: longName, units: "1")
    }
    var record = Record(dataSets: [
      whole("rows", rows, "rows m of the matrix"),
      whole("columns", columns, "columns n of the matrix"),
      whole("rank", ranks, "rank r of the clip; min(m, n) for the exact ones"),
      whole("clipped_count", clipped, "singular values clipped"),
      .init(
        "relative_error", .double(errors),
        longName: "Frobenius distance to the exact clip over the exact clip's norm", units: "1"),
    ])
    record.telemetry = Record.Group(
      Record.telemetryName,
      dataSets: [
        .init(
          "seconds_median", .double(medians), longName: "median time of one clip", units: "s"),
        .init("seconds_min", .double(fastest), longName: "shortest time of one clip", units: "s"),
      ])
    return record
  }
}

// MARK: - Figure and claims

extension ClipCost {
  struct Row {
    let rows, columns, rank: Int
    let seconds, error: Double
  }

  static func rows(_ method: String, _ set: RecordSet) throws -> [Row] {
    try set.records(of: method).flatMap { record in
      try record.checkLengths(of: [
        "rows", "columns", "rank", "telemetry/seconds_median", "relative_error",
      ])
      let (m, n, r) = try (record.ints("rows"), record.ints("columns"), record.ints("rank"))
      let seconds = try record.doubles("telemetry/seconds_median")
      let error = try record.doubles("relative_error")
      return m.indices.map {
        Row(rows: m[$0], columns: n[$0], rank: r[$0], seconds: seconds[$0], error: error[$0])
      }
    }
  }

  /// The speed-up of Algorithm 2 at rank 5 over a full SVD for the largest matrix.
  static func largestRatio(_ set: RecordSet) throws -> (size: String, ratio: Double)? {
    let full = try rows("svd", set)
    guard let largest = full.max(by: { $0.rows * $0.columns < $1.rows * $1.columns }),
      let fast = try rows("randomized", set).first(where: {
        $0.rows == largest.rows && $0.columns == largest.columns && $0.rank == 5
      })
    else { return nil }
    return ("\(largest.rows)×\(largest.columns)", largest.seconds / fast.seconds)
  }

  /// For the largest matrix and rank 5: the time of Algorithm 2 over that from a warm start, and the errors of both.
  static func warmStart(
    _ set: RecordSet
  ) throws -> (size: String, ratio: Double, error: Double, cold: Double)? {
    func largest(_ method: String) throws -> Row? {
      guard set.methods.contains(method) else { return nil }
      return try rows(method, set).filter { $0.rank == 5 }
        .max { $0.rows * $0.columns < $1.rows * $1.columns }
    }
    guard let warm = try largest("warm"), let cold = try largest("randomized") else { return nil }
    return ("\(warm.rows)×\(warm.columns)", cold.seconds / warm.seconds, warm.error, cold.error)
  }

  /// The slope of log time over log(m·n·r) from rank 5 on, pooled over the sizes.
  static func slope(_ set: RecordSet) throws -> LinearFit? {
    let points = try rows("randomized", set).filter { $0.rank >= 5 }
    guard points.count >= 3 else { return nil }
    return LinearFit(
      logLog: points.map { Double($0.rows * $0.columns * $0.rank) }, points.map(\.seconds))
  }

  private static let speedUp = Bound.above(10)
  private static let order = Bound.below(1.1)

  package static let claims: [Claim] = [
    Claim(
      id: "cost-truncated", item: "§5.2",
      statement: "The truncated SVD is substantially cheaper than a full one when r is small.",
      criterion:
        "for the largest matrix, the time of a full SVD with reassembly over that of the rank-5 clip lies "
        + "\(speedUp.words) (one machine: a measurement, not a statistic)"
    ) { set in
      guard let (size, ratio) = try largestRatio(set) else {
        return Evidence(obstacle: .noRecords("a clip of rank 5"))
      }
      return Evidence([
        .exact(
          "time of a full SVD over that of the rank-5 clip, \(size)", ratio, speedUp,
          count: 1)
      ])
    },
    Claim(
      id: "cost-order", item: "§5.2",
      statement: "The cost of the truncated clip grows as O(mnr).",
      criterion:
        "the log-log slope of time over m·n·r, for ranks from 5 on and all sizes, lies \(order.words) "
        + "(an upper bound: products with more columns run more efficiently, so less is fine)"
    ) { set in
      guard let fit = try slope(set) else {
        return Evidence(obstacle: .noRecords("three ranks from 5 on"))
      }
      return Evidence([
        .exact("slope of log time over log m·n·r", fit.slope, order, count: 1)
      ])
    },
  ]
}
