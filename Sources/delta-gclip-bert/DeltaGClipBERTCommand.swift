import ArgumentParser
import Experiments
import Lab

/// `delta-gclip-bert`: BERT's curves; `delta-gclip-bert search`: hyper-parameters of its arms.
@main
struct DeltaGClipBERTCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: DeltaGClipBERT.name, abstract: DeltaGClipBERT.abstract,
    subcommands: [Curves.self, Search.self], defaultSubcommand: Curves.self)
}

struct Curves: ExperimentCommand {
  typealias Body = DeltaGClipBERT
  static let configuration = CommandConfiguration(
    commandName: "curves", abstract: DeltaGClipBERT.abstract)
  @OptionGroup var options: ExperimentOptions
}

struct Search: ExperimentCommand {
  typealias Body = DeltaGClipBERTSearch
  static let configuration = CommandConfiguration(
    commandName: "search", abstract: DeltaGClipBERTSearch.abstract)
  @OptionGroup var options: ExperimentOptions
}
