import Lab
import Datasets
import Foundation
import LinearAlgebra
import Models
import Storage
import Training

/// Settings that the two language-model experiments and their searches share.
protocol LanguageConfig: ExperimentConfig {
  var layers: Int { get }
  var heads: Int { get }
  var width: Int { get }
  var block: Int { get }
  var batchSize: Int { get }
  var microBatches: Int { get }
  var steps: Int { get }
  var evaluationSequences: Int { get }
  var finalSequences: Int { get }
  var rank: Int { get }
  var oversampling: Int { get }
  var powerIterations: Int { get }
  var corpus: LanguageData.Source { get }
  var merges: Int { get }
  /// Filled in from the data: what they are called, and their digest.
  var dataName: String { get set }
  var dataDigest: String { get set }
  /// Everything together.
  var problem: LanguageProblem { get }
  /// The methods that may be named.
  static var knownMethods: [LanguageMethod] { get }
}

extension LanguageConfig {
  var sketch: LanguageMethod.Sketch {
    .init(rank: rank, oversampling: oversampling, powerIterations: powerIterations)
  }

  func validateProblem() throws {
    func check(_ key: String, _ value: Int, _ holds: Bool, _ expected: String) throws {
      guard holds else { throw ConfigError.value(key, value, expected) }
    }
    let counts = [
      ("layers", layers), ("heads", heads), ("width", width), ("block", block),
      ("batchSize", batchSize), ("microBatches", microBatches), ("steps", steps),
      ("evaluationSequences", evaluationSequences), ("finalSequences", finalSequences),
      ("rank", rank),
    ]
    for (key, value) in counts { try check(key, value, value >= 1, "a whole number >= 1") }
    for (key, value) in [
      ("oversampling", oversampling), ("powerIterations", powerIterations), ("merges", merges),
    ] {
      try check(key, value, value >= 0, "a whole number >= 0")
    }
    try check("merges", merges, merges <= 50_000, "at most the 50000 of GPT-2")
    try check("width", width, width % heads == 0, "a multiple of the \(heads) heads")
    try check(
      "batchSize", batchSize, batchSize % microBatches == 0,
      "a multiple of the \(microBatches) micro-batches")
    for method in methods {
      let known = try LanguageMethod.named(method, place: "setting 'methods'")
      guard Self.knownMethods.contains(where: { $0.name == known.name }) else {
        throw ConfigError(
          "setting 'methods'", "'\(method)' belongs to another experiment",
          hint: "known are \(Self.knownMethods.map(\.name).joined(separator: ", "))")
      }
    }
  }

  func load(_ folder: String) throws -> LanguageData {
    try LanguageData.load(corpus, folder: folder, merges: merges, block: block)
  }

  /// The same with name and digest of the data.
  func identified(_ folder: String) throws -> Self {
    var config = self
    let data = try load(folder)
    config.dataName = data.name
    config.dataDigest = data.digest
    return config
  }
}

/// Seconds a step, the mean over the methods, from one micro-batch and one update each; `evaluations` is how
/// many evaluations there are to a step.
func secondsPerLanguageStep(
  _ config: some LanguageConfig, settings: [String], evaluations: Double, _ context: RunContext
) throws -> Double {
  let data = try config.load(context.dataFolder)
  let pool = WorkerPool(threads: context.threads)
  var total = 0.0
  for name in config.methods {
    let method = try LanguageMethod.named(name, place: "method")
    let training = try LanguageTraining(
      config.problem, method,
      try settings.isEmpty
        ? HyperparameterSearch.values(method, at: 0, stream: "rehearsal")
        : MethodSetting<LanguageMethod>.values(of: name, in: settings),
      data: data, seed: 0, pool: pool)
    total += try training.secondsPerStep(evaluations: evaluations)
  }
  return total / Double(max(1, config.methods.count))
}

/// What a run of a language model has recorded.
struct LanguageSeries: Codable {
  var step: [Int] = []
  var trainLoss: [Double] = []
  var validationLoss: [Double] = []
  var modelSeconds: [Double] = []
  var normBefore: [Double] = []
  var normAfter: [Double] = []
  var sigmaMax: [Double] = []  // [point, matrix]
  var tau: [Double] = []
  var clippedShare: [Double] = []
  /// Sum and number of the mini-batch losses since the last point.
  var pending = [0.0, 0.0]
}

/// Trains a run to its end and makes its record: what both experiments do.
struct LanguageRun {
  let problem: LanguageProblem
  let method: LanguageMethod
  let values: LanguageMethod.Values
  let seed: UInt64
  /// Steps between two recorded points.
  let recordEvery: Int

  func record(_ data: LanguageData, _ context: RunContext) throws -> Record {
    let training = try LanguageTraining(
      problem, method, values, data: data, seed: seed, pool: WorkerPool(threads: context.threads))
    // The names of the layers whose spectra are recorded, and their places.
    let matrices = training.model.matrixNames
    let places = training.model.parameters.indices.filter {
      matrices.contains(training.model.parameters[$0].name)
    }
    return try context.record(
      training, steps: problem.steps, every: recordEvery, from: LanguageSeries()
    ) { isPoint, series in
      let report = try training.advance(measuring: isPoint)
      guard training.divergedAt == nil else { return }
      series.pending[0] += report.loss
      series.pending[1] += 1
      if isPoint { append(report, training, places, to: &series) }
    } record: { series in
      if let path = context.weightsPath { try training.model.save(to: path) }
      return make(training, series, matrices, data)
    }
  }

  private func append(
    _ report: LanguageTraining.Report, _ training: LanguageTraining, _ places: [Int],
    to series: inout LanguageSeries
  ) {
    series.step.append(training.step)
    series.trainLoss.append(series.pending[0] / series.pending[1])
    series.pending = [0, 0]
    series.validationLoss.append(
      training.validationLoss(sequences: problem.evaluationSequences))
    series.modelSeconds.append(training.seconds.model)
    series.normBefore.append(report.measures?.normBefore ?? .nan)
    series.normAfter.append(report.measures?.normAfter ?? .nan)
    for place in places {
      series.sigmaMax.append(report.measures?.sigmaMax[place] ?? .nan)
      series.tau.append(report.measures?.tau[place] ?? .nan)
      series.clippedShare.append(report.measures?.clippedShare[place] ?? .nan)
    }
  }

  private func make(
    _ training: LanguageTraining, _ series: LanguageSeries, _ matrices: [String],
    _ data: LanguageData
  ) -> Record {
    let hasDiverged = training.divergedAt != nil
    var attributes: Attributes = [
      "title": .string(method.title), "source": .string(method.source),
      "data_is_stand_in": .int(data.isStandIn ? 1 : 0),
      "parameters": .int(training.model.parameterCount),
      "vocabulary": .int(data.vocabulary),
      "diverged_at": .int(training.divergedAt ?? -1),
      "final_train_loss": .double(hasDiverged ? .nan : series.trainLoss.last ?? .nan),
      "final_val_loss": .double(
        hasDiverged ? .nan : training.validationLoss(sequences: problem.finalSequences)),
      "sample": .string(hasDiverged ? "" : sample(training.model, data, training.pool)),
    ]
    for parameter in method.hyperparameters {
      attributes[parameter.name] = .double(values[parameter.name] ?? .nan)
    }
    var record = StepRecord(
      attributes: attributes, count: problem.steps, every: recordEvery, layers: matrices,
      layerName: "matrix parameter")
    record.add(
      "train_loss", series.trainLoss,
      "mean of the mini-batch losses since the point before (cross-entropy, nats a token)")
    record.add(
      "val_loss", series.validationLoss,
      "cross-entropy on up to \(problem.evaluationSequences) validation sequences, nats a token")
    record.add(
      "grad_norm_pre", series.normBefore, "gradient norm over all parameters before clipping")
    record.add(
      "grad_norm_post", series.normAfter, "gradient norm over all parameters after clipping")
    record.addLayers("sigma_max", series.sigmaMax, "largest singular value before clipping")
    record.addLayers("tau", series.tau, "clipping threshold")
    record.addLayers("clipped_share", series.clippedShare, "share of singular values clipped")
    record.addTimes(
      "model_seconds", series.modelSeconds,
      "seconds in forward, backward, clip and optimizer since the start")
    record.addSeconds(
      forward: training.seconds.forward, backward: training.seconds.backward,
      update: training.update.seconds)
    return record.record
  }

  /// What the model writes, for a person to read.
  private func sample(_ model: GPT, _ data: LanguageData, _ pool: WorkerPool) -> String {
    let prompt = data.validation.prefix(min(16, problem.block)).map { Int($0) }
    let drawn = model.sample(
      after: prompt, count: model.parameterCount > 10_000_000 ? 24 : 200, temperature: 0.8,
      stream: RandomStream(seed: seed, name: "language/sample"), pool: pool)
    return data.decode(prompt + drawn)
  }
}
