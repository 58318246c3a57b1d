import Datasets
import Foundation
import LinearAlgebra
import Storage
import Training

/// Table 1: hyper-parameters of every method of the MLP experiment by quasi-random search over the
/// authors' ranges, with equal budgets and the same points of the unit cube for every method.
public enum MLPSearch: Experiment {
  /// Settings; the defaults are quick's.
  public struct Config: MLPConfig {
    /// d, the dimension of x.
    public var inputs = 100
    /// Widths of the hidden layers.
    public var hidden = [100, 100, 100]
    /// Samples drawn.
    public var samples = 10_000
    /// Share of them that is trained on.
    public var trainingShare = 0.8
    /// Mini-batch size.
    public var batchSize = 32
    /// Whether every epoch has the same batches.
    public var order = BatchOrder.replayed
    /// Probability of noise in a step.
    public var noiseProbability = 0.1
    /// Tail exponent α of the noise.
    public var noiseAlpha = 1.1
    /// Smallest size of the noise.
    public var noiseScale = 5.0
    /// Training steps of a trial.
    public var steps = 7_500
    /// Trials a method.
    public var trials = 40
    /// The methods to search for.
    public var methods = MLPMethod.all.map(\.name)
    /// Seeds of data, weights and noise (not those of the curves).
    public var seeds: [UInt64] = [1000]

    /// The defaults.
    public init() {}

    /// Throws a `ConfigError` for a value outside its range.
    public func validate() throws {
      try validateProblem()
      guard trials >= 1 else {
        throw ConfigError.value("trials", trials, "a whole number >= 1")
      }
      for method in methods { _ = try MLPMethod.named(method, place: "setting 'methods'") }
    }
  }

  /// See `Experiment`.
  public static let name = "mlp-search"
  /// See `Experiment`.
  public static let abstract =
    "Hyper-parameters of the MLP's methods by scrambled Halton search with equal budgets (Table 1)."
  /// See `Experiment`.
  public static let version = 1
  /// See `Experiment`: trials run side by side.
  public static let sharesOutUnits = true

  /// See `Experiment`.
  public static func units(of config: Config) -> [RunUnit] {
    config.seeds.flatMap { seed in config.methods.map { RunUnit(methods: [$0], seed: seed) } }
  }

  /// See `Experiment`.
  public static func work(of unit: RunUnit, _ config: Config) -> Int {
    config.trials * config.steps
  }

  /// See `Experiment`.
  public static func secondsPerStep(
    _ config: Config, _ context: RunContext
  ) throws -> Double {
    try timePerStep {
      let data = config.problem.data(seed: 0)
      for name in config.methods {
        let method = try MLPMethod.named(name, place: "method")
        _ = trial(
          try MLPTraining(config.problem, method, values(method, at: 0), seed: 0, data: data),
          steps: 40)
      }
      return 40 * config.methods.count
    }
  }

  /// See `Experiment`.
  public static func dataName(_ config: Config) -> String { config.dataDescription }

  private typealias Search = HyperparameterSearch<MLPMethod>
  private static let objective = "final_train_loss"
  private static let stream = "mlp/search"

  /// Hyper-parameters of trial `index`.
  static func values(_ method: MLPMethod, at index: Int) -> MLPMethod.Values {
    Search.values(method, at: index, stream: stream)
  }

  private static func trial(_ training: MLPTraining, steps: Int) -> Search.Trial {
    let watch = Stopwatch()
    while training.step < steps && training.divergedAt == nil { training.advance() }
    return Search.Trial(
      loss: training.meanLoss(last: MLPTraining.window), divergedAt: training.divergedAt ?? -1,
      seconds: watch.seconds)
  }

  /// See `Experiment`.
  public static func run(
    _ unit: RunUnit, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let method = try MLPMethod.named(unit.methods[0], place: "method")
    let data = config.problem.data(seed: unit.seed)
    let trials = try context.cells(config.trials, progress: config.steps) { index in
      trial(
        try MLPTraining(
          config.problem, method, values(method, at: index), seed: unit.seed, data: data),
        steps: config.steps)
    }
    return [
      Search.record(
        method, trials, stream: stream, objective: objective,
        longName: "mean loss of the last \(MLPTraining.window) mini-batches, NaN after divergence")
    ]
  }

  /// See `Experiment`: the winners as chosen.yaml.
  public static func companions(of set: RecordSet) throws -> [(name: String, text: String)] {
    [("chosen.yaml", try chosen(of: set))]
  }

  /// The winners as the text of a chosen.yaml.
  static func chosen(of set: RecordSet) throws -> String {
    try Search.chosen(of: set, objective: objective, command: "mlp-heavy-tails search")
  }

  /// See `Experiment`: one row a method, then one block a method with its trials.
  public static func table(of set: RecordSet) throws -> String {
    try Search.table(of: set, objective: objective)
  }

  /// See `Experiment`.
  public static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let config = try set.records[0].string(attribute: "config")
    return try Search.captionValues(of: set) + [
      ("steps", "\(try Config.decode(yaml: config, file: set.folder, overrides: []).steps)")
    ]
  }

  /// See `Experiment`: the paper's numbers are not in its text, so there is nothing to compare with.
  public static let claims: [Claim] = []
}
