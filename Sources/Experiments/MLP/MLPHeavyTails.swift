import Lab
import Datasets
import Foundation
import LinearAlgebra
import Storage
import Training

/// Fig 2b: an MLP on y = x₁x₂x₃ whose gradients suffer heavy-tailed low-rank noise (§6.4), for the
/// paper's methods and others, each at hyper-parameters found by the same search (`MLPSearch`).
package enum MLPHeavyTails: Experiment {
  /// Settings; the defaults are the paper's.
  package struct Config: MLPConfig {
    /// d, the dimension of x.
    package var inputs = 100
    /// Widths of the hidden layers.
    package var hidden = [100, 100, 100]
    /// Samples drawn.
    package var samples = 10_000
    /// Share of them that is trained on.
    package var trainingShare = 0.8
    /// Mini-batch size.
    package var batchSize = 32
    /// Whether every epoch has the same batches.
    package var order = BatchOrder.replayed
    /// Probability of noise in a step.
    package var noiseProbability = 0.1
    /// Tail exponent α of the noise.
    package var noiseAlpha = 1.1
    /// Smallest size of the noise.
    package var noiseScale = 5.0
    /// Training steps.
    package var steps = 30_000
    /// Steps between two recorded points.
    package var recordEvery = 250
    /// Mini-batch losses in the mean that a point records, as the authors log it.
    package var smoothing = 25
    /// "method name=value …", one line a method; methods without one take chosen.yaml's values.
    package var settings: [String] = []
    /// The methods to run.
    package var methods = MLPMethod.all.map(\.name)
    /// One run a method and seed.
    package var seeds: [UInt64] = [1, 2, 3, 4, 5]

    /// The paper's settings.
    package init() {}

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
      try validateProblem()
      guard recordEvery >= 1 else {
        throw ConfigError.value("recordEvery", recordEvery, "a whole number >= 1")
      }
      guard smoothing >= 1, smoothing <= MLPTraining.window else {
        throw ConfigError.value(
          "smoothing", smoothing, "a whole number between 1 and \(MLPTraining.window)")
      }
      for method in methods { _ = try MLPMethod.named(method, place: "setting 'methods'") }
      for line in settings { _ = try MethodSetting<MLPMethod>(line: line) }
    }

    /// Only the method's own hyper-parameters.
    package func restricted(to method: String) -> Config {
      var own = self
      own.settings = MethodSetting<MLPMethod>.lines(of: method, in: settings)
      return own
    }

    func values(of method: String) throws -> MLPMethod.Values {
      try MethodSetting<MLPMethod>.values(of: method, in: settings)
    }
  }

  package static let name = "mlp-heavy-tails"
  package static let abstract =
    "An MLP under heavy-tailed gradient noise: loss curves of every clipping rule (Fig 2b)."
  package static let version = 1

  /// Hyper-parameters come from chosen.yaml.
  package static func resolve(_ config: Config, _ places: Places) throws -> Config {
    var config = config
    config.settings = try ChosenHyperparameters<MLPMethod>.fillTuned(
      config.settings, methods: config.methods, file: places.folder + "/chosen.yaml")
    return config
  }

  package static func work(of unit: Job, _ config: Config) -> Int { config.steps }

  package static func secondsPerStep(
    _ config: Config, _ context: RunContext
  ) throws -> Double {
    try timePerStep {
      let data = config.problem.data(seed: 0)
      let each = min(config.steps, 40)
      for method in config.methods {
        let training = try MLPTraining(
          config.problem, MLPMethod.named(method, place: "method"), config.values(of: method),
          seed: 0, data: data)
        for _ in 0..<each where training.divergedAt == nil { training.advance() }
      }
      return each * config.methods.count
    }
  }

  package static func dataName(_ config: Config) -> String { config.dataDescription }

  /// What a run has recorded.
  private struct Series: Codable {
    var step: [Int] = []
    var trainLoss: [Double] = []
    var validationLoss: [Double] = []
    var normBefore: [Double] = []
    var normAfter: [Double] = []
    var updateNorm: [Double] = []
    var sigmaMax: [Double] = []  // [point, layer]
    var tau: [Double] = []
    var clippedShare: [Double] = []
  }

  package static func run(
    _ unit: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let method = try MLPMethod.named(unit.methods[0], place: "method")
    let values = try config.values(of: method.name)
    let pool = WorkerPool(threads: context.threads)
    let training = try MLPTraining(config.problem, method, values, seed: unit.seed, pool: pool)
    return [
      try context.record(
        training, steps: config.steps, every: config.recordEvery, from: Series()
      ) { isPoint, series in
        let report = training.advance(measuring: isPoint, measuringUpdate: isPoint)
        if isPoint && training.divergedAt == nil { append(report, training, config, to: &series) }
      } record: { series in
        record(method, values, training, series, config)
      }
    ]
  }

  private static func append(
    _ report: MLPTraining.Report, _ training: MLPTraining, _ config: Config,
    to series: inout Series
  ) {
    series.step.append(training.step)
    series.trainLoss.append(training.meanLoss(last: config.smoothing))
    series.validationLoss.append(training.validationLoss())
    series.normBefore.append(report.measures?.normBefore ?? .nan)
    series.normAfter.append(report.measures?.normAfter ?? .nan)
    series.updateNorm.append(report.updateNorm ?? .nan)
    series.sigmaMax += report.measures?.sigmaMax ?? []
    series.tau += report.measures?.tau ?? []
    series.clippedShare += report.measures?.clippedShare ?? []
  }

  private static func record(
    _ method: MLPMethod, _ values: MLPMethod.Values, _ training: MLPTraining, _ series: Series,
    _ config: Config
  ) -> Record {
    var attributes: Attributes = [
      "title": .string(method.title), "source": .string(method.source),
      "diverged_at": .int(training.divergedAt ?? -1),
      "final_train_loss": .double(training.meanLoss(last: MLPTraining.window)),
      "final_val_loss": .double(
        training.divergedAt == nil ? series.validationLoss.last ?? .nan : .nan),
    ]
    for parameter in method.hyperparameters {
      attributes[parameter.name] = .double(values[parameter.name] ?? .nan)
    }
    var record = StepRecord(
      attributes: attributes, count: config.steps, every: config.recordEvery,
      layers: training.model.parameters.map(\.name), layerName: "parameter")
    record.add(
      "train_loss", series.trainLoss,
      "mean of the last \(config.smoothing) mini-batch losses (mean squared error)")
    record.add("val_loss", series.validationLoss, "mean squared error on the validation samples")
    record.add("grad_norm_pre", series.normBefore, "gradient norm over all layers before clipping")
    record.add("grad_norm_post", series.normAfter, "gradient norm over all layers after clipping")
    record.add("update_norm", series.updateNorm, "norm of the step's change of all parameters")
    record.addLayers("sigma_max", series.sigmaMax, "largest singular value before clipping")
    record.addLayers("tau", series.tau, "clipping threshold")
    record.addLayers("clipped_share", series.clippedShare, "share of singular values clipped")
    record.addSeconds(
      forward: training.seconds.forward, backward: training.seconds.backward,
      update: training.update.seconds)
    return record.record
  }
}
