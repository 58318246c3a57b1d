import ArgumentParser
import Experiments

/// `bad-token-spectra`: Figs 1 and 7.
@main
struct BadTokenSpectraCommand: ExperimentCommand {
  typealias Body = BadTokenSpectra
  @OptionGroup var options: ExperimentOptions
}
