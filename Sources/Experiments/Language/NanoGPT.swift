import Lab
import Datasets
import Models
import Optimizers

/// Figs 2c, 6a and 6b: nanoGPT on tiny Shakespeare, norm against spectral clipping for SGDM and Muon (§6.2).
package enum NanoGPT: LanguageCurves {
  /// Settings; the defaults are the authors' code's.
  package struct Config: LanguageCurvesConfig {
    /// Transformer blocks.
    package var layers = 6
    /// Attention heads.
    package var heads = 6
    /// Channels.
    package var width = 384
    /// Tokens of a sequence.
    package var block = 256
    /// Probability of dropout.
    package var dropout = 0.2
    /// Sequences a step.
    package var batchSize = 64
    /// Parts that a batch is computed in.
    package var microBatches = 1
    /// Training steps.
    package var steps = 10_000
    /// Steps between two recorded points.
    package var recordEvery = 250
    /// Validation sequences at a recorded point.
    package var evaluationSequences = 256
    /// Validation sequences at the end, at most.
    package var finalSequences = 2048
    /// Algorithm 2: singular values that may be clipped.
    package var rank = 3
    /// Algorithm 2: further sketch vectors.
    package var oversampling = 5
    /// Algorithm 2: power iterations.
    package var powerIterations = 2
    /// The text.
    package var corpus = LanguageData.Source.shakespeare
    /// Byte-pair merges, for corpora that use them.
    package var merges = 50_000
    /// Which parameters the norm arms clip.
    package var clippedSet = ClippedSetVariant.authors
    /// "method name=value …", one line a method; methods without one take chosen.yaml's values.
    package var settings: [String] = []
    /// Filled in from the data.
    package var dataName = ""
    /// Filled in from the data.
    package var dataDigest = ""
    /// The methods to run.
    package var methods = ["sgdm-norm", "sgdm-spectral", "muon-norm", "muon-spectral"]
    /// One run a method and seed.
    package var seeds: [UInt64] = [1, 2, 3]

    /// The authors' settings.
    package init() {}

    static let knownMethods = LanguageMethod.nanoGPT

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
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

  package static let name = "nanogpt-shakespeare"
  package static let abstract =
    "nanoGPT on tiny Shakespeare: norm against spectral clipping (Figs 2c, 6a, 6b)."
  package static let version = 1
}
