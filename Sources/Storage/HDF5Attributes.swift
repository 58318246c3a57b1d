// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation

/// Attributes of an open object: scalars and one axis, numbers and UTF-8 strings.
enum HDF5Attributes {
  // MARK: - Writing

  static func write(_ value: AttributeValue, name: String, on object: hid_t) throws {
    switch value {
    case .string(let text): try write([text], shape: [], name: name, on: object)
    case .strings(let texts): try write(texts, shape: [texts.count], name: name, on: object)
    case .int(let number): try write([Int64(number)], shape: [], name: name, on: object)
    case .ints(let numbers):
      try write(numbers.map { Int64($0) }, shape: [numbers.count], name: name, on: object)
    case .double(let number): try write([number], shape: [], name: name, on: object)
    case .doubles(let numbers):
      try write(numbers, shape: [numbers.count], name: name, on: object)
    }
  }

  private static func write(
    _ strings: [String], shape: [Int], name: String, on object: hid_t
  ) throws {
    try HDF5Values.withStringType { type in
      try create(name, type: type, shape: shape, on: object) { attribute in
        try HDF5Values.withCStrings(strings) {
          try HDF5.check(H5Awrite(attribute, type, $0), "write the attribute \(name)")
        }
      }
    }
  }

  private static func write<Number: HDF5Number>(
    _ numbers: [Number], shape: [Int], name: String, on object: hid_t
  ) throws {
    try create(name, type: Number.hdf5Type, shape: shape, on: object) { attribute in
      if !numbers.isEmpty {
        try HDF5.check(
          H5Awrite(attribute, Number.hdf5Type, numbers), "write the attribute \(name)")
      }
    }
  }

  /// Creates an attribute of any type and hands its id to `body`.
  static func create(
    _ name: String, type: hid_t, shape: [Int], on object: hid_t, _ body: (hid_t) throws -> Void
  ) throws {
    let properties = try HDF5.check(H5Pcreate(chdf5_attribute_create()), "create properties")
    defer { H5Pclose(properties) }
    try HDF5.check(H5Pset_char_encoding(properties, H5T_CSET_UTF8), "name \(name) in UTF-8")
    try HDF5Values.withSpace(shape) { space in
      let attribute = try HDF5.check(
        H5Acreate2(object, name, type, space, properties, chdf5_default()),
        "create the attribute \(name)")
      try HDF5.using(attribute, closing: H5Aclose, "the attribute \(name)", body)
    }
  }

  // MARK: - Reading

  /// The names of all attributes in the order of creation where the file has it, else by name.
  static func names(of object: hid_t) throws -> [String] {
    let properties = try HDF5.check(
      H5Iget_type(object) == H5I_DATASET
        ? H5Dget_create_plist(object) : H5Gget_create_plist(object), "read properties")
    defer { H5Pclose(properties) }
    var flags: UInt32 = 0
    try HDF5.check(H5Pget_attr_creation_order(properties, &flags), "read the attributes' order")
    var names: [String] = []
    try withUnsafeMutablePointer(to: &names) { names in
      _ = try HDF5.check(
        H5Aiterate2(
          object, HDF5File.index(flags), H5_ITER_INC, nil,
          { _, name, _, context in
            guard let name, let context else { return -1 }
            context.assumingMemoryBound(to: [String].self).pointee.append(String(cString: name))
            return 0
          }, names), "read the names of the attributes")
    }
    return names
  }

  /// Whether `object` has an attribute of that name.
  static func has(_ name: String, on object: hid_t) throws -> Bool {
    try HDF5.check(H5Aexists(object, name), "look for the attribute \(name)") > 0
  }

  /// The value of an attribute; throws for types and ranks that a record cannot hold.
  static func read(_ name: String, on object: hid_t) throws -> AttributeValue {
    let attribute = try HDF5.check(
      H5Aopen(object, name, chdf5_default()), "open the attribute \(name)")
    defer { H5Aclose(attribute) }
    let type = try HDF5.check(H5Aget_type(attribute), "read the attribute \(name)")
    defer { H5Tclose(type) }
    let space = try HDF5.check(H5Aget_space(attribute), "read the attribute \(name)")
    defer { H5Sclose(space) }
    let shape = try HDF5Values.shape(of: space)
    let count = try HDF5.elementCount(shape, width: 16)
    guard shape.count <= 1 else {
      throw HDF5Failure("cannot read the attribute \(name)", "it has shape \(shape)")
    }
    // Attributes are not compressed.
    if count > (try HDF5.fileSize(of: object)) {
      throw HDF5Failure("cannot read the attribute \(name)", "shape \(shape) exceeds the file")
    }
    let isScalar = shape.isEmpty
    switch try HDF5Type(of: type) {
    case .string:
      let texts = try HDF5Values.readStrings(type: type, space: space, count: count) {
        try HDF5.check(H5Aread(attribute, $0, $1), "read the attribute \(name)")
      }
      return isScalar ? .string(texts[0]) : .strings(texts)
    case .integer(let bytes, let signed) where signed ? bytes <= 8 : bytes < 8:
      let numbers: [Int64] = try readNumbers(attribute, count: count, name: name)
      return isScalar ? .int(Int(numbers[0])) : .ints(numbers.map { Int($0) })
    case .float(let bytes) where bytes <= 8:
      let numbers: [Double] = try readNumbers(attribute, count: count, name: name)
      return isScalar ? .double(numbers[0]) : .doubles(numbers)
    case let type:
      throw HDF5Failure("cannot read the attribute \(name)", "its type is \(type)")
    }
  }

  private static func readNumbers<Number: HDF5Number>(
    _ attribute: hid_t, count: Int, name: String
  ) throws -> [Number] {
    var numbers = [Number](repeating: .zero, count: count)
    if count > 0 {
      try HDF5.check(H5Aread(attribute, Number.hdf5Type, &numbers), "read the attribute \(name)")
    }
    return numbers
  }
}
