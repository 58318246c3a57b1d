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

  private typealias Affine = (weight: Parameter, bias: Parameter)

  private struct Block {
    let norm1: Affine, qkv: Affine, projection: Affine
    let norm2: Affine, expansion: Affine, contraction: Affine
  }

  /// A model of zeros. Precondition: heads divide the width.
  public init(_ shape: Shape = Shape(), positions: PositionGrid = .bicubic) {
    precondition(
      shape.heads >= 1 && shape.width % shape.heads == 0,
      "\(shape.heads) heads on \(shape.width) channels")
    (self.shape, self.positions) = (shape, positions)
    let c = shape.width
    var all: [Parameter] = []
    func parameter(_ name: String, _ shape: [Int]) -> Parameter {
      let parameter = Parameter(name, shape: shape)
      all.append(parameter)
      return parameter
    }
    func affine(_ name: String, _ weight: [Int]) -> Affine {
      (parameter("\(name).weight", weight), parameter("\(name).bias", [weight[0]]))
    }
    classToken = parameter("cls_token", [1, 1, c])
    positionEmbedding = parameter("pos_embed", [1, shape.grid * shape.grid + 1, c])
    patches = affine("patch_embed.proj", [c, shape.patch, shape.patch, shape.channels])
    blocks = (0..<shape.layers).map { layer in
      let name = "blocks.\(layer)."
      return Block(
        norm1: affine(name + "norm1", [c]), qkv: affine(name + "attn.qkv", [3 * c, c]),
        projection: affine(name + "attn.proj", [c, c]), norm2: affine(name + "norm2", [c]),
        expansion: affine(name + "mlp.fc1", [shape.hidden, c]),
        contraction: affine(name + "mlp.fc2", [c, shape.hidden]))
    }
    final = affine("norm", [c])
    head = affine("head", [shape.classes, c])
    parameters = all
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
    func linear(_ x: Tensor, _ layer: Affine) -> Tensor {
      tape.linear(x, layer.weight, bias: layer.bias)
    }
    func norm(_ x: Tensor, _ layer: Affine) -> Tensor {
      tape.layerNorm(x, layer.weight, layer.bias, epsilon: epsilon)
    }
    let embedded = tape.convolution(images, patches.weight, bias: patches.bias, stride: side)
    var x = tape.classToken(
      tape.reshape(embedded, [images.shape[0], rows * columns, shape.width]), classToken,
      positions: positionEmbedding,
      map: positions.map(side: shape.grid, rows: rows, columns: columns))
    for block in blocks {
      let mixed = tape.attention(
        linear(norm(x, block.norm1), block.qkv), heads: shape.heads, scope: .everywhere)
      x = tape.add(x, linear(mixed, block.projection))
      let wide = tape.gelu(linear(norm(x, block.norm2), block.expansion), .erf)
      x = tape.add(x, linear(wide, block.contraction))
    }
    // The norm is a token's own affair, so that of the class token is all that the head needs.
    return linear(norm(tape.firstPosition(x), final), head)
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

  /// The model whose weights the safetensors or HDF5 file at `path` holds: sizes are read from the shapes, `heads` is width/64
  /// (at least 1) unless given.
  ///
  /// Throws a `StorageError` for a file that cannot be read or is of another model.
  public init(
    loading path: String, heads: Int? = nil, positions: PositionGrid = .bicubic
  ) throws {
    let file = try TensorFile(path)
    let probe = ViT(
      {
        var shape = Shape()
        (shape.layers, shape.width, shape.heads, shape.hidden, shape.grid) = (0, 1, 1, 1, 1)
        return shape
      }())
    let entries = Dictionary(
      file.entries.map { (probe.parameterName(of: $0.name), $0) }, uniquingKeysWith: { a, _ in a })
    func extents(_ name: String, axes: Int) throws -> [Int] {
      guard let entry = entries[name] else {
        throw StorageError("no tensor \(name)", at: path, hint: "is it a file of a vit?")
      }
      guard entry.shape.count == axes, !entry.shape.contains(0) else {
        throw StorageError(
          "the tensor \(entry.name) has the shape \(entry.shape)", at: path,
          hint: "is it a file of a vit?")
      }
      return entry.shape
    }
    let filter = try extents("patch_embed.proj.weight", axes: 4)
    let places = try extents("pos_embed", axes: 3)
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
    shape.heads = heads ?? max(1, shape.width / 64)
    guard shape.heads >= 1, shape.width % shape.heads == 0 else {
      throw StorageError(
        "\(shape.heads) heads do not divide the width \(shape.width)", at: path,
        hint: "give --heads")
    }
    shape.layers = 0
    while entries["blocks.\(shape.layers).norm1.weight"] != nil { shape.layers += 1 }
    shape.hidden =
      shape.layers == 0 ? 1 : try extents("blocks.0.mlp.fc1.weight", axes: 2)[0]
    shape.classes = try extents("head.weight", axes: 2)[0]
    self.init(shape, positions: positions)
    try load(from: path)
  }
}
