// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Experiments
import Lab

@main
struct TraceRegressionCommand: ExperimentCommand {
  typealias Body = TraceRegression
  @OptionGroup var options: ExperimentOptions
}
