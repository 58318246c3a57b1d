// SPDX-License-Identifier: Apache-2.0

import Experiments
import Lab

/// `delta-gclip-vae`: the autoencoder's curves; `delta-gclip-vae search`: hyper-parameters of its arms.
@main
struct DeltaGClipVAECommand: ExperimentGroup {
  typealias Main = DeltaGClipVAE
  static let others: [any Experiment.Type] = [DeltaGClipVAESearch.self]
}
