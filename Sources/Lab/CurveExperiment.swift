// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Training

/// An experiment that trains arms on a workload and records curves: a figure says which, at which defaults, and what is
/// claimed.
package protocol CurveExperiment: Experiment where Config == CurveConfig<Task.Settings> {
  /// The workload.
  associatedtype Task: Workload
  /// The arms that may be named.
  static var arms: [Arm] { get }
  /// The experiment whose tuned.yaml it reads, itself for most.
  static var tunedBy: String { get }
}

/// What an experiment that records curves adds to the workload's settings.
package struct CurveKeys: ExperimentConfig {
  /// By arm; those that are not given are read from tuned.yaml.
  package var hyperparameters = ArmHyperparameters()
  /// Filled in from the data.
  package var dataName = ""
  /// Filled in from the data.
  package var dataDigest = ""
  package var methods: [String]
  package var seeds: [UInt64]

  /// Whatever there is: an arm checks its own hyper-parameters.
  package func validate() throws {}

  /// Only the arm's own hyper-parameters.
  package func restricted(to method: String) -> CurveKeys {
    var own = self
    own.hyperparameters = ArmHyperparameters()
    own.hyperparameters[method] = hyperparameters[method]
    return own
  }
}

/// The settings of an experiment that records curves.
package typealias CurveConfig<Settings: WorkloadSettings> = ComposedConfig<Settings, CurveKeys>

extension ComposedConfig where Own == CurveKeys {
  /// The settings given.
  package init(_ settings: Settings, methods: [String], seeds: [UInt64]) {
    self.init(settings, CurveKeys(methods: methods, seeds: seeds))
  }
}

extension CurveExperiment {
  package static var keepsWeights: Bool { true }
  package static var ranksRefusal: String? { Task.ranksRefusal }
  package static var tunedBy: String { name }
  package static var methodTitles: [(name: String, title: String)] {
    arms.map { ($0.name, $0.title) }
  }

  package static func checkMethods(_ config: Config) throws {
    for method in config.methods { _ = try arms.named(method, place: "setting 'methods'") }
    for name in config.hyperparameters.names {
      let place = "setting 'hyperparameters'"
      let arm = try arms.named(name, place: place)
      try arm.check(
        config.hyperparameters[name] ?? [:], place: "\(place), method '\(name)'")
    }
  }

  /// The data's name and digest, the numbers of samples there are, and tuned hyper-parameters.
  package static func resolve(_ config: Config, _ folders: RunFolders) throws -> Config {
    var config = config
    config.methods = config.settings.methods(config.methods)
    try checkMethods(config)
    let source = try Task.load(config.settings, folder: folders.data)
    config.settings = Task.resolved(config.settings, source)
    (config.dataName, config.dataDigest) = (source.name, source.digest)
    return try tuned(config, folders)
  }

  package static func planned(_ config: Config, _ folders: RunFolders) throws -> Config {
    var config = config
    config.methods = config.settings.methods(config.methods)
    try checkMethods(config)
    return try tuned(config, folders)
  }

  private static func tuned(_ config: Config, _ folders: RunFolders) throws -> Config {
    var config = config
    config.hyperparameters = try TunedHyperparameters.fill(
      config.hyperparameters, methods: config.methods, arms: arms,
      file: folders.tuned(by: tunedBy))
    return config
  }

  package static func work(of job: Job, _ config: Config) -> Int { config.settings.stepCount }

  package static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double? {
    let steps = Double(config.settings.stepCount)
    return try Task.secondsPerStep(
      config.settings, config.methods, arms, steps: steps,
      evaluations: steps / Double(max(1, config.settings.pointEvery)), ends: true
    ) { config.hyperparameters[$0.name] }
  }

  package static func dataName(_ config: Config) -> String { config.dataName }

  package static func run(
    _ job: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let arm = try arms.named(job.methods[0], place: "method")
    guard let values = config.hyperparameters[arm.name] else {
      throw ConfigError(
        "method '\(arm.name)'", "has no hyper-parameters",
        hint: "add it to tuned.yaml (the search writes it), or to `hyperparameters`")
    }
    let settings = config.settings
    let source = try context.data.source(of: Task.self, settings)
    let run = try TrainingRun<Task>(
      settings, arm, values, source, seed: job.seed, pool: WorkerPool(threads: context.threads))
    try run.trainer.share(over: context.ranks)
    return [try context.record(run, arm, values, settings, source)]
  }
}
