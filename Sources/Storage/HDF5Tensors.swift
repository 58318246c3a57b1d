// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation

/// The tensors of an HDF5 file of any make: every data set by its path.
final class HDF5Tensors: @unchecked Sendable {
  let path: String
  let entries: [TensorEntry]
  /// Whether the file says that it is a record of this suite.
  let isRecord: Bool

  // What was read ahead, by the place among the entries; used under `lock` only.
  private let lock = NSLock()
  private var ahead: [Int: (kind: HDF5Kind, values: Data)] = [:]

  /// Asking costs as much as this many bytes, so small tensors are asked for, and replaced, together.
  private static let batchBytes = 1 << 20

  /// Lists the tensors of the file at `path`.
  init(_ path: String) throws {
    self.path = path
    let size = try FileReader(path).size
    var answer = try HDF5Process.shared.ask(.list(path: path), bytes: size)
    do {
      isRecord = try answer.int() != 0
      entries = try answer.array { try $0.entry() }
    } catch is PacketReader.Malformed { throw HDF5Process.nonsense(path) }
  }

  /// The values of the tensor at a place of `entries`, converted by the library.
  func read<Number: HDF5TensorNumber>(_ place: Int) throws -> [Number] {
    if let obstacle = entries[place].obstacle {
      throw StorageError(
        "cannot read \(entries[place].name): \(obstacle)", at: path, hint: "leave it out")
    }
    return try lock.withLock {
      if let (kind, values) = ahead.removeValue(forKey: place), kind == Number.kind {
        return [Number](unsafeUninitializedCapacity: entries[place].count) { buffer, initialized in
          values.copyBytes(to: UnsafeMutableRawBufferPointer(buffer))
          initialized = entries[place].count
        }
      }
      ahead = [:]
      let places = batch(from: place, width: MemoryLayout<Number>.stride)
      guard places.count > 1, let values: [Number] = try? ask(places) else {
        return try ask(place..<place + 1)
      }
      var end = 0
      for other in places {
        let part = values[end..<end + entries[other].count]
        end += entries[other].count
        if other != place {
          ahead[other] = (Number.kind, part.withUnsafeBytes { Data($0) })
        }
      }
      return Array(values.prefix(entries[place].count))
    }
  }

  /// A tensor and those behind it of the same type, as many as make a batch.
  private func batch(from place: Int, width: Int) -> Range<Int> {
    var end = place
    var bytes = 0
    while end < entries.count, entries[end].obstacle == nil,
      entries[end].type == entries[place].type
    {
      let (sum, overflow) = bytes.addingReportingOverflow(
        entries[end].count.multipliedReportingOverflow(by: width).partialValue)
      if overflow || sum < bytes || sum > Self.batchBytes { break }
      bytes = sum
      end += 1
    }
    return place..<max(end, place + 1)
  }

  private func ask<Number: HDF5TensorNumber>(_ places: Range<Int>) throws -> [Number] {
    let count = entries[places].reduce(0) { $0 + $1.count }
    return try HDF5Process.shared.ask(
      .read(path: path, names: entries[places].map(\.name), kind: Number.kind),
      bytes: count * MemoryLayout<Number>.stride, count: count, of: Number.self
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
        try replace(
          replacing.compactMap { entry, values -> (name: String, values: [Float])? in
            guard case .float(let values) = values else { return nil }
            return (entry.name, rounded(values, to: entry.type))
          }, in: temporary)
        try replace(
          replacing.compactMap { entry, values -> (name: String, values: [Double])? in
            guard case .double(let values) = values else { return nil }
            return (entry.name, values)
          }, in: temporary)
        _ = try HDF5Process.shared.ask(.close(path: temporary), bytes: input.size)
      } catch let error as StorageError where error.path == temporary {
        throw StorageError(error.what, at: path, hint: error.hint)
      }
    }
  }

  /// To nearest, ties to even, which the library's conversions do not do.
  private static func rounded(_ values: [Float], to type: TensorType) -> [Float] {
    switch type {
    case .bf16: values.map { HalfPrecision.float(bf16: HalfPrecision.bf16($0)) }
    case .f16: values.map { HalfPrecision.float(f16: HalfPrecision.f16($0)) }
    default: values
    }
  }

  private static func replace<Number: HDF5TensorNumber>(
    _ tensors: [(name: String, values: [Number])], in path: String
  ) throws {
    let width = MemoryLayout<Number>.stride
    var start = 0
    while start < tensors.count {
      var end = start + 1
      var values = tensors[start].values
      while end < tensors.count, (values.count + tensors[end].values.count) * width <= batchBytes {
        values += tensors[end].values
        end += 1
      }
      let batch = tensors[start..<end]
      try values.withUnsafeBytes {
        _ = try HDF5Process.shared.ask(
          .replace(
            path: path, names: batch.map(\.name), bytes: batch.map { $0.values.count * width },
            kind: Number.kind), values: $0, bytes: $0.count, count: 0, of: UInt8.self)
      }
      start = end
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
