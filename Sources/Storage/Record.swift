// SPDX-License-Identifier: Apache-2.0

/// A result file in memory: attributes and data sets in the root and in named groups.
///
/// What is reproducible lies in the root and in groups named for what they hold; times, memory,
/// host and versions lie in the group `telemetry`, which comparisons of results leave out.
/// Equality is bitwise (a NaN equals itself) and minds the order of groups, data sets and
/// attributes; the path a record was read from does not count.
public struct Record: Sendable {
  /// The value of the root attribute `schema`, written and checked by this module.
  public static let schema = "spectral-clipping-record/1"
  /// The name of the group that holds what differs from run to run.
  public static let telemetryName = "telemetry"
  static let schemaAttribute = "schema"

  /// Attributes and data sets under one name.
  public struct Group: Equatable, Sendable {
    /// The name; empty for the root.
    public let name: String
    /// The attributes in order.
    public var attributes: Attributes
    /// The data sets in order.
    public private(set) var dataSets: [DataSet] = []
    private var places: [ByteName: Int] = [:]

    /// A group with data sets of different names.
    public init(_ name: String, attributes: Attributes = [:], dataSets: [DataSet] = []) {
      precondition(
        !name.isEmpty && name != "." && !name.hasSlash, "\(name): not a group's name")
      self.name = name
      self.attributes = attributes
      for dataSet in dataSets { add(dataSet) }
    }

    /// The root.
    init() {
      name = ""
      attributes = [:]
    }

    /// Adds a data set at the end; its name must be new in this group.
    public mutating func add(_ dataSet: DataSet) {
      precondition(self[dataSet.name] == nil, "the data set \(dataSet.name) is there already")
      places[ByteName(dataSet.name)] = dataSets.count
      dataSets.append(dataSet)
    }

    /// The data set of that name.
    public subscript(name: String) -> DataSet? { places[ByteName(name)].map { dataSets[$0] } }
  }

  /// The attributes and data sets outside any group.
  public var root = Group()
  /// The named groups in order, `telemetry` among them if it was set.
  public private(set) var groups: [Group] = []
  /// The path the record was read from, for messages.
  public internal(set) var source: String?

  /// A record with nothing but the given root.
  public init(attributes: Attributes = [:], dataSets: [DataSet] = []) {
    root.attributes = attributes
    for dataSet in dataSets { root.add(dataSet) }
  }

  // MARK: - Groups

  /// The group of that name; setting a new name adds it at the end, setting nil removes it.
  public subscript(group name: String) -> Group? {
    get { groups.first { ByteName($0.name) == ByteName(name) } }
    set {
      precondition(
        newValue.map { ByteName($0.name) == ByteName(name) } ?? true,
        "the group is not named \(name)")
      let index = groups.firstIndex { ByteName($0.name) == ByteName(name) }
      switch (index, newValue) {
      case (let index?, let group?): groups[index] = group
      case (let index?, nil): groups.remove(at: index)
      case (nil, let group?): groups.append(group)
      case (nil, nil): break
      }
    }
  }

  /// What differs from run to run: times, memory, host, versions; empty where nothing was set.
  public var telemetry: Group {
    get { self[group: Self.telemetryName] ?? Group(Self.telemetryName) }
    set { self[group: Self.telemetryName] = newValue }
  }

  // MARK: - The root, in short

  /// The attributes of the root.
  public var attributes: Attributes {
    get { root.attributes }
    set { root.attributes = newValue }
  }

  /// Adds a data set to the root; its name must be new there.
  public mutating func add(_ dataSet: DataSet) { root.add(dataSet) }

  /// A data set of the root by `name`, or of a group by `group/name`.
  public subscript(path: String) -> DataSet? {
    let parts = path.split(separator: "/", maxSplits: 1).map(String.init)
    switch parts.count {
    case 1: return root[parts[0]]
    case 2: return self[group: parts[0]]?[parts[1]]
    default: return nil
    }
  }
}

// MARK: - Values that must be there

extension Record {
  /// The reals of a data set of one axis, `name` or `group/name`; floats and whole numbers are widened.
  ///
  /// Throws a `StorageError` without one, for another number of axes, and for texts.
  public func doubles(_ path: String) throws -> [Double] { try reals(column(path), path) }

  /// The reals of a data set in row-major order, and its shape of `axes` extents.
  ///
  /// Throws as `doubles(_:)` does.
  public func doubles(_ path: String, axes: Int) throws -> (values: [Double], shape: [Int]) {
    let set = try dataSet(path, axes: axes)
    return (try reals(set, path), set.shape)
  }

  /// The whole numbers of a data set of one axis, `name` or `group/name`.
  public func ints(_ path: String) throws -> [Int] {
    switch try column(path).values {
    case .int64(let values): return values.map { Int($0) }
    case .int32(let values): return values.map { Int($0) }
    case .uint8(let values): return values.map { Int($0) }
    case let values:
      throw mismatch("data set \(path)", "holds \(values.typeName)s, not whole numbers")
    }
  }

  /// The strings of a data set of one axis, `name` or `group/name`.
  public func strings(_ path: String) throws -> [String] {
    guard case .string(let values) = try column(path).values else {
      throw mismatch("data set \(path)", "holds numbers, not strings")
    }
    return values
  }

  private func column(_ path: String) throws -> DataSet { try dataSet(path, axes: 1) }

  private func dataSet(_ path: String, axes: Int) throws -> DataSet {
    let set = try dataSet(path)
    guard set.shape.count == axes else {
      throw mismatch(
        "data set \(path)",
        "has the shape \(set.shape), not \(axes == 1 ? "one axis" : "\(axes) axes")")
    }
    return set
  }

  private func reals(_ set: DataSet, _ path: String) throws -> [Double] {
    switch set.values {
    case .double(let values): return values
    case .float(let values): return values.map(Double.init)
    case .int32(let values): return values.map(Double.init)
    case .uint8(let values): return values.map(Double.init)
    case .int64(let values):
      let reals = values.map(Double.init)
      guard zip(reals, values).allSatisfy({ Int64(exactly: $0) == $1 }) else {
        throw mismatch("data set \(path)", "holds whole numbers too large for a double")
      }
      return reals
    case .string: throw mismatch("data set \(path)", "holds strings, not numbers")
    }
  }

  /// The data set `name` or `group/name`.
  public func dataSet(_ path: String) throws -> DataSet {
    if let dataSet = self[path] { return dataSet }
    throw mismatch("data set \(path)", "is missing")
  }

  /// A text among the root's attributes.
  public func string(attribute name: String) throws -> String {
    if case .string(let text) = try attribute(name) { return text }
    throw mismatch("attribute \(name)", "is not a text")
  }

  /// A whole number among the root's attributes.
  public func int(attribute name: String) throws -> Int {
    if case .int(let number) = try attribute(name) { return number }
    throw mismatch("attribute \(name)", "is not a whole number")
  }

  /// A real number among the root's attributes; a whole number serves too.
  public func double(attribute name: String) throws -> Double {
    switch try attribute(name) {
    case .double(let number): return number
    case .int(let number): return Double(number)
    default: throw mismatch("attribute \(name)", "is not a number")
    }
  }

  private func attribute(_ name: String) throws -> AttributeValue {
    if let value = attributes[name] { return value }
    throw mismatch("attribute \(name)", "is missing")
  }

  private func mismatch(_ part: String, _ fault: String) -> StorageError {
    StorageError(
      "the \(part) \(fault)", at: source ?? "(record in memory)",
      hint: "delete the record and run its experiment again")
  }
}
