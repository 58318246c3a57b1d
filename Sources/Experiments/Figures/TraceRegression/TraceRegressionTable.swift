// SPDX-License-Identifier: Apache-2.0

import Lab
import Storage

/// Fig 5a: its table and the numbers of its caption.
extension TraceRegression {
  private static func legend(_ method: String) -> String {
    switch method {
    case "ema": "EMA, θ = 0.9"
    case "quantile": "quantile, q = 0.85"
    case _ where method.hasPrefix("constant-"): "τ = \(method.dropFirst(9))"
    default: method
    }
  }

  /// Running means of the squared bias by iteration, from 1; bands from the smallest to the largest seed.
  package static func table(of set: RecordSet) throws -> Table {
    try set.curveTable(
      axis: ("iteration", { try $0.ints("step").map { Double($0 + 1) } }),
      series: ["bias_sq_monte_carlo_mean", "bias_sq_exact_mean", "bias_sq_exact"].map {
        CurveSeries($0, .range)
      },
      finals: [.init("tail_bias_sq_exact", .range)], group: { _ in "" }, title: legend)
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let record = set.records[0]
    var values = [("steps", "\((try record.ints("step").last ?? 0) + 1)")]
    for method in Config().methods + set.methods
    where !values.contains(where: { $0.0 == "tail.\(method)" }) {
      let tails =
        set.methods.contains(method) ? try set.values("tail_bias_sq_exact", of: method) : []
      values.append(
        (
          "tail.\(method)",
          tails.isEmpty
            ? "not run" : "\(short(tails.min() ?? .nan)) to \(short(tails.max() ?? .nan))"
        ))
    }
    return values
  }
}
