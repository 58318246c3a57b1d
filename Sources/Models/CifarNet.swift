// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Storage

/// The network of the authors' CIFAR-10 experiment (airbench94 of Keller Jordan): a frozen 2×2 whitening convolution
/// and GELU, three groups of convolution, 2×2 maximum pool, batch norm, GELU, convolution, batch norm, GELU, a 3×3
/// maximum pool and a head without bias whose logits are divided by its width.
///
/// Batch norms keep their scale at 1, average with torch's momentum 0.4 and have ε = 1e-12.
public struct CifarNet: Model {
  /// What becomes of the whitening convolution's bias; its weight is never trained.
  public enum WhiteningBias: Sendable {
    /// It is trained, as in the authors' first three epochs.
    case trained
    /// It gets no gradient.
    case frozen
  }

  /// The trained ones: all but the whitening weight and the norms' scales.
  public let parameters: [Parameter]
  /// In the order of PyTorch's state dict.
  public let state: [StateEntry]
  private let whiten: (weight: Parameter, bias: Parameter)
  private let groups: [Group]
  private let head: Parameter

  private struct Group {
    let conv1: Parameter
    let norm1: NormLayer
    let conv2: Parameter
    let norm2: NormLayer

    init(_ name: String, _ channels: Int, _ width: Int) {
      func norm(_ index: Int) -> NormLayer {
        NormLayer(
          "\(name).norm\(index)", channels: width, momentum: 0.4, epsilon: 1e-12,
          trainsScale: false)
      }
      conv1 = Parameter("\(name).conv1.weight", shape: [width, 3, 3, channels])
      conv2 = Parameter("\(name).conv2.weight", shape: [width, 3, 3, width])
      (norm1, norm2) = (norm(1), norm(2))
    }

    var state: [StateEntry] {
      [.parameter(conv1)] + norm1.state + [.parameter(conv2)] + norm2.state
    }
  }

  /// A network whose weights are zeros. The authors' has the widths 64, 256, 256, and three channels. The whitening convolution
  /// has a filter for each of the 4 `channels` eigenvectors of 2×2 patches, and for their negatives.
  public init(widths: [Int] = [64, 256, 256], classes: Int = 10, channels: Int = 3) {
    precondition(widths.count == 3, "a CifarNet of widths \(widths)")
    self.channels = channels
    let whitened = 8 * channels
    whiten = (
      Parameter("whiten.weight", shape: [whitened, 2, 2, channels], isTrained: false),
      Parameter("whiten.bias", shape: [whitened])
    )
    groups = (0..<3).map { index in
      Group("layers.\(index + 1)", index == 0 ? whitened : widths[index - 1], widths[index])
    }
    head = Parameter("head.weight", shape: [classes, widths[2]])
    state =
      [.parameter(whiten.weight), .parameter(whiten.bias)] + groups.flatMap(\.state)
      + [.parameter(head)]
    parameters = state.trained
  }

  /// Channels of an image.
  public let channels: Int

  /// Names of the six trained convolutions: what the authors clip.
  public var filterNames: [String] { groups.flatMap { [$0.conv1.name, $0.conv2.name] } }

  /// Heights and widths of images that the pools bring down to a single place.
  public static let imageSides = 25...48

  /// The logits [B, classes] of normalised images[B, H, W, channels] with sides in `imageSides`.
  public func logits(
    _ tape: Tape, _ images: Tensor, whiteningBias: WhiteningBias = .trained
  ) -> Tensor {
    precondition(
      images.shape.count == 4 && images.shape[3] == channels
        && images.shape[1...2].allSatisfy(Self.imageSides.contains),
      "CifarNet takes [B, H, W, \(channels)] with sides in \(Self.imageSides), not \(images.shape)")
    let bias = whiteningBias == .trained ? whiten.bias : whiten.bias.frozen
    var x = tape.gelu(tape.convolution(images, whiten.weight, bias: bias), .erf)
    for group in groups {
      x = tape.convolution(x, group.conv1, padding: 1, pooling: .maximum2)
      x = group.norm1(tape, x, then: .gelu)
      x = group.norm2(tape, tape.convolution(x, group.conv2, padding: 1), then: .gelu)
    }
    let features = tape.flatten(tape.maxPool(x, 3))
    return tape.scale(tape.linear(features, head), by: 1 / Float(features.columns))
  }

  /// The authors' loss of logits: cross-entropy with labels smoothed by 0.2, summed over the batch.
  public func loss(_ tape: Tape, _ logits: Tensor, _ targets: Indices) -> Tensor {
    tape.crossEntropy(logits, targets, labelSmoothing: 0.2, reduction: .sum)
  }
}

// MARK: - Initialisation

extension CifarNet {
  /// PyTorch's defaults, uniform on ±1/√fan-in; then as many filters of every trained convolution as it has channels
  /// pass a channel through (dirac), and the head is divided by its standard deviation. The whitening weight is
  /// drawn as well, to be replaced by `whiteningWeight`.
  public func initialize(_ stream: RandomStream) {
    for group in groups {
      for norm in [group.norm1, group.norm2] { norm.reset() }
      for filter in [group.conv1, group.conv2] {
        let channels = filter.shape[3]
        filter.initializeLinear(fanIn: 9 * channels, stream)
        for o in 0..<min(filter.shape[0], channels) {
          let row = filter.base + 9 * o * channels
          row.update(repeating: 0, count: 9 * channels)
          row[4 * channels + o] = 1
        }
      }
    }
    for parameter in [whiten.weight, whiten.bias] {
      parameter.initializeLinear(fanIn: 4 * channels, stream)
    }
    head.initializeLinear(fanIn: head.shape[1], stream)
    let values = head.tensor.array.map(Double.init)
    let mean = values.reduce(0, +) / Double(values.count)
    let variance =
      values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
    head.tensor.assign(values.map { Float($0 / variance.squareRoot()) })
  }

  /// The weight [8 channels, 2, 2, channels] that whitens 2×2 patches of images[count, height, width, channels]:
  /// eigenvectors of the patches' uncentred covariance by ascending eigenvalue λ, divided by √(λ + 5e-4), then their negatives. The largest entry of
  /// an eigenvector is positive. The authors take the first 5000 training images.
  ///
  /// Throws a `LinearAlgebraError` for images with NaN.
  public static func whiteningWeight(
    of images: [Float], height: Int, width: Int, channels: Int = 3
  ) throws -> [Float] {
    let size = height * width * channels
    let (half, count) = (2 * channels, 4 * channels)
    precondition(
      height >= 2 && width >= 2 && !images.isEmpty && images.count % size == 0,
      "whitening \(images.count) floats as images \(height)×\(width)×\(channels)")
    var moments = Matrix<Double>(rows: count, columns: count)
    let row = channels * width
    var patch = [Double](repeating: 0, count: count)
    for image in stride(from: 0, to: images.count, by: size) {
      for y in 0..<(height - 1) {
        for x in 0..<(width - 1) {
          let first = image + y * row + channels * x
          for k in 0..<half {
            patch[k] = Double(images[first + k])
            patch[half + k] = Double(images[first + row + k])
          }
          for i in 0..<count {
            for j in 0...i { moments.elements[count * i + j] += patch[i] * patch[j] }
          }
        }
      }
    }
    let patches = Double(images.count / size * (height - 1) * (width - 1))
    for i in 0..<count {
      for j in 0...i {
        moments.elements[count * i + j] /= patches
        moments.elements[count * j + i] = moments.elements[count * i + j]
      }
    }
    let eigen = try symmetricEigen(moments)
    let filters = (0..<count).flatMap { index in
      let vector = eigen.vectors.elements[(count * index)..<(count * index + count)]
      let largest = vector.max { $0.magnitude < $1.magnitude } ?? 1
      let scale = (eigen.values[index] + 5e-4).squareRoot() * (largest < 0 ? -1 : 1)
      return vector.map { Float($0 / scale) }
    }
    return filters + filters.map { -$0 }
  }
}

// MARK: - Weight files

extension CifarNet {
  /// The network whose weights the safetensors or HDF5 file at `path` holds; widths and classes are read from the
  /// shapes.
  ///
  /// Throws a `StorageError` for a file that cannot be read or is of another model.
  public init(loading path: String) throws {
    let file = try NamedShapes(path, model: "cifarnet")
    self.init(
      widths: try (1...3).map { try file.shape("layers.\($0).conv1.weight", axes: 4)[0] },
      classes: try file.shape("head.weight", axes: 2)[0],
      channels: try file.shape("whiten.weight", axes: 4)[1])
    try load(from: path)
  }
}
