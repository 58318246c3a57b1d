import ArgumentParser
import Experiments
import Lab

/// `smoothness`: gradient norm against local smoothness; `smoothness curves`: clipped against unclipped SGD on the LSTM.
@main
struct SmoothnessCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: Smoothness.name, abstract: Smoothness.abstract,
    subcommands: [Scatter.self, Curves.self], defaultSubcommand: Scatter.self)
}

struct Scatter: ExperimentCommand {
  typealias Body = Smoothness
  static let configuration = CommandConfiguration(
    commandName: "scatter", abstract: Smoothness.abstract)
  @OptionGroup var options: ExperimentOptions
}

struct Curves: ExperimentCommand {
  typealias Body = LSTMCurves
  static let configuration = CommandConfiguration(
    commandName: "curves", abstract: LSTMCurves.abstract)
  @OptionGroup var options: ExperimentOptions
}
