import ArgumentParser
import Experiments
import Lab

/// `delta-gclip-vit`: the vision transformer's curves; `delta-gclip-vit search`: hyper-parameters of its arms.
@main
struct DeltaGClipViTCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: DeltaGClipViT.name, abstract: DeltaGClipViT.abstract,
    subcommands: [Curves.self, Search.self], defaultSubcommand: Curves.self)
}

struct Curves: ExperimentCommand {
  typealias Body = DeltaGClipViT
  static let configuration = CommandConfiguration(
    commandName: "curves", abstract: DeltaGClipViT.abstract)
  @OptionGroup var options: ExperimentOptions
}

struct Search: ExperimentCommand {
  typealias Body = DeltaGClipViTSearch
  static let configuration = CommandConfiguration(
    commandName: "search", abstract: DeltaGClipViTSearch.abstract)
  @OptionGroup var options: ExperimentOptions
}
