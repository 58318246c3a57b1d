// SPDX-License-Identifier: Apache-2.0

import Experiments
import Lab

/// `delta-gclip-vit`: the vision transformer's curves; `delta-gclip-vit search`: hyper-parameters of its arms.
@main
struct DeltaGClipViTCommand: ExperimentGroup {
  typealias Main = DeltaGClipViT
  static let others: [any Experiment.Type] = [DeltaGClipViTSearch.self]
}
