import Autodiff
import LinearAlgebra
import Storage

/// ResNet-18 (He et al. 2016) in its form for CIFAR: a 3×3 stem of stride 1 without a pool, four stages of two basic
/// blocks, the last three of which begin with stride 2, the mean over all places and a head. Names are torchvision's.
public struct ResNet18: Model {
  /// The trained ones: all.
  public let parameters: [Parameter]
  /// In the order of PyTorch's state dict.
  public let state: [StateEntry]
  private let stem: Unit
  private let blocks: [Block]
  private let head: (weight: Parameter, bias: Parameter)

  /// A convolution and its norm.
  private struct Unit {
    let filter: Parameter
    let norm: NormLayer
    let stride: Int

    init(_ conv: String, _ norm: String, _ channels: Int, _ width: Int, kernel: Int, stride: Int) {
      filter = Parameter(conv + ".weight", shape: [width, kernel, kernel, channels])
      self.norm = NormLayer(norm, channels: width)
      self.stride = stride
    }

    var state: [StateEntry] { [.parameter(filter)] + norm.state }

    func callAsFunction(
      _ tape: Tape, _ x: Tensor, adding residual: Tensor? = nil, then activation: Activation
    ) -> Tensor {
      let y = tape.convolution(x, filter, stride: stride, padding: filter.shape[1] / 2)
      return norm(tape, y, adding: residual, then: activation)
    }
  }

  private struct Block {
    let first: Unit, second: Unit
    let shortcut: Unit?

    init(_ name: String, _ channels: Int, _ width: Int, stride: Int) {
      first = Unit("\(name).conv1", "\(name).bn1", channels, width, kernel: 3, stride: stride)
      second = Unit("\(name).conv2", "\(name).bn2", width, width, kernel: 3, stride: 1)
      shortcut =
        stride == 1 && channels == width
        ? nil
        : Unit(
          "\(name).downsample.0", "\(name).downsample.1", channels, width, kernel: 1,
          stride: stride)
    }

    var units: [Unit] { [first, second] + (shortcut.map { [$0] } ?? []) }

    func callAsFunction(_ tape: Tape, _ x: Tensor) -> Tensor {
      let branch = first(tape, x, then: .relu)
      return second(tape, branch, adding: shortcut?(tape, x, then: .none) ?? x, then: .relu)
    }
  }

  /// A network whose weights are zeros. The paper's has the widths 64, 128, 256, 512.
  public init(widths: [Int] = [64, 128, 256, 512], classes: Int = 10, channels: Int = 3) {
    precondition(widths.count == 4, "a ResNet-18 of widths \(widths)")
    self.channels = channels
    stem = Unit("conv1", "bn1", channels, widths[0], kernel: 3, stride: 1)
    blocks = (0..<8).map { index in
      let (stage, isFirst) = (index / 2, index % 2 == 0)
      return Block(
        "layer\(stage + 1).\(index % 2)", widths[isFirst ? max(0, stage - 1) : stage],
        widths[stage], stride: isFirst && stage > 0 ? 2 : 1)
    }
    head = (
      Parameter("fc.weight", shape: [classes, widths[3]]), Parameter("fc.bias", shape: [classes])
    )
    state =
      stem.state + blocks.flatMap { $0.units.flatMap(\.state) }
      + [.parameter(head.weight), .parameter(head.bias)]
    parameters = state.trained
  }

  /// Channels of an image.
  public let channels: Int

  /// Names of the convolutions.
  public var filterNames: [String] {
    parameters.filter { $0.shape.count == 4 }.map(\.name)
  }

  /// The logits [B, classes] of normalised images[B, H, W, channels].
  public func logits(_ tape: Tape, _ images: Tensor) -> Tensor {
    precondition(
      images.shape.count == 4 && images.shape[3] == channels,
      "ResNet-18 takes [B, H, W, \(channels)], not \(images.shape)")
    var x = stem(tape, images, then: .relu)
    for block in blocks { x = block(tape, x) }
    let features = tape.flatten(tape.globalAveragePool(x))
    return tape.linear(features, head.weight, bias: head.bias)
  }

  /// The mean cross-entropy of logits.
  public func loss(_ tape: Tape, _ logits: Tensor, _ targets: Indices) -> Tensor {
    tape.crossEntropy(logits, targets)
  }

  /// torchvision's initialisation: filters normal with variance 2/(9·width) (He et al. 2015, fan-out), norms 1 and 0,
  /// the head uniform on ±1/√fan-in.
  public func initialize(_ stream: RandomStream) {
    for unit in [stem] + blocks.flatMap(\.units) {
      unit.norm.reset()
      let shape = unit.filter.shape
      let deviation = (2 / Float(shape[0] * shape[1] * shape[2])).squareRoot()
      unit.filter.tensor.assign(
        stream.child(unit.filter.name).normals(unit.filter.count).map { deviation * $0 })
    }
    for parameter in [head.weight, head.bias] {
      parameter.initializeLinear(fanIn: head.weight.shape[1], stream)
    }
  }

  /// The network whose weights the safetensors or HDF5 file at `path` holds; widths and classes are read from the
  /// shapes.
  ///
  /// Throws a `StorageError` for a file that cannot be read or is of another model.
  public init(loading path: String) throws {
    let file = try TensorFile(path)
    let widths = try (1...4).map {
      try file.shape("layer\($0).0.conv1.weight", model: "resnet18")[0]
    }
    self.init(
      widths: widths, classes: try file.shape("fc.weight", model: "resnet18")[0],
      channels: try file.channels("conv1.weight", model: "resnet18"))
    try load(from: path)
  }
}
