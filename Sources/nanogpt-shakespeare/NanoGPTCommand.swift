// SPDX-License-Identifier: Apache-2.0

import Experiments
import Lab

/// `nanogpt-shakespeare`: the curves of Figs 2c, 6a and 6b; `nanogpt-shakespeare search`: the hyper-parameters of Table 3.
@main
struct NanoGPTCommand: ExperimentGroup {
  typealias Main = NanoGPT
  static let others: [any Experiment.Type] = [NanoGPTSearch.self]
}
