import Lab

// The claims of Fig 5a, with their criteria.

extension TraceRegression {
  /// Δ² over the last tenth of the iterations, exact, in units of ‖∇f(X_0)‖², one number a seed.
  private static func tail(_ set: RecordSet, _ method: String) throws -> [Double] {
    try zip(
      set.values("tail_bias_sq_exact", of: method),
      set.values("initial_grad_norm_sq", of: method)
    ).map { $0 / $1 }
  }

  package static let claims: [Claim] = [
    Claim(
      id: "fig5a-large-tau", item: "§4, Fig 5a",
      statement: "With a large enough constant threshold the gradient bias approaches 0.",
      criterion:
        "for tau = 1 and tau = 5, the exact squared bias averaged over the last tenth of the "
        + "iterations is below 1e-6 of the first squared gradient norm"
    ) { set in
      .all(
        try ["constant-1", "constant-5"].map {
          .logTest("relative tail bias of \($0)", try tail(set, $0), below: 1e-6)
        })
    },
    Claim(
      id: "fig5a-small-tau", item: "§4, Fig 5a",
      statement: "With a small constant threshold the gradient bias stays away from 0.",
      criterion:
        "for tau = 0.05 and tau = 0.1, the same relative tail bias is above 1e-4, and above half "
        + "of the bias over the tenth before (it does not keep falling)"
    ) { set in
      .all(
        try ["constant-0.05", "constant-0.1"].flatMap { method in
          [
            .logTest("relative tail bias of \(method)", try tail(set, method), above: 1e-4),
            .logTest(
              "last tenth over the tenth before, \(method)",
              try zip(
                set.values("tail_bias_sq_exact", of: method),
                set.values("before_tail_bias_sq_exact", of: method)
              ).map { $0 / $1 }, above: 0.5),
          ]
        })
    },
    adaptive("ema", "EMA threshold, eq. (8)"),
    adaptive("quantile", "quantile threshold, eq. (9)"),
    Claim(
      id: "fig5a-as-plotted", item: "§4, Fig 5a",
      statement:
        "As the authors plot it (running mean of the 10-sample bias up to K), small constant "
        + "thresholds end far above a large one and above both adaptive rules.",
      criterion:
        "at the last iteration the running mean of tau = 0.05 and of tau = 0.1 is above ten times "
        + "that of tau = 5, of the EMA and of the quantile rule, paired by seed (this row was added after the "
        + "first records were seen: the rows above look at the exact bias at the end of the run, which "
        + "the paper does not plot)"
    ) { set in
      func last(_ method: String) throws -> [Double] {
        try set.records(of: method).map { try $0.doubles("bias_sq_monte_carlo_mean").last ?? .nan }
      }
      return .all(
        try ["constant-0.05", "constant-0.1"].flatMap { small in
          try ["constant-5", "ema", "quantile"].map { other in
            .logTest(
              "\(small) over \(other)", try zip(last(small), last(other)).map { $0 / $1 }, above: 10
            )
          }
        })
    },
  ]

  private static func adaptive(_ method: String, _ name: String) -> Claim {
    Claim(
      id: "fig5a-\(method)", item: "§4, Fig 5a",
      statement: "The \(name) works without tuning: its bias becomes small.",
      criterion: "its exact tail bias is below a tenth of that of each small constant threshold "
        + "(tau = 0.05 and tau = 0.1), paired by seed"
    ) { set in
      .all(
        try ["constant-0.05", "constant-0.1"].map { constant in
          .logTest(
            "tail bias of \(method) over that of \(constant)",
            try zip(tail(set, method), tail(set, constant)).map { $0 / max($1, 1e-40) }, below: 0.1)
        })
    }
  }
}
