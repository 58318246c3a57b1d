// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Storage

@Suite struct SafetensorsTests {
  let scratch: Scratch
  let path: String

  init() throws {
    scratch = try Scratch()
    path = scratch.file("a.safetensors")
  }

  /// A file from a header text and a number of data bytes.
  private func write(header: String, data: Int, length: UInt64? = nil) throws {
    var file = Data()
    withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) {
      file.append(contentsOf: $0)
    }
    file.append(Data(header.utf8))
    file.append(Data((0..<data).map { UInt8(truncatingIfNeeded: $0) }))
    try file.write(to: URL(fileURLWithPath: path))
  }

  // MARK: - Copies

  @Test(arguments: [
    #"{"__metadata__":{},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
    #"{ "b" : {"data_offsets":[0,0],"shape":[0],"dtype":"F9"}, "#
      + #""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}, "__metadata__":{"\u0061":"\/"} }   "#,
  ])
  func aCopyHasTheHeaderBitForBit(header: String) throws {
    try write(header: header, data: 4)
    let file = try TensorFile(path)
    let copy = scratch.file("copy")
    try file.copy(to: copy, replacing: [:])
    #expect(try content(copy) == content(path))
    try file.copy(to: copy, replacing: ["a": .float([7])])
    #expect(try content(copy).dropLast(4) == content(path).dropLast(4))
    #expect(try TensorFile(copy).floats("a") == [7])
  }

  @Test func aFileCutShortWhileItIsOpen() throws {
    try SafetensorsFile.write(
      [
        .init("a", shape: [4], floats: [1, 2, 3, 4]),
        .init("b", shape: [3000], floats: .init(repeating: 1, count: 3000)),
      ],
      to: path)
    let (file, tensors) = (try SafetensorsFile(path), try TensorFile(path))
    truncate(path, off_t(try content(path).count - 8000))
    #expect(try file.floats("a") == [1, 2, 3, 4])
    expectError("ends at byte", at: path) { try file.floats("b") }
    let copy = scratch.file("copy")
    expectError("ends at byte", at: path) { try tensors.copy(to: copy, replacing: [:]) }
    #expect(scratch.names == ["a.safetensors"])
  }

  @Test func tensorsOfAnUnknownTypeLieInTheFileToo() throws {
    let shape = "[\(1 << 40), \(1 << 20)]"
    try write(header: #"{"a":{"dtype":"F9","shape":\#(shape),"data_offsets":[0,4]}}"#, data: 4)
    expectError("cannot lie in 4 bytes", at: path) { try SafetensorsFile(path) }
  }

  // MARK: - Round trips

  @Test func everyTypeAndRank() throws {
    let odd: [Float] = [.nan, -0.0, .infinity, -.infinity, 0.1, .leastNonzeroMagnitude]
    let oddDoubles: [Double] = [.nan, -0.0, .infinity, -.infinity, 0.1, .leastNonzeroMagnitude]
    try SafetensorsFile.write(
      [
        .init("u8", shape: [3], ints: [0, 7, 255], as: .u8),
        .init("größe/τ \"q\" \\ \u{1} 🧮", shape: [2, 3], floats: odd),
        .init("f64", shape: [3, 2, 1], doubles: oddDoubles),
        .init("scalar", shape: [], doubles: [0.1]),
        .init("bf16", shape: [6], floats: odd, as: .bf16),
        .init("f16", shape: [1, 2, 1, 3], floats: odd, as: .f16),
        .init("i64", shape: [2], ints: [.min, .max]),
        .init("i32", shape: [2], ints: [-2_147_483_648, 2_147_483_647], as: .i32),
        .init("none", shape: [0], floats: []),
        .init("none2", shape: [0, 3], ints: []),
      ],
      metadata: [.init(name: "z", value: "pt\n"), .init(name: "a", value: "ü")], to: path)
    let file = try SafetensorsFile(path)
    #expect(
      file.entries.map(\.name) == [
        "u8", "größe/τ \"q\" \\ \u{1} 🧮", "f64", "scalar", "bf16", "f16", "i64", "i32", "none",
        "none2",
      ])
    #expect(
      file.entries.map(\.shape)
        == [[3], [2, 3], [3, 2, 1], [], [6], [1, 2, 1, 3], [2], [2], [0], [0, 3]])
    #expect(file.metadata == [.init(name: "z", value: "pt\n"), .init(name: "a", value: "ü")])
    #expect(try file.ints("u8") == [0, 7, 255])
    #expect(try file.doubles("u8") == [0, 7, 255])
    #expect(TensorValues.float(try file.floats(file.entries[1].name)).hasBits(of: .float(odd)))
    #expect(TensorValues.double(try file.doubles("f64")).hasBits(of: .double(oddDoubles)))
    #expect(try file.doubles("scalar") == [0.1])
    #expect(try file.ints("i64") == [.min, .max])
    #expect(try file.ints("i32") == [-2_147_483_648, 2_147_483_647])
    #expect(try file.doubles("i32").first == -2_147_483_648)
    #expect(try file.floats("none") == [] && file.ints("none2") == [])
    for (name, tenth) in [("bf16", Float(0.10009765625)), ("f16", Float(0.0999755859375))] {
      let values = try file.floats(name)
      #expect(values[0].isNaN && values[1].sign == .minus && values[1] == 0, "\(name)")
      #expect(values[2...3] == [.infinity, -.infinity] && values[4] == tenth, "\(name)")
      #expect(try file.doubles(name)[4] == Double(tenth))
    }
  }

  @Test func theBytesAreTheFormats() throws {
    try SafetensorsFile.write(
      [.init("b", shape: [1], ints: [5], as: .u8), .init("a", shape: [1], floats: [1])], to: path)
    let header =
      #"{"b":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},"#
      + #""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
    let padding = String(repeating: " ", count: -header.utf8.count & 7)
    var want = Data([UInt8(header.utf8.count + padding.utf8.count), 0, 0, 0, 0, 0, 0, 0])
    want.append(Data((header + padding).utf8))
    want.append(Data([0, 0, 0x80, 0x3f, 5]))
    #expect(try content(path) == want)
  }

  @Test func foreignSpellings() throws {
    // White space, escapes, fields and bytes in another order, a file without tensors.
    try write(
      header: """
        { "\\u00fc\\ud83e\\uddee" : { "shape" : [ ] , "data_offsets" : [ 2 , 6 ] , "dtype" : "F32" },
        "b":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}, "__metadata__" : { } }
        """, data: 6)
    let file = try SafetensorsFile(path)
    #expect(file.entries.map(\.name) == ["ü🧮", "b"])
    #expect(try file.floats("ü🧮") == [Float(bitPattern: 0x0504_0302)])
    #expect(Array(try file.bytes("b")) == [0, 1])
    try write(header: "{}", data: 0)
    #expect(try SafetensorsFile(path).entries == [])
  }

  @Test func typesThatAreListedOnly() throws {
    try write(
      header: #"{"odd":{"dtype":"F99","shape":[3],"data_offsets":[0,5]}}"#, data: 5)
    let file = try SafetensorsFile(path)
    #expect(file.entries == [.init(name: "odd", type: TensorType("F99"), shape: [3])])
    #expect(try file.bytes("odd").count == 5)
    expectError("type F99 cannot be read as Float", at: path) { try file.floats("odd") }
    expectError("type F99 cannot be read as Double", at: path) { try file.doubles("odd") }
    expectError("type F99 cannot be read as Int", at: path) { try file.ints("odd") }
    expectError("no tensor w", at: path) { try file.floats("w") }
    try SafetensorsFile.write(
      [.init("d", shape: [1], doubles: [1]), .init("i", shape: [1], ints: [1])], to: path)
    let other = try SafetensorsFile(path)
    expectError("type F64 cannot be read as Float") { try other.floats("d") }
    expectError("type I64 cannot be read as Double") { try other.doubles("i") }
    expectError("type F64 cannot be read as Int") { try other.ints("d") }
  }

  // MARK: - Faults

  private static func one(
    _ name: String = "a", dtype: String = "\"F32\"", shape: String = "[2]",
    offsets: String = "[0,8]"
  ) -> String {
    "\"\(name)\":{\"dtype\":\(dtype),\"shape\":\(shape),\"data_offsets\":\(offsets)}"
  }

  @Test(arguments: [
    ("{\(one(dtype: "7"))}", "dtype is not a text"),
    ("{\(one(dtype: "\"\""))}", "dtype is not a text"),
    ("{\(one(shape: "[-2]"))}", "shape holds -2"),
    ("{\(one(shape: "[2.0]"))}", "shape holds 2.0"),
    ("{\(one(shape: "[99999999999999999999]"))}", "which is not a size"),
    ("{\(one(shape: "[4294967296,4294967296]"))}", "overflows"),
    ("{\(one(shape: "[4611686018427387904]"))}", "overflows"),
    ("{\(one(shape: "[0,4611686018427387904,4611686018427387904]"))}", "overflows"),
    ("{\(one(shape: "[\"2\"]"))}", "shape holds no number"),
    ("{\(one(shape: "2"))}", "shape is not a list"),
    ("{\(one(shape: "[3]"))}", "takes 12 bytes, data_offsets give 8"),
    ("{\(one(offsets: "[8,0]"))}", "not a begin and an end"),
    ("{\(one(offsets: "[0]"))}", "not a begin and an end"),
    ("{\(one(offsets: "[-8,0]"))}", "data_offsets holds -8"),
    ("{\(one(shape: "[3]", offsets: "[0,12]"))}", "truncated: a ends at byte 12"),
    ("{\(one(shape: "[1]", offsets: "[4,8]"))}", "bytes 0..<4 of the data belong to no tensor"),
    ("{\(one(shape: "[1]", offsets: "[0,4]"))}", "4 bytes follow the last tensor"),
    ("{\(one()),\(one("b", shape: "[1]", offsets: "[4,8]"))}", "b overlaps"),
    (  // by one byte
      "{\(one()),\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[7,8]}}", "b overlaps"
    ),
    ("{\(one()),\(one())}", "a occurs twice"),
    (#"{"a":{"dtype":"F32","shape":[2]}}"#, "data_offsets is missing"),
    (
      #"{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, "dtype occurs twice"
    ),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#, "unknown field x"),
    (#"{"a":7}"#, "a: not an object"),
    ("{\(one()),\"__metadata__\":7}", "__metadata__ is not an object"),
    ("{\(one()),\"__metadata__\":{\"k\":1}}", "k is not a text"),
    ("{\(one()),\"__metadata__\":{\"k\":\"\",\"k\":\"\"}}", "k occurs twice"),
    ("{\(one()),}", "not JSON: \" expected"),
    ("{\(one())", "not JSON: } expected"),
    ("{\(one())} x", "not JSON: text after the end"),
    ("{\"a", "not JSON: a string does not end"),
    ("{\"\\x\":1}", "not JSON: unknown escape"),
    ("{\"\\ud800\":1}", "not JSON: half a surrogate pair"),
    ("{\"\\u12g4\":1}", "not JSON: four hexadecimal digits"),
    ("{\"\u{1}\":1}", "not JSON: a control character"),
    ("{\"a\":01}", "not JSON: number begins with 0"),
    ("{\"a\":nul}", "not JSON: null expected"),
    ("{\"a\":\(String(repeating: "[", count: 100_000))", "nested too deeply"),
    ("[]", "does not begin with { (first bytes 5b 5d)"),
  ])
  func faultsOfTheHeader(header: String, message: String) throws {
    try write(header: header, data: 8)
    expectError(message, at: path) { try SafetensorsFile(path) }
  }

  @Test func faultsOfTheLength() throws {
    try write(header: "{}", data: 0, length: 0)
    expectError("header length is zero", at: path) { try SafetensorsFile(path) }
    try write(header: "{}", data: 0, length: 3)
    expectError("truncated: the header takes 3 bytes", at: path) { try SafetensorsFile(path) }
    for length in [UInt64(100_000_001), .max, 1 << 63] {
      try write(header: "{}", data: 0, length: length)
      expectError("oversized header: \(length)", at: path) { try SafetensorsFile(path) }
    }
    var bad = Data([3, 0, 0, 0, 0, 0, 0, 0])
    bad.append(Data([0x7b, 0x22, 0xff]))
    try bad.write(to: URL(fileURLWithPath: path))
    expectError("not JSON") { try SafetensorsFile(path) }
    expectError("no such file", at: scratch.file("x")) { try SafetensorsFile(scratch.file("x")) }
  }

  @Test func aFileCutOffAnywhereIsAnError() throws {
    try SafetensorsFile.write(
      [
        .init("w", shape: [4, 2], floats: (0..<8).map(Float.init)),
        .init("v", shape: [5], ints: [1, 2, 3, 4, 5], as: .u8),
      ],
      metadata: [.init(name: "format", value: "pt")], to: path)
    let whole = try content(path)
    let cut = scratch.file("cut.safetensors")
    for length in 0..<whole.count {
      try whole.prefix(length).write(to: URL(fileURLWithPath: cut))
      expectError(at: cut) { try SafetensorsFile(cut) }
    }
    try (whole + [0]).write(to: URL(fileURLWithPath: cut))
    expectError("1 bytes follow", at: cut) { try SafetensorsFile(cut) }
  }

  @Test func anyFlippedByteOfTheHeaderIsHandled() throws {
    try SafetensorsFile.write([.init("w", shape: [2], floats: [1, 2])], to: path)
    let whole = try content(path)
    let bent = scratch.file("bent.safetensors")
    for place in 0..<whole.count - 8 {
      for bit in 0..<8 {
        var bytes = whole
        bytes[place] ^= 1 << bit
        try bytes.write(to: URL(fileURLWithPath: bent))
        // Either a file that can be read whole, say with another name, or one clear error.
        do {
          let file = try SafetensorsFile(bent)
          for entry in file.entries { #expect(try file.bytes(entry.name).count == 8) }
        } catch let error as StorageError {
          #expect(error.path == bent)
        }
      }
    }
  }
}

extension TensorValues {
  /// Equality of every bit, so that a NaN equals itself.
  func hasBits(of other: TensorValues) -> Bool {
    switch (self, other) {
    case (.float(let a), .float(let b)): a.map(\.bitPattern) == b.map(\.bitPattern)
    case (.double(let a), .double(let b)): a.map(\.bitPattern) == b.map(\.bitPattern)
    default: false
    }
  }
}
