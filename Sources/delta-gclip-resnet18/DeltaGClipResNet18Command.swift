import ArgumentParser
import Experiments
import Lab

/// `delta-gclip-resnet18`: ResNet-18's curves; `delta-gclip-resnet18 search`: hyper-parameters of its arms.
@main
struct DeltaGClipResNet18Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: DeltaGClipResNet18.name, abstract: DeltaGClipResNet18.abstract,
    subcommands: [Curves.self, Search.self], defaultSubcommand: Curves.self)
}

struct Curves: ExperimentCommand {
  typealias Body = DeltaGClipResNet18
  static let configuration = CommandConfiguration(
    commandName: "curves", abstract: DeltaGClipResNet18.abstract)
  @OptionGroup var options: ExperimentOptions
}

struct Search: ExperimentCommand {
  typealias Body = DeltaGClipResNet18Search
  static let configuration = CommandConfiguration(
    commandName: "search", abstract: DeltaGClipResNet18Search.abstract)
  @OptionGroup var options: ExperimentOptions
}
