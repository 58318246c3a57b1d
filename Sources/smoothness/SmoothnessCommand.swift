// SPDX-License-Identifier: Apache-2.0

import Experiments
import Lab

/// `smoothness`: gradient norm against local smoothness; `smoothness curves`: clipped against unclipped SGD on the LSTM.
@main
struct SmoothnessCommand: ExperimentGroup {
  typealias Main = Smoothness
  static let others: [any Experiment.Type] = [LSTMCurves.self]
}
