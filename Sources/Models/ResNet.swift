// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra
import Storage

/// A residual network (He et al. 2016) in its form for CIFAR: a 3×3 stem of stride 1 without a pool, stages of basic blocks, of
/// which all but the first begin with stride 2, the mean over all places and a head. Names are torchvision's.
public struct ResNet: Model {
  /// Which of them.
  public enum Depth: Int, Codable, Sendable, CaseIterable {
    /// Four stages of two blocks; where a block changes the size, a 1×1 convolution and a norm beside it.
    case eighteen = 18
    /// Three stages of three blocks; there every second place beside it and zeros for the channels to come, half of them on
    /// either side (He et al.'s option A, without parameters).
    case twenty = 20

    /// Channels of each stage, as published.
    public var widths: [Int] { self == .eighteen ? [64, 128, 256, 512] : [16, 32, 64] }
    var blocks: Int { self == .eighteen ? 2 : 3 }
    var projects: Bool { self == .eighteen }
  }

  /// What filters begin as.
  public enum FilterStart: Sendable {
    /// Normal with variance 2/fan-out (He et al. 2015), as torchvision's: 2/(9·width), and 2/width for shortcuts.
    case normal
    /// Uniform on ±1/√fan-in, as PyTorch's convolutions begin where nobody says otherwise.
    case uniform
  }

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
    /// What the branch is added to.
    enum Shortcut {
      case identity
      case projection(Unit)
      /// A constant convolution[width, 1, 1, channels] that takes every second place.
      case padding(Parameter)
    }

    let first: Unit, second: Unit
    let shortcut: Shortcut

    init(_ name: String, _ channels: Int, _ width: Int, stride: Int, projects: Bool) {
      first = Unit("\(name).conv1", "\(name).bn1", channels, width, kernel: 3, stride: stride)
      second = Unit("\(name).conv2", "\(name).bn2", width, width, kernel: 3, stride: 1)
      if stride == 1 && channels == width {
        shortcut = .identity
      } else if projects {
        shortcut = .projection(
          Unit(
            "\(name).downsample.0", "\(name).downsample.1", channels, width, kernel: 1,
            stride: stride))
      } else {
        let filter = Parameter(
          "\(name).shortcut", shape: [width, 1, 1, channels], isTrained: false)
        var values = [Float](repeating: 0, count: width * channels)
        for c in 0..<channels { values[(c + (width - channels) / 2) * channels + c] = 1 }
        filter.tensor.assign(values)
        shortcut = .padding(filter)
      }
    }

    var units: [Unit] {
      if case .projection(let unit) = shortcut { return [first, second, unit] }
      return [first, second]
    }

    func callAsFunction(_ tape: Tape, _ x: Tensor) -> Tensor {
      let branch = first(tape, x, then: .relu)
      let beside: Tensor =
        switch shortcut {
        case .identity: x
        case .projection(let unit): unit(tape, x, then: .none)
        case .padding(let filter): tape.convolution(x, filter, stride: first.stride, padding: 0)
        }
      return second(tape, branch, adding: beside, then: .relu)
    }
  }

  /// A network whose weights are zeros; `widths` are those of the stages, the published ones unless told otherwise.
  public init(
    _ depth: Depth = .eighteen, widths given: [Int]? = nil, classes: Int = 10, channels: Int = 3
  ) {
    let widths = given ?? depth.widths
    precondition(
      widths.count == depth.widths.count, "a ResNet-\(depth.rawValue) of widths \(widths)")
    (self.depth, self.channels) = (depth, channels)
    stem = Unit("conv1", "bn1", channels, widths[0], kernel: 3, stride: 1)
    blocks = widths.indices.flatMap { stage in
      (0..<depth.blocks).map { index in
        let isFirst = index == 0
        return Block(
          "layer\(stage + 1).\(index)", widths[isFirst ? max(0, stage - 1) : stage],
          widths[stage], stride: isFirst && stage > 0 ? 2 : 1, projects: depth.projects)
      }
    }
    let last = widths[widths.count - 1]
    head = (
      Parameter("fc.weight", shape: [classes, last]), Parameter("fc.bias", shape: [classes])
    )
    state =
      stem.state + blocks.flatMap { $0.units.flatMap(\.state) }
      + [.parameter(head.weight), .parameter(head.bias)]
    parameters = state.trained
  }

  /// Which network.
  public let depth: Depth
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
      "ResNet-\(depth.rawValue) takes [B, H, W, \(channels)], not \(images.shape)")
    var x = stem(tape, images, then: .relu)
    for block in blocks { x = block(tape, x) }
    let features = tape.flatten(tape.globalAveragePool(x))
    return tape.linear(features, head.weight, bias: head.bias)
  }

  /// The mean cross-entropy of logits.
  public func loss(_ tape: Tape, _ logits: Tensor, _ targets: Indices) -> Tensor {
    tape.crossEntropy(logits, targets)
  }

  /// torchvision's initialization but for what `filters` says: norms 1 and 0, the head uniform on ±1/√fan-in.
  public func initialize(_ stream: RandomStream, filters: FilterStart = .normal) {
    for unit in [stem] + blocks.flatMap(\.units) {
      unit.norm.reset()
      let shape = unit.filter.shape
      switch filters {
      case .uniform:
        unit.filter.initializeLinear(fanIn: shape[1] * shape[2] * shape[3], stream)
      case .normal:
        let deviation = (2 / Float(shape[0] * shape[1] * shape[2])).squareRoot()
        unit.filter.tensor.assign(
          stream.child(unit.filter.name).normals(unit.filter.count).map { deviation * $0 })
      }
    }
    for parameter in [head.weight, head.bias] {
      parameter.initializeLinear(fanIn: head.weight.shape[1], stream)
    }
  }

  /// The network whose weights the safetensors or HDF5 file at `path` holds; widths and classes, and the depth unless given,
  /// are read from the shapes.
  ///
  /// Throws a `StorageError` for a file that cannot be read or is of another model.
  public init(loading path: String, depth given: Depth? = nil) throws {
    let file = try NamedShapes(path, model: given.map { "resnet\($0.rawValue)" } ?? "resnet")
    let depth = given ?? (file.contains("layer1.2.conv1.weight") ? .twenty : .eighteen)
    self.init(
      depth,
      widths: try depth.widths.indices.map {
        try file.shape("layer\($0 + 1).0.conv1.weight", axes: 4)[0]
      }, classes: try file.shape("fc.weight", axes: 2)[0],
      channels: try file.shape("conv1.weight", axes: 4)[1])
    try load(from: path)
  }
}
