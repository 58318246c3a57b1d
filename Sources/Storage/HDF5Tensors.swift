import CHDF5
import Foundation

/// Tensors in HDF5 files of any make: every data set by its path.
enum HDF5Tensors {
  private static let hint = "check that it is a whole HDF5 file"

  // MARK: - Listing and reading

  static func entries(of path: String) throws -> [TensorEntry] {
    try withHDF5(path, hint: hint) {
      try HDF5File.withFile(path) { file in
        var entries: [TensorEntry] = []
        var seen: Set<haddr_t> = []
        try HDF5File.withGroup("/", in: file) {
          try list($0, prefix: "", seen: &seen, into: &entries)
        }
        return entries
      }
    }
  }

  /// Hard links can lead in circles, so every object is visited once.
  private static func list(
    _ group: hid_t, prefix: String, seen: inout Set<haddr_t>, into entries: inout [TensorEntry]
  ) throws {
    guard try seen.insert(address(of: group)).inserted else { return }
    for child in try HDF5File.children(of: group) {
      switch child {
      case .group(let name):
        try HDF5File.withGroup(name, in: group) {
          try list($0, prefix: "\(prefix)\(name)/", seen: &seen, into: &entries)
        }
      case .dataSet(let name):
        try HDF5File.withDataSet(name, in: group) { set in
          guard try seen.insert(address(of: set)).inserted else { return }
          let space = try HDF5.check(H5Dget_space(set), "read the shape of \(name)")
          defer { H5Sclose(space) }
          // A null data space holds nothing to list.
          guard H5Sget_simple_extent_type(space) != H5S_NULL else { return }
          let (type, shape) = try HDF5Values.describe(set, name: name)
          entries.append(
            TensorEntry(name: prefix + name, type: TensorType(type), shape: shape))
        }
      case .other: break
      }
    }
  }

  private static func address(of object: hid_t) throws -> haddr_t {
    var address: haddr_t = 0
    try HDF5.check(chdf5_object_address(object, &address), "find an object")
    return address
  }

  static func read<Number: HDF5Number>(_ name: String, of path: String) throws -> [Number] {
    try withHDF5(path, hint: hint) {
      try HDF5File.withFile(path) { file in
        try HDF5File.withDataSet(name, in: file) { try HDF5Values.read($0, name: name) }
      }
    }
  }

  // MARK: - Writing

  /// Copies the file byte by byte, then overwrites the replaced data sets in place, so that
  /// whatever else the file holds stays as it was.
  static func copy(
    _ source: String, to path: String, entries: [TensorEntry], replacing: [String: TensorValues]
  ) throws {
    try AtomicFile.withTemporary(for: path) { temporary in
      let input = try SystemCalls.openFile(source, O_RDONLY, doing: "read")
      defer { close(input) }
      let output = try SystemCalls.openFile(temporary, O_WRONLY, doing: "write")
      defer { close(output) }
      try SystemCalls.readPieces(input, path: source) {
        try SystemCalls.writeAll(
          $0, to: output, path: path, writer: SystemCalls.systemWriter)
      }
      if replacing.isEmpty { return }
      try withHDF5(path, hint: "check the free space on the disk") {
        try HDF5File.withFile(temporary, writing: true) { file in
          for entry in entries {
            guard let values = replacing[entry.name] else { continue }
            try HDF5File.withDataSet(entry.name, in: file) {
              try overwrite($0, with: values, name: entry.name)
            }
          }
        }
      }
    }
  }

  private static func overwrite(
    _ set: hid_t, with values: TensorValues, name: String
  ) throws {
    let properties = try HDF5.check(H5Dget_create_plist(set), "read properties")
    defer { H5Pclose(properties) }
    // Such data lie in other files, which a copy must not touch.
    if H5Pget_layout(properties) == H5D_VIRTUAL || H5Pget_external_count(properties) > 0 {
      throw HDF5Failure("cannot replace \(name)", "its data lie in another file")
    }
    switch values {
    case .float(let values): try overwrite(set, with: values, name: name)
    case .double(let values): try overwrite(set, with: values, name: name)
    }
  }

  private static func overwrite<Number: HDF5Number>(
    _ set: hid_t, with values: [Number], name: String
  ) throws {
    if values.isEmpty { return }
    try HDF5.check(
      H5Dwrite(set, Number.hdf5Type, chdf5_all(), chdf5_all(), chdf5_default(), values),
      "write \(name)")
  }

  /// Writes a new file; `/` in a name separates groups.
  static func write(_ tensors: [TensorFile.Tensor], to path: String) throws {
    let data = try withHDF5(path, hint: "check the names of the tensors") {
      try HDF5File.image { file in
        for tensor in tensors {
          let (name, shape) = (tensor.name, tensor.shape)
          switch tensor.values {
          case .float(let values):
            try HDF5Values.write(values, shape: shape, name: name, in: file)
          case .double(let values):
            try HDF5Values.write(values, shape: shape, name: name, in: file)
          }
        }
      }
    }
    try AtomicFile.write(data, to: path)
  }
}

extension TensorType {
  /// The safetensors name of an HDF5 type, or a description where it has none.
  init(_ type: HDF5Type) {
    switch type {
    case .float(let bytes): self.init("F\(8 * bytes)")
    case .integer(let bytes, let signed): self.init("\(signed ? "I" : "U")\(8 * bytes)")
    case .string: self.init("string")
    case .other(let name): self.init(name)
    }
  }
}
