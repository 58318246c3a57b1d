// SPDX-License-Identifier: Apache-2.0

import Lab
import Autodiff
import LinearAlgebra
import Models

/// The networks of Fig 2a: the paper's text says ResNet-18 in the AirBench setup, the authors' code has CifarNet.
package enum ImageNetwork: String, Sendable, CaseIterable {
  case cifarNet = "cifarnet"
  case resNet18 = "resnet18"

  package var title: String {
    switch self {
    case .cifarNet: "CifarNet"
    case .resNet18: "ResNet-18"
    }
  }
}

/// A network in the AirBench setup, whichever it is: logits divided by the head's input width, a head that begins with
/// unit variance, norms whose scales stay at 1.
package struct ImageClassifier {
  package let model: any Model
  /// Convolutions that are trained: what clipping sees.
  package let filterNames: [String]
  /// Shifts of norms (and the head's bias, where it has one).
  let biasNames: [String]
  let headName: String
  /// The whitening convolution's bias, which is trained for a few epochs only; nil for a network without one.
  let whiteningBiasName: String?
  private let body: Body

  private enum Body {
    case cifarNet(CifarNet)
    case resNet18(ResNet, headWidth: Int)
  }

  /// `network` with the authors' widths divided by `widthDivisor`, initialized from `stream`; a CifarNet whitens by `whitening`
  /// [8 channels, 2, 2, channels].
  init(
    _ network: ImageNetwork, widthDivisor: Int, classes: Int, channels: Int, whitening: [Float],
    _ stream: RandomStream
  ) {
    switch network {
    case .cifarNet:
      let net = CifarNet(
        widths: [64, 256, 256].map { $0 / widthDivisor }, classes: classes, channels: channels)
      net.initialize(stream)
      for case .parameter(let parameter) in net.state where parameter.name == "whiten.weight" {
        parameter.tensor.assign(whitening)
      }
      (model, body, filterNames) = (net, .cifarNet(net), net.filterNames)
      (headName, whiteningBiasName) = ("head.weight", "whiten.bias")
      biasNames = net.parameters.map(\.name).filter { $0.contains("norm") }
    case .resNet18:
      let net = ResNet(
        widths: ResNet.Depth.eighteen.widths.map { $0 / widthDivisor }, classes: classes,
        channels: channels)
      net.initialize(stream)
      let head = net.parameters.first { $0.name == "fc.weight" }
      head.map { Self.normalize($0) }
      (model, body) = (net, .resNet18(net, headWidth: 512 / widthDivisor))
      (headName, whiteningBiasName) = ("fc.weight", nil)
      filterNames = net.filterNames
      biasNames = net.parameters.map(\.name).filter { $0.hasSuffix(".bias") }
    }
  }

  /// Divides a head by the standard deviation of its entries, as AirBench does.
  private static func normalize(_ head: Parameter) {
    let values = head.tensor.array
    let deviation = Statistics.sampleStandardDeviation(values.map(Double.init))
    head.tensor.assign(values.map { Float(Double($0) / deviation) })
  }

  /// The logits [B, classes] of normalized images[B, H, W, channels].
  func logits(
    _ tape: Tape, _ images: Tensor, whiteningBias: CifarNet.WhiteningBias
  ) -> Tensor {
    switch body {
    case .cifarNet(let net): net.logits(tape, images, whiteningBias: whiteningBias)
    case .resNet18(let net, let width):
      tape.scale(net.logits(tape, images), by: 1 / Float(width))
    }
  }
}
