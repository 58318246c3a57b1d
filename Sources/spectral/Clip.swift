// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Clipping
import LinearAlgebra
import Storage

/// `spectral clip`: a copy of a tensor file whose matrices have no singular value above tau.
struct Clip: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Clip the singular values of the matrices in a file at tau.",
    discussion: """
      Writes a copy of IN, in the format of IN, in which every chosen matrix U diag(s) Vᵀ has \
      become U diag(min(s, tau)) Vᵀ; whatever else IN holds, and every matrix already within \
      tau, is copied bit for bit. F64 tensors are held in double, other real types in single \
      precision; the result is rounded to the type of the tensor. OUT may be IN.
      """)

  enum Method: String, ExpressibleByArgument, CaseIterable {
    case exact
    case randomized
  }

  @Argument(help: "An HDF5 or safetensors file.")
  var input: String
  // Unconditional, so that -1 is a (wrong) threshold and not an unknown option.
  @Option(
    parsing: .unconditional, help: "The largest singular value to leave; a number >= 0 or inf.",
    transform: Self.number)
  var tau: Double
  @Option(help: "exact: every singular value; randomized: the R largest (Algorithm 2).")
  var method = Method.exact
  @Option(
    parsing: .unconditional, help: "randomized: how many singular values are clipped at most.")
  var rank: Int?
  @Option(parsing: .unconditional, help: "randomized: further sketch vectors (default: 5).")
  var oversampling: Int?
  @Option(parsing: .unconditional, help: "randomized: power iterations (default: 1).")
  var powerIterations: Int?
  @Option(parsing: .unconditional, help: "randomized: seed of the sketches (default: 0).")
  var seed: UInt64?
  @Option(help: TensorSelection.help)
  var tensors = TensorSelection.matrices
  @Option(help: "The file to write; missing folders are created.")
  var out: String

  /// A number that a `Double` can hold and tell from 0; infinity has to be called so.
  private static func number(_ text: String) throws -> Double {
    guard let value = Double(text), value.isFinite || !text.contains(where: \.isNumber),
      !underflows(text)
    else { throw ValidationError("'\(text)' is no number that can be held") }
    return value
  }

  func validate() throws {
    guard tau >= 0 else {
      throw ValidationError("--tau \(tau): a threshold is a number >= 0 (inf clips nothing)")
    }
    switch method {
    case .exact:
      let given = [
        ("--rank", rank != nil), ("--oversampling", oversampling != nil),
        ("--power-iterations", powerIterations != nil), ("--seed", seed != nil),
      ]
      if let (option, _) = given.first(where: { $0.1 }) {
        throw ValidationError(
          "\(option) has no meaning for --method exact: leave it out or add --method randomized")
      }
    case .randomized:
      guard let rank else {
        throw ValidationError("--method randomized needs --rank: how many values to clip, say 5")
      }
      if rank < 1 { throw ValidationError("--rank \(rank): use a whole number >= 1") }
      if rank > 1_000_000_000 { throw ValidationError("--rank \(rank): use at most 1000000000") }
      if let oversampling, oversampling < 0 {
        throw ValidationError("--oversampling \(oversampling): use a whole number >= 0")
      }
      if let oversampling, oversampling > 1_000_000_000 {
        throw ValidationError("--oversampling \(oversampling): use at most 1000000000")
      }
      if let powerIterations, powerIterations < 0 {
        throw ValidationError("--power-iterations \(powerIterations): use a whole number >= 0")
      }
      if let powerIterations, powerIterations > 1000 {
        throw ValidationError("--power-iterations \(powerIterations): use at most 1000")
      }
    }
  }

  func run() throws {
    try AtomicFile.checkPlace(out)
    let file = try TensorFile(input)
    let clip = try operation
    var replaced: [ByteName: TensorValues] = [:]
    var reports: [(entry: TensorEntry, report: ClipStatistics)] = []
    for entry in try tensors.entries(of: file) {
      let stream = RandomStream(seed: seed ?? 0, name: "sketch/\(entry.name)")
      let (report, values) = try withTensor(entry, of: file) {
        try clipped($0, shape: entry.shape, by: clip, at: tau, sketch: stream)
      }
      // A matrix within tau is left out, so that it is copied and not written anew.
      if report.clippedCount > 0 {
        replaced[ByteName(entry.name)] = values
        if let rounding = entry.rounding {
          note(
            "note: \(file.path): \(entry.name): \(rounding), so that singular values may exceed tau"
          )
        }
      }
      reports.append((entry, report))
    }
    try file.copy(to: out, replacing: replaced)
    for line in Self.table(reports).lines { try Terminal.line(line, beside: out) }
    for (entry, report) in reports where report.remainingCount > 0 {
      try Terminal.line(
        "\(entry.name): at least \(report.remainingCount) more above tau remain; raise --rank, or leave out "
          + "--method randomized", beside: out)
    }
    let others = file.entries.count - reports.count
    try Terminal.line(
      "\(counted(others, "other tensor", "other tensors")) copied unchanged; wrote \(out)",
      beside: out)
  }

  private var operation: SpectralClip {
    get throws {
      guard method == .randomized, let rank else { return .exact }
      return try .randomized(
        rank: rank, oversampling: oversampling ?? 5, powerIterations: powerIterations ?? 1)
    }
  }

  /// One line a tensor and a total, whose norms are those of all the tensors together.
  static func table(_ reports: [(entry: TensorEntry, report: ClipStatistics)]) -> TextTable {
    var table = TextTable([
      ("tensor", .left), ("shape", .right), ("sigma_max", .right), ("tau", .right),
      ("clipped", .right), ("norm before", .right), ("", .left), ("after", .right),
    ])
    func add(
      _ name: String, _ shape: String, _ sigmaMax: Double?, _ tau: String,
      _ clipped: Int, of values: Int, _ before: Double, _ after: Double
    ) {
      table.add(
        name, shape, sigmaMax.map(short) ?? "-", tau, "\(clipped)/\(values)", short(before), "->",
        short(after))
    }
    for (entry, report) in reports {
      add(
        entry.name, shapeText(entry.shape), report.sigmaMax, short(report.tau),
        report.clippedCount, of: report.valueCount, report.normBefore ?? .nan,
        report.normAfter ?? .nan)
    }
    let all = reports.map(\.report)
    add(
      "total", counted(all.count, "tensor", "tensors"), all.compactMap(\.sigmaMax).max(), "",
      all.reduce(0) { $0 + $1.clippedCount }, of: all.reduce(0) { $0 + $1.valueCount },
      rootSumOfSquares(all.compactMap(\.normBefore)),
      rootSumOfSquares(all.compactMap(\.normAfter)))
    return table
  }
}

/// The clipped values of a tensor of `shape`, in the precision that they came in.
func clipped(
  _ values: TensorValues, shape: [Int], by clip: SpectralClip, at tau: Double,
  sketch: RandomStream
) throws -> (ClipStatistics, TensorValues) {
  func run<Scalar: RealScalar>(_ values: [Scalar]) throws -> (ClipStatistics, [Scalar]) {
    var work = matrix(values, shape: shape)
    let report = try work.withMutableView {
      try clip.clip($0, at: .fixedMeasuringSigmaMax(tau), sketch: sketch)
    }
    return (report, work.elements)
  }
  switch values {
  case .float(let values):
    let (report, values) = try run(values)
    return (report, .float(values))
  case .double(let values):
    let (report, values) = try run(values)
    return (report, .double(values))
  }
}

/// The norm of the parts' norms, scaled so that no square overflows.
func rootSumOfSquares(_ norms: [Double]) -> Double {
  guard let largest = norms.max(), largest > 0 else { return 0 }
  return largest * norms.reduce(0) { $0 + ($1 / largest) * ($1 / largest) }.squareRoot()
}
