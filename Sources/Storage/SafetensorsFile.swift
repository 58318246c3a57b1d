import Foundation

/// A safetensors file open for reading: the header checked, the tensors mapped.
public struct SafetensorsFile: Sendable {
  /// Where the file lies.
  public let path: String
  /// The tensors in the order of the header.
  public let entries: [TensorEntry]
  /// The texts of `__metadata__` in their order.
  public let metadata: [Metadata]

  private let data: Data
  private let ranges: [String: Range<Int>]
  /// The indices of the entries in the order in which their bytes lie.
  let layout: [Int]

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
    let data = try SystemCalls.mapFile(path)
    do {
      let header = try SafetensorsHeader(parsing: data)
      self.path = path
      self.data = data
      metadata = header.metadata
      entries = header.entries.map {
        TensorEntry(name: $0.name, type: $0.type, shape: $0.shape)
      }
      layout = header.layout
      let start = data.startIndex + header.dataStart
      ranges = Dictionary(
        uniqueKeysWithValues: header.entries.map {
          ($0.name, start + $0.range.lowerBound..<start + $0.range.upperBound)
        })
    } catch let fault as SafetensorsHeader.Fault {
      throw StorageError(
        fault.what, at: path, hint: "get the file again, it is damaged or not safetensors")
    }
  }

  // MARK: - Tensors

  /// The entry of that name.
  public func entry(_ name: String) throws -> TensorEntry {
    if let entry = entries.first(where: { $0.name == name }) { return entry }
    throw StorageError("no tensor \(name)", at: path, hint: "list the names in the file first")
  }

  /// The bytes of a tensor, little-endian, in row-major order, without a copy.
  public func bytes(_ name: String) throws -> Data {
    _ = try entry(name)
    return data[ranges[name] ?? 0..<0]
  }

  /// The reals of an F32, F16 or BF16 tensor; all conversions are exact.
  public func floats(_ name: String) throws -> [Float] {
    let entry = try entry(name)
    let bytes = try bytes(name)
    switch entry.type {
    case .f32: return load(bytes, as: Float.self)
    case .f16: return load(bytes, as: UInt16.self).map(HalfPrecision.float(f16:))
    case .bf16: return load(bytes, as: UInt16.self).map(HalfPrecision.float(bf16:))
    default: throw entry.cannotRead("Float", at: path)
    }
  }

  /// The numbers of an F64, F32, F16, BF16, I32 or U8 tensor; all conversions are exact.
  public func doubles(_ name: String) throws -> [Double] {
    let entry = try entry(name)
    switch entry.type {
    case .f64: return load(try bytes(name), as: Double.self)
    case .i32, .u8: return try ints(name).map(Double.init)
    case .f32, .f16, .bf16: return try floats(name).map(Double.init)
    default: throw entry.cannotRead("Double", at: path)
    }
  }

  /// The whole numbers of an I64, I32 or U8 tensor.
  public func ints(_ name: String) throws -> [Int] {
    let entry = try entry(name)
    let bytes = try bytes(name)
    switch entry.type {
    case .i64: return load(bytes, as: Int64.self).map { Int($0) }
    case .i32: return load(bytes, as: Int32.self).map { Int($0) }
    case .u8: return bytes.map { Int($0) }
    default: throw entry.cannotRead("Int", at: path)
    }
  }

  /// The bytes as an array; they need not be aligned in the file.
  private func load<Element: BitwiseCopyable>(_ bytes: Data, as: Element.Type) -> [Element] {
    let count = bytes.count / MemoryLayout<Element>.stride
    return [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
      bytes.copyBytes(to: UnsafeMutableRawBufferPointer(buffer))
      initialized = count
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

  /// An entry.
  public init(name: String, type: TensorType, shape: [Int]) {
    self.name = name
    self.type = type
    self.shape = shape
  }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }

  func cannotRead(_ kind: String, at path: String) -> StorageError {
    StorageError(
      "the tensor \(name) of type \(type) cannot be read as \(kind)", at: path,
      hint: type.reading == nil ? "convert it to a type that can be read" : "read it as it is")
  }
}
