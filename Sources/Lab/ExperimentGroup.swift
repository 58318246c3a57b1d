// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// The main program of several experiments: a subcommand each, of which the first one's name may be left out.
package protocol ExperimentGroup: ParsableCommand {
  /// The experiment that the program is named after.
  associatedtype Main: Experiment
  /// The others.
  static var others: [any Experiment.Type] { get }
}

extension ExperimentGroup {
  /// Name and abstract of the first experiment, and a subcommand for each.
  package static var configuration: CommandConfiguration {
    func command<Body: Experiment>(_: Body.Type) -> any ParsableCommand.Type {
      Subcommand<Body>.self
    }
    return CommandConfiguration(
      commandName: Main.name, abstract: Main.abstract, version: suiteVersion,
      subcommands: [Subcommand<Main>.self] + others.map { command($0) },
      defaultSubcommand: Subcommand<Main>.self)
  }

  /// The main program.
  package static func main() { mainOfSuite() }
}

/// An experiment as one of several of a program.
package struct Subcommand<Body: Experiment>: ExperimentCommand {
  /// `Body.subcommand` stands for its name.
  package static var configuration: CommandConfiguration {
    CommandConfiguration(
      commandName: Body.subcommand, abstract: Body.abstract, version: suiteVersion)
  }

  @OptionGroup package var options: ExperimentOptions

  /// Made by the argument parser.
  package init() {}
}
