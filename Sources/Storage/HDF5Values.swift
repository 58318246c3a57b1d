// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation

/// Arrays of numbers and strings in and out of data sets and attributes.
enum HDF5Values {
  // MARK: - Data spaces

  /// A simple data space; rank 0 is a scalar.
  static func withSpace<Result>(
    _ shape: [Int], _ body: (hid_t) throws -> Result
  ) throws -> Result {
    let extents = shape.map { hsize_t($0) }
    let space = try HDF5.check(
      shape.isEmpty ? H5Screate(H5S_SCALAR) : H5Screate_simple(Int32(shape.count), extents, nil),
      "describe shape \(shape)")
    defer { H5Sclose(space) }
    return try body(space)
  }

  /// The shape of an open data space; [] for a scalar.
  static func shape(of space: hid_t) throws -> [Int] {
    if H5Sget_simple_extent_type(space) == H5S_NULL {
      throw HDF5Failure("cannot read a shape", "the data space is null")
    }
    let rank = try HDF5.check(H5Sget_simple_extent_ndims(space), "read a rank")
    var extents = [hsize_t](repeating: 0, count: Int(rank))
    try HDF5.check(H5Sget_simple_extent_dims(space, &extents, nil), "read a shape")
    return try extents.map {
      guard let extent = Int(exactly: $0) else {
        throw HDF5Failure("cannot read a shape", "extent \($0) is out of range")
      }
      return extent
    }
  }

  // MARK: - Strings

  /// The type of variable-length UTF-8 strings, which h5py reads as `str`.
  static func withStringType<Result>(_ body: (hid_t) throws -> Result) throws -> Result {
    let type = try HDF5.check(H5Tcopy(chdf5_c_string()), "describe strings")
    defer { H5Tclose(type) }
    try HDF5.check(H5Tset_size(type, chdf5_variable()), "describe strings")
    try HDF5.check(H5Tset_cset(type, H5T_CSET_UTF8), "describe strings")
    return try body(type)
  }

  /// Hands `strings` to a write call as C strings; NUL, which ends those, becomes its symbol, so that no text is a reason to lose the
  /// record that holds it.
  static func withCStrings(
    _ strings: [String], _ write: (UnsafeRawPointer) throws -> Void
  ) throws {
    var pointers: [UnsafeMutablePointer<CChar>?] = []
    defer { pointers.forEach { free($0) } }
    for string in strings {
      pointers.append(strdup(string.replacingOccurrences(of: "\0", with: "\u{2400}")))
    }
    try pointers.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { try write(base) }
    }
  }

  /// Reads `count` strings, of fixed or variable length, by a read call that gets type and buffer.
  static func readStrings(
    type: hid_t, space: hid_t, count: Int,
    _ read: (hid_t, UnsafeMutableRawPointer) throws -> Void
  ) throws -> [String] {
    guard count > 0 else { return [] }
    if try HDF5.check(H5Tis_variable_str(type), "read a type") > 0 {
      var pointers = [UnsafePointer<CChar>?](repeating: nil, count: count)
      return try pointers.withUnsafeMutableBytes { bytes in
        guard let base = bytes.baseAddress else { return [] }
        try read(type, base)
        defer { H5Dvlen_reclaim(type, space, chdf5_default(), base) }
        return bytes.bindMemory(to: UnsafePointer<CChar>?.self).map {
          $0.map { String(cString: $0) } ?? ""
        }
      }
    }
    let width = H5Tget_size(type)
    let padding: UInt8 = H5Tget_strpad(type) == H5T_STR_SPACEPAD ? 0x20 : 0
    var bytes = [UInt8](
      repeating: 0, count: try HDF5.elementCount([count, width], width: 1))
    try bytes.withUnsafeMutableBytes { if let base = $0.baseAddress { try read(type, base) } }
    return (0..<count).map { number in
      var field = bytes[number * width..<(number + 1) * width]
      if padding == 0 {
        field = field.prefix { $0 != 0 }
      } else {
        while field.last == padding { field.removeLast() }
      }
      return String(decoding: field, as: UTF8.self)
    }
  }

  // MARK: - Data sets

  /// Arrays above this many elements are shuffled and compressed.
  private static let plainLimit = 64
  private static let chunkElements = 1 << 16

  /// Creates a data set from numbers in row-major order, and hands its id to `body`.
  static func write<Number: HDF5Number>(
    _ values: [Number], shape: [Int], name: String, in location: hid_t,
    _ body: (hid_t) throws -> Void = { _ in }
  ) throws {
    try create(name, type: Number.hdf5Type, shape: shape, isFiltered: true, in: location) { set in
      if !values.isEmpty {
        try HDF5.check(
          H5Dwrite(set, Number.hdf5Type, chdf5_all(), chdf5_all(), chdf5_default(), values),
          "write \(name)")
      }
      try body(set)
    }
  }

  /// Creates a data set of strings, and hands its id to `body`.
  static func write(
    _ strings: [String], shape: [Int], name: String, in location: hid_t,
    _ body: (hid_t) throws -> Void = { _ in }
  ) throws {
    try withStringType { type in
      try create(name, type: type, shape: shape, isFiltered: false, in: location) { set in
        if !strings.isEmpty {
          try withCStrings(strings) {
            try HDF5.check(
              H5Dwrite(set, type, chdf5_all(), chdf5_all(), chdf5_default(), $0), "write \(name)")
          }
        }
        try body(set)
      }
    }
  }

  private static func create(
    _ name: String, type: hid_t, shape: [Int], isFiltered: Bool, in location: hid_t,
    _ body: (hid_t) throws -> Void
  ) throws {
    let properties = try HDF5.check(H5Pcreate(chdf5_dataset_create()), "create properties")
    defer { H5Pclose(properties) }
    try HDF5File.setReproducible(properties, "data set")
    let count = shape.reduce(1, *)
    // Checksums need chunks: one for the whole of a small array. The library filters no texts.
    if isFiltered, !shape.isEmpty, count > 0 {
      let chunk = chunkShape(shape).map { hsize_t($0) }
      try HDF5.check(H5Pset_chunk(properties, Int32(chunk.count), chunk), "chunk \(name)")
      if count > plainLimit {
        try HDF5.check(H5Pset_shuffle(properties), "shuffle \(name)")
        try HDF5.check(H5Pset_deflate(properties, 4), "compress \(name)")
      }
      try HDF5.check(H5Pset_fletcher32(properties), "checksum \(name)")
    }
    let links = try HDF5.check(H5Pcreate(chdf5_link_create()), "create link properties")
    defer { H5Pclose(links) }
    try HDF5.check(H5Pset_char_encoding(links, H5T_CSET_UTF8), "name \(name) in UTF-8")
    try HDF5.check(H5Pset_create_intermediate_group(links, 1), "create the groups of \(name)")
    try withSpace(shape) { space in
      let set = try HDF5.check(
        H5Dcreate2(location, name, type, space, links, properties, chdf5_default()),
        "create the data set \(name)")
      try HDF5.using(set, closing: H5Dclose, "the data set \(name)", body)
    }
  }

  /// Whole rows of the leading axis, the time axis of most records, as many as fit a chunk.
  private static func chunkShape(_ shape: [Int]) -> [Int] {
    var chunk = shape
    for axis in shape.indices {
      let rest = chunk[(axis + 1)...].reduce(1, *)
      chunk[axis] = min(shape[axis], max(1, chunkElements / rest))
    }
    return chunk
  }

  /// All elements of an open data set in row-major order, converted by the library.
  static func read<Number: HDF5Number>(
    _ set: hid_t, name: String, as type: Number.Type = Number.self
  ) throws -> [Number] {
    let space = try HDF5.check(H5Dget_space(set), "read the shape of \(name)")
    defer { H5Sclose(space) }
    let count = try HDF5.elementCount(try shape(of: space), width: MemoryLayout<Number>.stride)
    var values = [Number](repeating: .zero, count: count)
    if count > 0 {
      try HDF5.check(
        H5Dread(set, Number.hdf5Type, chdf5_all(), chdf5_all(), chdf5_default(), &values),
        "read \(name)")
    }
    return values
  }

  /// The bytes of all elements of an open data set, as numbers of a type.
  static func readBytes<Number: HDF5Number>(
    _ set: hid_t, name: String, as type: Number.Type
  ) throws -> Data {
    let (_, shape) = try describe(set, name: name)
    let count = try HDF5.elementCount(shape, width: MemoryLayout<Number>.stride)
    // Zeros: the library leaves alone what a file neither stores nor fills.
    var data = Data(count: count * MemoryLayout<Number>.stride)
    if count > 0 {
      try data.withUnsafeMutableBytes { bytes in
        _ = try HDF5.check(
          H5Dread(
            set, Number.hdf5Type, chdf5_all(), chdf5_all(), chdf5_default(), bytes.baseAddress),
          "read \(name)")
      }
    }
    return data
  }

  /// Gives all elements of an open data set new values.
  static func overwrite<Number: HDF5Number>(
    _ set: hid_t, name: String, with values: UnsafeRawBufferPointer, as type: Number.Type
  ) throws {
    let (_, shape) = try describe(set, name: name)
    guard elementCount(of: shape + [MemoryLayout<Number>.stride]) == values.count else {
      throw HDF5Failure("cannot write \(name)", "\(values.count) bytes for shape \(shape)")
    }
    if values.isEmpty { return }
    try HDF5.check(
      H5Dwrite(
        set, Number.hdf5Type, chdf5_all(), chdf5_all(), chdf5_default(), values.baseAddress),
      "write \(name)")
  }

  /// All strings of an open data set.
  static func readStrings(_ set: hid_t, name: String) throws -> [String] {
    let space = try HDF5.check(H5Dget_space(set), "read the shape of \(name)")
    defer { H5Sclose(space) }
    let type = try HDF5.check(H5Dget_type(set), "read the type of \(name)")
    defer { H5Tclose(type) }
    let count = try HDF5.elementCount(try shape(of: space), width: 16)
    return try readStrings(type: type, space: space, count: count) {
      try HDF5.check(
        H5Dread(set, $0, chdf5_all(), chdf5_all(), chdf5_default(), $1), "read \(name)")
    }
  }

  /// Type and shape of an open data set.
  static func describe(_ set: hid_t, name: String) throws -> (type: HDF5Type, shape: [Int]) {
    let space = try HDF5.check(H5Dget_space(set), "read the shape of \(name)")
    defer { H5Sclose(space) }
    let type = try HDF5.check(H5Dget_type(set), "read the type of \(name)")
    defer { H5Tclose(type) }
    return (try HDF5Type(of: type), try shape(of: space))
  }
}
