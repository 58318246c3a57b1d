import ArgumentParser
import Experiments
import Lab

/// `cifar10-resnet18`: the curves of Fig 2a; `cifar10-resnet18 truncation`: Fig 5b; `cifar10-resnet18 search`: the
/// hyper-parameters of Table 2.
@main
struct CIFAR10Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: CIFAR10ResNet18.name, abstract: CIFAR10ResNet18.abstract, version: suiteVersion,
    subcommands: [Curves.self, Truncation.self, Search.self], defaultSubcommand: Curves.self)
}

struct Curves: ExperimentCommand {
  typealias Body = CIFAR10ResNet18
  static let configuration = CommandConfiguration(
    commandName: "curves", abstract: CIFAR10ResNet18.abstract)
  @OptionGroup var options: ExperimentOptions
}

struct Truncation: ExperimentCommand {
  typealias Body = CIFAR10Truncation
  static let configuration = CommandConfiguration(
    commandName: "truncation", abstract: CIFAR10Truncation.abstract)
  @OptionGroup var options: ExperimentOptions
}

struct Search: ExperimentCommand {
  typealias Body = CIFAR10Search
  static let configuration = CommandConfiguration(
    commandName: "search", abstract: CIFAR10Search.abstract)
  @OptionGroup var options: ExperimentOptions
}
