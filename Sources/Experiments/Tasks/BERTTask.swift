// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Datasets
import Foundation
import Lab
import LinearAlgebra
import Models
import Storage
import Training

/// Settings of an encoder that is fine-tuned on Emotion; texts, batch, length and epochs are those of arXiv 2404.08624, the encoder is
/// MiniLM in the place of DistilBERT.
package struct BERTSettings: EpochSettings {
  /// Where the encoder's weights come from.
  package enum Encoder: String, Codable, Sendable, CaseIterable {
    /// MiniLM, `minilm/{model.safetensors,vocab.txt}`; without these files as `seeded`, and it is said.
    case miniLM = "minilm"
    /// Drawn from the seed; the vocabulary is the training texts' words.
    case seeded
  }

  /// The texts.
  package var texts = EmotionTexts.Source.emotion
  /// Training texts that are used, at most.
  package var trainingTexts = 16_000
  /// Test texts that are used, at most; of the validation texts a search uses as many.
  package var testTexts = 2_000
  /// Tokens of a text, at most; longer texts lose their ends.
  package var length = 300
  /// The encoder.
  package var encoder = Encoder.miniLM
  /// Transformer blocks; of a trained encoder the first ones.
  package var layers = 6
  /// Attention heads.
  package var heads = 12
  /// Channels of a token, where the encoder is seeded; a trained one has its own.
  package var width = 384
  /// Epochs.
  package var epochs = 15
  /// Texts a step.
  package var batchSize = 32

  /// The defaults.
  package init() {}

  /// Steps of an epoch; the incomplete batch at its end is left out.
  package var stepsPerEpoch: Int { trainingTexts / batchSize }

  package static let limits: [String: ClosedRange<Int>] = [
    "trainingTexts": .positive, "testTexts": .positive, "epochs": 1...100_000,
    "batchSize": 1...1_000_000, "width": 1...100_000, "layers": 1...1000, "heads": 1...1000,
    "length": 1...100_000,
  ]

  package func validate() throws {
    try check("length", length, length >= 3, "a whole number >= 3 ([CLS], a token, [SEP])")
    try check("heads", heads, width % heads == 0, "a divisor of the width \(width)")
    try check(
      "batchSize", batchSize, batchSize <= trainingTexts,
      "at most the \(trainingTexts) training texts")
  }

  package var rehearsal: Rehearsal<BERTSettings> {
    var small = self
    small.batchSize = min(batchSize, 8)
    small.trainingTexts = min(trainingTexts, 64)
    small.testTexts = min(testTexts, 32)
    var rehearsal = Rehearsal(small)
    rehearsal.pass = Double(batchSize) / Double(small.batchSize)
    rehearsal.evaluation = Double(testTexts) / Double(small.testTexts)
    return rehearsal
  }
}

/// Emotion in tokens, and the encoder that they are for.
package struct EncodedTexts: WorkloadSource {
  package let name: String, digest: String
  package let isStandIn: Bool
  /// The texts; a token is a row of the model's word embedding.
  let training: TokenizedTexts, validation: TokenizedTexts
  private(set) var test: TokenizedTexts
  /// The trained encoder, nil for a seeded one.
  let weights: String?
  /// The vocabulary's pieces that texts hold, a row of the word embedding each, [PAD] first. What no text holds would get no gradient.
  let pieces: [Int]

  /// Texts and weights below `folder`.
  ///
  /// Throws a `StorageError` for files that are damaged or do not fit together.
  init(_ settings: BERTSettings, folder: String) throws {
    let texts = try EmotionTexts.load(settings.texts, folder: folder)
    let files = ["model.safetensors", "vocab.txt"].map { "\(folder)/minilm/\($0)" }
    let isMissing = !files.contains(where: FileManager.default.fileExists)
    var tokenizer: WordPieceTokenizer
    var parts = [
      texts.training.first(settings.trainingTexts), texts.validation.first(settings.testTexts),
      texts.test.first(settings.testTexts),
    ]
    if settings.encoder == .seeded || isMissing {
      tokenizer = try WordPieceTokenizer(wordsOf: parts[0].texts)
      weights = nil
      name = texts.name + (settings.encoder == .seeded ? "" : ", MiniLM missing: seeded weights")
      digest = texts.digest
    } else {
      tokenizer = try WordPieceTokenizer(file: files[1])
      try Self.check(settings, tokenizer, files[0], vocabulary: files[1])
      weights = files[0]
      name = texts.name
      digest = try ([texts.digest] + files.map { try Digest.sha256(ofFile: $0) })
        .joined(separator: " ")
    }
    isStandIn = texts.isStandIn || settings.encoder == .miniLM && isMissing
    var tokens = try parts.map {
      try TokenizedTexts($0, tokenizer, limit: settings.length)
    }
    parts = []
    var used = Set(tokens.flatMap { $0.tokens.joined() })
    used.remove(Int32(tokenizer.padding))
    pieces =
      weights == nil
      ? Array(tokenizer.pieces.indices) : [tokenizer.padding] + used.sorted().map { Int($0) }
    let rows = Dictionary(uniqueKeysWithValues: zip(pieces.map { Int32($0) }, 0...))
    for part in tokens.indices { tokens[part].renumber { Int32(rows[$0] ?? 0) } }
    (training, validation, test) = (tokens[0], tokens[1], tokens[2])
  }

  /// Throws unless the encoder has the vocabulary's pieces, the positions and the blocks.
  private static func check(
    _ settings: BERTSettings, _ tokenizer: WordPieceTokenizer, _ weights: String,
    vocabulary: String
  ) throws {
    let shape = try BERT.shape(of: weights, heads: settings.heads, labels: 1)
    guard tokenizer.pieces.count == shape.vocabulary else {
      throw StorageError(
        "\(tokenizer.pieces.count) pieces, and the encoder \(weights) has \(shape.vocabulary)",
        at: vocabulary, hint: "get both again (make data-minilm)")
    }
    for (key, value, most, words) in [
      ("length", settings.length, shape.positions, "positions"),
      ("layers", settings.layers, shape.layers, "blocks"),
    ] where value > most {
      throw ConfigError.value(key, value, "at most the encoder's \(most) \(words)")
    }
  }

  /// The validation texts in the place of the test texts.
  package func holdingOut() -> EncodedTexts {
    var own = self
    own.test = validation
    return own
  }

  /// The model at the start of a run, and the names of the parameters that are the seed's in a trained encoder.
  func model(_ settings: BERTSettings, _ stream: RandomStream) throws -> (BERT, [String]) {
    guard let weights else {
      var shape = BERT.Shape()
      (shape.vocabulary, shape.positions, shape.types) = (pieces.count, settings.length, 1)
      (shape.layers, shape.heads) = (settings.layers, settings.heads)
      (shape.width, shape.hidden) = (settings.width, 4 * settings.width)
      shape.labels = EmotionTexts.labels.count
      let model = BERT(shape)
      model.initialize(stream)
      return (model, [])
    }
    let (whole, completed) = try load(weights, settings, stream)
    return (whole.reduced(layers: settings.layers, tokens: pieces), completed)
  }

  /// Writes the model with all pieces of the vocabulary.
  func save(_ model: BERT, _ settings: BERTSettings, to path: String) throws {
    guard let weights else {
      return try model.save(to: path, configuration: model.configuration)
    }
    let (whole, _) = try load(weights, settings, RandomStream(seed: 0, name: "bert"))
    let all = whole.reduced(
      layers: model.shape.layers, tokens: Array(0..<whole.shape.vocabulary))
    all.take(model, tokens: pieces)
    try all.save(to: path, configuration: all.configuration)
  }

  private func load(
    _ path: String, _ settings: BERTSettings, _ stream: RandomStream
  ) throws -> (model: BERT, completed: [String]) {
    try BERT.load(
      path, heads: settings.heads, labels: EmotionTexts.labels.count, completing: stream)
  }
}

/// A BERT that is fine-tuned to classify texts (arXiv 2404.08624), all of it; nothing is dropped.
package final class BERTTask: EpochClassifier {
  package static let sample = (one: "a text", many: "texts")

  /// Generated texts and a seeded encoder.
  package static func placeholder(_ settings: BERTSettings) throws -> EncodedTexts {
    var settings = settings
    (settings.texts, settings.encoder) = (.standIn, .seeded)
    return try EncodedTexts(settings, folder: "")
  }

  package static func load(_ settings: BERTSettings, folder: String) throws -> EncodedTexts {
    try EncodedTexts(settings, folder: folder)
  }
  package static func resolved(_ settings: BERTSettings, _ source: EncodedTexts) -> BERTSettings {
    var settings = settings
    (settings.trainingTexts, settings.testTexts) = (source.training.count, source.test.count)
    return settings
  }

  package let model: BERT
  package let settings: BERTSettings
  package private(set) var step = 0
  private let source: EncodedTexts
  private let completed: [String]
  private let passes: TextPasses, evaluation: TextPasses
  private var sampler: BatchSampler

  /// Throws a `ConfigError` for a batch larger than the data, and a `StorageError` for an encoder that cannot be read.
  package init(
    _ settings: BERTSettings, _ arm: Arm, _ source: EncodedTexts, seed: UInt64, pool: WorkerPool
  ) throws {
    self.source = source
    self.settings = Self.resolved(settings, source)
    guard settings.batchSize <= source.training.count else {
      throw ConfigError(
        "setting 'batchSize'",
        "\(source.training.count) training texts of \(source.name) are fewer than a batch of \(settings.batchSize)",
        hint: "use a smaller batch, or all of Emotion (make data-emotion)")
    }
    let stream = RandomStream(seed: seed, name: "bert")
    (model, completed) = try source.model(settings, stream.child("weights"))
    passes = TextPasses(model, source.training, pool, isTraining: true)
    evaluation = TextPasses(model, source.test, pool, isTraining: false)
    sampler = BatchSampler(
      count: source.training.count, size: settings.batchSize, order: .reshuffled,
      stream: stream.child("batches"))
  }

  package func names(in set: ParameterSet) -> [String] {
    let embeddings = Set(model.embeddingNames)
    let matrices = parameters.filter { $0.shape.count == 2 }.map(\.name)
    switch set {
    case .all, .others: return parameters.map(\.name)
    case .matrices, .filters: return matrices.filter { !embeddings.contains($0) }
    case .exceptEmbeddings: return parameters.map(\.name).filter { !embeddings.contains($0) }
    case .matricesAndEmbeddings: return matrices
    }
  }

  package func load(step: Int, microBatch: Int) -> (tape: Tape, loss: Tensor) {
    self.step = step
    let pass = passes.filled(sampler.batch(step: step))
    return (pass.tape, pass.loss)
  }

  package var testCount: Int { source.test.count }

  /// Texts that are evaluated at a time.
  private static let rows = 32

  package func measure() -> (loss: Double, accuracy: Double) {
    let (order, count) = (source.test.byLength, source.test.count)
    var (loss, correct) = (0.0, 0)
    for start in stride(from: 0, to: count, by: Self.rows) {
      let chosen = order[start..<min(start + Self.rows, count)]
      let pass = evaluation.filled(chosen)
      pass.tape.forward()
      loss += Double(pass.loss.scalar) * Double(chosen.count)
      correct += classifiedCorrectly(pass.logits, pass.labels)
    }
    return (loss / Double(count), Double(correct) / Double(count))
  }

  package var particulars: Attributes {
    [
      "completed": .string(completed.joined(separator: ", ")),
      "vocabulary": .int(source.pieces.count), "width": .int(model.shape.width),
      "encoder_is_trained": .int(source.weights == nil ? 0 : 1),
      "training_texts": .int(source.training.count), "test_texts": .int(source.test.count),
      "cut_texts": .int(source.training.cut),
    ]
  }

  package func save(to path: String) throws { try source.save(model, settings, to: path) }
}

/// Passes of a BERT over batches of texts, recorded once for every size of a batch, and padded length, that occurs.
private final class TextPasses {
  struct Pass {
    let tape: Tape
    let tokens: Indices, mask: Indices, labels: Indices
    let logits: Tensor, loss: Tensor
  }

  private let model: BERT
  private let texts: TokenizedTexts
  private let pool: WorkerPool
  private let isTraining: Bool
  private var passes: [[Int]: Pass] = [:]

  init(_ model: BERT, _ texts: TokenizedTexts, _ pool: WorkerPool, isTraining: Bool) {
    (self.model, self.texts, self.pool, self.isTraining) = (model, texts, pool, isTraining)
  }

  /// The pass for these texts, filled with them.
  func filled(_ numbers: ArraySlice<Int>) -> Pass {
    let shape = [numbers.count, min(texts.paddedLength(numbers), model.shape.positions)]
    let pass = passes[shape] ?? record(shape)
    passes[shape] = pass
    texts.fill(
      numbers, length: shape[1], tokens: pass.tokens.base, mask: pass.mask.base,
      labels: pass.labels.base)
    return pass
  }

  private func record(_ shape: [Int]) -> Pass {
    let tape = Tape(pool: pool, isTraining: isTraining)
    let (tokens, mask) = (tape.indices(shape), tape.indices(shape))
    let labels = tape.indices([shape[0]])
    let logits = model.logits(tape, tokens, mask: mask)
    return Pass(
      tape: tape, tokens: tokens, mask: mask, labels: labels, logits: logits,
      loss: model.loss(tape, logits, labels))
  }
}
