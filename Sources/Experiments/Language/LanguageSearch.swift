import Lab
import Datasets
import Foundation
import LinearAlgebra
import Optimizers
import Storage
import Training

/// Table 3: hyper-parameters of nanogpt-shakespeare's methods, by quasi-random search over the authors'
/// ranges with equal budgets.
package enum NanoGPTSearch: LanguageSearch {
  /// Settings; the defaults are quick's, a quarter of its length.
  package struct Config: LanguageSearchConfig {
    /// Transformer blocks.
    package var layers = 4
    /// Attention heads.
    package var heads = 4
    /// Channels.
    package var width = 128
    /// Tokens of a sequence.
    package var block = 64
    /// Probability of dropout.
    package var dropout = 0.0
    /// Sequences a step.
    package var batchSize = 12
    /// Parts that a batch is computed in.
    package var microBatches = 1
    /// Training steps of a trial.
    package var steps = 250
    /// Validation sequences that a trial's loss is measured on.
    package var evaluationSequences = 256
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
    /// Trials a method.
    package var trials = 20
    /// Filled in from the data.
    package var dataName = ""
    /// Filled in from the data.
    package var dataDigest = ""
    /// The methods to search for.
    package var methods = LanguageMethod.nanoGPT.filter { $0.schedule == nil }.map(\.name)
    /// Seeds of weights and batches (not those of the curves).
    package var seeds: [UInt64] = [1000]

    /// The defaults.
    package init() {}

    static let knownMethods = LanguageMethod.nanoGPT

    var problem: LanguageProblem {
      LanguageProblem(
        form: .nanoGPT, layers: layers, heads: heads, width: width, block: block,
        dropout: dropout, batchSize: batchSize, microBatches: microBatches, steps: steps,
        schedule: .constant, order: .windows, evaluationSequences: evaluationSequences,
        finalSequences: finalSequences,
        sketch: sketch)
    }
  }

  package static let name = "nanogpt-search"
  package static let abstract = "Hyper-parameters of nanogpt-shakespeare's methods (Table 3)."
  package static let command = "nanogpt-shakespeare search"
}

/// Table 4: hyper-parameters of gpt2-fineweb's methods, in the same way.
package enum GPT2Search: LanguageSearch {
  /// Settings; the defaults are quick's, a quarter of its length.
  package struct Config: LanguageSearchConfig {
    /// Transformer blocks.
    package var layers = 4
    /// Attention heads.
    package var heads = 4
    /// Channels.
    package var width = 128
    /// Tokens of a sequence.
    package var block = 128
    /// Sequences a step.
    package var batchSize = 8
    /// Parts that a batch is computed in.
    package var microBatches = 1
    /// Training steps of a trial.
    package var steps = 100
    /// Steps over which the rate rises.
    package var warmup = 5
    /// Validation sequences that a trial's loss is measured on.
    package var evaluationSequences = 128
    /// Algorithm 2: singular values that may be clipped.
    package var rank = 16
    /// Algorithm 2: further sketch vectors.
    package var oversampling = 10
    /// Algorithm 2: power iterations.
    package var powerIterations = 2
    /// The text.
    package var corpus = LanguageData.Source.wikiText
    /// Byte-pair merges.
    package var merges = 768
    /// Trials a method.
    package var trials = 16
    /// Filled in from the data.
    package var dataName = ""
    /// Filled in from the data.
    package var dataDigest = ""
    /// The methods to search for.
    package var methods = LanguageMethod.gpt2.map(\.name)
    /// Seeds of weights and batches (not those of the curves).
    package var seeds: [UInt64] = [1000]

    /// The defaults.
    package init() {}

    static let knownMethods = LanguageMethod.gpt2

    var problem: LanguageProblem {
      LanguageProblem(
        form: .gpt2, layers: layers, heads: heads, width: width, block: block, dropout: 0,
        batchSize: batchSize, microBatches: microBatches, steps: steps,
        schedule: .cosine(warmup: warmup), order: .chunks,
        evaluationSequences: evaluationSequences, finalSequences: finalSequences, sketch: sketch)
    }
  }

  package static let name = "gpt2-search"
  package static let abstract = "Hyper-parameters of gpt2-fineweb's methods (Table 4)."
  package static let command = "gpt2-fineweb search"
}

/// The settings of either.
protocol LanguageSearchConfig: LanguageConfig, SearchConfig {}

extension LanguageSearchConfig {
  /// A trial ends with one evaluation.
  var finalSequences: Int { evaluationSequences }
  package var stepsPerTrial: Int { steps }
}

extension LanguageSearchConfig {
  /// Throws a `ConfigError` for a value outside its range.
  package func validate() throws {
    try validateProblem()
    try validateTrials()
  }
}

/// What both searches do.
protocol LanguageSearch: SearchExperiment where Config: LanguageSearchConfig {}

extension LanguageSearch {
  package static var objective: String { "final_val_loss" }

  package static func objectiveMeaning(_ config: Config) -> String {
    "cross-entropy on \(config.evaluationSequences) validation sequences, nats a token"
  }

  package static func trial(
    of method: LanguageMethod, seed: UInt64, _ config: Config, _ context: RunContext
  ) throws -> @Sendable (LanguageMethod.Values) throws -> (loss: Double, divergedAt: Int?) {
    let data = try config.load(context.dataFolder)
    return { values in
      let training = try LanguageTraining(config.problem, method, values, data: data, seed: seed)
      while training.step < config.steps && training.divergedAt == nil {
        try training.advance()
      }
      let loss =
        training.divergedAt == nil
        ? training.validationLoss(sequences: config.evaluationSequences) : .nan
      return (loss, training.divergedAt)
    }
  }
}

extension LanguageSearch {
  package static func resolve(_ config: Config, _ places: Places) throws -> Config {
    try config.identified(places.data)
  }

  package static func secondsPerStep(
    _ config: Config, _ context: RunContext
  ) throws -> Double {
    try secondsPerLanguageStep(
      config, settings: [], evaluations: 1 / Double(config.steps), context)
  }

  package static func dataName(_ config: Config) -> String { config.dataName }
}
