// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Experiments
import Lab

/// `bad-token-spectra`: Figs 1 and 7.
@main
struct BadTokenSpectraCommand: ExperimentCommand {
  typealias Body = BadTokenSpectra
  @OptionGroup var options: ExperimentOptions
}
