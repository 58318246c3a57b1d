// SPDX-License-Identifier: Apache-2.0

import Lab
import Datasets
import LinearAlgebra
import Models
import Storage

/// Figs 1 and 7: the singular values of a trained GPT's gradients as good tokens of a mini-batch are replaced
/// by bad ones (§1, Appendix G; the authors published no code for it).
package enum BadTokenSpectra: Experiment {
  /// Settings; the paper names neither text, layers, batch sizes nor repeats, so most defaults are ours.
  package struct Config: ExperimentConfig {
    package static let limits: [String: ClosedRange<Int>] = [
      "heads": 0...1000, "merges": 0...50_000, "context": 1...1_000_000, "batchSizes": 1...100_000,
      "batches": 1...1_000_000, "top": 1...100_000, "detailBatchSize": 1...100_000,
      "calibrationBatches": 1...1_000_000,
    ]
    /// Whose gradients.
    package var model = TrainedModel.Source.gpt2
    /// The weights, where `model` is `file`; filled in for `trained`.
    package var weights = ""
    /// Code base of the weights, where `model` is `file`.
    package var form = GPT.Form.gpt2
    /// Attention heads, 0 for width / 64.
    package var heads = 0
    /// The text that contexts are taken from.
    package var corpus = LanguageData.Source.wikiText
    /// Byte-pair merges of the vocabulary.
    package var merges = 50_000
    /// Tokens of a context.
    package var context = 128
    /// Samples of a mini-batch, B: a sample is a context and one next token.
    package var batchSizes = [4, 8, 16, 32]
    /// Mini-batches of every size and seed; in each, b = 0, …, B good tokens are replaced.
    package var batches = 20
    /// The least probability of a `confident` good token.
    package var confidence = 0.5
    /// The share of the vocabulary that counts as the `lowest`.
    package var lowestFraction = 0.01
    /// Singular values recorded.
    package var top = 10
    /// The mini-batch size for which whole spectra and clipping rules are recorded.
    package var detailBatchSize = 8
    /// Mini-batches of good tokens that thresholds are set from.
    package var calibrationBatches = 20
    /// The quantile of their norms and top singular values that is the threshold; the paper's (§6.1).
    package var quantile = 0.85
    /// Filled in from the data.
    package var dataName = ""
    /// Filled in from the data.
    package var dataDigest = ""
    /// Filled in from the weights.
    package var weightsDigest = ""
    /// Definitions of good and bad tokens.
    package var methods = ["confident-lowest", "confident-random", "argmax-permuted"]
    /// Seeds of contexts and random tokens.
    package var seeds: [UInt64] = [1]

    /// The defaults.
    package init() {}

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
      guard !batchSizes.isEmpty, Set(batchSizes).count == batchSizes.count else {
        throw ConfigError.value("batchSizes", batchSizes, "a list of different sizes >= 1")
      }
      guard batchSizes.contains(detailBatchSize) else {
        throw ConfigError.value("detailBatchSize", detailBatchSize, "one of batchSizes")
      }
      for (key, value) in [("confidence", confidence), ("quantile", quantile)]
      where !(value >= 0 && value <= 1) {
        throw ConfigError.value(key, value, "a number in [0, 1]")
      }
      guard lowestFraction > 0, lowestFraction <= 1 else {
        throw ConfigError.value("lowestFraction", lowestFraction, "a number in (0, 1]")
      }
      guard model != .file || !weights.isEmpty else {
        throw ConfigError(
          "setting 'weights'", "is empty", hint: "name the weights that 'model: file' is to load")
      }
      for method in methods { _ = try TokenDefinition(name: method) }
    }

    /// Where the weights lie does not matter; what they are, `weightsDigest` says.
    package func restricted(to method: String) -> Config {
      var own = self
      own.weights = ""
      return own
    }

    /// Mini-batches are numbered 0 ..< batches within a size, sizes in their order.
    var pieces: Int { batches * batchSizes.count }
  }

  package static let defaults = Config()
  package static let name = "bad-token-spectra"
  package static let abstract =
    "Singular values of gradients as good tokens are replaced by bad ones (Figs 1, 7)."
  package static let version = 1

  package static func planned(_ config: Config, _ folders: RunFolders) throws -> Config {
    var config = config
    if config.model == .trained { config.weights = (try? TrainedModel.path(folders)) ?? "" }
    return config
  }

  /// The model's place, and what identifies it and the text.
  package static func resolve(_ config: Config, _ folders: RunFolders) throws -> Config {
    var config = config
    if config.model == .trained {
      config.weights = try TrainedModel.path(folders)
    }
    config.weightsDigest = try TrainedModel.digest(config, folders.data)
    let data = try LanguageData.load(
      config.corpus, folder: folders.data, merges: config.merges, block: config.context)
    config.dataName = data.name
    config.dataDigest = data.digest
    return config
  }

  /// A step is a mini-batch with all its replacements.
  package static func work(of job: Job, _ config: Config) -> Int { config.pieces }

  /// Without its weights and text, the records tell.
  package static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double? {
    guard let model = try? TrainedModel(config, context.data.path) else { return nil }
    let sweep = ReplacementSweep(
      model.gpt, context: config.context, top: config.top,
      pool: WorkerPool(threads: context.threads))
    let tokens = Array(model.data.validation.prefix(config.context).map { Int32($0) })
    let samples = [
      TokenSample(context: tokens, good: 0, bad: 1, goodProbability: 0, badProbability: 0)
    ]
    let seconds = try timePerStep {
      _ = try sweep.measure(samples, thresholds: nil, keepingSpectra: false)
      return 2  // b = 0 and b = 1
    }
    return seconds * cells(config) / Double(config.batchSizes.count)
  }

  package static func recordedScale(of method: String, _ config: Config) -> Double {
    Double(config.batches) * cells(config)
  }

  /// Gradients of a sweep over all sizes.
  private static func cells(_ config: Config) -> Double {
    config.batchSizes.reduce(0) { $0 + Double($1) + 1 }
  }

  package static func dataName(_ config: Config) -> String { config.dataName }

  package static func run(
    _ job: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let definition = try TokenDefinition(name: job.methods[0])
    let model = try TrainedModel(config, context.data.path)
    let pool = WorkerPool(threads: context.threads)
    let stream = RandomStream(seed: job.seed, name: name)
    // All mini-batches of all sizes, then those for calibration: every sample has a context of its own.
    let sizes = (0..<config.pieces).map { config.batchSizes[$0 % config.batchSizes.count] }
    let calibration = Array(
      repeating: config.detailBatchSize, count: config.calibrationBatches)
    var samples = try SampleDrawer(model, config, stream, pool).draw(
      (sizes + calibration).reduce(0, +), definition)[...]
    func next(_ count: Int) -> [TokenSample] {
      defer { samples = samples.dropFirst(count) }
      return Array(samples.prefix(count))
    }
    let batches = sizes.map(next)
    let calibrationBatches = calibration.map(next)

    let sweep = ReplacementSweep(model.gpt, context: config.context, top: config.top, pool: pool)
    var inOrder = context
    inOrder.threads = 1  // one mini-batch after another: the threads are the sweep's
    let good = try calibrationBatches.map { try sweep.measureGood($0) }
    let thresholds = LayerThresholds.all(from: good, quantile: config.quantile)
    let box = SweepBox(sweep)
    let results = try inOrder.parallelMap(config.pieces, progress: 1) { piece in
      let isDetail = sizes[piece] == config.detailBatchSize
      return try box.sweep.measure(
        batches[piece], thresholds: isDetail ? thresholds : nil, keepingSpectra: isDetail)
    }
    return [
      SpectraRecord(config, definition, model, sweep.names).record(
        results, sizes: sizes, batches: batches.flatMap { $0 }, thresholds: thresholds)
    ]
  }
}

/// The sweep is used by one thread at a time.
private struct SweepBox: @unchecked Sendable {
  let sweep: ReplacementSweep
  init(_ sweep: ReplacementSweep) { self.sweep = sweep }
}
