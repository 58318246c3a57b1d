// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation

/// The tensors of an open HDF5 file of any make, and what stands in the way of their values.
enum HDF5Listing {
  /// Every data set by its path, and whether the file says that it is a record of this suite.
  static func list(_ file: hid_t) throws -> (entries: [TensorEntry], isRecord: Bool) {
    var entries: [TensorEntry] = []
    var seen: Set<haddr_t> = []
    return try HDF5File.withGroup("/", in: file) { root in
      try list(root, prefix: "", obstacle: nil, seen: &seen, into: &entries)
      return (entries, try HDF5Attributes.has(Record.schemaAttribute, on: root))
    }
  }

  /// Hard links can lead in circles, so every object is visited once; what other links lead to lies elsewhere.
  private static func list(
    _ group: hid_t, prefix: String, obstacle: String?, seen: inout Set<haddr_t>,
    into entries: inout [TensorEntry]
  ) throws {
    guard try seen.insert(address(of: group)).inserted else { return }
    for link in try HDF5File.links(of: group) where link.isHard {
      let obstacle =
        obstacle ?? (link.name == nil ? "its name cannot be read as a path in UTF-8" : nil)
      let name = prefix + link.shownName
      try HDF5File.withObject(link, in: group) { object in
        switch H5Iget_type(object) {
        case H5I_GROUP:
          try list(object, prefix: name + "/", obstacle: obstacle, seen: &seen, into: &entries)
        case H5I_DATASET:
          guard try seen.insert(address(of: object)).inserted else { return }
          guard let entry = try entry(of: object, name: name) else { return }
          entries.append(
            TensorEntry(
              name: name, type: entry.type, shape: entry.shape,
              obstacle: obstacle ?? entry.obstacle, rounding: entry.rounding))
        default: break
        }
      }
    }
  }

  private static func address(of object: hid_t) throws -> haddr_t {
    var address: haddr_t = 0
    try HDF5.check(chdf5_object_address(object, &address), "find an object")
    return address
  }

  /// What is to be told of an open data set; nil where its data space is null and holds nothing.
  static func entry(of set: hid_t, name: String) throws -> TensorEntry? {
    let space = try HDF5.check(H5Dget_space(set), "read the shape of \(name)")
    defer { H5Sclose(space) }
    if H5Sget_simple_extent_type(space) == H5S_NULL { return nil }
    let type = try HDF5.check(H5Dget_type(set), "read the type of \(name)")
    defer { H5Tclose(type) }
    let shape = try HDF5Values.shape(of: space)
    let tensorType = TensorType(try HDF5Type(of: type))
    guard let count = elementCount(of: shape),
      case (let bytes, false) = count.multipliedReportingOverflow(by: H5Tget_size(type))
    else { throw HDF5Failure("cannot read \(name)", "its shape \(shape) overflows") }
    let (filter, rounding) = try filters(
      of: set, name: name, isReal: tensorType.reading != .integer)
    return TensorEntry(
      name: name, type: tensorType, shape: shape,
      obstacle: try storageObstacle(set, name: name, bytes: bytes) ?? filter, rounding: rounding)
  }

  // MARK: - Storage

  /// Data sets of this size may be stored in next to nothing, say as a fill value.
  private static let unquestionedBytes = 1 << 30
  /// More than any compression gives (deflate: 1032).
  private static let largestRatio = 2048

  private static func storageObstacle(
    _ set: hid_t, name: String, bytes: Int
  ) throws -> String? {
    let properties = try HDF5.check(H5Dget_create_plist(set), "read the properties of \(name)")
    defer { H5Pclose(properties) }
    // A file that names another could have any file of this machine read, or written.
    let layout = H5Pget_layout(properties)
    if layout == H5D_VIRTUAL || H5Pget_external_count(properties) != 0 {
      return "its values lie in another file, which is not read"
    }
    let stored = H5Dget_storage_size(set)
    let fileSize = try HDF5.fileSize(of: set)
    let isChunked = layout == H5D_CHUNKED
    if stored > hsize_t(fileSize) {
      return "it claims \(stored) bytes in a file of \(fileSize)"
    }
    if !isChunked && stored != 0 && stored < hsize_t(bytes) {
      return "it would take \(bytes) bytes, of which the file holds \(stored)"
    }
    if bytes > unquestionedBytes && hsize_t(bytes / largestRatio) > stored {
      return "it would take \(bytes) bytes, of which the file holds \(stored)"
    }
    return nil
  }

  private static func filters(
    of set: hid_t, name: String, isReal: Bool
  ) throws -> (obstacle: String?, rounding: String?) {
    let properties = try HDF5.check(H5Dget_create_plist(set), "read the properties of \(name)")
    defer { H5Pclose(properties) }
    var rounding: String?
    for index in 0..<UInt32(max(try HDF5.check(H5Pget_nfilters(properties), "count filters"), 0)) {
      var (flags, configuration): (UInt32, UInt32) = (0, 0)
      var parameters = [UInt32](repeating: 0, count: 32)
      var count = parameters.count
      var label = [CChar](repeating: 0, count: 64)
      let filter = try HDF5.check(
        H5Pget_filter2(
          properties, index, &flags, &count, &parameters, label.count, &label, &configuration),
        "read the filters of \(name)")
      if try HDF5.check(H5Zfilter_avail(filter), "look for a filter") == 0 {
        let known = String(
          decoding: label.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let title = known.isEmpty ? "\(filter)" : "\(known) (\(filter))"
        return ("it is stored with the filter \(title), which is not installed", nil)
      }
      if filter == H5Z_FILTER_SCALEOFFSET, isReal {
        // The first parameter is the kind of scale, the second the decimals that are kept.
        rounding =
          "its filter scale-offset rounds to \(Int32(bitPattern: parameters[1])) decimals"
      }
    }
    return (nil, rounding)
  }
}
