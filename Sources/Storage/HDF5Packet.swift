// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Numbers and texts one after another, as they go between a program and its HDF5 process.
struct Packet {
  private(set) var bytes: [UInt8] = []

  mutating func add(_ number: Int) { withUnsafeBytes(of: number) { bytes.append(contentsOf: $0) } }

  mutating func add(_ text: String) { add(Array(text.utf8)) }

  /// 0 for nothing, 1 and the text otherwise.
  mutating func add(_ text: String?) {
    add(text == nil ? 0 : 1)
    if let text { add(text) }
  }

  mutating func add<Element: BitwiseCopyable>(_ elements: [Element]) {
    add(elements.count)
    elements.withUnsafeBytes { bytes.append(contentsOf: $0) }
  }

  mutating func add<Element>(_ elements: [Element], _ body: (inout Packet, Element) -> Void) {
    add(elements.count)
    for element in elements { body(&self, element) }
  }
}

/// Reads what a `Packet` holds; whatever does not fit is a `Malformed`, for the other process may be out of its mind.
struct PacketReader {
  struct Malformed: Error {}

  private let bytes: [UInt8]
  private var place = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func int() throws -> Int {
    var number = 0
    try withUnsafeMutableBytes(of: &number) { try take(into: $0) }
    return number
  }

  mutating func text() throws -> String {
    guard let text = String(validating: try array(of: UInt8.self), as: UTF8.self) else {
      throw Malformed()
    }
    return text
  }

  mutating func optionalText() throws -> String? { try int() == 0 ? nil : text() }

  mutating func array<Element: BitwiseCopyable>(
    of: Element.Type = Element.self
  ) throws -> [Element] {
    let count = try count(width: MemoryLayout<Element>.stride)
    return try [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
      try take(
        into: UnsafeMutableRawBufferPointer(
          start: buffer.baseAddress, count: count * MemoryLayout<Element>.stride))
      initialized = count
    }
  }

  mutating func array<Element>(_ body: (inout PacketReader) throws -> Element) throws -> [Element] {
    try (0..<count(width: 1)).map { _ in try body(&self) }
  }

  /// A count of elements that what is left can hold.
  private mutating func count(width: Int) throws -> Int {
    let count = try int()
    guard count >= 0, count <= (bytes.count - place) / width else { throw Malformed() }
    return count
  }

  private mutating func take(into buffer: UnsafeMutableRawBufferPointer) throws {
    guard buffer.count <= bytes.count - place else { throw Malformed() }
    bytes.withUnsafeBytes {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[place..<place + buffer.count]))
    }
    place += buffer.count
  }
}
