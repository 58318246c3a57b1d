import Datasets
import Models
import Optimizers

/// Figs 3 and 6c: GPT-2 on FineWeb, norm against spectral clipping for SGDM, Adam and Muon (§6.3).
public enum GPT2FineWeb: LanguageCurves {
  /// Settings; the defaults are the authors' code's.
  public struct Config: LanguageCurvesConfig {
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
      try validateCurves()
      guard warmup >= 0 else { throw ConfigError.value("warmup", warmup, "a whole number >= 0") }
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
}
