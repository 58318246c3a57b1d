// SPDX-License-Identifier: Apache-2.0

import Lab
import Foundation
import LinearAlgebra
import Storage
import Theory
import Training

/// The convergence theory, checked numerically: every inequality of §3 and its proofs, Theorems 3.3 and 3.4
/// against measurement, §2.3, and the theorems of the neighbouring papers.
package enum TheoryBounds: Experiment {
  /// Settings; the defaults are those of profile full.
  package struct Config: ExperimentConfig {
    package static let limits: [String: ClosedRange<Int>] = [
      "instances": 1...100_000_000, "restarts": 1...1_000_000, "searchSteps": .positive,
      "runs": 2...1_000_000, "steps33": .positive, "steps34": .positive,
    ]
    /// Random instances of each statement and shape.
    package var instances = 400
    /// Restarts of the adversarial search for each statement and shape.
    package var restarts = 6
    /// Steps of each.
    package var searchSteps = 400
    /// Runs behind every measured mean.
    package var runs = 20
    /// Steps of the runs that Theorem 3.3 is held against.
    package var steps33 = 1000
    /// Step numbers for Theorem 3.4.
    package var steps34 = [100, 1_000, 10_000, 100_000]
    /// Moment orders.
    package var alphas = [1.1, 1.2, 1.5, 1.8, 2.0]
    /// inequalities, adversarial, theorem33, theorem34, bias, acceleration.
    package var methods = [
      "inequalities", "adversarial", "theorem33", "theorem34", "bias", "acceleration",
    ]
    /// One set of checks a seed; violations are counted over all of them, rates and figure are the first one's.
    package var seeds: [UInt64] = [1]

    /// The defaults.
    package init() {}

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
      guard steps34.count >= 2 else {
        throw ConfigError.value("steps34", steps34, "at least two step numbers >= 1")
      }
      guard !alphas.isEmpty, Set(alphas).count == alphas.count else {
        throw ConfigError.value("alphas", alphas, "a list of different moment orders")
      }
      for alpha in alphas where !(alpha > 1 && alpha <= 2) {
        throw ConfigError.value("alphas", alpha, "a moment order in (1, 2]")
      }
      for method in methods where !Config().methods.contains(method) {
        throw ConfigError(
          "method '\(method)'", "unknown",
          hint: "use \(Config().methods.joined(separator: ", "))")
      }
    }
  }

  package static let defaults = Config()
  package static let name = "theory-bounds"
  package static let abstract =
    "Lemma C.1, Theorems 3.3 and 3.4, Section 2.3 and the neighbours' theorems, checked numerically."
  package static let version = 1

  package static func work(of job: Job, _ config: Config) -> Int { 1 }

  /// The methods have nothing in common: their records tell.
  package static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double? {
    nil
  }

  package static func recordedScale(of method: String, _ config: Config) -> Double {
    let runs = Double(config.runs * config.alphas.count)
    return switch method {
    case "inequalities": Double(config.instances)
    case "adversarial": Double(config.restarts * config.searchSteps)
    case "theorem33": Double(config.steps33) * Double(config.runs)
    case "theorem34": Double(config.steps34.reduce(0, +)) * runs
    default: runs
    }
  }

  package static func dataName(_ config: Config) -> String { "problems of known constants" }

  package static func run(
    _ job: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    try context.willStep?(0)
    let stream = RandomStream(seed: job.seed, name: "theory/\(job.methods[0])")
    defer { context.advance(1) }
    switch job.methods[0] {
    case "inequalities": return [try inequalities(config, stream)]
    case "adversarial": return [try adversarial(config, stream)]
    case "theorem33": return [try theorem33(config, stream)]
    case "theorem34": return [try theorem34(config, stream)]
    case "bias": return [try bias(config, stream)]
    default: return [try acceleration(config, stream)]
    }
  }

  // MARK: - Problems and laws

  /// Matrix shapes of the instances.
  static let shapes = [(1, 1), (1, 4), (2, 2), (3, 3), (2, 5), (5, 3), (8, 6)]

  /// A discrete law with a heavy tail: ± rank-one atoms of size scale·2^j with weights 2^(-1.1αj), j < 6, so
  /// that its moment of order α is finite and dominated by its largest atoms.
  static func heavyLaw(
    rows: Int, columns: Int, alpha: Double, scale: Double, stream: RandomStream
  ) -> DiscreteLaw {
    var (atoms, weights): ([Matrix<Double>], [Double]) = ([], [])
    for j in 0..<6 {
      let u = stream.child("u\(j)").normals(rows, as: Double.self)
      let v = stream.child("v\(j)").normals(columns, as: Double.self)
      let norm = (u.reduce(0) { $0 + $1 * $1 } * v.reduce(0) { $0 + $1 * $1 }).squareRoot()
      let size = scale * pow(2, Double(j)) / norm
      let atom = Matrix<Double>(rows: rows, columns: columns) { size * u[$0] * v[$1] }
      for sign in [1.0, -1] {
        atoms.append(sign * atom)
        weights.append(pow(2, -1.1 * alpha * Double(j)))
      }
    }
    return DiscreteLaw(centring: atoms, weights: weights)
  }

  /// The start of every run: entries 1, -1, 1, ….
  static func start(_ rows: Int, _ columns: Int) -> Matrix<Double> {
    Matrix(rows: rows, columns: columns) { ($0 + $1) % 2 == 0 ? 1 : -1 }
  }

  /// Names and problems that Theorem 3.3 is held against.
  static func problems(_ stream: RandomStream) -> [(name: String, problem: Problem)] {
    [
      ("quadratic 3x3", .quadratic(rows: 3, columns: 3, condition: 10, stream: stream.child("a"))),
      (
        "ill-conditioned 4x6",
        .quadratic(rows: 4, columns: 6, condition: 1e4, stream: stream.child("b"))
      ),
      ("ripple 3x3", Problem(.ripple, rows: 3, columns: 3)),
      (
        "quadratic 64x32",
        .quadratic(rows: 64, columns: 32, condition: 100, stream: stream.child("c"))
      ),
    ]
  }
}

/// Columns of a record that grow row by row: a cell each, of one kind in a column. The first row says their order.
struct Columns {
  enum Cell {
    case real(Double), count(Int), text(String)
    /// A value a run; rows with fewer runs than others are filled up with NaN.
    case runs([Double])
  }

  private let axis: String
  private var columns: [(name: String, longName: String, cells: [Cell])] = []

  init(axis: String) { self.axis = axis }

  /// Adds a row: name, cell and long name of each column.
  mutating func append(_ row: [(String, Cell, String)]) {
    if columns.isEmpty { columns = row.map { ($0.0, $0.2, []) } }
    precondition(columns.map(\.name) == row.map(\.0), "rows of different columns")
    for (index, (_, cell, _)) in row.enumerated() { columns[index].cells.append(cell) }
  }

  func record(_ attributes: Attributes) -> Record {
    var record = Record(attributes: attributes)
    for (name, longName, cells) in columns {
      let rows: [[Double]] = cells.map { cell in if case .runs(let runs) = cell { runs } else { [] }
      }
      let width = rows.map(\.count).max() ?? 0
      let values: Record.Values =
        switch cells[0] {
        case .real: .double(cells.map { if case .real(let x) = $0 { x } else { .nan } })
        case .count: .int64(cells.map { if case .count(let n) = $0 { Int64(n) } else { -1 } })
        case .text: .string(cells.map { if case .text(let text) = $0 { text } else { "" } })
        case .runs:
          .double(rows.flatMap { $0 + Array(repeating: .nan, count: width - $0.count) })
        }
      let isTable = width > 0
      let isText = if case .text = cells[0] { true } else { false }
      record.add(
        .init(
          name, values, shape: isTable ? [rows.count, width] : nil, longName: longName,
          units: isText ? "" : "1", dimensions: isTable ? [axis, "run"] : [axis]))
    }
    return record
  }
}
