// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Storage

/// A vision transformer with pre-layer norm, a class token and learned positions (Dosovitskiy et al. 2021), under timm's names:
/// cls_token, pos_embed, patch_embed.proj, blocks.N.{norm1, attn.qkv, attn.proj, norm2, mlp.fc1, mlp.fc2}, norm, head.
public struct ViT: Model {
  /// Sizes.
  public struct Shape: Codable, Equatable, Sendable {
    /// Pixels of a patch's side.
    public var patch = 16
    /// Places on a side of the grid that the position embedding is made for.
    public var grid = 14
    /// Transformer blocks.
    public var layers = 12
    /// Attention heads; they divide the width.
    public var heads = 3
    /// Channels of a token.
    public var width = 192
    /// Channels between the two layers of a block's MLP.
    public var hidden = 768
    /// Classes.
    public var classes = 10
    /// Channels of an image.
    public var channels = 3

    /// ViT-tiny of arXiv 2404.08624.
    public init() {}
  }

  /// Sizes.
  public let shape: Shape
  /// How the position embedding serves another grid than its own.
  public let positions: PositionGrid
  /// In the order of timm's state dict.
  public let parameters: [Parameter]
  private let classToken: Parameter, positionEmbedding: Parameter
  private let patches: Affine
  private let blocks: [Block]
  private let final: Affine, head: Affine

  private struct Block {
    let norm1: Affine, qkv: Affine, projection: Affine
    let norm2: Affine, expansion: Affine, contraction: Affine

    var parameters: [Parameter] {
      [norm1, qkv, projection, norm2, expansion, contraction].flatMap(\.parameters)
    }
  }

  /// A model of zeros. Precondition: heads divide the width.
  public init(_ shape: Shape = Shape(), positions: PositionGrid = .bicubic) {
    precondition(
      shape.heads >= 1 && shape.width % shape.heads == 0,
      "\(shape.heads) heads on \(shape.width) channels")
    (self.shape, self.positions) = (shape, positions)
    let c = shape.width
    classToken = Parameter("cls_token", shape: [1, 1, c])
    positionEmbedding = Parameter("pos_embed", shape: [1, shape.grid * shape.grid + 1, c])
    patches = Affine("patch_embed.proj", [c, shape.patch, shape.patch, shape.channels])
    blocks = (0..<shape.layers).map { layer in
      let name = "blocks.\(layer)."
      return Block(
        norm1: Affine(name + "norm1", [c]), qkv: Affine(name + "attn.qkv", [3 * c, c]),
        projection: Affine(name + "attn.proj", [c, c]), norm2: Affine(name + "norm2", [c]),
        expansion: Affine(name + "mlp.fc1", [shape.hidden, c]),
        contraction: Affine(name + "mlp.fc2", [c, shape.hidden]))
    }
    final = Affine("norm", [c])
    head = Affine("head", [shape.classes, c])
    parameters =
      [classToken, positionEmbedding] + patches.parameters + blocks.flatMap(\.parameters)
      + final.parameters + head.parameters
  }

  /// The initialization of the code of arXiv 2404.08624: linear weights, class token and positions normal with deviation 0.02
  /// (truncated at ±2 there, which is a hundred deviations), biases zero, norms one and zero; the patches' convolution uniform
  /// on ±1/√fan-in, torch's default.
  public func initialize(_ stream: RandomStream) {
    let fanIn = shape.patch * shape.patch * shape.channels
    for parameter in parameters {
      if parameter.name.hasPrefix("patch_embed") {
        parameter.initializeLinear(fanIn: fanIn, stream)
      } else if parameter.shape.count == 1 {
        let isScale = parameter.name.contains("norm") && parameter.name.hasSuffix("weight")
        parameter.tensor.value.fill(isScale ? 1 : 0)
      } else {
        parameter.tensor.assign(
          stream.child(parameter.name).normals(parameter.count).map { 0.02 * $0 })
      }
    }
  }

  /// The logits [B, classes] of images[B, H, W, channels] whose sides are multiples of the patch's.
  public func logits(_ tape: Tape, _ images: Tensor) -> Tensor {
    let (epsilon, side) = (Float(1e-6), shape.patch)
    precondition(
      images.shape.count == 4 && images.shape[3] == shape.channels
        && images.shape[1] % side == 0 && images.shape[2] % side == 0,
      "ViT takes [B, H, W, \(shape.channels)] with sides of whole patches, not \(images.shape)")
    let (rows, columns) = (images.shape[1] / side, images.shape[2] / side)
    let embedded = tape.convolution(images, patches.weight, bias: patches.bias, stride: side)
    var x = tape.classToken(
      tape.reshape(embedded, [images.shape[0], rows * columns, shape.width]), classToken,
      positions: positionEmbedding,
      map: positions.map(side: shape.grid, rows: rows, columns: columns))
    for block in blocks {
      let mixed = tape.attention(
        block.qkv(tape, block.norm1.norm(tape, x, epsilon: epsilon)), heads: shape.heads,
        scope: .everywhere)
      x = tape.add(x, block.projection(tape, mixed))
      let wide = tape.gelu(
        block.expansion(tape, block.norm2.norm(tape, x, epsilon: epsilon)), .erf)
      x = tape.add(x, block.contraction(tape, wide))
    }
    // The norm is a token's own affair, so that of the class token is all that the head needs.
    return head(tape, final.norm(tape, tape.firstPosition(x), epsilon: epsilon))
  }

  /// The mean cross-entropy of logits[B, classes] against targets[B].
  public func loss(_ tape: Tape, _ logits: Tensor, _ targets: Indices) -> Tensor {
    tape.crossEntropy(logits, targets)
  }

  /// Files of DataParallel and torch.compile put a prefix before the names.
  public func parameterName(of fileName: String) -> String {
    for prefix in ["module.", "_orig_mod."] where fileName.hasPrefix(prefix) {
      return String(fileName.dropFirst(prefix.count))
    }
    return fileName
  }

  /// What its weights do not say by their shapes, under Hugging Face's names.
  public var configuration: ModelConfiguration {
    func number(_ value: Int) -> JSON { .number("\(value)") }
    return ModelConfiguration([
      ("model_type", .string("vit")), ("hidden_size", number(shape.width)),
      ("num_hidden_layers", number(shape.layers)), ("num_attention_heads", number(shape.heads)),
      ("intermediate_size", number(shape.hidden)), ("patch_size", number(shape.patch)),
      ("image_size", number(shape.grid * shape.patch)), ("num_channels", number(shape.channels)),
    ])
  }

  /// The model whose weights the safetensors or HDF5 file at `path` holds: sizes are read from the shapes, `heads`
  /// from its configuration unless given.
  ///
  /// Throws a `StorageError` for a file that cannot be read or is of another model.
  public init(
    loading path: String, heads: Int? = nil, positions: PositionGrid = .bicubic
  ) throws {
    let probe = ViT(
      {
        var shape = Shape()
        (shape.layers, shape.width, shape.heads, shape.hidden, shape.grid) = (0, 1, 1, 1, 1)
        return shape
      }())
    let file = try NamedShapes(path, model: "vit", probe.parameterName)
    let filter = try file.shape("patch_embed.proj.weight", axes: 4)
    let places = try file.shape("pos_embed", axes: 3)
    let side = Int(Double(places[1] - 1).squareRoot().rounded())
    guard filter[2] == filter[3], side >= 1, side * side == places[1] - 1 else {
      throw StorageError(
        "patches of \(filter[2])×\(filter[3]) pixels and \(places[1]) positions", at: path,
        hint: "the model takes square patches, and positions for a class token and a square grid")
    }
    var shape = Shape()
    (shape.width, shape.channels, shape.patch, shape.grid) = (
      filter[0], filter[1], filter[2], side
    )
    shape.layers = file.count { "blocks.\($0).norm1.weight" }
    let configuration = heads == nil ? try ModelConfiguration(of: file.file) : nil
    try configuration?.check("hidden_size", "embed_dim", is: shape.width)
    try configuration?.check("num_hidden_layers", is: shape.layers)
    shape.heads = try resolvedHeads(heads, width: shape.width, configuration, at: path)
    shape.hidden =
      shape.layers == 0 ? 1 : try file.shape("blocks.0.mlp.fc1.weight", axes: 2)[0]
    shape.classes = try file.shape("head.weight", axes: 2)[0]
    self.init(shape, positions: positions)
    try load(from: path)
  }
}
