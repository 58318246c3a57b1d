import Foundation
import LinearAlgebra
import Storage
import Training

/// The settings of a search.
package protocol SearchConfig: ExperimentConfig {
  /// Trials a method.
  var trials: Int { get }
  /// Training steps of a trial.
  var stepsPerTrial: Int { get }
}

extension SearchConfig {
  package func validateTrials() throws {
    guard trials >= 1 else { throw ConfigError.value("trials", trials, "a whole number >= 1") }
  }
}

/// Tables 1 to 4: hyper-parameters of an experiment's methods, by quasi-random search over the authors' ranges with equal
/// budgets. An experiment says how one trial is trained; the rest is here.
package protocol SearchExperiment: Experiment where Config: SearchConfig {
  /// The methods.
  associatedtype Method: TunableMethod
  /// The command that writes chosen.yaml.
  static var command: String { get }
  /// What is minimised: its name in the records.
  static var objective: String { get }
  /// How the figure calls it.
  static var objectiveTitle: String { get }
  /// And what that is.
  static func objectiveMeaning(_ config: Config) -> String
  /// The stream of the points.
  static var stream: String { get }
  /// What trains a trial of `method` with given values to its end, on data that all its trials share.
  static func trial(
    of method: Method, seed: UInt64, _ config: Config, _ context: RunContext
  ) throws -> @Sendable (Method.Values) throws -> (loss: Double, divergedAt: Int?)
  /// Settings that the caption mentions.
  static func captionSettings(_ config: Config) -> [(String, String)]
}

extension SearchExperiment {
  private typealias Search = HyperparameterSearch<Method>

  package static var stream: String { name }
  package static var objectiveTitle: String {
    objective.split(separator: "_")
      .map { $0 == "val" ? "validation" : $0 == "train" ? "training" : String($0) }
      .joined(separator: " ")
  }
  package static func captionSettings(_ config: Config) -> [(String, String)] {
    [("steps", "\(config.stepsPerTrial)")]
  }

  /// Hyper-parameters of trial `index`.
  package static func values(_ method: Method, at index: Int) -> Method.Values {
    Search.values(method, at: index, stream: stream)
  }
}

extension SearchExperiment {
  package static var version: Int { 1 }
  /// Trials run side by side.
  package static var parallelWithinJob: Bool { true }
  /// The paper's numbers are not in its text, so there is nothing to compare with.
  package static var claims: [Claim] { [] }

  package static func work(of unit: Job, _ config: Config) -> Int {
    config.trials * config.stepsPerTrial
  }

  package static func run(
    _ unit: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let method = try Method.named(unit.methods[0], place: "method")
    let train = try trial(of: method, seed: unit.seed, config, context)
    let trials = try context.parallelMap(config.trials, progress: config.stepsPerTrial) { index in
      let watch = Stopwatch()
      let (loss, divergedAt) = try train(values(method, at: index))
      return Search.Trial(loss: loss, divergedAt: divergedAt ?? -1, seconds: watch.seconds)
    }
    return [
      Search.record(
        method, trials, stream: stream, objective: objective, longName: objectiveMeaning(config))
    ]
  }

  /// The winners as chosen.yaml.
  package static func sideFiles(of set: RecordSet) throws -> [(name: String, text: String)] {
    [("chosen.yaml", try Search.chosen(of: set, objective: objective, command: command))]
  }

  /// A block a method with its trials, and which of them is best.
  package static func table(of set: RecordSet) throws -> Table {
    try Search.table(of: set, objective: objective, title: objectiveTitle)
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let text = try set.records[0].string(attribute: "config")
    let config = try Config.decode(yaml: text, file: set.folder, overrides: [])
    return try Search.captionValues(of: set) + captionSettings(config)
  }
}
