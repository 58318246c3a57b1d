// SPDX-License-Identifier: Apache-2.0

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
    let image = try withHDF5(path, hint: "correct the record") {
      try HDF5File.image { file in
        try HDF5Attributes.write(.string(Self.schema), name: Self.schemaAttribute, on: file)
        try Self.write(root, to: file)
        for group in groups {
          try HDF5File.createGroup(group.name, in: file) { try Self.write(group, to: $0) }
        }
      }
    }
    return RecordSeal.sealed(image)
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
    let used = Set(group.dataSets.flatMap(\.dimensions).map { ByteName($0) })
    let scales = Dictionary(
      group.dataSets.filter { used.contains(ByteName($0.name)) && $0.shape.count == 1 }
        .map { (ByteName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    let users = group.dataSets.filter { scales[ByteName($0.name)] == nil }
    // All axes of a data set have a scale, or none has one: h5netcdf, and with it xarray, opens nothing else.
    func isWhole(_ set: DataSet) -> Bool {
      set.dimensions.allSatisfy { scales[ByteName($0)] != nil }
    }
    var uses: [ByteName: [(String, Int)]] = [:]
    for user in users {
      for (axis, dimension) in user.dimensions.enumerated() {
        guard let scale = scales[ByteName(dimension)] else { continue }
        if user.shape[axis] != scale.shape[0] {
          throw HDF5Failure(
            "cannot attach \(scale.name) to \(user.name)",
            "shape \(scale.shape) along axis \(axis) of shape \(user.shape)")
        }
        if isWhole(user) { uses[ByteName(dimension), default: []].append((user.name, axis)) }
      }
    }
    for set in group.dataSets where scales[ByteName(set.name)] != nil {
      try HDF5Dimensions.makeScale(
        set.name, usedBy: uses[ByteName(set.name)] ?? [], in: location)
    }
    for user in users where isWhole(user) {
      let axes = user.dimensions.map { scales[ByteName($0)]?.name }
      try HDF5Dimensions.attach(axes, to: user.name, in: location)
    }
  }

  // MARK: - Reading

  /// Reads a record whole; a file that is cut off, damaged, foreign or no record is one clear error.
  public static func read(from path: String) throws -> Record {
    let file = try FileReader(path)
    // Before a process is asked to read all of it: a large file that was meant for something else is told at once.
    try HDF5File.checkMagic(file, hint: hint)
    var answer = try HDF5Process.shared.ask(.record(path: path), bytes: file.size)
    do {
      var record = try answer.record()
      record.source = path
      return record
    } catch is PacketReader.Malformed { throw HDF5Process.nonsense(path) }
  }

  /// The same in the process that it is called in.
  static func readHere(from path: String) throws -> Record {
    let image = try RecordSeal.opened(FileBytes.read(path), path: path, hint: hint)
    return try withHDF5(path, hint: hint) {
      try HDF5File.withImage(image) { file in
        try HDF5File.withGroup("/", in: file) { root in
          try checkSchema(of: root)
          var record = Record()
          var content = Group()
          try read(into: &content, from: root) { name, object in
            var group = Group(name)
            try read(into: &group, from: object) { nested, _ in
              throw notOurs("\(name)/\(nested) is a nested group")
            }
            record[group: name] = group
          }
          record.root = content
          return record
        }
      }
    }
  }

  private static func notOurs(_ detail: String) -> HDF5Failure {
    HDF5Failure("not a record of this suite", detail)
  }

  private static func checkSchema(of root: hid_t) throws {
    guard try HDF5Attributes.has(schemaAttribute, on: root) else {
      throw notOurs("it has no attribute \(schemaAttribute)")
    }
    let found = try HDF5Attributes.read(schemaAttribute, on: root)
    if found != .string(schema) {
      throw HDF5Failure("a record of another schema", "it has \(found), this build reads \(schema)")
    }
  }

  /// Reads attributes and data sets of an open group, and hands the groups in it to `nested`.
  private static func read(
    into group: inout Group, from location: hid_t, nested: (String, hid_t) throws -> Void
  ) throws {
    let isRoot = group.name.isEmpty
    for name in try HDF5Attributes.names(of: location) where !(isRoot && name == schemaAttribute) {
      guard !name.isEmpty else { throw notOurs("an attribute has no name") }
      group.attributes[name] = try HDF5Attributes.read(name, on: location)
    }
    for link in try HDF5File.links(of: location) {
      guard link.isHard, let name = link.name else {
        throw notOurs("\(link.shownName) is a link elsewhere, or its name is no UTF-8")
      }
      try HDF5File.withObject(link, in: location) { object in
        switch H5Iget_type(object) {
        case H5I_GROUP: try nested(name, object)
        case H5I_DATASET:
          guard group[name] == nil else { throw notOurs("it has two data sets \(name)") }
          group.add(try read(object, name: name))
        default: throw notOurs("\(name) is neither a group nor a data set")
        }
      }
    }
  }

  private static func read(_ set: hid_t, name: String) throws -> DataSet {
    if let obstacle = try HDF5Listing.entry(of: set, name: name)?.obstacle {
      throw notOurs("\(name): \(obstacle)")
    }
    let (type, shape) = try HDF5Values.describe(set, name: name)
    let values: Values
    switch type {
    case .float(bytes: 8): values = .double(try HDF5Values.read(set, name: name))
    case .float(bytes: 4): values = .float(try HDF5Values.read(set, name: name))
    case .integer(bytes: 8, signed: true): values = .int64(try HDF5Values.read(set, name: name))
    case .integer(bytes: 4, signed: true): values = .int32(try HDF5Values.read(set, name: name))
    case .integer(bytes: 1, signed: false): values = .uint8(try HDF5Values.read(set, name: name))
    case .string: values = .string(try HDF5Values.readStrings(set, name: name))
    default: throw notOurs("\(name) holds \(type)")
    }
    let dimensions = try HDF5Dimensions.readLabels(set)
    if let fault = DataSet.fault(name, count: values.count, shape: shape, dimensions: dimensions) {
      throw notOurs("\(name): \(fault)")
    }
    return DataSet(
      name, values, shape: shape, longName: try text(longNameAttribute, of: set),
      units: try text(unitsAttribute, of: set), dimensions: dimensions)
  }

  private static func text(_ name: String, of set: hid_t) throws -> String {
    guard try HDF5Attributes.has(name, on: set) else { return "" }
    guard case .string(let text) = try HDF5Attributes.read(name, on: set) else {
      throw notOurs("the attribute \(name) is not a text")
    }
    return text
  }
}
