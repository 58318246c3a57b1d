// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What the header of a safetensors file says, checked against the size of the file.
struct SafetensorsHeader {
  /// The format's own limit.
  static let maximumLength = 100_000_000

  var entries: [Entry] = []
  var metadata: [SafetensorsFile.Metadata] = []
  /// Where the tensors' bytes begin in the file.
  private(set) var dataStart = 0
  /// Where each name stands among the entries.
  private(set) var places: [ByteName: Int] = [:]

  struct Entry {
    let name: String
    let type: TensorType
    let shape: [Int]
    /// The bytes, counted from `dataStart`.
    let range: Range<Int>
  }

  /// A fault in one line, without the path.
  struct Fault: Error {
    let what: String

    init(_ what: String) { self.what = what }
  }

  init(of file: FileReader) throws {
    guard file.size >= 8 else {
      throw Fault(
        file.size == 0
          ? "empty file, not safetensors"
          : "truncated: a safetensors file has at least 8 bytes, this one \(file.size)")
    }
    let prefix: [UInt64] = try file.elements(at: 0, count: 1)
    let length = UInt64(littleEndian: prefix[0])
    if length == 0 { throw Fault("the header length is zero") }
    if length > UInt64(Self.maximumLength) {
      throw Fault("oversized header: \(length) bytes, the limit is \(Self.maximumLength)")
    }
    if length > UInt64(file.size - 8) {
      throw Fault("truncated: the header takes \(length) bytes, the file has \(file.size - 8)")
    }
    dataStart = 8 + Int(length)
    let text: [UInt8] = try file.elements(at: 8, count: Int(length))
    guard text.first == UInt8(ascii: "{") else {
      throw Fault(
        "the header does not begin with { (first bytes \(firstBytes(Data(text.prefix(8)))))")
    }
    try parse(text)
    try checkLayout(available: file.size - dataStart)
  }

  // MARK: - JSON

  private mutating func parse(_ text: [UInt8]) throws {
    let json: JSON
    do {
      json = try JSON(parsing: text)
    } catch let fault as JSON.Fault {
      throw Fault("the header is not JSON: \(fault.what) at byte \(fault.offset)")
    }
    guard case .object(let members) = json else { throw Fault("the header is not an object") }
    var seen: Set<ByteName> = []
    for member in members {
      if !seen.insert(ByteName(member.name)).inserted {
        throw Fault("the name \(member.name) occurs twice in the header")
      }
      if member.name == "__metadata__" {
        metadata = try Self.metadata(member.value)
      } else {
        places[ByteName(member.name)] = entries.count
        entries.append(try Self.entry(member.name, member.value))
      }
    }
  }

  private static func metadata(_ json: JSON) throws -> [SafetensorsFile.Metadata] {
    guard case .object(let members) = json else { throw Fault("__metadata__ is not an object") }
    var result: [SafetensorsFile.Metadata] = []
    var seen: Set<ByteName> = []
    for member in members {
      guard case .string(let value) = member.value else {
        throw Fault("__metadata__: \(member.name) is not a text")
      }
      if !seen.insert(ByteName(member.name)).inserted {
        throw Fault("__metadata__: \(member.name) occurs twice")
      }
      result.append(.init(name: member.name, value: value))
    }
    return result
  }

  private static func entry(_ name: String, _ json: JSON) throws -> Entry {
    guard case .object(let members) = json else { throw Fault("\(name): not an object") }
    func field(_ key: String) throws -> JSON {
      let values = members.filter { $0.name == key }
      if values.count == 1 { return values[0].value }
      throw Fault("\(name): \(key) \(values.isEmpty ? "is missing" : "occurs twice")")
    }
    if let other = members.first(where: { !["dtype", "shape", "data_offsets"].contains($0.name) }) {
      throw Fault("\(name): unknown field \(other.name)")
    }
    guard case .string(let type) = try field("dtype"), !type.isEmpty else {
      throw Fault("\(name): dtype is not a text")
    }
    let shape = try sizes(try field("shape"), "\(name): shape")
    let offsets = try sizes(try field("data_offsets"), "\(name): data_offsets")
    guard offsets.count == 2, offsets[0] <= offsets[1] else {
      throw Fault("\(name): data_offsets \(offsets) are not a begin and an end")
    }
    let entry = Entry(
      name: name, type: TensorType(type), shape: shape, range: offsets[0]..<offsets[1])
    try checkSize(entry)
    return entry
  }

  private static func sizes(_ json: JSON, _ what: String) throws -> [Int] {
    guard case .array(let elements) = json else { throw Fault("\(what) is not a list") }
    var result: [Int] = []
    for element in elements {
      guard case .number(let text) = element else { throw Fault("\(what) holds no number") }
      guard let size = Int(text), size >= 0 else {
        throw Fault("\(what) holds \(text), which is not a size")
      }
      result.append(size)
    }
    return result
  }

  // MARK: - Sizes and places

  private static func checkSize(_ entry: Entry) throws {
    guard let count = elementCount(of: entry.shape) else {
      throw Fault("\(entry.name): shape \(entry.shape) overflows")
    }
    guard let width = entry.type.width else {
      // An element of a type not known here takes a bit at least.
      if count / 8 > entry.range.count {
        throw Fault(
          "\(entry.name): shape \(entry.shape) cannot lie in \(entry.range.count) bytes")
      }
      return
    }
    let (bytes, overflow) = count.multipliedReportingOverflow(by: width)
    if overflow { throw Fault("\(entry.name): shape \(entry.shape) overflows") }
    if bytes != entry.range.count {
      throw Fault(
        "\(entry.name): \(entry.type) of shape \(entry.shape) takes \(bytes) bytes, "
          + "data_offsets give \(entry.range.count)")
    }
  }

  /// The tensors must follow one another without holes or overlaps and end with the file.
  private func checkLayout(available: Int) throws {
    var end = 0
    func key(_ entry: Entry) -> (Int, Int) { (entry.range.lowerBound, entry.range.upperBound) }
    for entry in entries.sorted(by: { key($0) < key($1) }) {
      if entry.range.upperBound > available {
        throw Fault(
          "truncated: \(entry.name) ends at byte \(entry.range.upperBound) of the data, "
            + "the file has \(available)")
      }
      if entry.range.lowerBound > end {
        throw Fault("bytes \(end)..<\(entry.range.lowerBound) of the data belong to no tensor")
      }
      if entry.range.lowerBound < end {
        throw Fault("\(entry.name) overlaps the tensor before it")
      }
      end = entry.range.upperBound
    }
    if end != available { throw Fault("\(available - end) bytes follow the last tensor") }
  }
}
