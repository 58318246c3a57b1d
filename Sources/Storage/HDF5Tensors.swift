import CHDF5
import Foundation

/// Tensors in HDF5 files of any make: every data set by its path.
enum HDF5Tensors {
  /// The tensors of the file, and whether it is a record.
  static func list(_ path: String) throws -> (entries: [TensorEntry], isRecord: Bool) {
    let size = try FileReader(path).size
    var answer = try HDF5Process.shared.ask(.list(path: path), bytes: size)
    do {
      let isRecord = try answer.int() != 0
      return (try answer.array { try $0.entry() }, isRecord)
    } catch is PacketReader.Malformed { throw HDF5Process.nonsense(path) }
  }

  /// The values of a tensor, converted by the library.
  static func read<Number: HDF5TensorNumber>(_ entry: TensorEntry, of path: String) throws
    -> [Number]
  {
    if let obstacle = entry.obstacle {
      throw StorageError("cannot read \(entry.name): \(obstacle)", at: path, hint: "leave it out")
    }
    return try HDF5Process.shared.ask(
      .read(path: path, name: entry.name, kind: Number.kind),
      bytes: entry.count * MemoryLayout<Number>.stride, count: entry.count, of: Number.self
    ).values
  }

  // MARK: - Writing

  /// Copies the file byte by byte, then overwrites the replaced data sets in place, so that
  /// whatever else the file holds stays as it was.
  static func copy(
    _ source: String, to path: String, replacing: [(entry: TensorEntry, values: TensorValues)]
  ) throws {
    try AtomicFile.withTemporary(for: path) { temporary in
      let input = try FileReader(source)
      let output = try SystemCalls.openFile(temporary, O_WRONLY, doing: "write")
      defer { close(output) }
      try input.pieces(of: 0..<input.size) {
        try SystemCalls.writeAll($0, to: output, path: path, writer: SystemCalls.systemWriter)
      }
      if replacing.isEmpty { return }
      do {
        for (entry, values) in replacing { try replace(entry, by: values, in: temporary) }
        _ = try HDF5Process.shared.ask(.close(path: temporary), bytes: input.size)
      } catch let error as StorageError where error.path == temporary {
        throw StorageError(error.what, at: path, hint: error.hint)
      }
    }
  }

  private static func replace(
    _ entry: TensorEntry, by values: TensorValues, in path: String
  ) throws {
    func replace<Number: HDF5TensorNumber>(_ values: [Number]) throws {
      try values.withUnsafeBytes {
        _ = try HDF5Process.shared.ask(
          .replace(path: path, name: entry.name, kind: Number.kind), values: $0, bytes: $0.count,
          count: 0, of: UInt8.self)
      }
    }
    switch (values, entry.type) {
    // Rounded here, to nearest and ties to even, which the library's conversions do not do.
    case (.float(let values), .bf16):
      try replace(values.map { HalfPrecision.float(bf16: HalfPrecision.bf16($0)) })
    case (.float(let values), .f16):
      try replace(values.map { HalfPrecision.float(f16: HalfPrecision.f16($0)) })
    case (.float(let values), _): try replace(values)
    case (.double(let values), _): try replace(values)
    }
  }

  /// Writes a new file; `/` in a name separates groups.
  static func write(_ tensors: [TensorFile.Tensor], to path: String) throws {
    let data = try withHDF5(path, hint: "check the names of the tensors") {
      try HDF5File.image { file in
        for tensor in tensors {
          let (name, shape) = (tensor.name, tensor.shape)
          switch tensor.values {
          case .float(let values):
            try HDF5Values.write(values, shape: shape, name: name, in: file)
          case .double(let values):
            try HDF5Values.write(values, shape: shape, name: name, in: file)
          }
        }
      }
    }
    try AtomicFile.write(data, to: path)
  }
}

extension TensorType {
  /// The safetensors name of an HDF5 type, or a description where it has none.
  init(_ type: HDF5Type) {
    switch type {
    case .float(let bytes): self.init("F\(8 * bytes)")
    case .bfloat16: self = .bf16
    case .integer(let bytes, let signed): self.init("\(signed ? "I" : "U")\(8 * bytes)")
    case .string: self.init("string")
    case .other(let name): self.init(name)
    }
  }
}
