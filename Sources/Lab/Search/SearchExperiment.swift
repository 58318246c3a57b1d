// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Training

/// A search for the hyper-parameters of an experiment's arms (`SearchKeys`), the same compute for each. A figure says of
/// what; the rest is here.
package protocol SearchExperiment: Experiment where Config == SearchConfig<Figure.Task.Settings> {
  /// The figure whose arms it searches for.
  associatedtype Figure: CurveExperiment
  /// The workload.
  typealias Task = Figure.Task
  /// What is minimized: its name in the records, and what that is.
  static var objective: String { get }
  static func objectiveMeaning(_ config: Config) -> String
  /// By what candidates are compared when not by what is reported, as a sentence goes on.
  static var selectionMeaning: String { get }
  /// How the figure calls it.
  static var objectiveTitle: String { get }
  /// The stream of the points.
  static var stream: String { get }
}

/// The settings of a search.
package typealias SearchConfig<Settings: WorkloadSettings> = ComposedConfig<Settings, SearchKeys>

extension ComposedConfig where Own == SearchKeys {
  /// The settings given.
  package init(_ settings: Settings, methods: [String]) {
    self.init(settings, SearchKeys(methods: methods))
  }
}

// MARK: - The search

extension SearchExperiment {
  package static var version: Int { 2 }
  package static var subcommand: String { "search" }
  package static var abstract: String { "Hyper-parameters of \(Figure.name)'s methods." }
  /// The arms that may be named.
  package static var arms: [Arm] { Figure.arms }
  /// Trials run side by side.
  package static var parallelWithinJob: Bool { true }
  /// The paper's numbers are not in its text, so there is nothing to compare with.
  package static var claims: [Claim] { [] }
  package static var stream: String { name }
  package static var methodTitles: [(name: String, title: String)] {
    arms.filter { $0.tunedAs == $0.name }.map { ($0.name, $0.title) }
  }
  package static var selectionMeaning: String {
    "on a tenth of the training data that the trials do not train on"
  }
  package static var objectiveTitle: String {
    objective.split(separator: "_")
      .map { $0 == "val" ? "validation" : $0 == "train" ? "training" : String($0) }
      .joined(separator: " ")
  }

  /// The search for `arm`; every arm has points of its own.
  static func search(_ arm: Arm, _ config: Config, seed: UInt64) -> HyperparameterSearch {
    HyperparameterSearch(
      arm.hyperparameters, config.own, seed: seed,
      stream: RandomStream(seed: 0, name: "\(stream)/\(arm.name)"))
  }

  package static func resolve(_ config: Config, _ folders: RunFolders) throws -> Config {
    var config = try planned(config, folders)
    let source = try Task.load(config.settings, folder: folders.data)
    config.settings = Task.resolved(config.settings, source)
    (config.dataName, config.dataDigest) = (source.name, source.digest)
    return config
  }

  package static func planned(_ config: Config, _ folders: RunFolders) throws -> Config {
    for name in config.methods {
      let arm = try arms.named(name, place: "setting 'methods'")
      guard arm.tunedAs == name else {
        throw ConfigError(
          "setting 'methods'", "'\(name)' takes the values of \(arm.tunedAs)",
          hint: "search for that one")
      }
    }
    return config
  }

  package static func work(of job: Job, _ config: Config) -> Int {
    let arm = arms.first { $0.name == job.methods.first }
    return Int(
      config.own.work(continuing: arm.map { continues($0, config.settings) } ?? false)
        * Double(config.settings.stepCount))
  }

  /// A trial each; a rung waits for the one before.
  package static func stages(of job: Job, _ config: Config) -> [Stage] {
    let (plan, steps) = (config.own, Double(config.settings.stepCount))
    let rungs = (0..<plan.rungs).map { rung in
      Stage(
        results: plan.count(rung: rung), work: Int((plan.fraction(rung: rung) * steps).rounded(.up))
      )
    }
    let confirmation = Stage(
      results: SearchKeys.finalists * plan.confirmationSeeds.count,
      work: Int((plan.confirmationFraction * steps).rounded(.up)))
    return (0..<plan.rounds).flatMap { _ in rungs }
      + (plan.confirmationSeeds.isEmpty ? [] : [confirmation])
  }

  /// A trial is evaluated once, at its end.
  package static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double? {
    try Task.secondsPerStep(
      config.settings, config.methods, arms,
      steps: Double(work(of: Job(methods: config.methods, seed: 0), config)),
      evaluations: Double(config.own.trialCount), ends: false
    ) { _ in nil }
  }

  package static func dataName(_ config: Config) -> String { config.dataName }

  package static func run(
    _ job: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let arm = try arms.named(job.methods[0], place: "method")
    let settings = config.settings
    let given = try context.data.source(of: Task.self, settings)
    let source = config.selection == .heldOut ? try given.holdingOut() : given
    let board = try context.board(Trial.self, count: config.own.trialCount)
    let states = TrialStates<Task>()
    let continues = continues(arm, settings)
    var search = search(arm, config, seed: job.seed)
    try search.run { search, trials, first in
      let values = trials.map { search.values($0.candidate) }
      return try board.map(first..<first + trials.count) { index in
        let trial = trials[index - first]
        return Int(
          (trial.fraction - (continues ? trial.begun : 0)) * Double(settings.stepCount))
      } _: { index in
        try train(
          trials[index - first], arm, values[index - first], settings, source,
          continuing: continues ? states : nil, context)
      }
    }
    return [try record(arm, search, longName: objectiveMeaning(config))]
  }

  /// Whether a run of full length can stop anywhere and go on: where the rate is constant.
  private static func continues(_ arm: Arm, _ settings: Task.Settings) -> Bool {
    (arm.schedule ?? settings.schedule) == .constant
  }

  /// Trains a candidate on from the rung before; without `states` on its own whole schedule.
  private static func train(
    _ trial: Trial, _ arm: Arm, _ values: Hyperparameters, _ settings: Task.Settings,
    _ source: Task.Source, continuing states: TrialStates<Task>?, _ context: RunContext
  ) throws -> Trial {
    let watch = Stopwatch()
    var trial = trial
    let run = try TrainingRun<Task>(
      states == nil ? settings.lasting(trial.fraction) : settings, arm, values, source,
      seed: trial.seed)
    let steps =
      states == nil
      ? run.task.steps : max(1, Int((trial.fraction * Double(run.task.steps)).rounded(.up)))
    // Where processes share the trials, what would stay in memory stays in a file, for a trial's middle, too.
    let goesOn = states != nil && !trial.isConfirmation
    var saved = context.pieceCheckpoint(
      TrialState<Task>.self,
      "candidate\(trial.candidate)" + (goesOn ? "" : "-seed\(trial.seed)-steps\(steps)"))
    let known = goesOn ? states?[trial.candidate] : nil
    if let state = try known ?? saved?.load(), state.step <= steps {
      try run.restore(state.run)
      trial.clippedFraction = state.clippedFraction
    }
    func state() throws -> TrialState<Task> {
      TrialState(
        step: run.trainer.step, run: try run.state(), clippedFraction: trial.clippedFraction)
    }
    while run.trainer.step < steps && !run.hasDiverged {
      if saved?.isDue ?? false { try saved?.save(state()) }
      let isPoint = isRecorded(run.trainer.step, every: run.task.stepsPerPoint, of: steps)
      let report = try run.advance(measuring: isPoint ? .clip : [])
      guard let clip = report.clip else { continue }
      for (_, statistics) in clip.layers where statistics.route != .none {
        let before = trial.clippedFraction.isNaN ? 0 : trial.clippedFraction
        trial.clippedFraction = max(before, statistics.clippedFraction)
      }
    }
    if goesOn, trial.fraction < 1, !run.hasDiverged {
      if saved == nil { states?[trial.candidate] = try state() } else { try saved?.save(state()) }
    }
    trial.steps = steps
    trial.loss = run.objective()
    trial.divergedAt = run.trainer.divergedAt ?? -1
    trial.seconds = watch.seconds
    return trial
  }

  /// The record of an arm's search, a row a trial.
  private static func record(
    _ arm: Arm, _ search: HyperparameterSearch, longName: String
  ) throws -> Record {
    let trials = search.trials
    let winner = search.winner
    let chosen = winner.map { search.values($0.trial.candidate) }
    var attributes: Attributes = [
      "title": .string(arm.title), "source": .string(arm.source),
      "best_candidate": .int(winner?.trial.candidate ?? -1),
      "best_loss": .double(winner?.trial.loss ?? .nan),
      "confirmed_loss": .double(winner?.confirmed ?? .nan),
      "tied_candidate": .int(winner?.tiedWith ?? -1),
      "better_inert_loss": .double(search.betterInert?.loss ?? .nan),
      "better_inert_steps": .int(search.betterInert?.steps ?? -1),
      "diverged_trials": .int(trials.count { $0.divergedAt >= 0 }),
      "edges": .string(
        winner.map { search.atEdge($0.trial.candidate) }?
          .map { "\($0.name) at its \($0.isLow ? "lower" : "upper") end" }
          .joined(separator: ", ") ?? ""),
    ]
    for (parameter, range) in zip(arm.hyperparameters, search.ranges) {
      let name = parameter.name
      attributes["best_\(name)"] = .double(try chosen.map { try $0(name) } ?? .nan)
      attributes["low_\(name)"] = .double(parameter.value(at: range.lowerBound))
      attributes["high_\(name)"] = .double(parameter.value(at: range.upperBound))
    }
    var record = Record(attributes: attributes)
    func add(_ name: String, _ values: Record.Values, _ longName: String) {
      record.add(.init(name, values, longName: longName, units: "1", dimensions: ["trial"]))
    }
    record.add(
      .init(
        "trial", .int64(trials.indices.map { Int64($0) }), longName: "trial, from 0", units: "1"))
    add("candidate", .int64(trials.map { Int64($0.candidate) }), "candidate, from 0")
    add(
      "round", .int64(trials.map { Int64($0.round) }), "round, from 0; -1 in the confirmation")
    add("seed", .int64(trials.map { Int64($0.seed) }), "seed of data, weights and batches")
    add("steps", .int64(trials.map { Int64($0.steps) }), "training steps of the whole run")
    for parameter in arm.hyperparameters {
      add(
        parameter.name, .double(try trials.map { try search.values($0.candidate)(parameter.name) }),
        "hyper-parameter, first \(parameter.isLogarithmic ? "log-uniform" : "uniform") on "
          + "[\(parameter.low), \(parameter.high)]")
    }
    add(objective, .double(trials.map(\.loss)), longName)
    add(
      "clipped_fraction", .double(trials.map(\.clippedFraction)),
      "largest share of values clipped at a point, NaN without a rule")
    add(
      "diverged_at", .int64(trials.map { Int64($0.divergedAt) }),
      "step of divergence, -1 for none")
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

  /// The text of tuned.yaml.
  package static func tuned(of set: RecordSet) throws -> String {
    var winners = ArmHyperparameters()
    for name in set.methods {
      let arm = try arms.named(name, place: set.folder)
      let record = try set.records(of: name)[0]
      var values = Hyperparameters()
      for parameter in arm.hyperparameters {
        let value = try record.double(attribute: "best_\(parameter.name)")
        if value.isFinite { values[parameter.name] = value }
      }
      if values.names.count == arm.hyperparameters.count { winners[arm.name] = values }
    }
    return try TunedHyperparameters.text(
      comment: "Written by \(Figure.name) search from its records: profile \(set.profile), "
        + "seed\(set.seeds.count == 1 ? "" : "s") \(set.seeds.map(String.init).joined(separator: ", ")).",
      winners, arms: set.methods.map { try arms.named($0, place: set.folder) })
  }
}

/// Where a candidate stands.
private struct TrialState<Task: Workload>: Codable {
  var step: Int
  var run: TrainingRun<Task>.State
  var clippedFraction: Double
}

/// Where candidates stand, for the rungs to come: lost with the process, and then computed again, to the same bits.
private final class TrialStates<Task: Workload>: @unchecked Sendable {
  private let lock = NSLock()
  private var entries: [Int: TrialState<Task>] = [:]

  subscript(candidate: Int) -> TrialState<Task>? {
    get { lock.withLock { entries[candidate] } }
    set { lock.withLock { entries[candidate] = newValue } }
  }
}
