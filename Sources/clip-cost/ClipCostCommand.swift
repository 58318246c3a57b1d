// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Experiments
import Lab

@main
struct ClipCostCommand: ExperimentCommand {
  typealias Body = ClipCost
  @OptionGroup var options: ExperimentOptions
}
