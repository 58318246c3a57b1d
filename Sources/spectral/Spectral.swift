import ArgumentParser
@main struct Spectral: ParsableCommand {
  static let configuration = CommandConfiguration(subcommands: [Tabulate.self, Caption.self, Claims.self, Costs.self])
}
