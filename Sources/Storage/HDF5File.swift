// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation

/// HDF5 files as bytes in memory, and the walk through their groups.
///
/// A record is built and read in memory, so that the disk sees whole files only and a full disk
/// or a truncated file is noticed by plain reads and writes, not inside the library.
enum HDF5File {
  /// The first bytes of every HDF5 file without a user block.
  static let magic = Data([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a])

  /// Whether it is an HDF5 file, with or without a user block of 512, 1024, … bytes.
  static func hasMagic(_ file: FileReader) throws -> Bool {
    var offset = 0
    while offset + magic.count <= file.size {
      let bytes: [UInt8] = try file.elements(at: offset, count: magic.count)
      if magic.elementsEqual(bytes) { return true }
      offset = max(512, 2 * offset)
    }
    return false
  }

  /// Throws unless the file begins as HDF5.
  static func checkMagic(_ file: FileReader, hint: String) throws {
    let first = Data(try file.elements(at: 0, count: min(magic.count, file.size)) as [UInt8])
    if first.isEmpty { throw StorageError("empty file, not HDF5", at: file.path, hint: hint) }
    if !first.starts(with: magic) {
      throw StorageError(
        "not an HDF5 file (first bytes \(firstBytes(first)))", at: file.path, hint: hint)
    }
  }

  // MARK: - Files in memory

  /// The bytes of a new file filled by `body`, which gets the id of the root group's file.
  static func image(_ body: (hid_t) throws -> Void) throws -> Data {
    let access = try memoryAccess()
    defer { H5Pclose(access) }
    let creation = try HDF5.check(H5Pcreate(chdf5_file_create()), "create file properties")
    defer { H5Pclose(creation) }
    try setReproducible(creation, "file")
    try HDF5.check(
      H5Pset_link_creation_order(creation, chdf5_keep_order()), "keep the order of groups")
    // The format of HDF5 1.10: headers and indexes have checksums.
    try HDF5.check(
      H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110), "choose the file format")
    var bytes: UnsafeMutableRawPointer?
    defer { free(bytes) }
    return try withUnsafeMutablePointer(to: &bytes) { kept in
      try HDF5.check(chdf5_keep_image(access, kept), "keep a file in memory")
      let id = try HDF5.check(
        H5Fcreate("record", chdf5_truncate(), creation, access), "create a file in memory")
      let size = try HDF5.using(id, closing: H5Fclose, "the file") { file in
        try body(file)
        try HDF5.check(H5Fflush(file, H5F_SCOPE_GLOBAL), "finish the file")
        return try HDF5.check(H5Fget_file_image(file, nil, 0), "measure the file")
      }
      guard let bytes = kept.pointee else {
        throw HDF5Failure("cannot take the file from memory", "the library kept it")
      }
      // Closing gives back space that was allocated in advance.
      let image = Data(bytesNoCopy: bytes, count: size, deallocator: .none)
      return Data(image.prefix(contentEnd(of: image) ?? size))
    }
  }

  /// Where the content of a file in memory ends by its superblock; nil for the older formats before version 2.
  static func contentEnd(of data: Data) -> Int? {
    guard data.count >= 36, data[data.startIndex + 8] >= 2 else { return nil }
    let bytes = data[data.startIndex + 28..<data.startIndex + 36]
    return Int(clamping: bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
  }

  /// Opens a file held in memory for reading.
  static func withImage<Result>(
    _ data: Data, _ body: (hid_t) throws -> Result
  ) throws -> Result {
    let access = try memoryAccess()
    defer { H5Pclose(access) }
    var copy = data
    try copy.withUnsafeMutableBytes { bytes in
      _ = try HDF5.check(
        H5Pset_file_image(access, bytes.baseAddress, bytes.count), "hold the file in memory")
    }
    let id = try HDF5.check(H5Fopen("record", chdf5_read_only(), access), "open as HDF5")
    return try HDF5.using(id, closing: H5Fclose, "the file", body)
  }

  private static func memoryAccess() throws -> hid_t {
    let access = try HDF5.check(H5Pcreate(chdf5_file_access()), "create access properties")
    try HDF5.check(H5Pset_fapl_core(access, 1 << 16, false), "choose memory as the store")
    try HDF5.check(H5Pset_fclose_degree(access, H5F_CLOSE_STRONG), "set how files close")
    return access
  }

  // MARK: - Files on disk

  /// Opens the file at `path` in place.
  static func open(_ path: String, writing: Bool) throws -> hid_t {
    let access = try HDF5.check(H5Pcreate(chdf5_file_access()), "create access properties")
    defer { H5Pclose(access) }
    try HDF5.check(H5Pset_fclose_degree(access, H5F_CLOSE_STRONG), "set how files close")
    // Nobody else's writing is in the way of reading, nor the other way round.
    try HDF5.check(H5Pset_file_locking(access, false, true), "set file locking")
    let mode = writing ? chdf5_read_write() : chdf5_read_only()
    return try HDF5.check(H5Fopen(path, mode, access), "open as HDF5")
  }

  // MARK: - Groups

  /// The same content gives the same bytes: no times, and everything in the order of creation.
  static func setReproducible(_ properties: hid_t, _ what: String) throws {
    try HDF5.check(H5Pset_obj_track_times(properties, false), "switch off times of a \(what)")
    try HDF5.check(
      H5Pset_attr_creation_order(properties, chdf5_keep_order()),
      "keep the order of attributes of a \(what)")
  }

  /// Creates a group (and the groups on the way to it) and fills it.
  static func createGroup(
    _ name: String, in location: hid_t, _ body: (hid_t) throws -> Void
  ) throws {
    let properties = try HDF5.check(H5Pcreate(chdf5_group_create()), "create group properties")
    defer { H5Pclose(properties) }
    try setReproducible(properties, "group")
    try HDF5.check(
      H5Pset_link_creation_order(properties, chdf5_keep_order()), "keep the order of data sets")
    let group = try HDF5.check(
      H5Gcreate2(location, name, chdf5_default(), properties, chdf5_default()),
      "create the group \(name)")
    try HDF5.using(group, closing: H5Gclose, "the group \(name)", body)
  }

  /// Opens a group of a file; "/" is the root.
  static func withGroup<Result>(
    _ name: String, in location: hid_t, _ body: (hid_t) throws -> Result
  ) throws -> Result {
    let group = try HDF5.check(
      H5Gopen2(location, name, chdf5_default()), "open the group \(name)")
    return try HDF5.using(group, closing: H5Gclose, "the group \(name)", body)
  }

  /// Opens a data set of a file.
  static func withDataSet<Result>(
    _ name: String, in location: hid_t, _ body: (hid_t) throws -> Result
  ) throws -> Result {
    let set = try HDF5.check(
      H5Dopen2(location, name, chdf5_default()), "open the data set \(name)")
    return try HDF5.using(set, closing: H5Dclose, "the data set \(name)", body)
  }

  /// A link of a group.
  struct Link {
    /// The name as it lies in the file, with the NUL at its end.
    let bytes: [CChar]
    /// Not one that leads elsewhere, perhaps into another file.
    let isHard: Bool

    /// The name, nil where it is no UTF-8 or no name that a path can hold.
    var name: String? {
      let name = String(validating: bytes.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
      return name == "" || name == "." ? nil : name
    }

    /// The name for people: a byte that is no UTF-8 as in `gr\xf6sse`.
    var shownName: String {
      name
        ?? bytes.dropLast().map { byte in
          let code = UInt8(bitPattern: byte)
          return code < 0x80 ? String(UnicodeScalar(code)) : "\\x" + String(code, radix: 16)
        }.joined()
    }
  }

  /// The index to walk by, from the creation-order flags of a group or an object.
  static func index(_ flags: UInt32) -> H5_index_t {
    flags & chdf5_keep_order() == chdf5_keep_order() ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME
  }

  /// The links of an open group in the order of creation where the file has it, else by name.
  static func links(of group: hid_t) throws -> [Link] {
    var flags: UInt32 = 0
    let properties = try HDF5.check(H5Gget_create_plist(group), "read group properties")
    defer { H5Pclose(properties) }
    try HDF5.check(H5Pget_link_creation_order(properties, &flags), "read the order of a group")
    var links: [Link] = []
    try withUnsafeMutablePointer(to: &links) { links in
      _ = try HDF5.check(
        chdf5_each_link(
          group, index(flags),
          { name, isHard, context in
            guard let name, let context else { return }
            context.assumingMemoryBound(to: [Link].self).pointee.append(
              Link(
                bytes: Array(UnsafeBufferPointer(start: name, count: strlen(name) + 1)),
                isHard: isHard != 0))
          }, links), "read the links of a group")
    }
    return links
  }

  /// Opens what a link leads to.
  static func withObject<Result>(
    _ link: Link, in group: hid_t, _ body: (hid_t) throws -> Result
  ) throws -> Result {
    let object = try HDF5.check(
      H5Oopen(group, link.bytes, chdf5_default()), "open \(link.shownName)")
    return try HDF5.using(object, closing: H5Oclose, link.shownName, body)
  }
}
