// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra
import Storage

/// AlexNet for images of 32×32 (Krizhevsky et al. 2012, in the form that is customary for CIFAR): five convolutions 3×3, the first of
/// stride 2, ReLU between, 2×2 maximum pools after the first, the second and the last, then three linear layers with
/// dropout before the first two. Names are torchvision's, features.0.weight … classifier.6.bias.
public struct AlexNet: Model {
  /// In the order of PyTorch's state dict.
  public let parameters: [Parameter]
  /// Channels of an image, and classes.
  public let channels: Int, classes: Int
  private let features: [Affine], classifier: [Affine]

  /// Channels of the convolutions at full width.
  public static let filters = [64, 192, 384, 256, 256]
  /// Widths of the hidden linear layers at full width.
  public static let hidden = [4096, 4096]
  /// Places that the pools leave of a 32×32 image.
  private static let places = 4
  /// Probability with which a value is dropped before classifier.1 and classifier.4.
  public static let dropout = 0.5
  /// Heights and widths of images that the pools bring down to 2×2.
  public static let imageSides = 31...46

  /// A network of zeros with every width divided by `widthDivisor`, at most 64.
  public init(widthDivisor: Int = 1, classes: Int = 10, channels: Int = 3) {
    precondition((1...64).contains(widthDivisor), "an AlexNet narrowed by \(widthDivisor)")
    self.init(
      filters: Self.filters.map { $0 / widthDivisor },
      hidden: Self.hidden.map { $0 / widthDivisor },
      classes: classes, channels: channels)
  }

  private init(filters: [Int], hidden: [Int], classes: Int, channels: Int) {
    (self.channels, self.classes) = (channels, classes)
    let inputs = [channels] + filters
    features = zip(["0", "3", "6", "8", "10"], filters.indices).map { name, index in
      Affine("features.\(name)", [filters[index], 3, 3, inputs[index]])
    }
    let widths = [filters[4] * Self.places] + hidden + [classes]
    classifier = zip(["1", "4", "6"], 0..<3).map { name, index in
      Affine("classifier.\(name)", [widths[index + 1], widths[index]])
    }
    parameters = (features + classifier).flatMap(\.parameters)
  }

  /// The network whose weights the safetensors or HDF5 file at `path` holds; widths and classes are read from the shapes.
  ///
  /// Throws a `StorageError` for a file that cannot be read or is of another model.
  public init(loading path: String) throws {
    let file = try NamedShapes(path, model: "alexnet")
    func hidden(_ number: Int) throws -> Int {
      try file.shape("classifier.\(number).weight", axes: 2)[0]
    }
    self.init(
      filters: try [0, 3, 6, 8, 10].map { try file.shape("features.\($0).weight", axes: 4)[0] },
      hidden: try [1, 4].map(hidden), classes: try hidden(6),
      channels: try file.shape("features.0.weight", axes: 4)[1])
    try load(from: path)
  }

  /// PyTorch's default for both kinds of layer: weights and biases uniform on ±1/√fan-in.
  public func initialize(_ stream: RandomStream) {
    for layer in features + classifier { layer.initialize(stream) }
  }

  /// The logits [B, classes] of normalized images[B, H, W, channels] with sides in `imageSides`; values are dropped on a tape that
  /// trains.
  public func logits(_ tape: Tape, _ images: Tensor, dropout: Double = dropout) -> Tensor {
    precondition(
      images.shape.count == 4 && images.shape[3] == channels
        && images.shape[1...2].allSatisfy(Self.imageSides.contains),
      "AlexNet takes [B, H, W, \(channels)] with sides in \(Self.imageSides), not \(images.shape)")
    var x = images
    for (index, layer) in features.enumerated() {
      // A maximum pool of ReLU is the ReLU of the pool, of a quarter as many values.
      x = tape.relu(
        tape.convolution(
          x, layer.weight, bias: layer.bias, stride: index == 0 ? 2 : 1, padding: 1,
          pooling: [0, 1, 4].contains(index) ? .maximum2 : .none))
    }
    x = tape.flattenChannelsFirst(x)
    for layer in classifier.dropLast() {
      x = tape.dropout(x, probability: dropout)
      x = tape.relu(layer(tape, x))
    }
    return classifier[2](tape, x)
  }

  /// The mean cross-entropy of logits.
  public func loss(_ tape: Tape, _ logits: Tensor, _ targets: Indices) -> Tensor {
    tape.crossEntropy(logits, targets)
  }
}
