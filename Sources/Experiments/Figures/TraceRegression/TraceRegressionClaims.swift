// SPDX-License-Identifier: Apache-2.0

import Lab
import Storage

// The claims of Fig 5a.

extension TraceRegression {
  /// Δ² over the last tenth of the iterations, exact, in units of ‖∇f(X_0)‖², one number a seed.
  private static func tail(_ set: RecordSet, _ method: String) throws -> [Double] {
    try zip(
      set.values("tail_bias_sq_exact", of: method),
      set.values("initial_grad_norm_sq", of: method)
    ).map { $0 / $1 }
  }

  private static let vanishes = Bound.below(1e-6)
  private static let stays = Bound.above(1e-4)
  private static let isSmall = Bound.below(1e-3)
  private static let farAbove = Bound.above(10)
  private static let small = ["constant-0.05", "constant-0.1"]

  /// An attribute of one method over that of another, problem by problem.
  private static func ratios(
    _ set: RecordSet, _ method: String, _ other: String, _ value: (Record) throws -> Double
  ) throws -> [Double] {
    try set.pairs(method, other).map { try value($0) / max(try value($1), 1e-40) }
  }

  package static let claims: [Claim] = [
    Claim(
      id: "fig5a-large-tau", item: "§4, Fig 5a",
      statement: "With a large enough constant threshold the gradient bias approaches 0.",
      criterion:
        "for tau = 1 and tau = 5, the exact squared bias averaged over the last tenth of the "
        + "iterations, in units of the first squared gradient norm, lies \(vanishes.words) on every problem",
      family: "fig5a"
    ) { set in
      Evidence(
        try ["constant-1", "constant-5"].map {
          .range(
            part: $0, "relative tail bias of \($0)", try tail(set, $0), vanishes, unit: "problem")
        })
    },
    Claim(
      id: "fig5a-small-tau", item: "§4, Fig 5a",
      statement: "With a small constant threshold the gradient bias stays away from 0.",
      criterion:
        "for tau = 0.05 and tau = 0.1, the same relative tail bias, its geometric mean over the problems, lies "
        + "\(stays.words) with its whole interval",
      family: "fig5a"
    ) { set in
      let tails = try small.map { try tail(set, $0) }
      return Evidence(
        zip(small, tails).map {
          .ratios(part: $0, "relative tail bias of \($0)", $1, stays, unit: "problem")
        },
        remarks: zip(small, tails).map { method, values in
          "\(method) stays so on \(values.count { stays.verdict(low: $0, high: $0) == .reproduced }) of "
            + "\(values.count) problems"
        })
    },
    adaptive("ema", "EMA threshold, eq. (8)"),
    adaptive("quantile", "quantile threshold, eq. (9)"),
    Claim(
      id: "fig5a-as-plotted", item: "§4, Fig 5a",
      statement:
        "As the authors plot it, small constant thresholds end far above a large one and both adaptive rules.",
      criterion:
        "at the last iteration the running mean of the 10-sample bias of tau = 0.05 and of tau = 0.1 over that of tau = 5, of the EMA and "
        + "of the quantile rule, paired by seed, lies \(farAbove.words)",
      family: "fig5a"
    ) { set in
      Evidence(
        try small.flatMap { method in
          try ["constant-5", "ema", "quantile"].map { other in
            .ratios(
              part: "\(method)-\(other)", "running mean of \(method) over \(other)",
              try ratios(set, method, other) {
                try $0.doubles("bias_sq_monte_carlo_mean").last ?? .nan
              }, farAbove)
          }
        })
    },
  ]

  private static func adaptive(_ method: String, _ name: String) -> Claim {
    Claim(
      id: "fig5a-\(method)", item: "§4, Fig 5a",
      statement: "The \(name) works without tuning: its bias becomes small.",
      criterion: "its relative tail bias lies \(isSmall.words) on every problem", family: "fig5a"
    ) { set in
      let tails = try tail(set, method)
      return Evidence(
        [.range("relative tail bias of \(method)", tails, isSmall, unit: "problem")],
        remarks: [
          "it is so on \(tails.count { isSmall.verdict(low: $0, high: $0) == .reproduced }) of "
            + "\(tails.count) problems"
        ])
    }
  }
}
