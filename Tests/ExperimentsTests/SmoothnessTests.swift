// SPDX-License-Identifier: Apache-2.0

import Datasets
import Foundation
import LinearAlgebra
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab

/// The LSTM workload and the smoothness experiment at toy size, on generated data.
@Suite struct SmoothnessTests {
  init() { _ = BLASEnvironment.pinned() }

  private static let lstm = [
    "corpus=stand-in", "embedding=3", "hidden=5", "batchSize=9", "length=4", "steps=7",
    "evaluationColumns=3",
  ]

  private func config(_ methods: [String]) -> Smoothness.Config {
    var config = Smoothness.Config()
    (config.batches, config.gridPoints, config.points) = (2, 2, 4)
    config.lstm = Self.lstm
    config.resnet18 = [
      "images=stand-in", "trainingImages=20", "testImages=10", "widthDivisor=32", "epochs=1",
      "batchSize=10", "lossScale=20", "microBatches=2",
    ]
    config.resnet20 = [
      "images=stand-in", "trainingImages=20", "testImages=10", "widthDivisor=16", "epochs=1",
      "batchSize=5",
    ]
    config.mlp = ["samples=60", "steps=9", "hidden=[6]", "inputs=4"]
    config.nanogpt = [
      "layers=1", "heads=2", "width=8", "contextLength=6", "batchSize=4", "steps=6", "dropout=0.2",
      "corpus=stand-in",
    ]
    config.gpt2 = config.nanogpt + ["microBatches=2"]
    config.methods = methods
    config.seeds = [1]
    let values: [String: Hyperparameters] = [
      "lstm": ["learningRate": 5, "maximumNorm": 0.25],
      "resnet18": ["learningRate": 0.02, "momentum": 0.5],
      "resnet20": ["learningRate": 0.1],
      "mlp": ["learningRate": 0.01, "maximumNorm": 1],
      "nanogpt": ["learningRate": 0.01, "maximumNorm": 1],
      "gpt2": ["learningRate": 0.01, "maximumNorm": 1],
    ]
    for method in methods { config.hyperparameters[method] = values[method] }
    return config
  }

  private static let names = Smoothness.workloads.map(\.name)

  /// Measuring changes nothing of a run: the same losses as without, and the same gradients again.
  private func expectUndisturbed<Task: Workload>(
    _ task: Task.Type, _ settings: Task.Settings, _ arm: Arm, _ values: Hyperparameters
  ) throws {
    let source = try Task.load(settings, folder: "nowhere")
    func run() throws -> TrainingRun<Task> {
      try TrainingRun<Task>(settings, arm, values, source, seed: 1)
    }
    let (plain, probed) = (try run(), try run())
    let probe = SmoothnessProbe(run: probed, batches: 2, gridPoints: 2)
    for step in 0..<plain.task.steps {
      let want = try plain.advance().loss
      let point = try #require(try probe.advance())
      #expect(point.loss == want && point.step == step)
      #expect(point.gradientNorm > 0 && point.maximum > 0 && point.maximum >= point.midpoint)
    }
    #expect(plain.task.modelState == probed.task.modelState)
  }

  @Test func measuringDoesNotDisturbTheRun() throws {
    let all = config(Self.names)
    func settings<S: WorkloadSettings>(_ defaults: S, _ changes: [String]) throws -> S {
      try CurveConfig(defaults, methods: ["x"], seeds: [1])
        .overlaid(yaml: "", file: "x", overrides: changes).settings
    }
    for workload in Smoothness.workloads {
      let (arm, values) = (workload.arm, try all.values(of: workload.name))
      let changes = all.changes(of: workload.name)
      switch workload.name {
      case "lstm":
        try expectUndisturbed(LSTMTask.self, settings(LSTMSettings(), changes), arm, values)
      case "resnet18":
        try expectUndisturbed(ImageTask.self, settings(ImageSettings(), changes), arm, values)
      case "resnet20":
        try expectUndisturbed(ResNetTask.self, settings(.resNet20, changes), arm, values)
      case "mlp":
        try expectUndisturbed(MLPTask.self, settings(MLPSettings(), changes), arm, values)
      default:
        let defaults: LanguageSettings = workload.name == "gpt2" ? .gpt2 : .nanoGPT
        try expectUndisturbed(LanguageTask.self, settings(defaults, changes), arm, values)
      }
    }
  }

  /// ‖∇f(x + c d) - ∇f(x)‖/(c ‖d‖) with gradients averaged by hand, on a run of the same step.
  @Test func aPointIsWhatTheGradientsByHandSay() throws {
    var settings = MLPSettings()
    (settings.inputs, settings.hidden, settings.samples) = (4, [6], 60)
    (settings.batchSize, settings.noiseProbability) = (5, 0)
    let (arm, source) = (
      try MLPArms.all.named("sgdm-none", place: "test"), MLPTask.Source(settings)
    )
    let runs = try (0..<2).map { _ in
      try TrainingRun<MLPTask>(settings, arm, ["learningRate": 0.3], source, seed: 1)
    }
    let batches = 3
    let point = try #require(
      try SmoothnessProbe(run: runs[0], batches: batches, gridPoints: 4).advance())
    let task = runs[1].task
    func parameters() -> [Double] {
      task.parameters.flatMap { $0.tensor.array.map(Double.init) }
    }
    func gradient() -> [Double] {
      var mean = [Double](repeating: 0, count: parameters().count)
      for step in 0..<batches {
        let (tape, loss) = task.load(step: step, microBatch: 0)
        tape.forward()
        tape.backward(from: loss)
        let own = task.parameters.flatMap { parameter in
          let values = parameter.gradient.materialized.base
          return (0..<parameter.count).map { Double(values[$0]) }
        }
        for i in mean.indices { mean[i] += own[i] / Double(batches) }
      }
      return mean
    }
    func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    func difference(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 - $1 } }
    let (before, first) = (parameters(), gradient())
    let loss = try runs[1].advance().loss
    let step = difference(parameters(), before)
    let ratios = [0.25, 0.5, 0.75, 1].map { (c: Double) -> Double in
      var place = 0
      for parameter in task.parameters {
        for i in 0..<parameter.count {
          parameter.base[i] = Float(before[place] + c * step[place])
          place += 1
        }
      }
      return norm(difference(gradient(), first)) / (c * norm(step))
    }
    #expect(point.step == 0 && point.loss == loss)
    for (got, want) in zip(
      point.ratios + [point.gradientNorm, point.updateNorm], ratios + [norm(first), norm(step)])
    {
      #expect(abs(got - want) <= 1e-5 * want, "\(point), not \(ratios)")
    }
    #expect(point.ratios.count == 4 && Set(point.ratios).count == 4)
    #expect(point.midpoint == point.ratios[1] && point.maximum == point.ratios.max())
  }

  /// One network of each kind but the convolutional, which takes minutes in a debug build: what a kill leaves of it is
  /// ImageTests'.
  @Test func threadsAndKillsDoNotChangeABit() throws {
    let names = ["lstm", "mlp", "nanogpt"]
    let config = config(names)
    let scratch = Scratch()
    let one = try run(Smoothness.self, config, scratch.path + "/1")
    #expect(one.methods == names)
    try expectEqual(
      one, run(Smoothness.self, config, scratch.path + "/2", jobs: 2, threads: 2), "2 threads")
    for step in [1, 3] {
      let place = scratch.path + "/killed\(step)"
      #expect(throws: Killed.self) {
        try run(Smoothness.self, config, place, checkpointSeconds: 0) { _, k in
          if k == step { throw Killed() }
        }
      }
      try expectEqual(one, run(Smoothness.self, config, place), "killed before step \(step)")
    }
    var other = config
    other.seeds = [2]
    let two = try run(Smoothness.self, other, scratch.path + "/seed")
    for (a, b) in zip(one.records, two.records) {
      #expect(try a.doubles("grad_norm") != b.doubles("grad_norm"))
    }
  }

  @Test func recordTableCaptionAndClaims() throws {
    let scratch = Scratch()
    var config = config(["lstm", "mlp"])
    config.seeds = [1, 2, 3]
    let set = try run(Smoothness.self, config, scratch.path)
    let record = try set.records(of: "mlp")[0]
    #expect(try record.ints("step") == [0, 3, 5, 7])
    let (middle, largest) = (
      try record.doubles("smoothness_midpoint"), try record.doubles("smoothness_max")
    )
    #expect(zip(middle, largest).allSatisfy { $0 <= $1 })
    #expect(try record.doubles("smoothness_midpoint_undivided") == middle.map { 2 * $0 })
    let table = try Smoothness.table(of: set)
    #expect(table[block: "lstm"]?.rows == 12 && table[block: "fit:mlp"] != nil)
    #expect(table[block: "summary"]?.rows == 6)
    let values = try Smoothness.captionValues(of: set)
    #expect(values.contains { $0.0 == "workloads" && $0.1.contains("sgd") == false })
    let claims = Smoothness.claims
    #expect(claims.map(\.id) == Self.names.map { "smoothness-\($0)" })
    for claim in claims {
      let evidence = try claim.evaluate(set)
      switch claim.id {
      case "smoothness-lstm": #expect(evidence.obstacle == .standIn)
      case "smoothness-mlp":
        #expect(evidence.obstacle == nil && evidence.findings[0].count == 3)
      default: #expect(evidence.verdict == .needsRecords)
      }
    }
  }

  @Test func theFitFindsALine() throws {
    var record = Record(attributes: [:])
    let norms = [0.5, 1, 2, 4, 8]
    for (name, values) in [
      ("grad_norm", norms), ("smoothness_max", norms.map { 3 + 2 * $0 }),
    ] { record.add(.init(name, .double(values), longName: name, units: "1")) }
    record.add(.init("step", .int64([0, 1, 2, 3, 4]), longName: "step", units: "1"))
    let scatter = try SmoothnessScatter(record, "smoothness_max")
    #expect(abs(scatter.fit.l0 - 3) < 1e-12 && abs(scatter.fit.l1 - 2) < 1e-12)
    #expect(scatter.correlation == 1)
    // Four points along an axis of their own, which no check of axes forbids.
    record.add(
      .init("smoothness_midpoint", .double([1, 2, 3, 4]), longName: "x", dimensions: ["other"]))
    let error = #expect(throws: StorageError.self) {
      try SmoothnessScatter(record, "smoothness_midpoint")
    }
    #expect(error?.what == "its columns differ in length")
  }

  @Test func changesOfAWorkloadAreCheckedByName() throws {
    func message(_ overrides: String...) -> String {
      do {
        _ = try Smoothness.defaults.overlaid(yaml: "", file: "x.yaml", overrides: overrides)
        return ""
      } catch { return "\(error)" }
    }
    #expect(message("lstm=[steps=5]") == "")
    #expect(message("lstm=[step=5]").contains("did you mean 'steps'?"))
    #expect(message("lstm=[steps=0]").contains("'steps'"))
    #expect(message("gridPoints=3").contains("even"))
    #expect(message("methods=[lstm, resnet50]").contains("resnet50"))
    // What came later leaves the keys of older records alone.
    #expect((try? Smoothness.defaults.lines.contains { $0.hasPrefix("resnet20") }) == false)
    // A record's key has what determines its own workload and nothing else.
    var config = config(Self.names)
    config.workloads = ["lstm: a = 1", "lstm: data = x", "mlp: b = 2"]
    let own = config.restricted(to: "lstm")
    #expect(own.workloads == ["lstm: a = 1", "lstm: data = x"] && own.mlp.isEmpty)
    #expect(own.dataDigest == "lstm: data = x" && own.hyperparameters.names == ["lstm"])
  }

  // MARK: - The LSTM's curves

  private func curves(_ methods: [String]) throws -> LSTMCurves.Config {
    var config = try LSTMCurves.defaults.overlaid(
      yaml: "", file: "x", overrides: Self.lstm + ["recordEvery=3", "evaluationWindows=2"])
    config.methods = methods
    config.seeds = [1]
    for method in methods {
      config.hyperparameters[method] =
        method.contains("norm")
        ? ["learningRate": 5, "maximumNorm": 0.25]
        : method.contains("spectral")
          ? ["learningRate": 5, "tau": 0.1] : ["learningRate": 0.5]
    }
    return config
  }

  @Test func theStateIsCarriedThroughKills() throws {
    let config = try curves(["sgd-norm-large", "sgd-none-small", "sgd-spectral-large"])
    let scratch = Scratch()
    let one = try run(LSTMCurves.self, config, scratch.path + "/1")
    try expectEqual(
      one, run(LSTMCurves.self, config, scratch.path + "/2", jobs: 2, threads: 3), "3 threads")
    for step in [1, 5] {
      let place = scratch.path + "/killed\(step)"
      #expect(throws: Killed.self) {
        try run(LSTMCurves.self, config, place, checkpointSeconds: 0) { _, k in
          if k == step { throw Killed() }
        }
      }
      try expectEqual(one, run(LSTMCurves.self, config, place), "killed before step \(step)")
    }
    let record = one.records[0]
    #expect(try record.ints("step") == [1, 3, 6, 7])
    let vocabulary = Double(try record.int(attribute: "vocabulary"))
    // A model that knows nothing: the logarithm of the vocabulary's size, but for the scatter of its weights.
    #expect(try abs(record.doubles("train_loss")[0] - log(vocabulary)) < 0.1)
    let table = try LSTMCurves.table(of: one)
    #expect(table.blocks.map(\.name) == config.methods + ["final"])
    _ = try LSTMCurves.captionValues(of: one)
  }

  @Test func windowsBeginAtZeroOnlyWhereTheTextDoes() throws {
    // 29 tokens in 2 columns: three windows of four and their targets.
    let data = LanguageData(
      name: "numbers", isStandIn: false, vocabulary: 30, training: (0..<29).map { UInt16($0) },
      validation: (0..<29).map { UInt16($0) }, digest: ""
    ) { _ in "" }
    var settings = LSTMSettings()
    (settings.embedding, settings.hidden, settings.length) = (3, 4, 4)
    (settings.batchSize, settings.steps, settings.evaluationColumns) = (2, 9, 2)
    let task = try LSTMTask(settings, LSTMArms.all[0], data, seed: 1, pool: .single)
    func loss(_ step: Int) -> Float {
      let (tape, loss) = task.load(step: step, microBatch: 0)
      tape.forward()
      return loss.scalar
    }
    let first = (0..<3).map(loss), again = (3..<6).map(loss)
    #expect(first == again)
    // Window 1 behind the last one is not window 1 behind window 0.
    let elsewhere = loss(1)
    #expect(elsewhere != first[1])
    // What a checkpoint holds is enough to go on.
    _ = loss(0)
    let state = task.modelState
    let want = loss(1)
    _ = loss(2)
    task.modelState = state
    #expect(loss(1) == want)
    settings.length = 14
    #expect(throws: ConfigError.self) {
      try LSTMTask(settings, LSTMArms.all[0], data, seed: 1, pool: .single)
    }
  }
}
