// SPDX-License-Identifier: Apache-2.0

import Lab
import LinearAlgebra
import Storage

/// What a record says of the smoothness: points, their rank correlation and the fitted (L0, L1).
struct SmoothnessScatter {
  /// Measures of local smoothness by the names of their data sets, with their words.
  static let estimators = [
    (name: "smoothness_max", words: "maximum over the grid"),
    (name: "smoothness_midpoint", words: "midpoint"),
    (name: "smoothness_midpoint_undivided", words: "midpoint as the authors' code has it"),
  ]

  let step: [Double], gradientNorm: [Double], smoothness: [Double]

  /// Step, gradient norm and the estimators of every point.
  static func columns(_ record: Record, _ estimators: [String]) throws -> [[Double]] {
    let names = ["grad_norm"] + estimators
    try record.checkLengths(of: ["step"] + names)
    return try [record.ints("step").map(Double.init)] + names.map { try record.doubles($0) }
  }

  /// The finite points of `estimator`.
  init(_ record: Record, _ estimator: String) throws {
    let columns = try Self.columns(record, [estimator])
    let rows = columns[0].indices.filter { row in columns.allSatisfy { $0[row].isFinite } }
    let kept = columns.map { column in rows.map { column[$0] } }
    (step, gradientNorm, smoothness) = (kept[0], kept[1], kept[2])
  }

  /// Spearman's coefficient; NaN below four points.
  var correlation: Double {
    step.count < 4 ? .nan : Statistics.rankCorrelation(gradientNorm, smoothness)
  }

  /// The least-squares line smoothness = L0 + L1 · gradient norm; NaN where there is none.
  var fit: (l0: Double, l1: Double) {
    guard step.count >= 4, Set(gradientNorm).count >= 2 else { return (.nan, .nan) }
    let line = LinearFit(gradientNorm, smoothness)
    return (line.intercept, line.slope)
  }
}

extension Smoothness {
  private static let positive = Bound.above(0)

  package static let claims: [Claim] = workloads.map { workload in
    Claim(
      id: "smoothness-\(workload.name)",
      item: workload.name == "lstm" ? "1905.11881, Fig 1" : "1905.11881, Fig 1 (other networks)",
      statement:
        "\(workload.title): the local smoothness grows with the gradient norm.",
      criterion:
        "Spearman's coefficient of gradient norm and local smoothness (the maximum over the grid) over the points of a "
        + "run, one a seed, averaged on Fisher's z with Student's t, lies \(positive.words) with its whole interval",
      family: "smoothness"
    ) { set in
      guard set.methods.contains(workload.name) else {
        return Evidence(obstacle: .noRecords(workload.name))
      }
      // Its own records alone: another workload's data may be generated.
      let own = try RecordSet(folder: set.folder, records: set.records(of: workload.name))
      let evidence = try Comparison.judge(own, arms: [workload.name], acting: []) {
        [try correlation(own, workload.name, SmoothnessScatter.estimators[0])]
      }
      return evidence.beside(try others(own, workload.name))
    }
  }

  static func correlation(
    _ set: RecordSet, _ method: String, _ estimator: (name: String, words: String)
  ) throws -> Finding {
    .correlations(
      "rank correlation of gradient norm and local smoothness, \(estimator.words)",
      try set.records(of: method).map { try SmoothnessScatter($0, estimator.name).correlation },
      positive, needed: 3)
  }

  /// The other estimator, and the slope of the fit.
  private static func others(_ set: RecordSet, _ method: String) throws -> [Finding] {
    try [correlation(set, method, SmoothnessScatter.estimators[1])]
      + SmoothnessScatter.estimators.map { estimator in
        .mean(
          "L1 of the fit, \(estimator.words)",
          try set.records(of: method).map { try SmoothnessScatter($0, estimator.name).fit.l1 },
          positive, needed: 3)
      }
  }
}
