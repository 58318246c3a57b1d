// SPDX-License-Identifier: Apache-2.0

extension Record {
  /// The elements of a data set in row-major order.
  public enum Values: Sendable {
    /// 64-bit reals.
    case double([Double])
    /// 32-bit reals.
    case float([Float])
    /// 64-bit whole numbers.
    case int64([Int64])
    /// 32-bit whole numbers.
    case int32([Int32])
    /// Bytes.
    case uint8([UInt8])
    /// Texts in UTF-8.
    case string([String])

    /// The number of elements.
    public var count: Int {
      switch self {
      case .double(let values): values.count
      case .float(let values): values.count
      case .int64(let values): values.count
      case .int32(let values): values.count
      case .uint8(let values): values.count
      case .string(let values): values.count
      }
    }

    /// The name of the element type: `double`, `string`, ….
    public var typeName: String {
      switch self {
      case .double: "double"
      case .float: "float"
      case .int64: "int64"
      case .int32: "int32"
      case .uint8: "uint8"
      case .string: "string"
      }
    }
  }

  /// One named array that says what it is: shape, long name, units, and what its axes count.
  public struct DataSet: Equatable, Sendable {
    /// The name; unique in its group.
    public let name: String
    /// The elements in row-major order.
    public let values: Values
    /// The extent of each axis; [] is a scalar.
    public let shape: [Int]
    /// What the numbers are, for people: `squared bias, exact`.
    public let longName: String
    /// The unit, `1` for pure numbers; empty where there is none to tell.
    public let units: String
    /// One name per axis, or none at all. An axis named as a one-axis data set of the same group
    /// gets that data set as its dimension scale.
    public let dimensions: [String]

    /// A data set; without a shape the values make one axis.
    public init(
      _ name: String, _ values: Values, shape: [Int]? = nil, longName: String = "",
      units: String = "", dimensions: [String] = []
    ) {
      let shape = shape ?? [values.count]
      if let fault = Self.fault(
        name, count: values.count, shape: shape, dimensions: dimensions)
      {
        preconditionFailure("\(name): \(fault)")
      }
      self.name = name
      self.values = values
      self.shape = shape
      self.longName = longName
      self.units = units
      self.dimensions = dimensions.allSatisfy(\.isEmpty) ? [] : dimensions
    }

    /// Why there can be no such data set; nil where there can.
    static func fault(_ name: String, count: Int, shape: [Int], dimensions: [String]) -> String? {
      if name.isEmpty || name == "." || name.hasSlash { return "not a data set's name" }
      if elementCount(of: shape) != count { return "\(count) values for shape \(shape)" }
      if !dimensions.isEmpty && dimensions.count != shape.count {
        return "dimensions \(dimensions) for shape \(shape)"
      }
      return nil
    }
  }
}

extension Record.Values: Equatable {
  /// Bitwise equality: a NaN equals itself, and -0 differs from 0.
  public static func == (left: Record.Values, right: Record.Values) -> Bool {
    left.count == right.count && left.firstDifference(from: right) == nil
      && left.typeName == right.typeName
  }

  /// The first place where two arrays of the same length and type differ in any bit; reals by more than a `tolerance`, where there
  /// is one.
  func firstDifference(
    from other: Record.Values, _ tolerance: Record.Tolerance? = nil
  ) -> (index: Int, description: String)? {
    if let tolerance {
      func outside<Real: BinaryFloatingPoint>(_ a: [Real], _ b: [Real]) -> (Int, String)? {
        zip(a, b).enumerated().first { !tolerance.allows(Double($1.0), Double($1.1)) }.map {
          ($0, "\($1.0) against \($1.1)")
        }
      }
      switch (self, other) {
      case (.double(let a), .double(let b)): return outside(a, b)
      case (.float(let a), .float(let b)): return outside(a, b)
      default: break
      }
    }
    return switch (self, other) {
    case (.double(let a), .double(let b)):
      first(a, b, \.bitPattern) { "\($0) (bits \(hex($0.bitPattern)))" }
    case (.float(let a), .float(let b)):
      first(a, b, \.bitPattern) { "\($0) (bits \(hex($0.bitPattern)))" }
    case (.int64(let a), .int64(let b)): first(a, b, \.self) { "\($0)" }
    case (.int32(let a), .int32(let b)): first(a, b, \.self) { "\($0)" }
    case (.uint8(let a), .uint8(let b)): first(a, b, \.self) { "\($0)" }
    case (.string(let a), .string(let b)):
      first(a, b, { Array($0.utf8) }) { $0.debugDescription }
    default: nil
    }
  }
}

private func first<Element, Bits: Equatable>(
  _ a: [Element], _ b: [Element], _ bits: (Element) -> Bits, show: (Element) -> String
) -> (index: Int, description: String)? {
  for index in 0..<min(a.count, b.count) where bits(a[index]) != bits(b[index]) {
    return (index, "\(show(a[index])) against \(show(b[index]))")
  }
  return nil
}

private func hex(_ bits: some FixedWidthInteger & UnsignedInteger) -> String {
  let digits = String(bits, radix: 16)
  return String(repeating: "0", count: bits.bitWidth / 4 - digits.count) + digits
}
