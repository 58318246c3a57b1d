// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra
import Storage

/// A variational autoencoder of fully connected layers with LeakyReLU 0.2 (Kingma & Welling 2014), as in the code of
/// arXiv 2404.08624: encoder inputs-hidden-hidden-(latent, latent) for mean and log variance, decoder
/// latent-hidden-hidden-inputs with a sigmoid. Names are that code's, Encoder.FC_layer_1.weight … Decoder.FC_output.bias.
public struct VAE: Model {
  /// In the order of PyTorch's state dict.
  public let parameters: [Parameter]
  /// Values of an image and of its code.
  public let inputs: Int, latent: Int
  private let encoder: [Affine], mean: Affine, logVariance: Affine
  private let decoder: [Affine], reconstruction: Affine

  /// A network of zeros; the paper's is 784-50-50-50.
  public init(inputs: Int = 784, hidden: Int = 50, latent: Int = 50) {
    (self.inputs, self.latent) = (inputs, latent)
    encoder = [
      Affine("Encoder.FC_layer_1", [hidden, inputs]),
      Affine("Encoder.FC_layer_2", [hidden, hidden]),
    ]
    mean = Affine("Encoder.FC_mean", [latent, hidden])
    logVariance = Affine("Encoder.FC_var", [latent, hidden])
    decoder = [
      Affine("Decoder.FC_dec_layer_1", [hidden, latent]),
      Affine("Decoder.FC_dec_layer_2", [hidden, hidden]),
    ]
    reconstruction = Affine("Decoder.FC_output", [inputs, hidden])
    parameters = (encoder + [mean, logVariance] + decoder + [reconstruction])
      .flatMap(\.parameters)
  }

  /// The network whose weights the safetensors or HDF5 file at `path` holds; widths are read from the shapes.
  ///
  /// Throws a `StorageError` for a file that cannot be read or is of another model.
  public init(loading path: String) throws {
    let file = try NamedShapes(path, model: "vae")
    let (first, mean) = (
      try file.shape("Encoder.FC_layer_1.weight", axes: 2),
      try file.shape("Encoder.FC_mean.weight", axes: 2)
    )
    self.init(inputs: first[1], hidden: first[0], latent: mean[0])
    try load(from: path)
  }

  /// torch.nn.Linear's default: weights and biases uniform on ±1/√in.
  public func initialize(_ stream: RandomStream) {
    for layer in encoder + [mean, logVariance] + decoder + [reconstruction] {
      layer.initialize(stream)
    }
  }

  /// The loss, summed over the batch, of images x[B, inputs] with values in [0, 1], whose codes are drawn by
  /// noise[B, latent] from the standard normal law.
  public func loss(_ tape: Tape, _ x: Tensor, noise: Tensor) -> Tensor {
    let (mean, logVariance) = encode(tape, x)
    let code = tape.reparametrize(mean: mean, logVariance: logVariance, noise: noise)
    return tape.variationalLoss(decode(tape, code), of: x, mean: mean, logVariance: logVariance)
  }

  /// Mean and log variance, [B, latent] each, of the codes of x[B, inputs].
  public func encode(_ tape: Tape, _ x: Tensor) -> (mean: Tensor, logVariance: Tensor) {
    let hidden = encoder.reduce(x) { tape.leakyReLU($1(tape, $0), slope: Self.slope) }
    return (mean(tape, hidden), logVariance(tape, hidden))
  }

  /// The images [B, inputs] of codes[B, latent], values in (0, 1).
  public func decode(_ tape: Tape, _ codes: Tensor) -> Tensor {
    let hidden = decoder.reduce(codes) { tape.leakyReLU($1(tape, $0), slope: Self.slope) }
    return tape.sigmoid(reconstruction(tape, hidden))
  }

  private static let slope: Float = 0.2
}
