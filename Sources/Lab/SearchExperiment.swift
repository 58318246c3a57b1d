import Foundation
import LinearAlgebra
import Storage
import Training

/// A search for the hyper-parameters of an experiment's arms: quasi-random, every arm at the same points of the unit cube,
/// scaled to its own ranges, with equal budgets. A figure says of what; the rest is here.
package protocol SearchExperiment: Experiment where Config == SearchConfig<Task.Settings> {
  /// The workload.
  associatedtype Task: Workload
  /// The arms that may be named.
  static var arms: [Arm] { get }
  /// The command that writes tuned.yaml.
  static var command: String { get }
  /// What is minimized: its name in the records, and what that is.
  static var objective: String { get }
  static func objectiveMeaning(_ config: Config) -> String
  /// How the figure calls it.
  static var objectiveTitle: String { get }
  /// The stream of the points.
  static var stream: String { get }
  /// Settings that the caption mentions.
  static func captionSettings(_ config: Config) -> [(String, String)]
}

/// What a search adds to the workload's settings, which are those of one trial.
package struct SearchKeys: ExperimentKeys {
  /// Trials an arm.
  package var trials: Int
  /// Filled in from the data.
  package var dataName = ""
  /// Filled in from the data.
  package var dataDigest = ""
  package var methods: [String]
  /// Seeds of data, weights and batches (not those of the curves).
  package var seeds: [UInt64] = [1000]

  package func validate() throws {
    guard trials >= 1 else { throw ConfigError.value("trials", trials, "a whole number >= 1") }
  }
}

/// The settings of a search.
package typealias SearchConfig<Settings: WorkloadSettings> = ComposedConfig<Settings, SearchKeys>

extension ComposedConfig where Own == SearchKeys {
  /// The settings given.
  package init(_ settings: Settings, trials: Int, methods: [String]) {
    self.init(settings, SearchKeys(trials: trials, methods: methods))
  }
}

/// One trial's outcome.
struct Trial: Codable, Sendable {
  /// What is minimized, NaN after divergence.
  var loss: Double
  /// The step of divergence, -1 for none.
  var divergedAt: Int
  var seconds: Double
}

// MARK: - The search

extension SearchExperiment {
  package static var version: Int { 1 }
  /// Trials run side by side.
  package static var parallelWithinJob: Bool { true }
  /// The paper's numbers are not in its text, so there is nothing to compare with.
  package static var claims: [Claim] { [] }
  package static var stream: String { name }
  package static var objectiveTitle: String {
    objective.split(separator: "_")
      .map { $0 == "val" ? "validation" : $0 == "train" ? "training" : String($0) }
      .joined(separator: " ")
  }
  package static func captionSettings(_ config: Config) -> [(String, String)] {
    [("steps", "\(config.settings.stepCount)")]
  }

  /// Hyper-parameters of trial `index`: point `index` of the scrambled Halton sequence.
  package static func values(_ arm: Arm, at index: Int) -> Hyperparameters {
    let points = ScrambledHalton(dimensions: 2, stream: RandomStream(seed: 0, name: stream))
    precondition(arm.hyperparameters.count <= 2, "\(arm.name): the sequence has two axes")
    var values = Hyperparameters()
    for (parameter, u) in zip(arm.hyperparameters, points.point(index)) {
      values[parameter.name] = parameter.value(at: u)
    }
    return values
  }

  package static func resolve(_ config: Config, _ places: Places) throws -> Config {
    var config = config
    for name in config.methods {
      let arm = try arms.named(name, place: "setting 'methods'")
      guard arm.tunedAs == name else {
        throw ConfigError(
          "setting 'methods'", "'\(name)' takes the values of \(arm.tunedAs)",
          hint: "search for that one")
      }
    }
    let source = try Task.load(config.settings, folder: places.data)
    config.settings = Task.resolved(config.settings, source)
    (config.dataName, config.dataDigest) = (source.name, source.digest)
    return config
  }

  package static func work(of job: Job, _ config: Config) -> Int {
    config.trials * config.settings.stepCount
  }

  package static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double {
    try rehearse(Task.self, config.settings, config.methods, arms, context) { _ in nil }
  }

  package static func dataName(_ config: Config) -> String { config.dataName }

  package static func run(
    _ job: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let arm = try arms.named(job.methods[0], place: "method")
    let settings = config.settings.restricted(to: arm)
    let source = try Task.load(settings, folder: context.dataFolder)
    let trials = try context.parallelMap(config.trials, progress: settings.stepCount) { index in
      let watch = Stopwatch()
      let run = try TrainingRun<Task>(
        settings, arm, values(arm, at: index), source, seed: job.seed)
      try run.finish()
      return Trial(
        loss: run.objective(), divergedAt: run.trainer.divergedAt ?? -1, seconds: watch.seconds)
    }
    return [try record(arm, trials, longName: objectiveMeaning(config))]
  }

  /// The record of an arm's trials.
  private static func record(_ arm: Arm, _ trials: [Trial], longName: String) throws -> Record {
    let best = trials.indices.filter { trials[$0].loss.isFinite }
      .min { trials[$0].loss < trials[$1].loss }
    var attributes: Attributes = [
      "title": .string(arm.title), "source": .string(arm.source),
      "best_trial": .int(best ?? -1),
      "best_loss": .double(best.map { trials[$0].loss } ?? .nan),
      "diverged_trials": .int(trials.count { $0.divergedAt >= 0 }),
    ]
    for parameter in arm.hyperparameters {
      attributes["best_\(parameter.name)"] = .double(
        try best.map { try values(arm, at: $0)(parameter.name) } ?? .nan)
    }
    var record = Record(attributes: attributes)
    record.add(
      .init(
        "trial", .int64(trials.indices.map { Int64($0) }), longName: "trial, from 0", units: "1"))
    for parameter in arm.hyperparameters {
      record.add(
        .init(
          parameter.name,
          .double(try trials.indices.map { try values(arm, at: $0)(parameter.name) }),
          longName:
            "hyper-parameter, \(parameter.isLogarithmic ? "log-uniform" : "uniform") on "
            + "[\(parameter.low), \(parameter.high)]", units: "1", dimensions: ["trial"]))
    }
    record.add(
      .init(
        objective, .double(trials.map(\.loss)), longName: longName, units: "1",
        dimensions: ["trial"]))
    record.add(
      .init(
        "diverged_at", .int64(trials.map { Int64($0.divergedAt) }),
        longName: "step of divergence, -1 for none", units: "1", dimensions: ["trial"]))
    record.telemetry.add(
      .init(
        "trial_seconds", .double(trials.map(\.seconds)), longName: "time of each trial",
        units: "s"))
    return record
  }

  /// The winners as tuned.yaml.
  package static func sideFiles(of set: RecordSet) throws -> [(name: String, text: String)] {
    [("tuned.yaml", try tuned(of: set))]
  }

  /// The text of tuned.yaml: with several seeds the trial with the smallest mean log loss.
  package static func tuned(of set: RecordSet) throws -> String {
    var winners = ArmHyperparameters()
    for name in set.methods {
      let arm = try arms.named(name, place: set.folder)
      let records = try set.records(of: name)
      let losses = try records.map { try $0.doubles(objective) }
      let scores = losses[0].indices.map { trial in
        Statistics.mean(losses.map { $0[trial] > 0 ? log($0[trial]) : .nan })
      }
      guard
        let best = scores.indices.filter({ scores[$0].isFinite })
          .min(by: { scores[$0] < scores[$1] })
      else { continue }
      var values = Hyperparameters()
      for parameter in arm.hyperparameters {
        values[parameter.name] = try records[0].doubles(parameter.name)[best]
      }
      winners[arm.name] = values
    }
    let trials = try set.records[0].ints("trial").count
    return try TunedHyperparameters.text(
      comment: "Written by \(command) from its records: profile \(set.profile), "
        + "\(trials) trials a method, seeds \(set.seeds.map(String.init).joined(separator: ", ")).",
      winners, arms: set.methods.map { try arms.named($0, place: set.folder) })
  }
}

// MARK: - Table and caption

extension SearchExperiment {
  /// A winner this near to an end of its range, as a fraction of it, says that the range is too short.
  package static var edge: Double { 0.1 }

  /// A block a method: hyper-parameters and loss of every trial; one that diverged has the loss NaN. Arrays `arm`,
  /// `arm_title`, `arm_best`, `arm_rate`, and `arm_edge`: the hyper-parameters whose best value lies within a tenth of an end.
  package static func table(of set: RecordSet) throws -> Table {
    var table = Table()
    var titles: [String] = []
    var (best, rates, edges): ([Double], [Double], [String]) = ([], [], [])
    for name in set.methods {
      let record = try set.records(of: name)[0]
      let parameters = try arms.named(name, place: set.folder).hyperparameters
      var block = Table.Block(name)
      for parameter in parameters {
        block.add(parameter.name, try record.doubles(parameter.name))
      }
      block.add("loss", try record.doubles(objective))
      table.add(block)
      titles.append(try record.string(attribute: "title"))
      best.append(try record.double(attribute: "best_loss"))
      rates.append(try record.double(attribute: "best_learningRate"))
      let near = try parameters.compactMap { parameter -> String? in
        let place = parameter.fraction(of: try record.double(attribute: "best_\(parameter.name)"))
        guard place.isFinite, min(place, 1 - place) < edge else { return nil }
        return "\(parameter.name) at its \(place < 0.5 ? "lower" : "upper") end"
      }
      edges.append(near.joined(separator: ", "))
    }
    table.set("arm", .texts(set.methods.map(Table.word)))
    table.set("arm_title", .texts(titles))
    table.set("arm_best", .numbers(best))
    table.set("arm_rate", .numbers(rates))
    table.set("arm_edge", .texts(edges))
    table.set("objective", .text(objectiveTitle))
    return table
  }

  /// The rows of the table in its caption, and how many trials and methods there are.
  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    var rows = "| method | hyper-parameters | loss | diverged | source |\n|---|---|---|---|---|\n"
    for name in set.methods {
      let record = try set.records(of: name)[0]
      let best = try arms.named(name, place: set.folder).hyperparameters.map {
        "\($0.name) \(short(try record.double(attribute: "best_\($0.name)"))) "
          + "in [\($0.low), \($0.high)]\($0.isLogarithmic ? " (log)" : "")"
      }
      rows +=
        "| \(try record.string(attribute: "title")) | \(best.joined(separator: ", ")) | "
        + "\(threeDigits(try record.double(attribute: "best_loss"))) | "
        + "\(try record.int(attribute: "diverged_trials")) | "
        + "\(try record.string(attribute: "source")) |\n"
    }
    let config = try config(of: set)
    return [
      ("rows", rows), ("trials", "\(try set.records[0].ints("trial").count)"),
      ("methods", "\(set.methods.count)"),
    ] + captionSettings(config)
  }
}

/// Three significant digits.
package func threeDigits(_ value: Double) -> String { String(format: "%.3g", value) }
