import ArgumentParser
import Experiments
import Lab

/// `nanogpt-shakespeare`: the curves of Figs 2c, 6a and 6b; `nanogpt-shakespeare search`: the hyper-parameters of Table 3.
@main
struct NanoGPTCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: NanoGPT.name, abstract: NanoGPT.abstract, version: suiteVersion,
    subcommands: [Curves.self, Search.self], defaultSubcommand: Curves.self)
}

struct Curves: ExperimentCommand {
  typealias Body = NanoGPT
  static let configuration = CommandConfiguration(
    commandName: "curves", abstract: NanoGPT.abstract)
  @OptionGroup var options: ExperimentOptions
}

struct Search: ExperimentCommand {
  typealias Body = NanoGPTSearch
  static let configuration = CommandConfiguration(
    commandName: "search", abstract: NanoGPTSearch.abstract)
  @OptionGroup var options: ExperimentOptions
}
