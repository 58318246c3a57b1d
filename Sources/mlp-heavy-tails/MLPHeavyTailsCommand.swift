// SPDX-License-Identifier: Apache-2.0

import Experiments
import Lab

/// `mlp-heavy-tails`: the curves of Fig 2b; `mlp-heavy-tails search`: the hyper-parameters of Table 1.
@main
struct MLPHeavyTailsCommand: ExperimentGroup {
  typealias Main = MLPHeavyTails
  static let others: [any Experiment.Type] = [MLPSearch.self]
}
