// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A named tensor with its bytes, ready to be written.
public struct SafetensorsTensor: Sendable {
  /// Name, element type and shape.
  public let entry: TensorEntry
  /// The elements, little-endian, in row-major order.
  public let bytes: Data

  /// A tensor from its bytes, say those of another file, untouched.
  public init(_ entry: TensorEntry, bytes: Data) {
    if let width = entry.type.width {
      precondition(
        bytes.count == entry.count * width,
        "\(entry.name): \(bytes.count) bytes for \(entry.type) of shape \(entry.shape)")
    }
    self.entry = entry
    self.bytes = bytes
  }

  /// A tensor of Float values, stored as F32 or rounded to F16 or BF16.
  public init(_ name: String, shape: [Int], floats values: [Float], as type: TensorType = .f32) {
    let entry = TensorEntry(name: name, type: type, shape: shape)
    switch type {
    case .f32: self.init(entry, bytes: Self.data(values))
    case .f16: self.init(entry, bytes: Self.data(values.map(HalfPrecision.f16)))
    case .bf16: self.init(entry, bytes: Self.data(values.map(HalfPrecision.bf16)))
    default: preconditionFailure("\(name): Float values cannot be stored as \(type)")
    }
  }

  /// A tensor of type F64.
  public init(_ name: String, shape: [Int], doubles values: [Double]) {
    self.init(TensorEntry(name: name, type: .f64, shape: shape), bytes: Self.data(values))
  }

  /// A tensor of whole numbers, stored as I64, I32 or U8, where they must fit.
  public init(_ name: String, shape: [Int], ints values: [Int], as type: TensorType = .i64) {
    let entry = TensorEntry(name: name, type: type, shape: shape)
    switch type {
    case .i64: self.init(entry, bytes: Self.data(values.map { Int64($0) }))
    case .i32: self.init(entry, bytes: Self.data(values.map { Int32($0) }))
    case .u8: self.init(entry, bytes: Data(values.map { UInt8($0) }))
    default: preconditionFailure("\(name): whole numbers cannot be stored as \(type)")
    }
  }

  private static func data<Element: BitwiseCopyable>(_ values: [Element]) -> Data {
    values.withUnsafeBytes { Data($0) }
  }
}

extension SafetensorsFile {
  /// Writes tensors to `path`, whole or not at all, named in the given order.
  ///
  /// The bytes lie by falling element width, so that every tensor is aligned to its elements. With `isSealed` the metadata
  /// carry a checksum of them, which `verify` compares.
  public static func write(
    _ tensors: [SafetensorsTensor], metadata: [Metadata] = [], isSealed: Bool = false,
    to path: String
  ) throws {
    let layout = tensors.indices.sorted {
      let (left, right) = (tensors[$0].entry.type.width ?? 1, tensors[$1].entry.type.width ?? 1)
      return left != right ? left > right : $0 < $1
    }
    let names = tensors.map { ByteName($0.entry.name) }
    precondition(
      Set(names).count == names.count && !names.contains("__metadata__"),
      "tensor names must be unique and not __metadata__: \(names.map(\.text))")
    var metadata = metadata
    if isSealed {
      var checksum = Checksum.Stream()
      for index in layout { checksum.add(tensors[index].bytes) }
      metadata.append(.init(name: checksumName, value: checksum.text))
    }
    let header = headerBytes(of: tensors, layout: layout, metadata: metadata)
    if header.count > SafetensorsHeader.maximumLength {
      throw StorageError(
        "the header would take \(header.count) bytes, the format allows "
          + "\(SafetensorsHeader.maximumLength)", at: path, hint: "write fewer tensors to a file")
    }
    try AtomicFile.write(to: path) { sink in
      try withUnsafeBytes(of: UInt64(header.count).littleEndian) { try sink.write($0) }
      try sink.write(header)
      for index in layout { try sink.write(tensors[index].bytes) }
    }
  }

  /// Compact JSON, padded with spaces to a multiple of 8 bytes.
  private static func headerBytes(
    of tensors: [SafetensorsTensor], layout: [Int], metadata: [Metadata]
  ) -> Data {
    var begins = [Int](repeating: 0, count: tensors.count)
    var end = 0
    for index in layout {
      begins[index] = end
      end += tensors[index].bytes.count
    }
    var members: [String] = []
    if !metadata.isEmpty {
      let texts = metadata.map { "\(JSON.quoted($0.name)):\(JSON.quoted($0.value))" }
      members.append("\"__metadata__\":{\(texts.joined(separator: ","))}")
    }
    for (tensor, begin) in zip(tensors, begins) {
      let shape = tensor.entry.shape.map(String.init).joined(separator: ",")
      members.append(
        "\(JSON.quoted(tensor.entry.name)):{\"dtype\":\(JSON.quoted(tensor.entry.type.name)),"
          + "\"shape\":[\(shape)],\"data_offsets\":[\(begin),\(begin + tensor.bytes.count)]}")
    }
    var header = Data("{\(members.joined(separator: ","))}".utf8)
    header.append(Data(repeating: 0x20, count: -header.count & 7))
    return header
  }
}
