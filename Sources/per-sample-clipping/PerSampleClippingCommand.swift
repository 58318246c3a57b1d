import ArgumentParser
import Experiments
import Lab

/// `per-sample-clipping`: AlexNet's curves; `per-sample-clipping search`: hyper-parameters of its arms.
@main
struct PerSampleClippingCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: PerSampleAlexNet.name, abstract: PerSampleAlexNet.abstract,
    subcommands: [Curves.self, Search.self], defaultSubcommand: Curves.self)
}

struct Curves: ExperimentCommand {
  typealias Body = PerSampleAlexNet
  static let configuration = CommandConfiguration(
    commandName: "curves", abstract: PerSampleAlexNet.abstract)
  @OptionGroup var options: ExperimentOptions
}

struct Search: ExperimentCommand {
  typealias Body = PerSampleSearch
  static let configuration = CommandConfiguration(
    commandName: "search", abstract: PerSampleSearch.abstract)
  @OptionGroup var options: ExperimentOptions
}
