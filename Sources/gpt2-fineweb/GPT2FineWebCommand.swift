// SPDX-License-Identifier: Apache-2.0

import Experiments
import Lab

/// `gpt2-fineweb`: the curves of Figs 3 and 6c; `gpt2-fineweb search`: the hyper-parameters of Table 4.
@main
struct GPT2FineWebCommand: ExperimentGroup {
  typealias Main = GPT2FineWeb
  static let others: [any Experiment.Type] = [GPT2Search.self]
}
