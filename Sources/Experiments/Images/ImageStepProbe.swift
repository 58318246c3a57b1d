import Autodiff
import Clipping
import LinearAlgebra
import Models
import Optimizers
import Training

/// Steps of a convolutional network on random images for benchmarks: forward, backward, clip and optimizer, nothing
/// else.
public final class ImageStepProbe {
  /// The cases that the benchmark compares with PyTorch.
  public enum Case: String, CaseIterable, Sendable {
    /// The authors' CifarNet at batch 500, its six filters clipped by Algorithm 2 at rank 10, Nesterov SGD.
    case cifarNet = "cifarnet-500"
    /// The same at the authors' batch of 2000.
    case cifarNetWhole = "cifarnet-2000"
    /// ResNet-18 for CIFAR at batch 128, norm clipping, Nesterov SGD.
    case resNet18 = "resnet18-128"
  }

  private let tape: Tape
  private let loss: Tensor
  private var update: Update

  /// A network with its initial weights and a batch of random images and labels.
  public init(_ probe: Case, threads: Int) throws {
    let pool = WorkerPool(threads: threads)
    tape = Tape(pool: pool)
    let batch =
      switch probe {
      case .cifarNet: 500
      case .cifarNetWhole: 2000
      case .resNet18: 128
      }
    let (images, targets) = (tape.input([batch, 32, 32, 3]), tape.indices([batch]))
    let stream = RandomStream(seed: 1, name: "probe")
    images.assign(stream.child("images").normals(images.count))
    targets.assign((0..<batch).map { Int32(stream.child("labels").integer(below: 10, at: $0)) })
    let parameters: [Parameter]
    let rule: any GradientTransform
    var clipped: [String]?
    if probe == .resNet18 {
      let model = ResNet18()
      model.initialize(stream)
      loss = model.loss(tape, model.logits(tape, images), targets)
      parameters = model.parameters
      rule = try NormClip(maximumNorm: 1, formula: .torch)
    } else {
      let model = CifarNet()
      model.initialize(stream)
      loss = model.loss(tape, model.logits(tape, images), targets)
      parameters = model.parameters
      clipped = model.filterNames
      rule = try LayerwiseSpectralClip(
        .constant(1),
        .randomized(rank: 10, oversampling: 5, powerIterations: 1),
        layers: model.filterNames, seed: 1)
    }
    update = try Update(
      rule, SGD(momentum: 0.85, nesterov: true), of: parameters, clipping: clipped, pool: pool)
  }

  /// One step; the loss.
  public func step() throws -> Double {
    tape.forward()
    tape.backward(from: loss)
    try update.step(learningRate: 0.001)
    return Double(loss.scalar)
  }

  /// Seconds so far in the clip and in the optimizer.
  public var seconds: (clip: Double, optimizer: Double) { update.seconds }
}
