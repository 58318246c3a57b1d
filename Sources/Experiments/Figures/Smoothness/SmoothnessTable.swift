// SPDX-License-Identifier: Apache-2.0

import Foundation
import Lab
import LinearAlgebra
import Storage

/// The figure of the scatter: its table and the numbers of its caption.
extension Smoothness {
  /// A block a workload with the points of all seeds, and its fitted line as "fit:<workload>"; a block "summary" with a row a
  /// workload and estimator.
  package static func table(of set: RecordSet) throws -> Table {
    var table = Table()
    var rows: [(method: String, estimator: String, finding: Finding, l0: Double, l1: Double)] = []
    for method in set.methods {
      var (seeds, steps, norms) = ([Double](), [Double](), [Double]())
      var values = SmoothnessScatter.estimators.map { _ in [Double]() }
      for record in try set.records(of: method) {
        let columns = try SmoothnessScatter.columns(
          record, SmoothnessScatter.estimators.map(\.name))
        seeds += try columns[0].map { _ in Double(try record.int(attribute: "seed")) }
        steps += columns[0]
        norms += columns[1]
        for index in values.indices { values[index] += columns[2 + index] }
      }
      let last = max(1, steps.max() ?? 1)
      var block = Table.Block(method)
      block.add("seed", seeds)
      block.add("step", steps)
      block.add("progress", steps.map { $0 / last })
      block.add("grad_norm", norms)
      for (estimator, values) in zip(SmoothnessScatter.estimators, values) {
        block.add(estimator.name, values)
      }
      table.add(block)
      for estimator in SmoothnessScatter.estimators {
        let fits = try fits(set, method, estimator.name)
        rows.append(
          (
            method, estimator.name, try correlation(set, method, estimator),
            RunStatistics.interval(fits.map(\.l0)).estimate,
            RunStatistics.interval(fits.map(\.l1)).estimate
          ))
      }
      guard let own = rows.first(where: { $0.method == method }),
        let low = norms.filter({ $0.isFinite && $0 > 0 }).min(),
        let high = norms.filter(\.isFinite).max(), high > low
      else { continue }
      // The line's positive part, which is what a logarithmic axis shows.
      let x = (0...40).map { low * pow(high / low, Double($0) / 40) }
      var line = Table.Block("fit:" + method)
      line.add("grad_norm", x)
      line.add("smoothness", x.map { own.l0 + own.l1 * $0 > 0 ? own.l0 + own.l1 * $0 : .nan })
      table.add(line)
    }
    var summary = Table.Block("summary")
    summary.add("workload", text: rows.map(\.method))
    summary.add("estimator", text: rows.map(\.estimator))
    summary.add("correlation", rows.map(\.finding.estimate))
    summary.add("correlation.low", rows.map(\.finding.low))
    summary.add("correlation.high", rows.map(\.finding.high))
    summary.add("l0", rows.map(\.l0))
    summary.add("l1", rows.map(\.l1))
    table.add(summary)
    table.set("workload", .texts(set.methods))
    table.set("workload_title", .texts(try set.methods.map { try set.title(of: $0) }))
    table.set(
      "workload_note",
      .texts(
        set.methods.map { method in
          rows.first { $0.method == method }.map { "ρ = \(significant($0.finding.estimate, 2))" }
            ?? ""
        }))
    return table
  }

  private static func fits(
    _ set: RecordSet, _ method: String, _ estimator: String
  ) throws -> [(l0: Double, l1: Double)] {
    try set.records(of: method).map { try SmoothnessScatter($0, estimator).fit }
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let lines = try set.methods.map { method -> String in
      let record = try set.records(of: method)[0]
      let coefficients = try SmoothnessScatter.estimators.prefix(2).map { estimator in
        "\(try correlation(set, method, estimator).effect) (\(estimator.words))"
      }
      let fit = try fits(set, method, SmoothnessScatter.estimators[0].name)
      let (l0, l1) = (fit.map(\.l0), fit.map(\.l1))
      return "\(try set.title(of: method)) (\(try record.int(attribute: "parameters")) parameters, "
        + "\(try record.int(attribute: "steps")) steps, \(try record.string(attribute: "arm_title")), "
        + "\(try record.string(attribute: "data_name"))): ρ = "
        + coefficients.joined(separator: ", ")
        + "; L0 = \(significant(RunStatistics.interval(l0).estimate, 2)), "
        + "L1 = \(significant(RunStatistics.interval(l1).estimate, 2))"
    }
    return [("workloads", lines.joined(separator: ". "))]
  }
}
