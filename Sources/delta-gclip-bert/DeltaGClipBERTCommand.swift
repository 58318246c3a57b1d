// SPDX-License-Identifier: Apache-2.0

import Experiments
import Lab

/// `delta-gclip-bert`: BERT's curves; `delta-gclip-bert search`: hyper-parameters of its arms.
@main
struct DeltaGClipBERTCommand: ExperimentGroup {
  typealias Main = DeltaGClipBERT
  static let others: [any Experiment.Type] = [DeltaGClipBERTSearch.self]
}
