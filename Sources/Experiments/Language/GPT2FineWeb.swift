import Lab
import Datasets
import Models
import Optimizers

/// Figs 3 and 6c: GPT-2 on FineWeb, norm against spectral clipping for SGDM, Adam and Muon (§6.3).
package enum GPT2FineWeb: LanguageCurves {
  /// Settings; the defaults are the authors' code's.
  package struct Config: LanguageCurvesConfig {
    /// Transformer blocks.
    package var layers = 12
    /// Attention heads.
    package var heads = 12
    /// Channels.
    package var width = 768
    /// Tokens of a sequence.
    package var block = 1024
    /// Sequences a step.
    package var batchSize = 128
    /// Parts that a batch is computed in, one after another.
    package var microBatches = 64
    /// Training steps: 2·10⁹ tokens.
    package var steps = 15_259
    /// Steps over which the rate rises.
    package var warmup = 200
    /// Steps between two recorded points.
    package var recordEvery = 50
    /// Validation sequences at a recorded point.
    package var evaluationSequences = 32
    /// Validation sequences at the end, at most.
    package var finalSequences = 2048
    /// Algorithm 2: singular values that may be clipped.
    package var rank = 64
    /// Algorithm 2: further sketch vectors.
    package var oversampling = 10
    /// Algorithm 2: power iterations.
    package var powerIterations = 2
    /// The text.
    package var corpus = LanguageData.Source.fineWeb
    /// Byte-pair merges of the vocabulary.
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
    package var methods = LanguageMethod.gpt2.map(\.name).filter { !$0.hasSuffix("-fair") }
    /// One run a method and seed.
    package var seeds: [UInt64] = [1, 2, 3]

    /// The authors' settings.
    package init() {}

    static let knownMethods = LanguageMethod.gpt2

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
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

  package static let name = "gpt2-fineweb"
  package static let abstract =
    "GPT-2 pre-training: norm against spectral clipping (Figs 3, 6c)."
  package static let version = 1
}
