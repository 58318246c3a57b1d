// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Storage

/// An encoder that classifies sequences (Devlin et al. 2019; post-layer norm, exact GELU), under the names of Hugging Face's
/// BertForSequenceClassification: bert.embeddings…, bert.encoder.layer.N…, bert.pooler.dense, classifier. Nothing is dropped.
public struct BERT: Model {
  /// Sizes.
  public struct Shape: Codable, Equatable, Sendable {
    /// Token ids are 0 ..< vocabulary; 0 is the padding, which is not trained.
    public var vocabulary = 30_522
    /// The longest sequence.
    public var positions = 512
    /// Kinds of segments; all tokens are of kind 0.
    public var types = 2
    /// Transformer blocks.
    public var layers = 6
    /// Attention heads; they divide the width.
    public var heads = 12
    /// Channels of a token.
    public var width = 384
    /// Channels between the two layers of a block's MLP.
    public var hidden = 1536
    /// Classes.
    public var labels = 6

    /// MiniLM with six classes.
    public init() {}
  }

  /// Sizes.
  public let shape: Shape
  /// In the order of Hugging Face's state dict.
  public let parameters: [Parameter]
  /// Counters that some writers put beside the embeddings.
  public let bufferNames: Set<String> = [
    "bert.embeddings.position_ids", "bert.embeddings.token_type_ids",
  ]
  private let words: Parameter, positions: Parameter, types: Parameter
  private let embeddingNorm: Affine
  private let blocks: [Block]
  private let pooler: Affine, classifier: Affine

  private struct Block {
    let query: Affine, key: Affine, value: Affine, projection: Affine, norm1: Affine
    let expansion: Affine, contraction: Affine, norm2: Affine

    var parameters: [Parameter] {
      [query, key, value, projection, norm1, expansion, contraction, norm2].flatMap(\.parameters)
    }
  }

  /// A model of zeros. Precondition: heads divide the width.
  public init(_ shape: Shape = Shape()) {
    precondition(
      shape.heads >= 1 && shape.width % shape.heads == 0,
      "\(shape.heads) heads on \(shape.width) channels")
    self.shape = shape
    let c = shape.width
    let embeddings = "bert.embeddings."
    words = Parameter(embeddings + "word_embeddings.weight", shape: [shape.vocabulary, c])
    positions = Parameter(embeddings + "position_embeddings.weight", shape: [shape.positions, c])
    types = Parameter(embeddings + "token_type_embeddings.weight", shape: [shape.types, c])
    embeddingNorm = Affine(embeddings + "LayerNorm", [c])
    blocks = (0..<shape.layers).map { layer in
      let name = "bert.encoder.layer.\(layer)."
      return Block(
        query: Affine(name + "attention.self.query", [c, c]),
        key: Affine(name + "attention.self.key", [c, c]),
        value: Affine(name + "attention.self.value", [c, c]),
        projection: Affine(name + "attention.output.dense", [c, c]),
        norm1: Affine(name + "attention.output.LayerNorm", [c]),
        expansion: Affine(name + "intermediate.dense", [shape.hidden, c]),
        contraction: Affine(name + "output.dense", [c, shape.hidden]),
        norm2: Affine(name + "output.LayerNorm", [c]))
    }
    pooler = Affine("bert.pooler.dense", [c, c])
    classifier = Affine("classifier", [shape.labels, c])
    parameters =
      [words, positions, types] + embeddingNorm.parameters + blocks.flatMap(\.parameters)
      + pooler.parameters + classifier.parameters
  }

  /// BERT's initialization: matrices and embeddings normal with deviation 0.02, the padding's row and biases zero, norms one and zero;
  /// of all parameters, or of those of these names.
  public func initialize(_ stream: RandomStream, only names: Set<String>? = nil) {
    for parameter in parameters where names?.contains(parameter.name) ?? true {
      if parameter.shape.count == 1 {
        let isScale = parameter.name.hasSuffix("LayerNorm.weight")
        parameter.tensor.value.fill(isScale ? 1 : 0)
      } else {
        parameter.tensor.assign(
          stream.child(parameter.name).normals(parameter.count).map { 0.02 * $0 })
      }
    }
    if names?.contains(words.name) ?? true { words.base.update(repeating: 0, count: shape.width) }
  }

  /// The model with the first `layers` of its blocks and, of the word embedding, the rows `tokens`, in that order.
  /// Preconditions: that many blocks and those rows are there.
  public func reduced(layers: Int, tokens: [Int]) -> BERT {
    precondition(
      layers <= shape.layers && tokens.allSatisfy { 0..<shape.vocabulary ~= $0 },
      "\(layers) blocks, tokens up to \(tokens.max() ?? 0) of \(shape)")
    var small = shape
    (small.layers, small.vocabulary) = (layers, tokens.count)
    let model = BERT(small)
    model.take(from: self)
    for (row, token) in tokens.enumerated() {
      (model.words.base + row * shape.width).update(
        from: words.base + token * shape.width, count: shape.width)
    }
    return model
  }

  /// Takes over what `small`, a reduction to `tokens`, has learned.
  public func take(_ small: BERT, tokens: [Int]) {
    precondition(tokens.count == small.shape.vocabulary, "\(tokens.count) rows for \(small.shape)")
    take(from: small)
    for (row, token) in tokens.enumerated() {
      (words.base + token * shape.width).update(
        from: small.words.base + row * shape.width, count: shape.width)
    }
  }

  /// Takes the values of all parameters that `other` has too, but for the word embedding.
  private func take(from other: BERT) {
    let given = Dictionary(uniqueKeysWithValues: other.parameters.map { ($0.name, $0) })
    for parameter in parameters where parameter.name != words.name {
      guard let values = given[parameter.name] else { continue }
      parameter.base.update(from: values.base, count: parameter.count)
    }
  }

  /// The names of the embeddings: words, positions, kinds of segments.
  public var embeddingNames: [String] { [words, positions, types].map(\.name) }

  /// The logits [B, labels] of tokens[B, T], T at most `shape.positions`; tokens where mask[B, T] is 0 are met by none. Every row of
  /// the mask needs a token.
  public func logits(_ tape: Tape, _ tokens: Indices, mask: Indices) -> Tensor {
    let epsilon: Float = 1e-12
    let kinds = tape.indices(tokens.shape)  // zeros
    let embedded = tape.add(
      tape.embedding(tokens, words, positions: positions, padding: 0),
      tape.embedding(kinds, types))
    var x = embeddingNorm.norm(tape, embedded, epsilon: epsilon)
    for block in blocks {
      let mixed = tape.attention(
        block.query(tape, x), block.key(tape, x), block.value(tape, x), heads: shape.heads,
        scope: .among(mask))
      x = block.norm1.norm(tape, tape.add(block.projection(tape, mixed), x), epsilon: epsilon)
      let wide = tape.gelu(block.expansion(tape, x), .erf)
      x = block.norm2.norm(tape, tape.add(block.contraction(tape, wide), x), epsilon: epsilon)
    }
    return classifier(tape, tape.tanh(pooler(tape, tape.firstPosition(x))))
  }

  /// The mean cross-entropy of logits[B, labels] against labels[B].
  public func loss(_ tape: Tape, _ logits: Tensor, _ labels: Indices) -> Tensor {
    tape.crossEntropy(logits, labels)
  }

  // MARK: - Weight files

  /// A bare BertModel's names lack `bert.`; old TensorFlow ones call a norm's weight and bias gamma and beta.
  public func parameterName(of fileName: String) -> String {
    var name = fileName
    for (old, new) in [
      (".LayerNorm.gamma", ".LayerNorm.weight"), (".LayerNorm.beta", ".LayerNorm.bias"),
    ]
    where name.hasSuffix(old) { name = String(name.dropLast(old.count)) + new }
    return name.hasPrefix("bert.") || name.hasPrefix("classifier.") ? name : "bert.\(name)"
  }

  /// What Hugging Face's config.json says of it.
  public var configuration: ModelConfiguration {
    func number(_ value: Int) -> JSON { .number("\(value)") }
    return ModelConfiguration([
      ("model_type", .string("bert")), ("hidden_size", number(shape.width)),
      ("num_hidden_layers", number(shape.layers)), ("num_attention_heads", number(shape.heads)),
      ("intermediate_size", number(shape.hidden)), ("vocab_size", number(shape.vocabulary)),
      ("max_position_embeddings", number(shape.positions)),
      ("type_vocab_size", number(shape.types)),
    ])
  }

  /// The model whose weights the safetensors or HDF5 file at `path` holds, and the names of the parameters that the file lacks and that
  /// `stream` initialized in their place: the pooler's and the classifier's, where those are missing whole.
  ///
  /// Sizes are read from the shapes; `heads` from its configuration unless given, `labels` counts where there is no classifier.
  /// Throws a `StorageError` for a file that cannot be read or is of another model, and where something is missing and `stream` is nil.
  public static func load(
    _ path: String, heads: Int? = nil, labels: Int = 6, completing stream: RandomStream? = nil
  ) throws -> (model: BERT, completed: [String]) {
    let (shape, file) = try read(path, heads: heads, labels: labels)
    let model = BERT(shape)
    let completed = ["bert.pooler.dense", "classifier"].flatMap { layer in
      let own = ["\(layer).weight", "\(layer).bias"]
      return own.contains(where: file.contains) ? [] : own
    }
    if let stream { model.initialize(stream, only: Set(completed)) }
    try model.load(from: path, keeping: stream == nil ? [] : Set(completed))
    return (model, completed)
  }

  /// The sizes of the model in the file at `path`, as `load` reads them. Throws a `StorageError` likewise.
  public static func shape(of path: String, heads: Int? = nil, labels: Int = 6) throws -> Shape {
    try read(path, heads: heads, labels: labels).shape
  }

  private static func read(
    _ path: String, heads: Int?, labels: Int
  ) throws -> (shape: Shape, file: NamedShapes) {
    var small = Shape()
    (small.vocabulary, small.positions, small.layers, small.heads) = (1, 1, 0, 1)
    (small.width, small.hidden, small.labels) = (1, 1, 1)
    let file = try NamedShapes(path, model: "BERT", BERT(small).parameterName)
    var shape = Shape()
    let words = try file.shape("bert.embeddings.word_embeddings.weight", axes: 2)
    (shape.vocabulary, shape.width) = (words[0], words[1])
    shape.positions = try file.shape("bert.embeddings.position_embeddings.weight", axes: 2)[0]
    shape.types = try file.shape("bert.embeddings.token_type_embeddings.weight", axes: 2)[0]
    shape.layers = file.count { "bert.encoder.layer.\($0).output.dense.weight" }
    shape.hidden =
      shape.layers == 0
      ? 1 : try file.shape("bert.encoder.layer.0.intermediate.dense.weight", axes: 2)[0]
    shape.labels =
      !file.contains("classifier.weight") ? labels : try file.shape("classifier.weight", axes: 2)[0]
    let configuration = heads == nil ? try ModelConfiguration(of: file.file) : nil
    try configuration?.check("hidden_size", is: shape.width)
    try configuration?.check("num_hidden_layers", is: shape.layers)
    try configuration?.check("hidden_act", says: ModelConfiguration.gelus.erf)
    try configuration?.check("is_decoder", flag: false)
    try configuration?.check("position_embedding_type", says: ["absolute"])
    try configuration?.check("layer_norm_eps", number: 1e-12)
    try configuration?.check("pad_token_id", number: 0)
    shape.heads = try resolvedHeads(heads, width: shape.width, configuration, at: path)
    return (shape, file)
  }
}
