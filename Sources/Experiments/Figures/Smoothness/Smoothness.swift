// SPDX-License-Identifier: Apache-2.0

import Lab
import LinearAlgebra
import Models
import Storage
import Training

/// Gradient norm against local smoothness along the way of training (Figs 1 and 2 of "Why gradient clipping accelerates
/// training", arXiv 1905.11881), for the suite's workloads: whether the smoothness grows with the gradient, as (L0, L1)-smoothness
/// allows.
package enum Smoothness: Experiment {
  /// Settings.
  package struct Config: ExperimentConfig {
    /// Mini-batches, the first of the training stream, whose mean loss is looked at: a tenth of an epoch of the authors' LSTM.
    package var batches = 5
    /// Points c = 1/n, 2/n, …, 1 of a step at which gradients are compared; even, so that the authors' midpoint is one.
    package var gridPoints = 4
    /// Steps that are looked at, evenly over a run.
    package var points = 100
    /// Changes of the settings of each workload, `key=value` each as `--set` takes them.
    package var lstm: [String] = []
    /// Of the narrow ResNet-18 on CIFAR-10.
    package var resnet18: [String] = []
    /// Of ResNet-20 on CIFAR-10.
    package var resnet20: [String] = []
    /// Of the MLP.
    package var mlp: [String] = []
    /// Of nanoGPT on tiny Shakespeare.
    package var nanogpt: [String] = []
    /// Of GPT-2 small.
    package var gpt2: [String] = []
    /// By workload; those that are not given are read from the tuned.yaml of the workload's own experiment.
    package var hyperparameters = ArmHyperparameters()
    /// Filled in: all settings of the workloads, and what identifies their data.
    package var workloads: [String] = []
    /// Filled in from the data.
    package var dataName = ""
    /// Filled in for a record: what identifies its data.
    package var dataDigest = ""
    /// The workloads.
    package var methods = Smoothness.workloads.map(\.name)
    /// One run a workload and seed.
    package var seeds: [UInt64] = [1, 2, 3]

    package static let later = ["resnet20": "[]"]
    package static let limits: [String: ClosedRange<Int>] = [
      "batches": 1...1_000_000, "gridPoints": 2...1000, "points": 1...1_000_000,
    ]

    /// The defaults.
    package init() {}

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
      guard gridPoints % 2 == 0 else {
        throw ConfigError.value("gridPoints", gridPoints, "an even number >= 2")
      }
      for method in methods + hyperparameters.names { _ = try Smoothness.workload(method) }
      for workload in Smoothness.workloads {
        _ = try workload.steps(changes(of: workload.name))
        if let own = hyperparameters[workload.name] {
          try workload.arm.check(
            own, place: "setting 'hyperparameters', method '\(workload.name)'")
        }
      }
    }

    /// Only the workload's own.
    package func restricted(to method: String) -> Config {
      var own = self
      for (name, path) in Self.paths where name != method { own[keyPath: path] = [] }
      own.hyperparameters = ArmHyperparameters()
      own.hyperparameters[method] = hyperparameters[method]
      own.workloads = workloads.filter { $0.hasPrefix(method + ": ") }
      own.dataName = ""
      own.dataDigest = own.workloads.last ?? ""
      return own
    }

    private static var paths: [(String, WritableKeyPath<Config, [String]>)] {
      [
        ("lstm", \.lstm), ("resnet18", \.resnet18), ("resnet20", \.resnet20),
        ("mlp", \.mlp), ("nanogpt", \.nanogpt), ("gpt2", \.gpt2),
      ]
    }

    func changes(of workload: String) -> [String] {
      Self.paths.first { $0.0 == workload }.map { self[keyPath: $0.1] } ?? []
    }

    func values(of workload: String) throws -> Hyperparameters {
      guard let values = hyperparameters[workload] else {
        throw ConfigError(
          "method '\(workload)'", "has no hyper-parameters", hint: "add them to `hyperparameters`")
      }
      return values
    }
  }

  /// What can be looked at. The LSTM is the authors' own, clipped as they do; the others train as in their own figures.
  static let workloads = [
    ProbedWorkload("lstm", "LSTM, Penn Treebank", LSTMCurves.self, arm: "sgd-norm-large"),
    ProbedWorkload("resnet18", "ResNet-18, CIFAR-10", CIFAR10ResNet18.self, arm: "resnet18-none"),
    ProbedWorkload(
      "resnet20", "ResNet-20, CIFAR-10", DeltaGClipResNet18.self, arm: "sgd", .resNet20),
    ProbedWorkload("mlp", "MLP", MLPHeavyTails.self, arm: "sgdm-norm"),
    ProbedWorkload("nanogpt", "nanoGPT, tiny Shakespeare", NanoGPT.self, arm: "sgdm-norm"),
    ProbedWorkload("gpt2", "GPT-2", GPT2FineWeb.self, arm: "gpt2-sgdm-norm"),
  ]

  static func workload(_ name: String) throws -> ProbedWorkload {
    guard let found = workloads.first(where: { $0.name == name }) else {
      let names = workloads.map(\.name)
      throw ConfigError(
        "method '\(name)'", "unknown",
        hint: suggestion(for: name, among: names) + "known are \(names.joined(separator: ", "))")
    }
    return found
  }

  package static let defaults = Config()
  package static let name = "smoothness"
  package static let subcommand = "scatter"
  package static let abstract =
    "Gradient norm against local smoothness along the way of training (arXiv 1905.11881)."
  package static let version = 1

  package static func resolve(_ config: Config, _ folders: RunFolders) throws -> Config {
    var config = try planned(config, folders)
    var names: [String] = []
    config.workloads = []
    for method in config.methods {
      let workload = try workload(method)
      let (lines, data) = try workload.identify(config.changes(of: method), folders.data)
      config.workloads += lines.map { "\(method): \($0)" }
      if !names.contains(data) { names.append(data) }
    }
    config.dataName = names.joined(separator: ", ")
    return config
  }

  /// With tuned hyper-parameters.
  package static func planned(_ config: Config, _ folders: RunFolders) throws -> Config {
    var config = config
    for method in config.methods {
      let workload = try workload(method)
      if config.hyperparameters[method] == nil {
        let tuned = try TunedHyperparameters.read(
          folders.tuned(by: workload.tunedBy), arms: workload.arms)
        guard let own = tuned[workload.arm.name] else {
          throw ConfigError(
            "experiments/\(workload.tunedBy)/tuned.yaml", "has no method '\(workload.arm.name)'",
            hint: "run that experiment's search, or give `hyperparameters` for '\(method)'")
        }
        config.hyperparameters[method] = own
      }
    }
    return config
  }

  /// Steps of training.
  package static func work(of job: Job, _ config: Config) -> Int {
    (try? workload(job.methods[0]).steps(config.changes(of: job.methods[0]))) ?? 0
  }

  /// From a small step of each workload: a point is as many gradients as are looked at.
  package static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double? {
    var (seconds, steps) = (0.0, 0)
    for method in config.methods {
      let workload = try workload(method)
      let own = try workload.steps(config.changes(of: method))
      let cost = try workload.cost(config)
      let gradients = min(own, config.points) * config.batches * (config.gridPoints + 1)
      seconds += Double(own) * cost.step + Double(gradients) * cost.gradient
      steps += own
    }
    return seconds / Double(max(1, steps))
  }

  package static func dataName(_ config: Config) -> String { config.dataName }

  package static func run(
    _ job: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let (points, attributes) = try workload(job.methods[0]).measure(config, job.seed, context)
    var record = Record(attributes: attributes)
    record.add(
      .init(
        "step", .int64(points.map { Int64($0.step) }), longName: "training steps done before",
        units: "1"))
    func add(_ name: String, _ longName: String, _ value: (SmoothnessPoint) -> Double) {
      record.add(
        .init(
          name, .double(points.map(value)), longName: longName, units: "1", dimensions: ["step"]))
    }
    let batches = Double(config.batches)
    add("train_loss", "loss of the step's mini-batch") { $0.loss }
    add("grad_norm", "norm of the gradient of the mean loss over the measured mini-batches") {
      $0.gradientNorm
    }
    add("update_norm", "norm of the step's change of all parameters") { $0.updateNorm }
    add("smoothness_max", "largest ratio of gradient change to distance over the grid") {
      $0.maximum
    }
    add("smoothness_midpoint", "that ratio at the step's midpoint") { $0.midpoint }
    add(
      "smoothness_midpoint_undivided",
      "the same as the authors' code has it: the gradient's change not divided by the number of mini-batches"
    ) { batches * $0.midpoint }
    return [record]
  }
}
