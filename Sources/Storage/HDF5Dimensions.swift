// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation

/// Dimension scales as the HDF5 Dimension Scale Specification (HDF Group, 2005) lays them down.
///
/// The four attributes are written here rather than by the library's own high-level calls: those
/// store a structure with its uninitialised padding, so the same record would give other bytes.
enum HDF5Dimensions {
  private static let scaleClass = "CLASS"
  private static let scaleName = "NAME"
  private static let users = "REFERENCE_LIST"
  private static let scales = "DIMENSION_LIST"
  private static let labels = "DIMENSION_LABELS"

  /// The attributes that belong to the specification, not to the record.
  static let reserved = [scaleClass, scaleName, users, scales, labels]

  /// Names the axes of an open data set; no names leaves it without labels.
  static func label(_ set: hid_t, axes: [String]) throws {
    if axes.isEmpty { return }
    try HDF5Attributes.write(.strings(axes), name: labels, on: set)
  }

  /// The names of the axes of an open data set; [] where it has none.
  static func readLabels(_ set: hid_t) throws -> [String] {
    guard try HDF5Attributes.has(labels, on: set) else { return [] }
    guard case .strings(let axes) = try HDF5Attributes.read(labels, on: set) else {
      throw HDF5Failure("cannot read the axes", "\(labels) is not a list of names")
    }
    return axes
  }

  /// Declares the data set `name` of an open group a dimension scale, used by (data set, axis).
  static func makeScale(_ name: String, usedBy uses: [(String, Int)], in group: hid_t) throws {
    try HDF5File.withDataSet(name, in: group) { set in
      try writeFixed("DIMENSION_SCALE", name: scaleClass, on: set)
      try writeFixed(name, name: scaleName, on: set)
      if uses.isEmpty { return }
      // One entry: an object reference of 8 bytes, an axis of 4; packed, so nothing is left unset.
      let width = MemoryLayout<hobj_ref_t>.size + MemoryLayout<Int32>.size
      let type = try HDF5.check(H5Tcreate(H5T_COMPOUND, width), "describe \(users)")
      defer { H5Tclose(type) }
      try HDF5.check(
        H5Tinsert(type, "dataset", 0, chdf5_object_reference()), "describe \(users)")
      try HDF5.check(
        H5Tinsert(type, "dimension", MemoryLayout<hobj_ref_t>.size, chdf5_native_int32()),
        "describe \(users)")
      var bytes: [UInt8] = []
      for (user, axis) in uses {
        withUnsafeBytes(of: try reference(to: user, in: group)) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: Int32(axis)) { bytes.append(contentsOf: $0) }
      }
      try HDF5Attributes.create(users, type: type, shape: [uses.count], on: set) {
        _ = try HDF5.check(H5Awrite($0, type, bytes), "write \(users)")
      }
    }
  }

  /// Attaches one scale per axis (nil: none) to the data set `name` of an open group.
  static func attach(_ axes: [String?], to name: String, in group: hid_t) throws {
    guard axes.contains(where: { $0 != nil }) else { return }
    let type = try HDF5.check(H5Tvlen_create(chdf5_object_reference()), "describe \(scales)")
    defer { H5Tclose(type) }
    var references = try axes.map { axis in
      try axis.map { try reference(to: $0, in: group) } ?? hobj_ref_t()
    }
    try HDF5File.withDataSet(name, in: group) { set in
      try HDF5Attributes.create(scales, type: type, shape: [axes.count], on: set) { attribute in
        try references.withUnsafeMutableBufferPointer { buffer in
          let lists = axes.indices.map { axis in
            axes[axis] == nil
              ? hvl_t(len: 0, p: nil) : hvl_t(len: 1, p: buffer.baseAddress.map { $0 + axis })
          }
          _ = try HDF5.check(H5Awrite(attribute, type, lists), "write \(scales)")
        }
      }
    }
  }

  // MARK: - Helpers

  private static func reference(to name: String, in group: hid_t) throws -> hobj_ref_t {
    var reference = hobj_ref_t()
    try HDF5.check(H5Rcreate(&reference, group, name, H5R_OBJECT, -1), "refer to \(name)")
    return reference
  }

  /// The specification asks for fixed-length strings here.
  private static func writeFixed(_ text: String, name: String, on set: hid_t) throws {
    let bytes = Array(text.utf8) + [0]
    let type = try HDF5.check(H5Tcopy(chdf5_c_string()), "describe \(name)")
    defer { H5Tclose(type) }
    try HDF5.check(H5Tset_size(type, bytes.count), "describe \(name)")
    try HDF5.check(H5Tset_cset(type, H5T_CSET_UTF8), "describe \(name)")
    try HDF5Attributes.create(name, type: type, shape: [], on: set) {
      _ = try HDF5.check(H5Awrite($0, type, bytes), "write \(name)")
    }
  }
}
