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
  public static func rehearse(_ config: Config) throws -> Int {
    let data = config.problem.data(seed: 0)
    for name in config.methods {
      let method = try MLPMethod.named(name, place: "method")
      _ = trial(
        try MLPTraining(config.problem, method, values(method, at: 0), seed: 0, data: data),
        steps: 40)
    }
    return 40 * config.methods.count
  }

  /// See `Experiment`.
  public static func dataName(_ config: Config) -> String { config.dataDescription }

  /// One trial's outcome.
  struct Trial: Codable, Sendable {
    /// Mean loss of the last pass over the training data, NaN after divergence.
    var loss: Double
    /// The step of divergence, -1 for none.
    var divergedAt: Int
    var seconds: Double
  }

  /// Hyper-parameters of trial `index`: point `index` of the scrambled Halton sequence, scaled to the ranges.
  static func values(_ method: MLPMethod, at index: Int) -> MLPMethod.Values {
    let points = ScrambledHalton(
      dimensions: 2, stream: RandomStream(seed: 0, name: "mlp/search"))
    var values: MLPMethod.Values = [:]
    for (parameter, u) in zip(method.hyperparameters, points.point(index)) {
      values[parameter.name] = parameter.value(at: u)
    }
    return values
  }

  private static func trial(_ training: MLPTraining, steps: Int) -> Trial {
    let watch = Stopwatch()
    while training.step < steps && training.divergedAt == nil { training.advance() }
    return Trial(
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
    let best = trials.indices.filter { trials[$0].loss.isFinite }
      .min { trials[$0].loss < trials[$1].loss }
    var attributes: Attributes = [
      "title": .string(method.title), "source": .string(method.source),
      "best_trial": .int(best ?? -1),
      "best_loss": .double(best.map { trials[$0].loss } ?? .nan),
      "diverged_trials": .int(trials.count { $0.divergedAt >= 0 }),
    ]
    for parameter in method.hyperparameters {
      attributes["best_\(parameter.name)"] = .double(
        best.map { values(method, at: $0)[parameter.name] ?? .nan } ?? .nan)
    }
    var record = Record(attributes: attributes)
    record.add(
      .init(
        "trial", .int64(trials.indices.map { Int64($0) }), longName: "trial, from 0", units: "1"))
    for parameter in method.hyperparameters {
      record.add(
        .init(
          parameter.name,
          .double(trials.indices.map { values(method, at: $0)[parameter.name] ?? .nan }),
          longName:
            "hyper-parameter, \(parameter.isLogarithmic ? "log-uniform" : "uniform") on "
            + "[\(parameter.low), \(parameter.high)]", units: "1", dimensions: ["trial"]))
    }
    record.add(
      .init(
        "final_train_loss", .double(trials.map(\.loss)),
        longName: "mean loss of the last \(MLPTraining.window) mini-batches, NaN after divergence",
        units: "1", dimensions: ["trial"]))
    record.add(
      .init(
        "diverged_at", .int64(trials.map { Int64($0.divergedAt) }),
        longName: "step of divergence, -1 for none", units: "1", dimensions: ["trial"]))
    record.telemetry.add(
      .init(
        "trial_seconds", .double(trials.map(\.seconds)), longName: "time of each trial",
        units: "s"))
    return [record]
  }

  /// See `Experiment`: the winners as chosen.yaml.
  public static func companions(of set: RecordSet) throws -> [(name: String, text: String)] {
    [("chosen.yaml", try chosen(of: set))]
  }

  /// The winners as the text of a chosen.yaml, in the order of the settings.
  static func chosen(of set: RecordSet) throws -> String {
    var winners: [(MLPMethod, MLPMethod.Values)] = []
    for name in set.methods {
      let method = try MLPMethod.named(name, place: set.folder)
      // With several seeds: the trial with the smallest mean log loss.
      let records = try set.records(of: name)
      let losses = try records.map { try $0.doubles("final_train_loss") }
      let scores = losses[0].indices.map { trial in
        Statistics.mean(losses.map { $0[trial] > 0 ? log($0[trial]) : .nan })
      }
      guard
        let best = scores.indices.filter({ scores[$0].isFinite })
          .min(by: { scores[$0] < scores[$1] })
      else { continue }
      var values: MLPMethod.Values = [:]
      for parameter in method.hyperparameters {
        values[parameter.name] = try records[0].doubles(parameter.name)[best]
      }
      winners.append((method, values))
    }
    let record = set.records[0]
    let trials = try record.ints("trial").count
    return ChosenHyperparameters.text(
      comment: "Written by mlp-heavy-tails search from its records: profile \(set.profile), "
        + "\(trials) trials a method, seeds \(set.seeds.map(String.init).joined(separator: ", ")).",
      winners.map { (method: $0.0, values: $0.1) })
  }
}
