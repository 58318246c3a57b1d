// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra
import Storage

/// A language model of stacked LSTM layers whose decoder is the embedding once more, as in the code of "Why gradient clipping
/// accelerates training" (arXiv 1905.11881), which is that of AWD-LSTM without its dropouts.
public struct LSTM: Model {
  /// Sizes.
  public struct Shape: Codable, Equatable, Sendable {
    /// Token ids are 0 ..< vocabulary.
    public var vocabulary: Int
    /// Width of the embedding, and so of the last layer.
    public var embedding: Int
    /// Units of the layers before the last.
    public var hidden: Int
    /// LSTM layers.
    public var layers: Int

    /// Sizes as given.
    public init(vocabulary: Int, embedding: Int, hidden: Int, layers: Int = 2) {
      (self.vocabulary, self.embedding) = (vocabulary, embedding)
      (self.hidden, self.layers) = (hidden, layers)
    }

    /// The authors' model of Penn Treebank.
    public static let pennTreebank = Shape(vocabulary: 10_000, embedding: 200, hidden: 512)

    /// Widths of the embedding and of every layer: 200, 512, 200.
    var widths: [Int] {
      [embedding] + Array(repeating: hidden, count: layers - 1) + [embedding]
    }
  }

  /// Sizes.
  public let shape: Shape
  /// In the order of the authors' named_parameters().
  public let parameters: [Parameter]
  private let encoder: Parameter
  private let layers: [LSTMWeights]
  private let bias: Parameter

  /// The decoder's matrix, where a file writes it beside the embedding it is tied to.
  public var bufferNames: Set<String> { [Self.decoder] }
  private static let decoder = "decoder.weight"

  /// A model of zeros. Precondition: at least one layer.
  public init(_ shape: Shape) {
    precondition(shape.layers >= 1, "an LSTM of \(shape.layers) layers")
    self.shape = shape
    encoder = Parameter("encoder.weight", shape: [shape.vocabulary, shape.embedding])
    let widths = shape.widths
    layers = (0..<shape.layers).map { layer in
      let (name, n) = ("rnns.\(layer).", widths[layer + 1])
      return LSTMWeights(
        inputWeight: Parameter(name + "weight_ih_l0", shape: [4 * n, widths[layer]]),
        hiddenWeight: Parameter(name + "weight_hh_l0", shape: [4 * n, n]),
        inputBias: Parameter(name + "bias_ih_l0", shape: [4 * n]),
        hiddenBias: Parameter(name + "bias_hh_l0", shape: [4 * n]))
    }
    bias = Parameter("decoder.bias", shape: [shape.vocabulary])
    parameters = [encoder] + layers.flatMap(\.parameters) + [bias]
  }

  /// The authors' initialization: the embedding uniform on ±0.1, the decoder's bias zero, layers as PyTorch does it, uniform
  /// on ±1/√H.
  public func initialize(_ stream: RandomStream) {
    encoder.tensor.assign(
      stream.child(encoder.name).uniforms(encoder.count, as: Float.self).map { 0.2 * $0 - 0.1 })
    bias.tensor.value.fill(0)
    for layer in layers {
      for parameter in layer.parameters {
        parameter.initializeLinear(fanIn: layer.width, stream)
      }
    }
  }

  /// The weights of the layers: what spectral clipping acts on beside the embedding.
  public var matrices: [Parameter] { layers.flatMap { [$0.inputWeight, $0.hiddenWeight] } }
  /// The name of the embedding.
  public var embeddingName: String { encoder.name }

  /// What the layers remember of `count` sequences: zero at first.
  public func states(count: Int) -> [RecurrentState] {
    layers.map { RecurrentState(count: count, width: $0.width) }
  }

  /// What the decoder sees, [T, B, embedding], for tokens[T, B].
  public func hidden(_ tape: Tape, _ tokens: Indices, _ states: [RecurrentState]) -> Tensor {
    zip(layers, states).reduce(tape.embedding(tokens, encoder)) { x, layer in
      tape.lstm(x, layer.0, layer.1)
    }
  }

  /// The mean cross-entropy against targets[T, B]; if wanted with the authors' penalty on the last layer's activations
  /// (`activation` times their mean square) and on their changes (`temporal`).
  public func loss(
    _ tape: Tape, _ tokens: Indices, _ targets: Indices, _ states: [RecurrentState],
    activation: Double = 0, temporal: Double = 0
  ) -> Tensor {
    let last = hidden(tape, tokens, states)
    let loss = tape.linearCrossEntropy(last, encoder, bias: bias, targets)
    guard activation != 0 || temporal != 0 else { return loss }
    return tape.add(
      loss, tape.activationPenalty(last, activation: activation, temporal: temporal))
  }
}

// MARK: - Weight files

extension LSTM {
  /// The model whose weights the safetensors or HDF5 file at `path` holds; sizes are read from the shapes.
  ///
  /// The decoder's matrix may be there beside the embedding, if it equals it, or stand for it. Throws a `StorageError` for a
  /// file that cannot be read or is of another model.
  public init(loading path: String) throws {
    let file = try TensorFile(path)
    let encoder = "encoder.weight"
    func shape(_ name: String) throws -> [Int]? {
      guard let entry = file.entries.first(where: { $0.name == name }) else { return nil }
      guard entry.shape.count == 2, !entry.shape.contains(0) else {
        throw StorageError(
          "\(name) has the shape \(entry.shape)", at: path, hint: "it must be a matrix")
      }
      return entry.shape
    }
    let isNamedByDecoder = try shape(encoder) == nil
    guard let embedding = try shape(encoder) ?? shape(Self.decoder) else {
      throw StorageError("no matrix \(encoder)", at: path, hint: "is it a file of an LSTM?")
    }
    if !isNamedByDecoder, try shape(Self.decoder) != nil,
      try file.floats(Self.decoder) != file.floats(encoder)
    {
      throw StorageError(
        "\(Self.decoder) differs from \(encoder)", at: path,
        hint: "this model's decoder is its embedding: train it with tied weights")
    }
    var layers = 0
    while try shape("rnns.\(layers).weight_hh_l0") != nil { layers += 1 }
    guard layers >= 1, let hidden = try shape("rnns.0.weight_hh_l0")?[1] else {
      throw StorageError(
        "no layer rnns.0.weight_hh_l0", at: path, hint: "is it a file of an LSTM?")
    }
    self.init(
      Shape(
        vocabulary: embedding[0], embedding: embedding[1], hidden: hidden, layers: layers))
    try load(from: path, calling: isNamedByDecoder ? [Self.decoder: encoder] : [:])
  }
}
