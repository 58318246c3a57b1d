// SPDX-License-Identifier: Apache-2.0

import Lab

/// Fig 2b: an MLP on y = x₁x₂x₃ whose gradients suffer heavy-tailed low-rank noise (§6.4), for the paper's methods and
/// others, each at hyper-parameters found by the same search (`MLPSearch`).
package enum MLPHeavyTails: CurveExperiment {
  package typealias Task = MLPTask
  package static let name = "mlp-heavy-tails"
  package static let abstract =
    "An MLP under heavy-tailed gradient noise: loss curves of every clipping rule (Fig 2b)."
  package static let version = 1
  package static let arms = MLPArms.all
  package static let defaults = CurveConfig(
    MLPSettings(), methods: arms.map(\.name), seeds: [1, 2, 3, 4, 5])
}

/// Table 1: hyper-parameters of every method of the MLP experiment.
package enum MLPSearch: SearchExperiment {
  package typealias Figure = MLPHeavyTails
  package static let name = "mlp-search"
  package static let abstract =
    "Hyper-parameters of the MLP's methods by successive halving with equal budgets (Table 1)."
  package static let objective = "final_train_loss"
  package static let stream = "mlp/search"
  package static let selectionMeaning = "by the training loss, on seeds that are not the curves'"
  package static let defaults = SearchConfig(MLPSettings(), methods: arms.map(\.name))

  package static func objectiveMeaning(_ config: Config) -> String {
    "mean loss of the last \(MLPTask.finalLosses) mini-batches, NaN after divergence"
  }
}
