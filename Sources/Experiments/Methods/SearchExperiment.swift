import Foundation
import LinearAlgebra
import Storage
import Training

/// The settings of a search.
protocol SearchConfig: ExperimentConfig {
  /// Trials a method.
  var trials: Int { get }
  /// Training steps of a trial.
  var stepsPerTrial: Int { get }
}

extension SearchConfig {
  func validateTrials() throws {
    guard trials >= 1 else { throw ConfigError.value("trials", trials, "a whole number >= 1") }
  }
}

/// Tables 1 to 4: hyper-parameters of an experiment's methods, by quasi-random search over the authors' ranges with equal
/// budgets. An experiment says how one trial is trained; the rest is here.
protocol SearchExperiment: Experiment where Config: SearchConfig {
  /// The methods.
  associatedtype Method: TunableMethod
  /// The command that writes chosen.yaml.
  static var command: String { get }
  /// What is minimised: its name in the records.
  static var objective: String { get }
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

  static var stream: String { name }
  static func captionSettings(_ config: Config) -> [(String, String)] {
    [("steps", "\(config.stepsPerTrial)")]
  }

  /// Hyper-parameters of trial `index`.
  static func values(_ method: Method, at index: Int) -> Method.Values {
    Search.values(method, at: index, stream: stream)
  }
}

extension SearchExperiment {
  /// See `Experiment`.
  public static var version: Int { 1 }
  /// See `Experiment`: trials run side by side.
  public static var sharesOutUnits: Bool { true }
  /// See `Experiment`: the paper's numbers are not in its text, so there is nothing to compare with.
  public static var claims: [Claim] { [] }

  /// See `Experiment`.
  public static func work(of unit: RunUnit, _ config: Config) -> Int {
    config.trials * config.stepsPerTrial
  }

  /// See `Experiment`.
  public static func run(
    _ unit: RunUnit, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let method = try Method.named(unit.methods[0], place: "method")
    let train = try trial(of: method, seed: unit.seed, config, context)
    let trials = try context.cells(config.trials, progress: config.stepsPerTrial) { index in
      let watch = Stopwatch()
      let (loss, divergedAt) = try train(values(method, at: index))
      return Search.Trial(loss: loss, divergedAt: divergedAt ?? -1, seconds: watch.seconds)
    }
    return [
      Search.record(
        method, trials, stream: stream, objective: objective, longName: objectiveMeaning(config))
    ]
  }

  /// See `Experiment`: the winners as chosen.yaml.
  public static func companions(of set: RecordSet) throws -> [(name: String, text: String)] {
    [("chosen.yaml", try Search.chosen(of: set, objective: objective, command: command))]
  }

  /// See `Experiment`: one row a method, then one block a method with its trials.
  public static func table(of set: RecordSet) throws -> String {
    try Search.table(of: set, objective: objective)
  }

  /// See `Experiment`.
  public static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let text = try set.records[0].string(attribute: "config")
    let config = try Config.decode(yaml: text, file: set.folder, overrides: [])
    return try Search.captionValues(of: set) + captionSettings(config)
  }
}
