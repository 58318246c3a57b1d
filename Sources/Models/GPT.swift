// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Storage

/// A decoder-only transformer with pre-layer norm and learned positions (Radford et al. 2019), in the two forms
/// of the paper's experiments, and in that of the code base which the first of them comes from.
public struct GPT: Model {
  /// Which code base it follows, in names, layouts and activation.
  public enum Form: String, Codable, Sendable, CaseIterable {
    /// The authors' nanoGPT: separate q, k and v, weights [out, in], erf GELU.
    case nanoGPT = "nanogpt"
    /// Hugging Face's GPT-2: fused c_attn, weights [in, out] (Conv1D), tanh GELU.
    case gpt2
    /// Karpathy's nanoGPT: fused c_attn, weights [out, in], erf GELU; biases, or none at all.
    case karpathy = "karpathy-nanogpt"
  }

  /// Sizes.
  public struct Shape: Codable, Equatable, Sendable {
    /// Token ids are 0 ..< vocabulary.
    public var vocabulary: Int
    /// The longest context.
    public var block: Int
    /// Transformer blocks.
    public var layers: Int
    /// Attention heads; they divide the width.
    public var heads: Int
    /// Channels.
    public var width: Int

    /// Sizes as given.
    public init(vocabulary: Int, block: Int, layers: Int, heads: Int, width: Int) {
      (self.vocabulary, self.block, self.layers) = (vocabulary, block, layers)
      (self.heads, self.width) = (heads, width)
    }

    /// GPT-2 with 124 million parameters.
    public static let gpt2 = Shape(
      vocabulary: 50_257, block: 1024, layers: 12, heads: 12, width: 768)
  }

  /// What turns the last hidden state into logits.
  public enum Head: String, Codable, Sendable, CaseIterable {
    /// The token embedding once more, as in both code bases.
    case tied
    /// A matrix lm_head.weight[vocabulary, width] of its own.
    case untied
    /// The same with lm_head.bias[vocabulary].
    case untiedWithBias
  }

  /// Which code base.
  public let form: Form
  /// Sizes.
  public let shape: Shape
  /// What makes the logits.
  public let head: Head
  /// Probability of dropout on embeddings, attention probabilities and residual branches.
  public let dropout: Double
  /// In the order of the code base's named_parameters().
  public let parameters: [Parameter]
  /// Causal masks, and the head where it is written beside the embedding it is tied to.
  public let bufferNames: Set<String>
  private let embeddings: (token: Parameter, position: Parameter)
  private let blocks: [Block]
  private let final: Norm
  /// The token embedding where the head is tied to it.
  private let classifier: (weight: Parameter, bias: Parameter?)

  private typealias Affine = (weight: Parameter, bias: Parameter)
  private typealias Norm = Affine

  private struct Block {
    let norm1: Norm
    /// q, k, v, or all three in one.
    let attention: [Affine]
    let projection: Affine
    let norm2: Norm
    let expansion: Affine
    let contraction: Affine
  }

  /// A model of zeros; one that is not `biased` has biases of zero that are no parameters. Precondition: `shape.heads` divides
  /// `shape.width`.
  public init(
    _ form: Form, _ shape: Shape, head: Head = .tied, dropout: Double = 0, biased: Bool = true
  ) {
    precondition(
      shape.heads >= 1 && shape.width % shape.heads == 0,
      "\(shape.heads) heads on \(shape.width) channels")
    (self.form, self.shape, self.head, self.dropout) = (form, shape, head, dropout)
    let (c, prefix) = (shape.width, form == .gpt2 ? "" : "transformer.")
    var all: [Parameter] = []
    func parameter(_ name: String, _ shape: [Int]) -> Parameter {
      let parameter = Parameter(prefix + name, shape: shape)
      all.append(parameter)
      return parameter
    }
    func bias(_ name: String, _ count: Int) -> Parameter {
      biased ? parameter(name, [count]) : Parameter(prefix + name, shape: [count])
    }
    func linear(_ name: String, _ width: Int, _ out: Int) -> Affine {
      (
        parameter(name + ".weight", form == .gpt2 ? [width, out] : [out, width]),
        bias(name + ".bias", out)
      )
    }
    func norm(_ name: String) -> Norm {
      (parameter(name + ".weight", [c]), bias(name + ".bias", c))
    }
    let token = form == .nanoGPT ? "token_emb.weight" : "wte.weight"
    let position = form == .nanoGPT ? "pos_emb.weight" : "wpe.weight"
    embeddings = (
      parameter(token, [shape.vocabulary, c]), parameter(position, [shape.block, c])
    )
    var buffers: Set<String> = head == .tied ? ["lm_head.weight"] : []
    blocks = (0..<shape.layers).map { layer in
      let name = "h.\(layer)."
      for mask in ["attn.bias", "attn.masked_bias"] { buffers.insert(prefix + name + mask) }
      return Block(
        norm1: norm(name + "ln_1"),
        attention: form == .nanoGPT
          ? ["to_q", "to_k", "to_v"].map { linear(name + "attn." + $0, c, c) }
          : [linear(name + "attn.c_attn", c, 3 * c)],
        projection: linear(name + "attn.c_proj", c, c),
        norm2: norm(name + "ln_2"),
        expansion: linear(name + "mlp.c_fc", c, 4 * c),
        contraction: linear(name + "mlp.c_proj", 4 * c, c))
    }
    final = norm("ln_f")
    if head == .tied {
      classifier = (embeddings.token, nil)
    } else {
      let weight = Parameter("lm_head.weight", shape: [shape.vocabulary, c])
      let bias =
        head == .untiedWithBias ? Parameter("lm_head.bias", shape: [shape.vocabulary]) : nil
      classifier = (weight, bias)
      all += [weight] + (bias.map { [$0] } ?? [])
    }
    parameters = all
    bufferNames = buffers
  }

  /// GPT-2's initialisation: normals of deviation 0.02, 0.02/√(2·layers) for the projections back into the
  /// residual stream, zero biases, unit norms; each parameter has a stream of its own.
  public func initialize(_ stream: RandomStream) {
    for parameter in parameters {
      let isNorm = parameter.name.contains("ln_")
      if parameter.shape.count == 1 {
        let value: Float = isNorm && parameter.name.hasSuffix("weight") ? 1 : 0
        parameter.tensor.value.fill(value)
        continue
      }
      let deviation: Float =
        parameter.name.hasSuffix("c_proj.weight")
        ? 0.02 / Float(2 * shape.layers).squareRoot() : 0.02
      parameter.tensor.assign(
        stream.child(parameter.name).normals(parameter.count).map { deviation * $0 })
    }
  }

  /// The parameters that are matrices but neither embeddings nor the head: what spectral clipping and Muon act on.
  public var matrices: [Parameter] {
    let embedded = embeddingNames + [classifier.weight.name]
    return parameters.filter { $0.shape.count == 2 && !embedded.contains($0.name) }
  }
  /// Their names.
  public var matrixNames: [String] { matrices.map(\.name) }

  /// Names of the token and position embeddings.
  public var embeddingNames: [String] { [embeddings.token.name, embeddings.position.name] }

  /// What the head sees, [B, T, C], for tokens[B, T] with T <= block.
  public func hidden(_ tape: Tape, _ tokens: Indices) -> Tensor {
    func linear(_ x: Tensor, _ layer: Affine) -> Tensor {
      form == .gpt2
        ? tape.conv1D(x, layer.weight, bias: layer.bias)
        : tape.linear(x, layer.weight, bias: layer.bias)
    }
    var x = tape.dropout(
      tape.embedding(tokens, embeddings.token, positions: embeddings.position),
      probability: dropout)
    for block in blocks {
      let normed = tape.layerNorm(x, block.norm1.weight, block.norm1.bias)
      let qkv = block.attention.map { linear(normed, $0) }
      let mixed =
        qkv.count == 1
        ? tape.attention(qkv[0], heads: shape.heads, scope: .causal, dropout: dropout)
        : tape.attention(
          qkv[0], qkv[1], qkv[2], heads: shape.heads, scope: .causal, dropout: dropout)
      x = tape.add(x, linear(mixed, block.projection), dropout: dropout)
      let wide = linear(tape.layerNorm(x, block.norm2.weight, block.norm2.bias), block.expansion)
      x = tape.add(
        x, linear(tape.gelu(wide, form == .gpt2 ? .tanh : .erf), block.contraction),
        dropout: dropout)
    }
    return tape.layerNorm(x, final.weight, final.bias)
  }

  /// The logits [B, T, vocabulary] of the next tokens.
  public func logits(_ tape: Tape, _ tokens: Indices) -> Tensor {
    tape.linear(hidden(tape, tokens), classifier.weight, bias: classifier.bias)
  }

  /// The logits [B, vocabulary] of the token after each of tokens[B, T].
  public func nextLogits(_ tape: Tape, _ tokens: Indices) -> Tensor {
    tape.linear(
      tape.lastPosition(hidden(tape, tokens)), classifier.weight, bias: classifier.bias)
  }

  /// The cross-entropy against targets[B, T], summed and divided by `total` (B·T by default).
  public func loss(
    _ tape: Tape, _ tokens: Indices, _ targets: Indices, total: Int? = nil
  ) -> Tensor {
    tape.linearCrossEntropy(
      hidden(tape, tokens), classifier.weight, bias: classifier.bias, targets, total: total)
  }

  /// The cross-entropy of the token after each of tokens[B, T] against targets[B], summed and divided by
  /// `total` (B by default): what a batch of B contexts with one next token each is trained on.
  public func nextLoss(
    _ tape: Tape, _ tokens: Indices, _ targets: Indices, total: Int? = nil
  ) -> Tensor {
    tape.linearCrossEntropy(
      tape.lastPosition(hidden(tape, tokens)), classifier.weight, bias: classifier.bias, targets,
      total: total)
  }
}

// MARK: - Sampling

extension GPT {
  /// Continues `prompt` (token ids, at least one) by `count` tokens drawn from the model's distribution at
  /// `temperature` > 0, among the `top` most likely tokens (all if nil); element i of `stream` is the i-th draw.
  public func sample(
    after prompt: [Int], count: Int, temperature: Double = 1, top: Int? = nil,
    stream: RandomStream, pool: WorkerPool = .single
  ) -> [Int] {
    precondition(!prompt.isEmpty && temperature > 0, "a prompt of no tokens, or no temperature")
    var tokens = prompt
    // No longer than needed; what lies behind the last token cannot be seen by it.
    let length = min(shape.block, prompt.count + count)
    let tape = Tape(pool: pool, isTraining: false)
    let window = tape.indices([1, length])
    let hidden = self.hidden(tape, window)
    var scores = [Double](repeating: 0, count: shape.vocabulary)
    for draw in 0..<count {
      let context = tokens.suffix(length)
      window.assign(
        context.map { Int32($0) } + Array(repeating: 0, count: length - context.count))
      tape.forward()
      logits(of: hidden.matrix.base + (context.count - 1) * shape.width, pool, into: &scores)
      for i in scores.indices { scores[i] /= temperature }
      if let top, top < scores.count {
        let least = scores.sorted(by: >)[max(0, top - 1)]
        for i in scores.indices where scores[i] < least { scores[i] = -.infinity }
      }
      let largest = scores.max() ?? 0
      let weights = scores.map { exp($0 - largest) }
      var rest = stream.uniform(at: draw) * weights.reduce(0, +)
      let next = weights.firstIndex { weight in
        rest -= weight
        return rest < 0
      }
      tokens.append(next ?? weights.count - 1)
    }
    return Array(tokens.dropFirst(prompt.count))
  }

  /// The logits of one position, whose hidden state[C] lies at `state`.
  private func logits(
    of state: UnsafePointer<Float>, _ pool: WorkerPool, into scores: inout [Double]
  ) {
    let (width, table, bias) = (shape.width, classifier.weight.base, classifier.bias?.base)
    scores.withUnsafeMutableBufferPointer { scores in
      pool.forRanges(of: shape.vocabulary, size: 1024) { range in
        for token in range {
          var sum = bias?[token] ?? 0
          for c in 0..<width { sum.addProduct(state[c], table[token &* width &+ c]) }
          scores[token] = Double(sum)
        }
      }
    }
  }
}
