import LinearAlgebra
import Storage

/// Changes to what a record says, while it stays a well-formed file: what a build with a fault, or a person, would write.
struct RecordMutation {
  static func mutate(_ record: inout Record, _ cursor: inout RandomCursor) {
    for _ in 0..<(1 + cursor.integer(below: 2)) {
      let names = [""] + record.groups.map(\.name)
      let name = names[cursor.integer(below: names.count)]
      let group = name.isEmpty ? record.root : record[group: name] ?? record.root
      let changed = changed(group, &cursor)
      if name.isEmpty { record.root = changed } else { record[group: name] = changed }
    }
  }

  private static func changed(
    _ group: Record.Group, _ cursor: inout RandomCursor
  ) -> Record.Group {
    var attributes = group.attributes
    let keys = attributes.names
    var sets = group.dataSets
    if cursor.integer(below: 3) == 0 || sets.isEmpty, !keys.isEmpty {
      attributes[keys[cursor.integer(below: keys.count)]] = attribute(&cursor)
    } else if !sets.isEmpty {
      let index = cursor.integer(below: sets.count)
      if let set = dataSet(sets[index], &cursor) {
        sets[index] = set
      } else {
        sets.remove(at: index)
      }
      // A changed length would not fit the scales of the others.
      sets = sets.map {
        .init($0.name, $0.values, shape: $0.shape, longName: $0.longName, units: $0.units)
      }
    }
    return group.name.isEmpty
      ? Record(attributes: attributes, dataSets: sets).root
      : Record.Group(group.name, attributes: attributes, dataSets: sets)
  }

  /// Nothing, or a value of any type.
  private static func attribute(_ cursor: inout RandomCursor) -> AttributeValue? {
    let values: [AttributeValue?] = [
      nil, .string(""), .string("`touch pwned`\"; system('touch pwned') #"), .string("a\nb"),
      .int(0),
      .int(-1), .int(.max), .double(.nan), .double(.infinity), .double(-1), .strings([]), .ints([]),
      .string("steps = 9223372036854775807"), .strings(["", "x"]),
    ]
    return values[cursor.integer(below: values.count)]
  }

  /// The set shorter, longer, empty, of another type, with other values, or gone (nil).
  private static func dataSet(
    _ set: Record.DataSet, _ cursor: inout RandomCursor
  ) -> Record.DataSet? {
    let count = set.values.count
    func with(_ values: Record.Values, _ shape: [Int]?) -> Record.DataSet {
      .init(set.name, values, shape: shape, longName: set.longName, units: set.units)
    }
    switch cursor.integer(below: 6) {
    case 0: return nil
    case 1, 2:
      let length = [0, 1, max(0, count - 1), count + 1][cursor.integer(below: 4)]
      return with(resized(set.values, length), [length])
    case 3:
      let types: [Record.Values] = [
        .string([String](repeating: "x", count: count)),
        .int64([Int64](repeating: -1, count: count)),
        .double([Double](repeating: .nan, count: count)),
        .int64([Int64](repeating: .max, count: count)),
      ]
      return with(types[cursor.integer(below: types.count)], set.shape)
    default:
      guard case .double(var values) = set.values, count > 0 else {
        return with(resized(set.values, count / 2), [count / 2])
      }
      let extremes = [Double.nan, .infinity, -.infinity, 0, -1, 1e308, .leastNonzeroMagnitude]
      values[cursor.integer(below: count)] = extremes[cursor.integer(below: extremes.count)]
      return with(.double(values), set.shape)
    }
  }

  /// The first `length` values, the last one again and again where there are too few.
  private static func resized(_ values: Record.Values, _ length: Int) -> Record.Values {
    func fit<T>(_ values: [T], _ zero: T) -> [T] {
      Array(values.prefix(length))
        + Array(repeating: values.last ?? zero, count: max(0, length - values.count))
    }
    return switch values {
    case .double(let values): .double(fit(values, 0))
    case .float(let values): .float(fit(values, 0))
    case .int64(let values): .int64(fit(values, 0))
    case .int32(let values): .int32(fit(values, 0))
    case .uint8(let values): .uint8(fit(values, 0))
    case .string(let values): .string(fit(values, ""))
    }
  }
}
