import ArgumentParser
import Experiments
import Lab

/// `mlp-heavy-tails`: the curves of Fig 2b; `mlp-heavy-tails search`: the hyper-parameters of Table 1.
@main
struct MLPHeavyTailsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: MLPHeavyTails.name, abstract: MLPHeavyTails.abstract, version: suiteVersion,
    subcommands: [Curves.self, Search.self], defaultSubcommand: Curves.self)
}

struct Curves: ExperimentCommand {
  typealias Body = MLPHeavyTails
  static let configuration = CommandConfiguration(
    commandName: "curves", abstract: MLPHeavyTails.abstract)
  @OptionGroup var options: ExperimentOptions
}

struct Search: ExperimentCommand {
  typealias Body = MLPSearch
  static let configuration = CommandConfiguration(
    commandName: "search", abstract: MLPSearch.abstract)
  @OptionGroup var options: ExperimentOptions
}
