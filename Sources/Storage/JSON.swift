// SPDX-License-Identifier: Apache-2.0

import Foundation

/// JSON with the members of objects in their order, duplicates included.
///
/// The header of a safetensors file needs both, and Foundation's parser keeps neither.
package enum JSON: Equatable, Sendable {
  case object([Member])
  case array([JSON])
  case string(String)
  /// A number as it was written.
  case number(String)
  case bool(Bool)
  case null

  package struct Member: Equatable, Sendable {
    package let name: String
    package let value: JSON

    package init(name: String, value: JSON) { (self.name, self.value) = (name, value) }
  }

  /// A fault in the text and the byte where it lies.
  package struct Fault: Error, Equatable {
    package let what: String
    package let offset: Int
  }

  /// The value that `bytes` hold; white space may surround it.
  package init(parsing bytes: some Sequence<UInt8>) throws {
    var parser = Parser(bytes: Array(bytes))
    self = try parser.value(depth: 0)
    parser.skipSpace()
    if let byte = parser.peek {
      throw parser.fault("text after the end (byte \(byte))")
    }
  }

  /// The first member of an object by that name.
  package subscript(name: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name.utf8.elementsEqual(name.utf8) }?.value
  }

  /// On one line, without spaces.
  package var text: String {
    switch self {
    case .object(let members):
      "{" + members.map { "\(Self.quoted($0.name)):\($0.value.text)" }.joined(separator: ",") + "}"
    case .array(let elements): "[" + elements.map(\.text).joined(separator: ",") + "]"
    case .string(let text): Self.quoted(text)
    case .number(let digits): digits
    case .bool(let value): value ? "true" : "false"
    case .null: "null"
    }
  }

  /// `text` in quotes, escaped only where JSON demands it.
  package static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\u{8}": result += "\\b"
      case "\u{c}": result += "\\f"
      case let control where control.value < 0x20:
        result += "\\u00" + (control.value < 16 ? "0" : "") + String(control.value, radix: 16)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

private struct Parser {
  let bytes: [UInt8]
  var place = 0

  /// Deeper than any header; keeps hostile input off the end of the stack.
  static let maximumDepth = 32

  init(bytes: [UInt8]) { self.bytes = bytes }

  var peek: UInt8? { place < bytes.count ? bytes[place] : nil }

  func fault(_ what: String) -> JSON.Fault { JSON.Fault(what: what, offset: place) }

  mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || (0x09...0x0a).contains(byte) || byte == 0x0d {
      place += 1
    }
  }

  /// Takes `character` if it comes next.
  mutating func take(_ character: Character) -> Bool {
    guard let byte = peek, byte == character.asciiValue else { return false }
    place += 1
    return true
  }

  mutating func expect(_ character: Character) throws {
    if !take(character) { throw fault("\(character) expected") }
  }

  // MARK: - Values

  mutating func value(depth: Int) throws -> JSON {
    if depth > Self.maximumDepth { throw fault("nested too deeply") }
    skipSpace()
    switch peek.map({ Character(UnicodeScalar($0)) }) {
    case "{": return .object(try members(depth: depth))
    case "[": return .array(try elements(depth: depth))
    case "\"": return .string(try string())
    case "t": return try word("true", .bool(true))
    case "f": return try word("false", .bool(false))
    case "n": return try word("null", .null)
    case nil: throw fault("the text ends too early")
    default: return .number(try number())
    }
  }

  private mutating func members(depth: Int) throws -> [JSON.Member] {
    try expect("{")
    var members: [JSON.Member] = []
    skipSpace()
    if take("}") { return members }
    repeat {
      skipSpace()
      let name = try string()
      skipSpace()
      try expect(":")
      members.append(JSON.Member(name: name, value: try value(depth: depth + 1)))
      skipSpace()
    } while take(",")
    try expect("}")
    return members
  }

  private mutating func elements(depth: Int) throws -> [JSON] {
    try expect("[")
    var elements: [JSON] = []
    skipSpace()
    if take("]") { return elements }
    repeat {
      elements.append(try value(depth: depth + 1))
      skipSpace()
    } while take(",")
    try expect("]")
    return elements
  }

  private mutating func word(_ text: String, _ value: JSON) throws -> JSON {
    guard bytes[place...].starts(with: text.utf8) else { throw fault("\(text) expected") }
    place += text.utf8.count
    return value
  }

  private mutating func number() throws -> String {
    let start = place
    _ = take("-")
    let firstDigit = place
    try digits()
    if bytes[firstDigit] == 0x30, place > firstDigit + 1 { throw fault("number begins with 0") }
    if take(".") { try digits() }
    if take("e") || take("E") {
      if !take("+") { _ = take("-") }
      try digits()
    }
    return String(decoding: bytes[start..<place], as: UTF8.self)
  }

  private mutating func digits() throws {
    let start = place
    while let byte = peek, (0x30...0x39).contains(byte) { place += 1 }
    if place == start { throw fault("a value expected") }
  }

  // MARK: - Strings

  private mutating func string() throws -> String {
    try expect("\"")
    var content: [UInt8] = []
    while let byte = peek {
      place += 1
      switch byte {
      case 0x22:
        guard let text = String(validating: content, as: UTF8.self) else {
          throw fault("a string is not UTF-8")
        }
        return text
      case 0x5c: content.append(contentsOf: try escape().utf8)
      case 0..<0x20: throw fault("a control character in a string")
      default: content.append(byte)
      }
    }
    throw fault("a string does not end")
  }

  private mutating func escape() throws -> String {
    guard let byte = peek else { throw fault("a string does not end") }
    place += 1
    switch Character(UnicodeScalar(byte)) {
    case "\"": return "\""
    case "\\": return "\\"
    case "/": return "/"
    case "b": return "\u{8}"
    case "f": return "\u{c}"
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "u":
      var code = try hexadecimal()
      if (0xd800..<0xdc00).contains(code) {
        guard take("\\"), take("u") else { throw fault("half a surrogate pair") }
        let low = try hexadecimal()
        guard (0xdc00..<0xe000).contains(low) else { throw fault("half a surrogate pair") }
        code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = UnicodeScalar(code) else { throw fault("half a surrogate pair") }
      return String(Character(scalar))
    default: throw fault("unknown escape")
    }
  }

  private mutating func hexadecimal() throws -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek, let digit = Character(UnicodeScalar(byte)).hexDigitValue else {
        throw fault("four hexadecimal digits expected")
      }
      code = code << 4 | UInt32(digit)
      place += 1
    }
    return code
  }
}
