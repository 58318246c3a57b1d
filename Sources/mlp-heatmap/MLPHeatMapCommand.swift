// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Experiments
import Lab

@main
struct MLPHeatMapCommand: ExperimentCommand {
  typealias Body = MLPHeatMap
  @OptionGroup var options: ExperimentOptions
}
