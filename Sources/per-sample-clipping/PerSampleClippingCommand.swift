// SPDX-License-Identifier: Apache-2.0

import Experiments
import Lab

/// `per-sample-clipping`: AlexNet's curves; `per-sample-clipping search`: hyper-parameters of its arms.
@main
struct PerSampleClippingCommand: ExperimentGroup {
  typealias Main = PerSampleAlexNet
  static let others: [any Experiment.Type] = [PerSampleSearch.self]
}
