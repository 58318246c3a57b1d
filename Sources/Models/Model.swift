// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Storage

/// A part of a model's state dict.
public enum StateEntry: Sendable {
  /// A parameter, trained or not.
  case parameter(Parameter)
  /// NAME.running_mean, NAME.running_var and NAME.num_batches_tracked.
  case statistics(String, RunningStatistics)
}

/// A model: an ordered list of named parameters. How it computes is up to it.
public protocol Model: Sendable {
  /// Those that are trained, in the order of PyTorch's state dict, under its names.
  var parameters: [Parameter] { get }
  /// All that a weights file holds: the parameters, frozen ones and running statistics.
  var state: [StateEntry] { get }
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
  /// Most models have nothing but trained parameters.
  public var state: [StateEntry] { parameters.map { .parameter($0) } }

  /// Number of trainable values.
  public var parameterCount: Int { parameters.reduce(0) { $0 + $1.count } }

  /// All values of the state, entry after entry (of statistics: means, variances, the number of batches): what a
  /// checkpoint keeps.
  public var values: [[Float]] {
    get {
      state.flatMap { entry in
        switch entry {
        case .parameter(let parameter): [parameter.tensor.array]
        case .statistics(_, let statistics):
          [statistics.mean.array, statistics.variance.array, [Float(statistics.batches)]]
        }
      }
    }
    nonmutating set {
      var rest = newValue[...]
      func next() -> [Float] {
        guard let values = rest.popFirst() else {
          preconditionFailure("\(newValue.count) arrays are too few for this model")
        }
        return values
      }
      for entry in state {
        switch entry {
        case .parameter(let parameter): parameter.tensor.assign(next())
        case .statistics(_, let statistics):
          statistics.mean.assign(next())
          statistics.variance.assign(next())
          statistics.batches = Int(next()[0])
        }
      }
      precondition(rest.isEmpty, "\(newValue.count) arrays are too many for this model")
    }
  }

  /// Names and shapes in a weights file, in the order of `values`.
  private var fileEntries: [(name: String, shape: [Int])] {
    state.flatMap { entry in
      switch entry {
      case .parameter(let parameter): [(parameter.name, parameter.fileShape)]
      case .statistics(let name, let statistics):
        [
          (name + ".running_mean", [statistics.mean.count]),
          (name + ".running_var", [statistics.mean.count]), (name + ".num_batches_tracked", []),
        ]
      }
    }
  }

  /// Takes the values of a safetensors or HDF5 file.
  ///
  /// Throws a `StorageError` for a tensor that is missing, unknown or of another shape, and names it, and for a file that does
  /// not match the checksum that `save` left in it; the model is then unchanged. Tensors in `bufferNames` may be there or not, numbers of batches too; running
  /// statistics may be missing all together, and then stay as they are. `names` are names of the file that stand for others; `kept` are
  /// parameters that may be missing, and then stay as they are.
  public func load(
    from path: String, calling names: [String: String] = [:], keeping kept: Set<String> = []
  ) throws {
    let file = try TensorFile(path)
    try file.verify()
    let wanted = fileEntries
    let known = Set(wanted.map(\.name))
    var entries: [String: TensorEntry] = [:]
    for entry in file.entries {
      let given = parameterName(of: entry.name)
      let name = names[given] ?? given
      guard known.contains(name) else {
        if bufferNames.contains(name) { continue }
        throw StorageError(
          "the tensor \(entry.name) is none of this model's", at: path,
          hint: "its parameters are \(wanted.map(\.name).joined(separator: ", "))")
      }
      guard entries.updateValue(entry, forKey: name) == nil else {
        throw StorageError(
          "the tensor \(name) is there twice, with and without a prefix", at: path,
          hint: "keep one of them")
      }
    }
    let isStatistic = { (name: String) in
      name.hasSuffix(".running_mean") || name.hasSuffix(".running_var")
    }
    let hasStatistics = entries.keys.contains(where: isStatistic)
    var values: [[Float]] = []
    lazy var old = self.values
    for (index, want) in wanted.enumerated() {
      guard let entry = entries[want.name] else {
        if kept.contains(want.name) || want.name.hasSuffix(".num_batches_tracked")
          || isStatistic(want.name) && !hasStatistics
        {
          values.append(old[index])
          continue
        }
        throw StorageError(
          "the tensor \(want.name)\(want.shape) is missing", at: path,
          hint: "it holds \(file.entries.map(\.name).joined(separator: ", "))")
      }
      guard entry.shape == want.shape else {
        throw StorageError(
          "the tensor \(entry.name) has the shape \(entry.shape)", at: path,
          hint: "this model needs \(want.shape)")
      }
      if want.name.hasSuffix(".num_batches_tracked") {
        let batches =
          entry.type.reading == .integer
          ? try file.ints(entry.name).map { Float($0) } : try file.floats(entry.name)
        guard batches.allSatisfy({ 0...0x1p24 ~= $0 }) else {
          throw StorageError(
            "the tensor \(entry.name) counts \(batches[0]) batches", at: path,
            hint: "write it from 0 to 2^24, or leave it out")
        }
        values.append(batches.map { $0.rounded() })
      } else {
        values.append(
          Parameter.values(try file.floats(entry.name), fromFileShape: want.shape))
      }
    }
    self.values = values
  }

  /// Writes the state, or the gradients of the parameters, as safetensors in float32; the file is replaced atomically.
  ///
  /// The metadata say "format: pt", without which Hugging Face's loader refuses a file, and carry a checksum; so do they a
  /// `configuration`, which also becomes the file config.json beside.
  public func save(
    to path: String, gradients: Bool = false, configuration: ModelConfiguration? = nil
  ) throws {
    let tensors: [SafetensorsTensor]
    if gradients {
      tensors = parameters.map { parameter in
        let formed = parameter.gradient.materialized
        return SafetensorsTensor(
          parameter.name, shape: parameter.fileShape,
          floats: parameter.fileValues(
            Array(UnsafeBufferPointer(start: formed.base, count: parameter.count))))
      }
    } else {
      tensors = state.flatMap { entry in
        switch entry {
        case .parameter(let parameter):
          [
            SafetensorsTensor(
              parameter.name, shape: parameter.fileShape,
              floats: parameter.fileValues(parameter.tensor.array))
          ]
        case .statistics(let name, let statistics):
          [
            SafetensorsTensor(
              name + ".running_mean", shape: [statistics.mean.count], floats: statistics.mean.array),
            SafetensorsTensor(
              name + ".running_var", shape: [statistics.mean.count],
              floats: statistics.variance.array),
            SafetensorsTensor(name + ".num_batches_tracked", shape: [], ints: [statistics.batches]),
          ]
        }
      }
    }
    var metadata = [SafetensorsFile.Metadata(name: "format", value: "pt")]
    if let configuration {
      metadata.append(.init(name: ModelConfiguration.metadataName, value: configuration.line))
      let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
      try AtomicFile.write(configuration.text, to: "\(folder)/\(ModelConfiguration.fileName)")
    }
    try SafetensorsFile.write(tensors, metadata: metadata, isSealed: true, to: path)
  }
}

// Weights of convolutions, the only ones with four axes, are held as [O, h, w, C] beside channels-last images; files have
// PyTorch's [O, C, h, w].
extension Parameter {
  /// The shape in a weights file.
  var fileShape: [Int] {
    shape.count == 4 ? [shape[0], shape[3], shape[1], shape[2]] : shape
  }

  /// Values or gradient in the order of a weights file.
  func fileValues(_ values: [Float]) -> [Float] {
    guard shape.count == 4 else { return values }
    return Self.swapped(values, shape[0], shape[1] * shape[2], shape[3])
  }

  /// Values of a file in the order in which they are held.
  static func values(_ values: [Float], fromFileShape shape: [Int]) -> [Float] {
    guard shape.count == 4 else { return values }
    return swapped(values, shape[0], shape[1], shape[2] * shape[3])
  }

  /// [a, n, m] of [a, m, n].
  private static func swapped(_ values: [Float], _ a: Int, _ m: Int, _ n: Int) -> [Float] {
    var result = values
    for i in 0..<a {
      for j in 0..<m {
        for k in 0..<n { result[(i * n + k) * m + j] = values[(i * m + j) * n + k] }
      }
    }
    return result
  }
}

extension Parameter {
  /// torch.nn.Linear's default: uniform on ±1/√fanIn, drawn from the child stream of the parameter's name.
  func initializeLinear(fanIn: Int, _ stream: RandomStream) {
    let bound = 1 / Float(fanIn).squareRoot()
    tensor.assign(
      stream.child(name).uniforms(count, as: Float.self).map { bound * (2 * $0 - 1) })
  }
}
