import Datasets
import Foundation
import LinearAlgebra
import Models
import Optimizers
import Storage
import Training

/// Figs 3 and 6c: GPT-2 on FineWeb, norm against spectral clipping for SGDM, Adam and Muon (§6.3).
public enum GPT2FineWeb: Experiment {
  /// Settings; the defaults are the authors' code's.
  public struct Config: LanguageConfig {
    /// Transformer blocks.
    public var layers = 12
    /// Attention heads.
    public var heads = 12
    /// Channels.
    public var width = 768
    /// Tokens of a sequence.
    public var block = 1024
    /// Sequences a step.
    public var batchSize = 128
    /// Parts that a batch is computed in, one after another.
    public var microBatches = 64
    /// Training steps: 2·10⁹ tokens.
    public var steps = 15_259
    /// Steps over which the rate rises.
    public var warmup = 200
    /// Steps between two recorded points.
    public var recordEvery = 50
    /// Validation sequences at a recorded point.
    public var evaluationSequences = 32
    /// Validation sequences at the end, at most.
    public var finalSequences = 2048
    /// Algorithm 2: singular values that may be clipped.
    public var rank = 64
    /// Algorithm 2: further sketch vectors.
    public var oversampling = 10
    /// Algorithm 2: power iterations.
    public var powerIterations = 2
    /// The text.
    public var corpus = LanguageData.Source.fineWeb
    /// Byte-pair merges of the vocabulary.
    public var merges = 50_000
    /// Which parameters the norm arms clip.
    public var clippedSet = ClippedSetVariant.authors
    /// "method name=value …", one line a method; methods without one take chosen.yaml's values.
    public var settings: [String] = []
    /// Filled in from the data.
    public var dataName = ""
    /// Filled in from the data.
    public var dataDigest = ""
    /// The methods to run.
    public var methods = LanguageMethod.gpt2.map(\.name).filter { !$0.hasSuffix("-fair") }
    /// One run a method and seed.
    public var seeds: [UInt64] = [1, 2, 3]

    /// The authors' settings.
    public init() {}

    static let knownMethods = LanguageMethod.gpt2

    /// Throws a `ConfigError` for a value outside its range.
    public func validate() throws {
      try validateProblem()
      guard recordEvery >= 1 else {
        throw ConfigError.value("recordEvery", recordEvery, "a whole number >= 1")
      }
      guard warmup >= 0 else { throw ConfigError.value("warmup", warmup, "a whole number >= 0") }
      for line in settings { _ = try MethodSetting<LanguageMethod>(line: line) }
    }

    /// Only the method's own hyper-parameters.
    public func restricted(to method: String) -> Config {
      var own = self
      own.settings = settings.filter { $0.split(separator: " ").first.map(String.init) == method }
      own.clippedSet = .authors  // the method's name says it
      return own
    }

    var problem: LanguageProblem {
      LanguageProblem(
        form: .gpt2, layers: layers, heads: heads, width: width, block: block, dropout: 0,
        batchSize: batchSize, microBatches: microBatches, steps: steps,
        schedule: .cosine(warmup: warmup), order: .chunks,
        evaluationSequences: evaluationSequences, finalSequences: finalSequences, sketch: sketch)
    }
  }

  /// See `Experiment`.
  public static let name = "gpt2-fineweb"
  /// See `Experiment`.
  public static let abstract =
    "GPT-2 pre-training: norm against spectral clipping (Figs 3, 6c)."
  /// See `Experiment`.
  public static let version = 1

  /// See `Experiment`: the reading of the clipped set, hyper-parameters from chosen.yaml, the data's digest.
  public static func complete(
    _ config: Config, folder: String, dataFolder: String
  ) throws -> Config {
    var config = try config.identified(dataFolder)
    config.methods = config.clippedSet.methods(config.methods)
    config.settings = try ChosenHyperparameters<LanguageMethod>.complete(
      config.settings, methods: config.methods, file: folder + "/chosen.yaml")
    return config
  }

  /// See `Experiment`.
  public static func units(of config: Config) -> [RunUnit] {
    config.seeds.flatMap { seed in
      config.methods.map { RunUnit(methods: [$0], seed: seed) }
    }
  }

  /// See `Experiment`.
  public static func work(of unit: RunUnit, _ config: Config) -> Int { config.steps }

  /// See `Experiment`.
  public static func secondsPerStep(
    _ config: Config, _ context: RunContext
  ) throws -> Double {
    try secondsPerLanguageStep(
      config, settings: config.settings, evaluations: 1 / Double(config.recordEvery), context)
  }

  /// See `Experiment`.
  public static func dataName(_ config: Config) -> String { config.dataName }

  /// See `Experiment`.
  public static func run(
    _ unit: RunUnit, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let method = try LanguageMethod.named(unit.methods[0], place: "method")
    let run = LanguageRun(
      problem: config.problem, method: method,
      values: try MethodSetting<LanguageMethod>.values(of: method.name, in: config.settings),
      seed: unit.seed, recordEvery: config.recordEvery)
    return [try run.record(try config.load(context.dataFolder), context)]
  }
}
