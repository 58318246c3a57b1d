// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A file of named tensors, HDF5 or safetensors by its first bytes.
public struct TensorFile: Sendable {
  /// The two formats.
  public enum Format: String, Sendable {
    /// HDF5, any layout of groups.
    case hdf5 = "HDF5"
    /// Hugging Face's safetensors.
    case safetensors
  }

  /// A real tensor to be written, F32 or F64 by its values.
  public struct Tensor: Sendable {
    /// The name; in HDF5 `/` separates groups.
    public let name: String
    /// The extent of each axis.
    public let shape: [Int]
    /// The elements in row-major order.
    public let values: TensorValues

    /// A tensor.
    public init(_ name: String, shape: [Int], _ values: TensorValues) {
      precondition(
        shape.reduce(1, *) == values.count,
        "\(name): \(values.count) values for shape \(shape)")
      self.name = name
      self.shape = shape
      self.values = values
    }
  }

  /// Where the file lies.
  public let path: String
  /// What the first bytes say.
  public let format: Format
  /// The tensors in the order of the file.
  public let entries: [TensorEntry]

  /// The texts of a safetensors file's `__metadata__`.
  public let metadata: [SafetensorsFile.Metadata]
  /// Whether it is an HDF5 file that says it is a record of this suite.
  public let isRecord: Bool

  private let safetensors: SafetensorsFile?
  private let hdf5: HDF5Tensors?
  private let places: [ByteName: Int]

  /// Opens the file at `path` and lists its tensors.
  public init(_ path: String) throws {
    self.path = path
    format = try Self.format(of: path)
    switch format {
    case .hdf5:
      safetensors = nil
      metadata = []
      let file = try HDF5Tensors(path)
      hdf5 = file
      entries = file.entries
      isRecord = file.isRecord
    case .safetensors:
      let file = try SafetensorsFile(path)
      safetensors = file
      hdf5 = nil
      metadata = file.metadata
      entries = file.entries
      isRecord = false
    }
    // Of two entries with one name, which no reader can tell apart, the first counts.
    places = Dictionary(
      zip(entries.map { ByteName($0.name) }, entries.indices),
      uniquingKeysWith: { first, _ in first })
  }

  /// The format by the first bytes; throws for anything else.
  public static func format(of path: String) throws -> Format {
    let file = try FileReader(path)
    let hint = "give an HDF5 or a safetensors file"
    if file.size == 0 { throw StorageError("empty file", at: path, hint: hint) }
    if try HDF5File.hasMagic(file) { return .hdf5 }
    let first = Data(try file.elements(at: 0, count: min(9, file.size)) as [UInt8])
    // safetensors has no magic number: 8 bytes of header length, then the header's {.
    if first.count >= 9, first[8] == UInt8(ascii: "{") { return .safetensors }
    if first.count < 8, HDF5File.magic.starts(with: first) {
      throw StorageError("truncated HDF5 file of \(first.count) bytes", at: path, hint: hint)
    }
    throw StorageError(
      "neither HDF5 nor safetensors (first bytes \(firstBytes(first, count: 9)))", at: path,
      hint: hint)
  }

  // MARK: - Reading

  /// Throws where the file carries a checksum of its tensors and does not match it (`SafetensorsFile.verify`).
  public func verify() throws { try safetensors?.verify() }

  /// The entry of that name.
  public func entry(_ name: String) throws -> TensorEntry { entries[try place(of: name)] }

  private func place(of name: String) throws -> Int {
    if let place = places[ByteName(name)] { return place }
    throw StorageError("no tensor \(name)", at: path, hint: "list the names in the file first")
  }

  /// The reals of an F32, F16 or BF16 tensor.
  public func floats(_ name: String) throws -> [Float] {
    if let safetensors { return try safetensors.floats(name) }
    let entry = try entry(name)
    guard entry.type.reading == .float else { throw entry.cannotRead("Float", at: path) }
    return try read(name)
  }

  /// The numbers of any real tensor, or of one of type I32 or U8.
  public func doubles(_ name: String) throws -> [Double] {
    if let safetensors { return try safetensors.doubles(name) }
    let entry = try entry(name)
    switch entry.type {
    case .f64, .f32, .f16, .bf16, .i32, .u8: return try read(name)
    default: throw entry.cannotRead("Double", at: path)
    }
  }

  /// The whole numbers of a tensor of type I64, I32 or U8.
  public func ints(_ name: String) throws -> [Int] {
    if let safetensors { return try safetensors.ints(name) }
    let entry = try entry(name)
    guard entry.type.reading == .integer else { throw entry.cannotRead("Int", at: path) }
    let values: [Int64] = try read(name)
    return values.map { Int($0) }
  }

  private func read<Number: HDF5TensorNumber>(_ name: String) throws -> [Number] {
    try hdf5?.read(place(of: name)) ?? []
  }

  /// The reals of a tensor in the precision its type asks for: Double for F64, else Float.
  public func values(_ name: String) throws -> TensorValues {
    let entry = try entry(name)
    switch entry.type.reading {
    case .double: return .double(try doubles(name))
    case .float: return .float(try floats(name))
    default: throw entry.cannotRead("reals", at: path)
    }
  }

  // MARK: - Writing

  /// Writes a copy of this file to `path` in which the named tensors have new values.
  ///
  /// Everything else (other tensors, types, attributes, metadata, order) stays bit for bit; new
  /// values are stored in the tensor's own type. `path` may be this file's own.
  public func copy(to path: String, replacing: [ByteName: TensorValues]) throws {
    let replaced = try replacing.sorted { $0.key < $1.key }.map { name, values in
      let place = try place(of: name.text)
      try check(entries[place], values)
      return (place: place, values: values)
    }
    guard let safetensors else {
      return try HDF5Tensors.copy(
        self.path, to: path, replacing: replaced.map { (entries[$0.place], $0.values) })
    }
    let bytes = replaced.map { place, values -> (Int, Data) in
      let entry = entries[place]
      switch values {
      case .double(let values):
        return (
          place, SafetensorsTensor(entry.name, shape: entry.shape, doubles: values).bytes
        )
      case .float(let values):
        return (
          place,
          SafetensorsTensor(entry.name, shape: entry.shape, floats: values, as: entry.type).bytes
        )
      }
    }
    try safetensors.copy(to: path, replacing: Dictionary(uniqueKeysWithValues: bytes))
  }

  /// New values must fit the tensor: as many, and in its precision.
  private func check(_ entry: TensorEntry, _ values: TensorValues) throws {
    if let obstacle = entry.obstacle {
      throw StorageError(
        "cannot replace \(entry.name): \(obstacle)", at: path, hint: "leave it out")
    }
    let fits =
      switch (values, entry.type.reading) {
      case (.double, .double), (.float, .float): true
      default: false
      }
    precondition(
      fits, "\(entry.name): the new values are not in the precision of \(entry.type)")
    precondition(
      values.count == entry.count,
      "\(entry.name): \(values.count) new values for shape \(entry.shape)")
  }

  /// Writes a new file of tensors, whole or not at all, in the given order.
  public static func write(_ tensors: [Tensor], format: Format, to path: String) throws {
    switch format {
    case .hdf5: try HDF5Tensors.write(tensors, to: path)
    case .safetensors:
      try SafetensorsFile.write(
        tensors.map {
          switch $0.values {
          case .float(let values): SafetensorsTensor($0.name, shape: $0.shape, floats: values)
          case .double(let values): SafetensorsTensor($0.name, shape: $0.shape, doubles: values)
          }
        }, to: path)
    }
  }
}
