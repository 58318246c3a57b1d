// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation
import Testing

@testable import Storage

/// HDF5 files that others made, in good faith or not.
@Suite struct ForeignHDF5Tests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  /// A file with a data set `plain` of 2×3 floats and whatever `body` adds.
  private func file(_ body: (hid_t) throws -> Void) throws -> TensorFile {
    let data = try HDF5.exclusively {
      try HDF5File.image {
        try HDF5Values.write([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3], name: "plain", in: $0)
        try body($0)
      }
    }
    return try TensorFile(scratch.file("foreign.h5", holding: data))
  }

  /// Creates a data set of floats, or of `type`, with properties of its own.
  private func create(
    _ name: [CChar], shape: [Int], type: hid_t = chdf5_native_float(), in file: hid_t,
    _ set: (hid_t) -> Void = { _ in }
  ) throws {
    let properties = H5Pcreate(chdf5_dataset_create())
    defer { H5Pclose(properties) }
    set(properties)
    try HDF5Values.withSpace(shape) { space in
      let id = try HDF5.check(
        H5Dcreate2(file, name, type, space, chdf5_default(), properties, chdf5_default()), "create")
      H5Dclose(id)
    }
  }

  private func name(_ text: String) -> [CChar] { Array(text.utf8CString) }

  /// One data set cannot be read, and the file says why; the others can.
  private func expectObstacle(_ part: String, in file: TensorFile, at name: String) throws {
    let entry = try file.entry(name)
    #expect(entry.obstacle?.contains(part) == true, "\(entry)")
    expectError(part, at: file.path) { try file.values(name) }
    let copy = scratch.file("copy.h5")
    expectError(part, at: file.path) {
      let values = [Float](repeating: 0, count: min(entry.count, 10))
      try file.copy(to: copy, replacing: [ByteName(name): .float(values)])
    }
    #expect(!scratch.names.contains("copy.h5"))
    #expect(try file.floats("plain") == [1, 2, 3, 4, 5, 6])
    try file.copy(to: copy, replacing: ["plain": .float([6, 5, 4, 3, 2, 1])])
    #expect(try TensorFile(copy).floats("plain") == [6, 5, 4, 3, 2, 1])
    try FileManager.default.removeItem(atPath: copy)
  }

  @Test func anInvalidNameConcernsItsTensorOnly() throws {
    let latin = "gr".utf8.map { CChar($0) } + [CChar(bitPattern: 0xf6), 0x65, 0]
    let file = try file { try create(latin, shape: [2], in: $0) }
    try expectObstacle("UTF-8", in: file, at: "gr\\xf6e")
  }

  @Test func dataInOtherFilesAreRefused() throws {
    let secret = try scratch.file("secret", holding: Data((0..<64).map { $0 }))
    let external = try file {
      try create(name("w"), shape: [2, 2], in: $0) { H5Pset_external($0, secret, 0, 16) }
    }
    try expectObstacle("lie in another file", in: external, at: "w")
    let virtual = try file {
      try create(name("w"), shape: [2, 3], in: $0) { properties in
        let space = H5Screate_simple(2, [2, 3], nil)
        H5Pset_virtual(properties, space, secret, "plain", space)
        H5Sclose(space)
      }
    }
    try expectObstacle("lie in another file", in: virtual, at: "w")
  }

  @Test func linksElsewhereAreNotFollowed() throws {
    let other = scratch.file("other.h5")
    try TensorFile.write([.init("w", shape: [1], .float([1]))], format: .hdf5, to: other)
    let file = try file {
      H5Lcreate_external(other, "w", $0, "external", chdf5_default(), chdf5_default())
      H5Lcreate_soft("/plain", $0, "soft", chdf5_default(), chdf5_default())
    }
    #expect(file.entries.map(\.name) == ["plain"])
  }

  @Test func sizesAreHeldAgainstTheFile() throws {
    let file = try file {
      try create(name("w"), shape: [1 << 20, 1 << 19], in: $0) { H5Pset_chunk($0, 2, [1, 1]) }
    }
    try expectObstacle("of which the file holds 0", in: file, at: "w")
    let data = try HDF5.exclusively {
      try HDF5File.image {
        try create(name("w"), shape: [1 << 32, 1 << 32], in: $0) { H5Pset_chunk($0, 2, [1, 1]) }
      }
    }
    let path = try scratch.file("overflow.h5", holding: data)
    expectError("cannot read w", "overflows", at: path) { try TensorFile(path) }
  }

  @Test func aMissingFilterIsNamed() throws {
    let file = try file {
      try create(name("w"), shape: [4], in: $0) {
        H5Pset_chunk($0, 1, [4])
        H5Pset_filter($0, 32000, UInt32(H5Z_FLAG_OPTIONAL), 0, nil)
      }
    }
    try expectObstacle("filter 32000, which is not installed", in: file, at: "w")
  }

  @Test func aFilterThatRoundsIsNamed() throws {
    let file = try file {
      try create(name("w"), shape: [4], in: $0) {
        H5Pset_chunk($0, 1, [4])
        H5Pset_scaleoffset($0, H5Z_SO_FLOAT_DSCALE, 2)
      }
    }
    #expect(try file.entry("w").rounding == "its filter scale-offset rounds to 2 decimals")
    #expect(try file.entry("w").obstacle == nil && file.entry("plain").rounding == nil)
  }

  @Test(arguments: [
    (2, 15, 8, 7, 127, "BF16"), (2, 15, 5, 10, 15, "F16"), (1, 7, 4, 3, 7, "F8_E4M3"),
    (1, 7, 5, 2, 15, "F8_E5M2"), (4, 31, 8, 23, 127, "F32"),
    (4, 31, 5, 26, 15, "F32 of 5 and 26 bits"),
  ])
  func realsAreToldApartByTheirBits(
    size: Int, sign: Int, exponent: Int, mantissa: Int, bias: Int, expected: String
  ) throws {
    let file = try file {
      let type = H5Tcopy(chdf5_native_float())
      defer { H5Tclose(type) }
      H5Tset_fields(type, sign, mantissa, exponent, 0, mantissa)
      H5Tset_size(type, size)
      H5Tset_ebias(type, bias)
      try create(name("w"), shape: [2], type: type, in: $0)
    }
    #expect(try file.entry("w").type == TensorType(expected))
  }

  @Test func bfloat16IsWrittenAsItIsRounded() throws {
    let values: [Float] = [0.1, 1.00390625, 1.01171875, -3.14159, 65504, 0x1p-130]
    let file = try file {
      let type = H5Tcopy(chdf5_native_float())
      defer { H5Tclose(type) }
      H5Tset_fields(type, 15, 7, 8, 0, 7)
      H5Tset_size(type, 2)
      try create(name("w"), shape: [values.count], type: type, in: $0)
    }
    let copy = scratch.file("copy.h5")
    try file.copy(to: copy, replacing: ["w": .float(values)])
    #expect(
      try TensorFile(copy).floats("w")
        == values.map { HalfPrecision.float(bf16: HalfPrecision.bf16($0)) })
  }

  // MARK: - Names

  @Test(arguments: [TensorFile.Format.hdf5, .safetensors])
  func spellingsOfOneTextAreTwoNames(format: TensorFile.Format) throws {
    let (composed, combining) = ("w\u{e9}", "we\u{301}")
    #expect(composed == combining, "Swift compares texts")
    let path = scratch.file("names")
    try TensorFile.write(
      [
        .init(composed, shape: [2, 2], .float([1, 2, 3, 4])),
        .init(combining, shape: [3], .float([5, 6, 7])),
      ], format: format, to: path)
    let file = try TensorFile(path)
    #expect(file.entries.map { $0.name.utf8.count } == [3, 4])
    #expect(try file.floats(composed) == [1, 2, 3, 4])
    #expect(try file.floats(combining) == [5, 6, 7])
    let copy = scratch.file("copy")
    try file.copy(
      to: copy,
      replacing: [
        ByteName(combining): .float([9, 9, 9]), ByteName(composed): .float([0, 0, 0, 0]),
      ])
    #expect(try TensorFile(copy).floats(composed) == [0, 0, 0, 0])
    #expect(try TensorFile(copy).floats(combining) == [9, 9, 9])
  }

  @Test func recordsTellSpellingsApart() throws {
    let (composed, combining) = ("w\u{e9}", "we\u{301}")
    func record(_ first: String, _ second: String) -> Record {
      var record = Record(attributes: [first: 1, second: 2])
      record.add(.init(first, .double([1]), dimensions: [first]))
      record.add(.init(second, .double([2, 3]), dimensions: [second]))
      for name in [first, second] { record[group: "in " + name] = Record.Group("in " + name) }
      return record
    }
    let path = scratch.file("record.h5")
    try record(composed, combining).write(to: path)
    let back = try Record.read(from: path)
    #expect(back == record(composed, combining) && back.groups.count == 2)
    #expect(try back.doubles(combining) == [2, 3] && back.int(attribute: composed) == 1)
    #expect(back != record(combining, composed))
    #expect(back.firstDifference(from: record(combining, composed)) != nil)
  }
}
