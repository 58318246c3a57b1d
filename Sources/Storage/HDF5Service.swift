// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation

/// What is asked about an HDF5 file.
enum HDF5Question {
  /// Its tensors, and whether it is a record.
  case list(path: String)
  /// The values of some tensors, converted to `kind`, one after another.
  case read(path: String, names: [String], kind: HDF5Kind)
  /// That some tensors of the file take new values, which follow the question, so many bytes for each.
  case replace(path: String, names: [String], bytes: [Int], kind: HDF5Kind)
  /// That the file be closed, with all that was replaced on the disk.
  case close(path: String)
  /// The record that it is.
  case record(path: String)
}

/// The number types in which values are handed over.
enum HDF5Kind: Int { case float, double, int64 }

/// Answers questions about HDF5 files of any make, one after another.
///
/// A file stays open for the questions that follow; nothing else is kept.
final class HDF5Service {
  private static let readHint = "check that it is a whole HDF5 file"
  private static let writeHint = "check the free space on the disk"

  private var file: (path: String, isWritable: Bool, id: hid_t)?

  deinit { HDF5.exclusively { if let file { _ = H5Fclose(file.id) } } }

  /// The answer to a question and its values, or the error that there is instead.
  func answer(_ question: [UInt8], values: UnsafeRawBufferPointer) -> (head: Packet, body: Data) {
    var head = Packet()
    do {
      var reader = PacketReader(question)
      head.add(0)
      let body = try answer(try HDF5Question(&reader), values, into: &head)
      return (head, body)
    } catch {
      let error = error as? StorageError ?? StorageError("\(error)", at: "HDF5", hint: "report it")
      head = Packet()
      head.add(1)
      for text in [error.what, error.path, error.hint] { head.add(text) }
      return (head, Data())
    }
  }

  private func answer(
    _ question: HDF5Question, _ values: UnsafeRawBufferPointer, into head: inout Packet
  ) throws -> Data {
    switch question {
    case .list(let path):
      try withHDF5(path, hint: Self.readHint) {
        try close()
        let (entries, isRecord) = try HDF5Listing.list(open(path, writing: false))
        head.add(isRecord ? 1 : 0)
        head.add(entries) { $0.add($1) }
      }
    case .read(let path, let names, let kind):
      return try withHDF5(path, hint: Self.readHint) {
        let file = try open(path, writing: false)
        let parts = try names.map { name in
          try withSet(name, in: file) { set in
            switch kind {
            case .float: try HDF5Values.readBytes(set, name: name, as: Float.self)
            case .double: try HDF5Values.readBytes(set, name: name, as: Double.self)
            case .int64: try HDF5Values.readBytes(set, name: name, as: Int64.self)
            }
          }
        }
        return parts.count == 1 ? parts[0] : parts.reduce(into: Data()) { $0.append($1) }
      }
    case .replace(let path, let names, let bytes, let kind):
      try withHDF5(path, hint: Self.writeHint) {
        let file = try open(path, writing: true)
        var place = 0
        for (name, count) in zip(names, bytes) {
          guard count >= 0, count <= values.count - place else { throw PacketReader.Malformed() }
          let part = UnsafeRawBufferPointer(rebasing: values[place..<place + count])
          place += count
          try withSet(name, in: file) { set in
            switch kind {
            case .float: try HDF5Values.overwrite(set, name: name, with: part, as: Float.self)
            case .double: try HDF5Values.overwrite(set, name: name, with: part, as: Double.self)
            case .int64: try HDF5Values.overwrite(set, name: name, with: part, as: Int64.self)
            }
          }
        }
      }
    case .close(let path): try withHDF5(path, hint: Self.writeHint) { try close() }
    case .record(let path): head.add(try Record.readHere(from: path))
    }
    return Data()
  }

  // MARK: - The open file

  private func open(_ path: String, writing: Bool) throws -> hid_t {
    if let file, file.path == path, file.isWritable == writing { return file.id }
    try close()
    let id = try HDF5File.open(path, writing: writing)
    file = (path, writing, id)
    return id
  }

  private func close() throws {
    guard let open = file else { return }
    file = nil
    if open.isWritable {
      do {
        try HDF5.check(H5Fflush(open.id, H5F_SCOPE_GLOBAL), "finish the file")
      } catch {
        _ = H5Fclose(open.id)
        throw error
      }
    }
    try HDF5.check(H5Fclose(open.id), "finish the file")
  }

  /// Runs `body` with a data set whose values can be had.
  private func withSet<Result>(
    _ name: String, in file: hid_t, _ body: (hid_t) throws -> Result
  ) throws -> Result {
    try HDF5File.withDataSet(name, in: file) { set in
      if let obstacle = try HDF5Listing.entry(of: set, name: name)?.obstacle {
        throw HDF5Failure("cannot read \(name)", obstacle)
      }
      return try body(set)
    }
  }
}

// MARK: - As bytes

extension HDF5Question {
  var packet: Packet {
    var packet = Packet()
    func add(_ number: Int, _ path: String) {
      packet.add(number)
      packet.add(path)
    }
    func add(_ names: [String], _ kind: HDF5Kind) {
      packet.add(names) { $0.add($1) }
      packet.add(kind.rawValue)
    }
    switch self {
    case .list(let path): add(0, path)
    case .read(let path, let names, let kind):
      add(1, path)
      add(names, kind)
    case .replace(let path, let names, let bytes, let kind):
      add(2, path)
      add(names, kind)
      packet.add(bytes)
    case .close(let path): add(3, path)
    case .record(let path): add(4, path)
    }
    return packet
  }

  init(_ reader: inout PacketReader) throws {
    let number = try reader.int()
    let path = try reader.text()
    func tensors() throws -> (names: [String], kind: HDF5Kind) {
      let names = try reader.array { try $0.text() }
      guard let kind = HDF5Kind(rawValue: try reader.int()) else { throw PacketReader.Malformed() }
      return (names, kind)
    }
    switch number {
    case 0: self = .list(path: path)
    case 1:
      let (names, kind) = try tensors()
      self = .read(path: path, names: names, kind: kind)
    case 2:
      let (names, kind) = try tensors()
      self = .replace(path: path, names: names, bytes: try reader.array(), kind: kind)
    case 3: self = .close(path: path)
    case 4: self = .record(path: path)
    default: throw PacketReader.Malformed()
    }
  }

  var path: String {
    switch self {
    case .list(let path), .read(let path, _, _), .replace(let path, _, _, _), .close(let path),
      .record(let path):
      path
    }
  }
}

extension Packet {
  mutating func add(_ entry: TensorEntry) {
    add(entry.name)
    add(entry.type.name)
    add(entry.shape)
    add(entry.obstacle)
    add(entry.rounding)
  }
}

extension PacketReader {
  mutating func entry() throws -> TensorEntry {
    let entry = TensorEntry(
      name: try text(), type: TensorType(try text()), shape: try array(),
      obstacle: try optionalText(), rounding: try optionalText())
    guard elementCount(of: entry.shape) != nil else { throw Malformed() }
    return entry
  }
}
