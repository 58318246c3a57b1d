import Autodiff
import LinearAlgebra
import Storage

/// A model: an ordered list of named parameters. How it computes is up to it.
public protocol Model: Sendable {
  /// In the order of PyTorch's state dict, under its names.
  var parameters: [Parameter] { get }
  /// Names in PyTorch's state dict that are no parameters (masks, counters): optional in weight files.
  var bufferNames: Set<String> { get }
  /// What a tensor of a weights file is called here: prefixes that some writers add are taken off.
  func parameterName(of fileName: String) -> String
}

extension Model {
  /// Most files use the model's names.
  public func parameterName(of fileName: String) -> String { fileName }
  /// Most models have none.
  public var bufferNames: Set<String> { [] }

  /// Number of trainable values.
  public var parameterCount: Int { parameters.reduce(0) { $0 + $1.count } }

  /// All values, parameter after parameter.
  public var values: [[Float]] {
    get { parameters.map { Array(UnsafeBufferPointer(start: $0.base, count: $0.count)) } }
    nonmutating set {
      precondition(newValue.count == parameters.count, "\(newValue.count) of \(parameters.count)")
      for (parameter, values) in zip(parameters, newValue) { parameter.tensor.assign(values) }
    }
  }

  /// Takes the values of a safetensors or HDF5 file.
  ///
  /// Throws a `StorageError` for a tensor that is missing, unknown or of another shape, and names it;
  /// the model is then unchanged. Tensors in `bufferNames` may be there or not.
  public func load(from path: String) throws {
    let file = try TensorFile(path)
    let known = Set(parameters.map(\.name))
    var entries: [String: TensorEntry] = [:]
    for entry in file.entries {
      let name = parameterName(of: entry.name)
      guard known.contains(name) else {
        if bufferNames.contains(name) { continue }
        throw StorageError(
          "the tensor \(entry.name) is none of this model's", at: path,
          hint: "its parameters are \(parameters.map(\.name).joined(separator: ", "))")
      }
      guard entries.updateValue(entry, forKey: name) == nil else {
        throw StorageError(
          "the tensor \(name) is there twice, with and without a prefix", at: path,
          hint: "keep one of them")
      }
    }
    var values: [[Float]] = []
    for parameter in parameters {
      guard let entry = entries[parameter.name] else {
        throw StorageError(
          "the tensor \(parameter.name)\(parameter.shape) is missing", at: path,
          hint: "it holds \(file.entries.map(\.name).joined(separator: ", "))")
      }
      guard entry.shape == parameter.shape else {
        throw StorageError(
          "the tensor \(entry.name) has the shape \(entry.shape)", at: path,
          hint: "this model needs \(parameter.shape)")
      }
      values.append(try file.floats(entry.name))
    }
    self.values = values
  }

  /// Writes the values, or the gradients, as safetensors in float32; the file is replaced atomically.
  ///
  /// The metadata say "format: pt", without which Hugging Face's loader refuses a file.
  public func save(to path: String, gradients: Bool = false) throws {
    let tensors = parameters.map { parameter in
      let source = gradients ? parameter.gradient.formed.base : parameter.base
      return SafetensorsTensor(
        parameter.name, shape: parameter.shape,
        floats: Array(UnsafeBufferPointer(start: source, count: parameter.count)))
    }
    try SafetensorsFile.write(tensors, metadata: [.init(name: "format", value: "pt")], to: path)
  }
}

extension Parameter {
  /// torch.nn.Linear's default: uniform on ±1/√fanIn, drawn from the child stream of the parameter's name.
  func initialiseLinear(fanIn: Int, _ stream: RandomStream) {
    let bound = 1 / Float(fanIn).squareRoot()
    tensor.assign(
      stream.child(name).uniforms(count, as: Float.self).map { bound * (2 * $0 - 1) })
  }
}
