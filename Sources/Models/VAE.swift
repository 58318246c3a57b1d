import Autodiff
import LinearAlgebra
import Storage

/// A variational autoencoder of fully connected layers with LeakyReLU 0.2 (Kingma & Welling 2014), as in the code of
/// arXiv 2404.08624: encoder inputs-hidden-hidden-(latent, latent) for mean and log variance, decoder
/// latent-hidden-hidden-inputs with a sigmoid. Names are that code's, Encoder.FC_layer_1.weight … Decoder.FC_output.bias.
public struct VAE: Model {
  /// A layer's weight[out, in] and bias[out].
  private struct Layer {
    let weight: Parameter, bias: Parameter

    init(_ name: String, _ inputs: Int, _ outputs: Int) {
      weight = Parameter("\(name).weight", shape: [outputs, inputs])
      bias = Parameter("\(name).bias", shape: [outputs])
    }

    func callAsFunction(_ tape: Tape, _ x: Tensor) -> Tensor {
      tape.linear(x, weight, bias: bias)
    }
  }

  /// In the order of PyTorch's state dict.
  public let parameters: [Parameter]
  /// Values of an image and of its code.
  public let inputs: Int, latent: Int
  private let encoder: [Layer], mean: Layer, logVariance: Layer
  private let decoder: [Layer], reconstruction: Layer

  /// A network of zeros; the paper's is 784-50-50-50.
  public init(inputs: Int = 784, hidden: Int = 50, latent: Int = 50) {
    (self.inputs, self.latent) = (inputs, latent)
    encoder = [
      Layer("Encoder.FC_layer_1", inputs, hidden), Layer("Encoder.FC_layer_2", hidden, hidden),
    ]
    mean = Layer("Encoder.FC_mean", hidden, latent)
    logVariance = Layer("Encoder.FC_var", hidden, latent)
    decoder = [
      Layer("Decoder.FC_dec_layer_1", latent, hidden),
      Layer("Decoder.FC_dec_layer_2", hidden, hidden),
    ]
    reconstruction = Layer("Decoder.FC_output", hidden, inputs)
    parameters = (encoder + [mean, logVariance] + decoder + [reconstruction])
      .flatMap { [$0.weight, $0.bias] }
  }

  /// The network whose weights the safetensors or HDF5 file at `path` holds; widths are read from the shapes.
  ///
  /// Throws a `StorageError` for a file that cannot be read or is of another model.
  public init(loading path: String) throws {
    let file = try TensorFile(path)
    func matrix(_ name: String) throws -> [Int] {
      let shape = try file.shape(name, model: "vae")
      guard shape.count == 2 else {
        throw StorageError(
          "the tensor \(name) has the shape \(shape)", at: path, hint: "is it a file of a vae?")
      }
      return shape
    }
    let (first, mean) = (
      try matrix("Encoder.FC_layer_1.weight"), try matrix("Encoder.FC_mean.weight")
    )
    self.init(inputs: first[1], hidden: first[0], latent: mean[0])
    try load(from: path)
  }

  /// torch.nn.Linear's default: weights and biases uniform on ±1/√in.
  public func initialize(_ stream: RandomStream) {
    for layer in encoder + [mean, logVariance] + decoder + [reconstruction] {
      for parameter in [layer.weight, layer.bias] {
        parameter.initializeLinear(fanIn: layer.weight.shape[1], stream)
      }
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
