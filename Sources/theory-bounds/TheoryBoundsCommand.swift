// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Experiments
import Lab

@main
struct TheoryBoundsCommand: ExperimentCommand {
  typealias Body = TheoryBounds
  @OptionGroup var options: ExperimentOptions
}
