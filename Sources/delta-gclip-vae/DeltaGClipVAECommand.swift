import ArgumentParser
import Experiments
import Lab

/// `delta-gclip-vae`: the autoencoder's curves; `delta-gclip-vae search`: hyper-parameters of its arms.
@main
struct DeltaGClipVAECommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: DeltaGClipVAE.name, abstract: DeltaGClipVAE.abstract,
    subcommands: [Curves.self, Search.self], defaultSubcommand: Curves.self)
}

struct Curves: ExperimentCommand {
  typealias Body = DeltaGClipVAE
  static let configuration = CommandConfiguration(
    commandName: "curves", abstract: DeltaGClipVAE.abstract)
  @OptionGroup var options: ExperimentOptions
}

struct Search: ExperimentCommand {
  typealias Body = DeltaGClipVAESearch
  static let configuration = CommandConfiguration(
    commandName: "search", abstract: DeltaGClipVAESearch.abstract)
  @OptionGroup var options: ExperimentOptions
}
