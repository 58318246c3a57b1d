import CHDF5
import Foundation

/// HDF5 files as bytes in memory, and the walk through their groups.
///
/// A record is built and read in memory, so that the disk sees whole files only and a full disk
/// or a truncated file is noticed by plain reads and writes, not inside the library.
enum HDF5File {
  /// The first bytes of every HDF5 file without a user block.
  static let magic = Data([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a])

  /// Whether `data` is an HDF5 file, with or without a user block of 512, 1024, … bytes.
  static func hasMagic(_ data: Data) -> Bool {
    var offset = 0
    while offset + magic.count <= data.count {
      if data[data.startIndex + offset..<data.endIndex].starts(with: magic) { return true }
      offset = max(512, 2 * offset)
    }
    return false
  }

  /// Throws unless `data` begins as an HDF5 file.
  static func checkMagic(_ data: Data, path: String, hint: String) throws {
    if data.isEmpty { throw StorageError("empty file, not HDF5", at: path, hint: hint) }
    if !data.starts(with: magic) {
      throw StorageError(
        "not an HDF5 file (first bytes \(firstBytes(data)))", at: path, hint: hint)
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
    let id = try HDF5.check(
      H5Fcreate("record", chdf5_truncate(), creation, access), "create a file in memory")
    return try HDF5.using(id, closing: H5Fclose, "the file") { file in
      try body(file)
      try HDF5.check(H5Fflush(file, H5F_SCOPE_GLOBAL), "finish the file")
      let size = try HDF5.check(H5Fget_file_image(file, nil, 0), "measure the file")
      var data = Data(count: size)
      try data.withUnsafeMutableBytes { bytes in
        _ = try HDF5.check(
          H5Fget_file_image(file, bytes.baseAddress, bytes.count), "take the file from memory")
      }
      return data
    }
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
  static func withFile<Result>(
    _ path: String, writing: Bool = false, _ body: (hid_t) throws -> Result
  ) throws -> Result {
    let access = try HDF5.check(H5Pcreate(chdf5_file_access()), "create access properties")
    defer { H5Pclose(access) }
    try HDF5.check(H5Pset_fclose_degree(access, H5F_CLOSE_STRONG), "set how files close")
    // A file system that has no locks is no reason not to read.
    try HDF5.check(H5Pset_file_locking(access, true, true), "set file locking")
    let mode = writing ? chdf5_read_write() : chdf5_read_only()
    let id = try HDF5.check(H5Fopen(path, mode, access), "open as HDF5")
    return try HDF5.using(id, closing: H5Fclose, "the file") { file in
      let result = try body(file)
      if writing { try HDF5.check(H5Fflush(file, H5F_SCOPE_GLOBAL), "finish the file") }
      return result
    }
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

  /// What a group holds.
  enum Child {
    case group(String)
    case dataSet(String)
    /// A named type, or a link that leads elsewhere.
    case other(String)
  }

  /// The index to walk by, from the creation-order flags of a group or an object.
  static func index(_ flags: UInt32) -> H5_index_t {
    flags & chdf5_keep_order() == chdf5_keep_order() ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME
  }

  /// The links of an open group in the order of creation where the file has it, else by name.
  static func children(of group: hid_t) throws -> [Child] {
    var flags: UInt32 = 0
    let properties = try HDF5.check(H5Gget_create_plist(group), "read group properties")
    defer { H5Pclose(properties) }
    try HDF5.check(H5Pget_link_creation_order(properties, &flags), "read the order of a group")
    let index = self.index(flags)
    var info = H5G_info_t()
    try HDF5.check(H5Gget_info(group, &info), "read a group")
    return try (0..<info.nlinks).map { number in
      let name = try text("the name of a link") {
        H5Lget_name_by_idx(group, ".", index, H5_ITER_INC, number, $0, $1, chdf5_default())
      }
      let isHard = try HDF5.check(chdf5_is_hard_link(group, name), "read the link \(name)")
      guard isHard == 1 else { return .other(name) }
      let object = try HDF5.check(H5Oopen(group, name, chdf5_default()), "open \(name)")
      defer { H5Oclose(object) }
      switch H5Iget_type(object) {
      case H5I_GROUP: return .group(name)
      case H5I_DATASET: return .dataSet(name)
      default: return .other(name)
      }
    }
  }

  /// A text that the library hands out by length first, content second.
  static func text(
    _ what: String, _ call: (UnsafeMutablePointer<CChar>?, Int) -> Int
  ) throws -> String {
    let length = try HDF5.check(call(nil, 0), "read \(what)")
    return try withUnsafeTemporaryAllocation(of: CChar.self, capacity: length + 1) { buffer in
      guard let base = buffer.baseAddress else { return "" }
      try HDF5.check(call(base, length + 1), "read \(what)")
      return String(cString: base)
    }
  }
}
