// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Clipping
import Datasets
import Lab
import LinearAlgebra
import Models
import Optimizers
import Storage
import Training

/// Settings of a GPT on text; `nanoGPT` and `gpt2` are the authors'.
package struct LanguageSettings: WorkloadSettings {
  /// The code base: nanoGPT draws windows of the text at a constant rate, GPT-2 goes through it in chunks at a rate that rises
  /// and falls along half a cosine.
  package var form = GPT.Form.nanoGPT
  /// Transformer blocks.
  package var layers = 6
  /// Attention heads.
  package var heads = 6
  /// Channels.
  package var width = 384
  /// Tokens of a sequence.
  package var contextLength = 256
  /// Probability of dropout.
  package var dropout = 0.2
  /// Sequences a step.
  package var batchSize = 64
  /// Parts that a batch is computed in.
  package var microBatches = 1
  /// Training steps.
  package var steps = 10_000
  /// Steps over which the rate rises.
  package var warmup = 0
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
  /// Algorithm 2: what a sketch starts from.
  package var sketchStart = SketchStart.normal
  /// How linear layers and the classifier multiply; bf16 is for CPUs that have AVX512_BF16.
  package var precision = ProductPrecision.fp32
  /// The text.
  package var corpus = LanguageData.Source.shakespeare
  /// Byte-pair merges, for corpora that use them.
  package var merges = 50_000
  /// What the tokens of a text file of one's own are.
  package var fileTokens = LanguageData.FileTokens.characters
  /// Which parameters the norm arms clip.
  package var clippedSet = ClippedSetVariant.authors

  /// The authors' nanogpt_shakespeare (6 layers, 384 channels, tiny Shakespeare).
  package static let nanoGPT = LanguageSettings()
  /// The authors' gpt2_fineweb: GPT-2 with 124 M parameters for 2·10⁹ tokens of FineWeb.
  package static let gpt2: LanguageSettings = {
    var s = LanguageSettings()
    (s.form, s.layers, s.heads, s.width, s.contextLength, s.dropout) = (.gpt2, 12, 12, 768, 1024, 0)
    (s.batchSize, s.microBatches, s.steps, s.warmup, s.recordEvery) = (128, 64, 15_259, 200, 50)
    (s.evaluationSequences, s.rank, s.oversampling) = (32, 64, 10)
    s.corpus = .fineWeb
    return s
  }()

  /// Algorithm 2 as set.
  package var decomposition: Decomposition {
    .sketch(
      rank: rank, oversampling: oversampling, powerIterations: powerIterations, start: sketchStart)
  }
  package var stepCount: Int { steps }
  package var pointEvery: Int { recordEvery }
  package var schedule: Schedule { form == .gpt2 ? .cosine(warmup: warmup) : .constant }

  package static let later = [
    "sketchStart": "normal", "precision": "fp32", "fileTokens": "characters",
  ]
  package static let limits: [String: ClosedRange<Int>] = [
    "layers": 1...1000, "heads": 1...1000, "width": 1...100_000, "contextLength": 1...1_000_000,
    "batchSize": 1...1_000_000, "microBatches": 1...1_000_000, "steps": .positive,
    "recordEvery": .positive, "evaluationSequences": .positive, "finalSequences": .positive,
    "rank": 1...100_000, "oversampling": 0...100_000, "powerIterations": 0...1000,
    "merges": 0...50_000, "warmup": .count,
  ]

  package func lasting(_ fraction: Double) -> LanguageSettings {
    var own = self
    own.steps = max(1, Int((fraction * Double(steps)).rounded(.up)))
    own.warmup = Int((fraction * Double(warmup)).rounded())
    return own
  }

  package func validate() throws {
    try check("width", width, width % heads == 0, "a multiple of the \(heads) heads")
    try check(
      "batchSize", batchSize, batchSize % microBatches == 0,
      "a multiple of the \(microBatches) micro-batches")
    try check("dropout", dropout, dropout >= 0 && dropout < 1, "a number in [0, 1)")
  }

  /// Throws a `ConfigError` for products that this CPU cannot form. What has been computed elsewhere can be read here.
  func checkPrecision(isSupported: Bool = BFloat16.isSupported) throws {
    guard precision == .fp32 || isSupported else {
      throw ConfigError(
        "setting 'precision'", "bf16 needs a CPU with AVX512_BF16, and this one is without it",
        hint: "use fp32 here, whose records have keys of their own")
    }
  }

  package func methods(_ names: [String]) -> [String] { clippedSet.methods(names) }

  /// Fewer sequences, then blocks, then tokens of each, until a pass is some thousand million multiplications.
  package var rehearsal: Rehearsal<LanguageSettings> {
    var small = self
    var rows = batchSize / microBatches
    func isLarge() -> Bool { small.multiplications(rows: rows, vocabularyLimit) > 1.5e9 }
    while rows > 1, isLarge() { rows = (rows + 1) / 2 }
    while small.layers > 1, isLarge() { small.layers = (small.layers + 1) / 2 }
    while small.contextLength > 64, isLarge() { small.contextLength /= 2 }
    small.batchSize = rows * microBatches
    small.evaluationSequences = min(evaluationSequences, rows)
    var rehearsal = Rehearsal(small)
    rehearsal.pass =
      multiplications(rows: batchSize / microBatches)
      / small.multiplications(rows: rows, vocabularyLimit)
    rehearsal.update = Double(layers) / Double(small.layers)
    rehearsal.evaluation =
      multiplications(rows: evaluationSequences)
      / small.multiplications(rows: small.evaluationSequences, vocabularyLimit)
    rehearsal.final = Double(finalSequences) / Double(evaluationSequences)
    return rehearsal
  }

  /// The tokens that stand for a corpus where only the time counts.
  package var placeholder: LanguageData {
    .placeholder(
      corpus, count: (batchSize + 1) * (contextLength + 1), merges: merges, fileTokens: fileTokens,
      limit: vocabularyLimit)
  }

  /// A rehearsal's vocabulary: the classifier is what is cut, where it is larger than a block.
  private var vocabularyLimit: Int { max(4096, 12 * width) }

  /// Multiplications of a forward pass of `rows` sequences in a vocabulary of at most `limit` tokens.
  private func multiplications(rows: Int, _ limit: Int = .max) -> Double {
    let (c, t, l) = (Double(width), Double(contextLength), Double(layers))
    let vocabulary = min(corpus.vocabulary(merges: merges, fileTokens), limit)
    return Double(rows) * t * (12 * c * c * l + c * t * l + c * Double(vocabulary))
  }
}

/// Which parameters the norm arms clip.
package enum ClippedSetVariant: String, Codable, Sendable, CaseIterable {
  /// As in the authors' code: norm clipping sees all parameters, spectral clipping leaves the embeddings.
  case authors
  /// Norm clipping sees what spectral clipping sees.
  case matched

  /// The method names of a configuration under this reading: each arm once, in order.
  func methods(_ names: [String]) -> [String] {
    guard self == .matched else { return names }
    var seen: Set<String> = []
    return names.map { $0.hasSuffix("-norm") ? $0 + "-same-set" : $0 }.filter {
      seen.insert($0).inserted
    }
  }
}

extension LanguageData: WorkloadSource {}

extension ModelConfiguration {
  /// With what the tokens are.
  func adding(_ tokenizer: LanguageData.Tokenizer) -> ModelConfiguration {
    var own = self
    func add(_ name: String, _ value: JSON) { own.members.append(.init(name: name, value: value)) }
    switch tokenizer {
    case .characters(let characters):
      add("tokenizer", .string("characters"))
      add("characters", .string(characters))
    case .gpt2(let merges):
      add("tokenizer", .string("gpt2"))
      add("merges", .number("\(merges)"))
    case .other: break
    }
    return own
  }
}

/// A GPT on text.
package final class LanguageTask: ModelTask {
  package static let layerName = "matrix parameter"
  package static let metrics = [
    Metric("val_loss", "cross-entropy on validation sequences, nats a token")
  ]
  package static func trainLossMeaning(_ settings: LanguageSettings) -> String {
    "mean of the mini-batch losses since the point before (cross-entropy, nats a token)"
  }
  /// A loss beyond this has diverged (it starts near the logarithm of the vocabulary's size).
  package static let lossLimit = 1e3

  package static func placeholder(_ settings: LanguageSettings) -> LanguageData {
    settings.placeholder
  }

  package static func load(_ settings: LanguageSettings, folder: String) throws -> LanguageData {
    try LanguageData.load(
      settings.corpus, folder: folder, merges: settings.merges, block: settings.contextLength,
      fileTokens: settings.fileTokens)
  }

  package let model: GPT
  package let microBatches: Int
  package let settings: LanguageSettings
  private let data: LanguageData
  private let seed: UInt64
  private let pool: WorkerPool
  private let tape: Tape
  private let tokens: Indices, targets: Indices, loss: Tensor
  private var batches: TokenBatches
  private var ranks: any Ranks = SingleRank()
  private let validation: TokenBatches
  private lazy var evaluation = makeEvaluation(rows: tokens.shape[0])
  private lazy var single = makeEvaluation(rows: 1)

  package init(
    _ settings: LanguageSettings, _ arm: Arm, _ data: LanguageData, seed: UInt64, pool: WorkerPool
  ) throws {
    (self.settings, self.data, self.seed, self.pool) = (settings, data, seed, pool)
    try settings.checkPrecision()
    let stream = RandomStream(seed: seed, name: "language")
    model = GPT(
      settings.form,
      GPT.Shape(
        vocabulary: data.vocabulary, block: settings.contextLength, layers: settings.layers,
        heads: settings.heads, width: settings.width), dropout: settings.dropout)
    model.initialize(stream.child("weights"))
    microBatches = arm.clippedMicroBatches ?? settings.microBatches
    guard settings.batchSize % microBatches == 0 else {
      throw ConfigError(
        "setting 'batchSize'",
        "\(settings.batchSize) sequences do not divide into \(microBatches) micro-batches",
        hint: "choose a multiple of \(microBatches)")
    }
    tape = Tape(pool: pool, precision: settings.precision, dropoutStream: stream.child("dropout"))
    let shape = [settings.batchSize / microBatches, settings.contextLength]
    tokens = tape.indices(shape)
    targets = tape.indices(shape)
    // A micro-batch that is clipped by itself has its own mean; else its part of the batch's mean.
    let sequences = arm.clippedMicroBatches == nil ? settings.batchSize : shape[0]
    loss = model.loss(tape, tokens, targets, total: sequences * settings.contextLength)
    for (part, tokens) in [("training", data.training), ("validation", data.validation)]
    where tokens.count <= settings.contextLength {
      throw ConfigError(
        "setting 'contextLength'",
        "\(settings.contextLength) tokens and a target are more than the \(tokens.count) \(part) tokens of \(data.name)",
        hint: "use a longer text or a shorter contextLength")
    }
    let order: TokenBatches.Order = settings.form == .gpt2 ? .chunks : .windows
    let chunks = TokenBatches.chunks(in: data.training.count, length: settings.contextLength)
    guard order == .windows || chunks >= settings.batchSize else {
      throw ConfigError(
        "setting 'batchSize'",
        "the corpus has \(chunks) sequences of \(settings.contextLength) tokens, fewer than a batch",
        hint: "use a longer text, a smaller batch or a shorter contextLength")
    }
    batches = TokenBatches(
      data.training, length: settings.contextLength, size: settings.batchSize, order: order,
      stream: stream.child("batches"))
    validation = TokenBatches(
      data.validation, length: settings.contextLength, size: 1, order: .windows, stream: stream)
  }

  // MARK: - Training

  package var recordedLayers: [String] { model.matrixNames }
  package var decomposition: Decomposition { settings.decomposition }

  package func names(in set: ParameterSet) -> [String] {
    let all = parameters.map(\.name)
    switch set {
    case .all, .others: return all
    case .matrices, .filters: return model.matrixNames
    case .exceptEmbeddings: return all.filter { !model.embeddingNames.contains($0) }
    case .matricesAndEmbeddings: return model.matrixNames + model.embeddingNames
    }
  }

  package func load(step: Int, microBatch: Int) -> (tape: Tape, loss: Tensor) {
    let starts = batches.starts(step: step)
    let size = starts.count / microBatches
    batches.fill(
      starts[(microBatch * size)..<(microBatch * size + size)], inputs: tokens.base,
      targets: targets.base)
    return (tape, loss)
  }

  // MARK: - Evaluation

  package func share(over ranks: any Ranks) { self.ranks = ranks }

  package func evaluate() -> [Double] {
    [validationLoss(sequences: settings.evaluationSequences)]
  }

  package func objective(finalTrainLoss: Double) -> Double {
    validationLoss(sequences: settings.evaluationSequences)
  }

  package func summary(lastMetrics: [Double]) -> Attributes {
    let hasDiverged = lastMetrics.isEmpty
    return [
      "vocabulary": .int(data.vocabulary),
      "final_val_loss": .double(
        hasDiverged ? .nan : validationLoss(sequences: settings.finalSequences)),
      "sample": .string(hasDiverged ? "" : sample()),
    ]
  }

  package func save(to path: String) throws {
    try model.save(to: path, configuration: model.configuration.adding(data.tokenizer))
  }

  /// The mean loss over `sequences` validation sequences (or all, if fewer), the same for every arm and step; ranks share the
  /// batches out, and all get the same.
  func validationLoss(sequences: Int) -> Double {
    let starts = validation.evenStarts(sequences)
    let rows = tokens.shape[0]
    // What does not fill a batch goes one by one.
    let whole = starts.count / rows
    var losses = [Double](repeating: 0, count: whole + starts.count % rows)
    for piece in ranks.share(of: losses.count) {
      if piece < whole {
        let batch = starts[piece * rows..<(piece + 1) * rows]
        losses[piece] = loss(of: batch, on: evaluation) * Double(rows)
      } else {
        let index = whole * rows + piece - whole
        losses[piece] = loss(of: starts[index...index], on: single)
      }
    }
    ranks.exchange(&losses)
    return losses.reduce(0, +) / Double(starts.count)
  }

  private typealias Evaluation = (tape: Tape, tokens: Indices, targets: Indices, loss: Tensor)

  private func loss(of starts: ArraySlice<Int>, on evaluation: Evaluation) -> Double {
    validation.fill(
      starts, inputs: evaluation.tokens.base, targets: evaluation.targets.base)
    evaluation.tape.forward()
    return Double(evaluation.loss.scalar)
  }

  private func makeEvaluation(rows: Int) -> Evaluation {
    let tape = Tape(pool: pool, isTraining: false, precision: settings.precision)
    let shape = [rows, settings.contextLength]
    let (tokens, targets) = (tape.indices(shape), tape.indices(shape))
    return (tape, tokens, targets, model.loss(tape, tokens, targets))
  }

  /// What the model writes, for a person to read.
  private func sample() -> String {
    let prompt = data.validation.prefix(min(16, settings.contextLength)).map { Int($0) }
    let drawn = model.sample(
      after: prompt, count: model.parameterCount > 10_000_000 ? 24 : 200, temperature: 0.8,
      stream: RandomStream(seed: seed, name: "language/sample"), pool: pool)
    return data.decode(prompt + drawn)
  }
}
