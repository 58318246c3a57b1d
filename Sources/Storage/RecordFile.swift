import CHDF5
import Foundation

// Record <-> HDF5.

extension Record {
  private static let longNameAttribute = "long_name"
  private static let unitsAttribute = "units"
  private static let hint = "delete it and run its experiment again"

  // MARK: - Writing

  /// Writes the record as an HDF5 file, whole or not at all; the same record gives the same bytes.
  public func write(to path: String) throws {
    try AtomicFile.write(try encoded(for: path), to: path)
  }

  /// The bytes of the HDF5 file; `path` is for messages only.
  func encoded(for path: String) throws -> Data {
    precondition(
      attributes[Self.schemaAttribute] == nil, "the attribute schema is written by the module")
    return try withHDF5(path, hint: "correct the record") {
      try HDF5File.image { file in
        try HDF5Attributes.write(.string(Self.schema), name: Self.schemaAttribute, on: file)
        try Self.write(root, to: file)
        for group in groups {
          try HDF5File.createGroup(group.name, in: file) { try Self.write(group, to: $0) }
        }
      }
    }
  }

  private static func write(_ group: Group, to location: hid_t) throws {
    for attribute in group.attributes {
      try HDF5Attributes.write(attribute.value, name: attribute.name, on: location)
    }
    for dataSet in group.dataSets { try write(dataSet, to: location) }
    try writeDimensions(of: group, to: location)
  }

  private static func write(_ dataSet: DataSet, to location: hid_t) throws {
    func describe(_ set: hid_t) throws {
      try HDF5Attributes.write(.string(dataSet.longName), name: longNameAttribute, on: set)
      try HDF5Attributes.write(.string(dataSet.units), name: unitsAttribute, on: set)
      try HDF5Dimensions.label(set, axes: dataSet.dimensions)
    }
    let (name, shape) = (dataSet.name, dataSet.shape)
    switch dataSet.values {
    case .double(let values):
      try HDF5Values.write(values, shape: shape, name: name, in: location, describe)
    case .float(let values):
      try HDF5Values.write(values, shape: shape, name: name, in: location, describe)
    case .int64(let values):
      try HDF5Values.write(values, shape: shape, name: name, in: location, describe)
    case .int32(let values):
      try HDF5Values.write(values, shape: shape, name: name, in: location, describe)
    case .uint8(let values):
      try HDF5Values.write(values, shape: shape, name: name, in: location, describe)
    case .string(let values):
      try HDF5Values.write(values, shape: shape, name: name, in: location, describe)
    }
  }

  /// Scales are the one-axis data sets whose names occur among the dimensions of their group.
  private static func writeDimensions(of group: Group, to location: hid_t) throws {
    let used = Set(group.dataSets.flatMap(\.dimensions))
    let scales = group.dataSets.filter { used.contains($0.name) && $0.shape.count == 1 }
    for scale in scales {
      var uses: [(String, Int)] = []
      for user in group.dataSets where !scales.contains(where: { $0.name == user.name }) {
        for (axis, dimension) in user.dimensions.enumerated() where dimension == scale.name {
          if user.shape[axis] != scale.shape[0] {
            throw HDF5Failure(
              "cannot attach \(scale.name) to \(user.name)",
              "shape \(scale.shape) along axis \(axis) of shape \(user.shape)")
          }
          uses.append((user.name, axis))
        }
      }
      try HDF5Dimensions.makeScale(scale.name, usedBy: uses, in: location)
    }
    for user in group.dataSets where !scales.contains(where: { $0.name == user.name }) {
      let axes = user.dimensions.map { name in scales.first { $0.name == name }?.name }
      try HDF5Dimensions.attach(axes, to: user.name, in: location)
    }
  }

  // MARK: - Reading

  /// Reads a record whole; a file that is cut off, foreign or no record is one clear error.
  public static func read(from path: String) throws -> Record {
    let data = try SystemCalls.readFile(path)
    try HDF5File.checkMagic(data, path: path, hint: hint)
    var record = Record()
    record.source = path
    try withHDF5(path, hint: hint) {
      try HDF5File.withImage(data) { file in
        try HDF5File.withGroup("/", in: file) { root in
          try checkSchema(of: root)
          let names = try read(into: &record.root, from: root)
          for name in names {
            var group = Group(name)
            let inner = try HDF5File.withGroup(name, in: root) { try read(into: &group, from: $0) }
            if let nested = inner.first {
              throw HDF5Failure("not a record of this suite", "\(name)/\(nested) is a nested group")
            }
            record[group: name] = group
          }
        }
      }
    }
    return record
  }

  private static func checkSchema(of root: hid_t) throws {
    guard try HDF5Attributes.has(schemaAttribute, on: root) else {
      throw HDF5Failure("not a record of this suite", "it has no attribute \(schemaAttribute)")
    }
    let found = try HDF5Attributes.read(schemaAttribute, on: root)
    if found != .string(schema) {
      throw HDF5Failure("a record of another schema", "it has \(found), this build reads \(schema)")
    }
  }

  /// Reads attributes and data sets of an open group; returns the names of the groups in it.
  private static func read(into group: inout Group, from location: hid_t) throws -> [String] {
    let isRoot = group.name.isEmpty
    for name in try HDF5Attributes.names(of: location) where !(isRoot && name == schemaAttribute) {
      group.attributes[name] = try HDF5Attributes.read(name, on: location)
    }
    var groups: [String] = []
    for child in try HDF5File.children(of: location) {
      switch child {
      case .group(let name): groups.append(name)
      case .dataSet(let name):
        // Two spellings of one Unicode name are two names for HDF5, one for Swift.
        guard group[name] == nil else {
          throw HDF5Failure("not a record of this suite", "it has two data sets \(name)")
        }
        group.add(try HDF5File.withDataSet(name, in: location) { try read($0, name: name) })
      case .other(let name):
        throw HDF5Failure(
          "not a record of this suite", "\(name) is neither a group nor a data set")
      }
    }
    return groups
  }

  private static func read(_ set: hid_t, name: String) throws -> DataSet {
    let (type, shape) = try HDF5Values.describe(set, name: name)
    let values: Values
    switch type {
    case .float(bytes: 8): values = .double(try HDF5Values.read(set, name: name))
    case .float(bytes: 4): values = .float(try HDF5Values.read(set, name: name))
    case .integer(bytes: 8, signed: true): values = .int64(try HDF5Values.read(set, name: name))
    case .integer(bytes: 4, signed: true): values = .int32(try HDF5Values.read(set, name: name))
    case .integer(bytes: 1, signed: false): values = .uint8(try HDF5Values.read(set, name: name))
    case .string: values = .string(try HDF5Values.readStrings(set, name: name))
    default: throw HDF5Failure("not a record of this suite", "\(name) holds \(type)")
    }
    let dimensions = try HDF5Dimensions.readLabels(set)
    guard dimensions.isEmpty || dimensions.count == shape.count else {
      throw HDF5Failure(
        "not a record of this suite", "\(name) has shape \(shape), dimensions \(dimensions)")
    }
    return DataSet(
      name, values, shape: shape, longName: try text(longNameAttribute, of: set),
      units: try text(unitsAttribute, of: set), dimensions: dimensions)
  }

  private static func text(_ name: String, of set: hid_t) throws -> String {
    guard try HDF5Attributes.has(name, on: set) else { return "" }
    guard case .string(let text) = try HDF5Attributes.read(name, on: set) else {
      throw HDF5Failure("not a record of this suite", "the attribute \(name) is not a text")
    }
    return text
  }
}
