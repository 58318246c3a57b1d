import ArgumentParser
import Experiments
import Lab

/// `gpt2-fineweb`: the curves of Figs 3 and 6c; `gpt2-fineweb search`: the hyper-parameters of Table 4.
@main
struct GPT2FineWebCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: GPT2FineWeb.name, abstract: GPT2FineWeb.abstract, version: suiteVersion,
    subcommands: [Curves.self, Search.self], defaultSubcommand: Curves.self)
}

struct Curves: ExperimentCommand {
  typealias Body = GPT2FineWeb
  static let configuration = CommandConfiguration(
    commandName: "curves", abstract: GPT2FineWeb.abstract)
  @OptionGroup var options: ExperimentOptions
}

struct Search: ExperimentCommand {
  typealias Body = GPT2Search
  static let configuration = CommandConfiguration(
    commandName: "search", abstract: GPT2Search.abstract)
  @OptionGroup var options: ExperimentOptions
}
