// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A safetensors file open for reading: the header checked, tensors read as they are asked for.
public struct SafetensorsFile: Sendable {
  /// Where the file lies.
  public let path: String
  /// The tensors in the order of the header.
  public let entries: [TensorEntry]
  /// The texts of `__metadata__` in their order.
  public let metadata: [Metadata]

  private let file: FileReader
  /// Where header and padding end and the tensors' bytes begin.
  private let dataStart: Int
  /// The bytes of each entry, counted from `dataStart`.
  private let ranges: [Range<Int>]
  private let places: [ByteName: Int]

  /// One text of `__metadata__`.
  public struct Metadata: Equatable, Sendable {
    /// The name.
    public let name: String
    /// The text.
    public let value: String

    /// A name with its text.
    public init(name: String, value: String) {
      self.name = name
      self.value = value
    }
  }

  /// Opens and checks the file at `path`.
  public init(_ path: String) throws {
    self.path = path
    file = try FileReader(path)
    do {
      let header = try SafetensorsHeader(of: file)
      metadata = header.metadata
      dataStart = header.dataStart
      entries = header.entries.map {
        TensorEntry(name: $0.name, type: $0.type, shape: $0.shape)
      }
      ranges = header.entries.map(\.range)
      places = header.places
    } catch let fault as SafetensorsHeader.Fault {
      throw StorageError(
        fault.what, at: path, hint: "get the file again, it is damaged or not safetensors")
    }
  }

  /// The name under which the metadata of a sealed file have the checksum of the tensors' bytes.
  static let checksumName = "checksum_fnv1a"

  /// The checksum of the tensors' bytes that the file was sealed with, nil without a seal.
  public var seal: String? { metadata.first { $0.name == Self.checksumName }?.value }

  /// Throws where the tensors' bytes are not those that the file was sealed with; a file without a seal passes.
  public func verify() throws {
    guard let seal else { return }
    var checksum = Checksum.Stream()
    try file.pieces(of: dataStart..<file.size) { checksum.add($0) }
    guard checksum.text == seal else {
      throw StorageError(
        "damaged: its checksum does not match", at: path, hint: "make the weights again")
    }
  }

  // MARK: - Tensors

  /// The entry of that name.
  public func entry(_ name: String) throws -> TensorEntry { entries[try place(of: name)] }

  private func place(of name: String) throws -> Int {
    if let place = places[ByteName(name)] { return place }
    throw StorageError("no tensor \(name)", at: path, hint: "list the names in the file first")
  }

  /// The bytes of a tensor, little-endian, in row-major order.
  public func bytes(_ name: String) throws -> Data {
    let range = ranges[try place(of: name)]
    var data = Data(count: range.count)
    try data.withUnsafeMutableBytes { try file.read(at: dataStart + range.lowerBound, into: $0) }
    return data
  }

  /// The reals of an F32, F16 or BF16 tensor; all conversions are exact.
  public func floats(_ name: String) throws -> [Float] {
    let entry = try entry(name)
    switch entry.type {
    case .f32: return try load(name)
    case .f16: return try load(name).map(HalfPrecision.float(f16:))
    case .bf16: return try load(name).map(HalfPrecision.float(bf16:))
    default: throw entry.cannotRead("Float", at: path)
    }
  }

  /// The numbers of an F64, F32, F16, BF16, I32 or U8 tensor; all conversions are exact.
  public func doubles(_ name: String) throws -> [Double] {
    let entry = try entry(name)
    switch entry.type {
    case .f64: return try load(name)
    case .i32, .u8: return try ints(name).map(Double.init)
    case .f32, .f16, .bf16: return try floats(name).map(Double.init)
    default: throw entry.cannotRead("Double", at: path)
    }
  }

  /// The whole numbers of an I64, I32 or U8 tensor.
  public func ints(_ name: String) throws -> [Int] {
    let entry = try entry(name)
    switch entry.type {
    case .i64: return try load(name, as: Int64.self).map { Int($0) }
    case .i32: return try load(name, as: Int32.self).map { Int($0) }
    case .u8: return try load(name, as: UInt8.self).map { Int($0) }
    default: throw entry.cannotRead("Int", at: path)
    }
  }

  private func load<Element: BitwiseCopyable>(
    _ name: String, as: Element.Type = Element.self
  ) throws -> [Element] {
    let range = ranges[try place(of: name)]
    return try file.elements(
      at: dataStart + range.lowerBound, count: range.count / MemoryLayout<Element>.stride)
  }

  // MARK: - Copies

  /// Writes a copy to `path` in which the tensors at some places of `entries` have the bytes given, as many as
  /// before. The header and all else are taken over byte by byte.
  func copy(to path: String, replacing: [Int: Data]) throws {
    try AtomicFile.write(to: path) { sink in
      var end = 0
      for place in replacing.keys.sorted(by: { ranges[$0].lowerBound < ranges[$1].lowerBound }) {
        guard let bytes = replacing[place], !ranges[place].isEmpty else { continue }
        precondition(bytes.count == ranges[place].count, "\(entries[place].name): other bytes")
        try file.pieces(of: end..<dataStart + ranges[place].lowerBound) { try sink.write($0) }
        try sink.write(bytes)
        end = dataStart + ranges[place].upperBound
      }
      try file.pieces(of: end..<file.size) { try sink.write($0) }
    }
  }
}

/// One tensor in a list: name, element type, shape.
public struct TensorEntry: Equatable, Sendable {
  /// The name; in HDF5 the path from the root, without the leading `/`.
  public let name: String
  /// The element type.
  public let type: TensorType
  /// The extent of each axis; [] is a scalar.
  public let shape: [Int]
  /// Why the values can neither be read nor replaced; nil where they can.
  public let obstacle: String?
  /// How values are rounded where they are stored, beyond the type's own precision; nil where they are not.
  public let rounding: String?

  /// An entry.
  public init(
    name: String, type: TensorType, shape: [Int], obstacle: String? = nil, rounding: String? = nil
  ) {
    self.name = name
    self.type = type
    self.shape = shape
    self.obstacle = obstacle
    self.rounding = rounding
  }

  /// Bit for bit, the name too.
  public static func == (left: TensorEntry, right: TensorEntry) -> Bool {
    ByteName(left.name) == ByteName(right.name) && left.type == right.type
      && left.shape == right.shape && left.obstacle == right.obstacle
      && left.rounding == right.rounding
  }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }

  func cannotRead(_ kind: String, at path: String) -> StorageError {
    StorageError(
      "the tensor \(name) of type \(type) cannot be read as \(kind)", at: path,
      hint: type.reading == nil ? "convert it to a type that can be read" : "read it as it is")
  }
}
