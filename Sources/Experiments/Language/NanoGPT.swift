import Datasets
import Models
import Optimizers

/// Figs 2c, 6a and 6b: nanoGPT on tiny Shakespeare, norm against spectral clipping for SGDM and Muon (§6.2).
public enum NanoGPT: LanguageCurves {
  /// Settings; the defaults are the authors' code's.
  public struct Config: LanguageCurvesConfig {
    /// Transformer blocks.
    public var layers = 6
    /// Attention heads.
    public var heads = 6
    /// Channels.
    public var width = 384
    /// Tokens of a sequence.
    public var block = 256
    /// Probability of dropout.
    public var dropout = 0.2
    /// Sequences a step.
    public var batchSize = 64
    /// Parts that a batch is computed in.
    public var microBatches = 1
    /// Training steps.
    public var steps = 10_000
    /// Steps between two recorded points.
    public var recordEvery = 250
    /// Validation sequences at a recorded point.
    public var evaluationSequences = 256
    /// Validation sequences at the end, at most.
    public var finalSequences = 2048
    /// Algorithm 2: singular values that may be clipped.
    public var rank = 3
    /// Algorithm 2: further sketch vectors.
    public var oversampling = 5
    /// Algorithm 2: power iterations.
    public var powerIterations = 2
    /// The text.
    public var corpus = LanguageData.Source.shakespeare
    /// Byte-pair merges, for corpora that use them.
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
    public var methods = ["sgdm-norm", "sgdm-spectral", "muon-norm", "muon-spectral"]
    /// One run a method and seed.
    public var seeds: [UInt64] = [1, 2, 3]

    /// The authors' settings.
    public init() {}

    static let knownMethods = LanguageMethod.nanoGPT

    /// Throws a `ConfigError` for a value outside its range.
    public func validate() throws {
      try validateCurves()
      guard dropout >= 0, dropout < 1 else {
        throw ConfigError.value("dropout", dropout, "a number in [0, 1)")
      }
    }

    var problem: LanguageProblem {
      LanguageProblem(
        form: .nanoGPT, layers: layers, heads: heads, width: width, block: block,
        dropout: dropout, batchSize: batchSize, microBatches: microBatches, steps: steps,
        schedule: .constant, order: .windows, evaluationSequences: evaluationSequences,
        finalSequences: finalSequences,
        sketch: sketch)
    }
  }

  /// See `Experiment`.
  public static let name = "nanogpt-shakespeare"
  /// See `Experiment`.
  public static let abstract =
    "nanoGPT on tiny Shakespeare: norm against spectral clipping (Figs 2c, 6a, 6b)."
  /// See `Experiment`.
  public static let version = 1
}
