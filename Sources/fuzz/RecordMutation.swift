// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Storage

/// One change to what a record says, while it stays a well-formed file: what a build with a fault, or a person, would
/// write. The fuzzer draws from all of them; its sweep makes every one in turn.
struct RecordMutation: Sendable, CustomStringConvertible {
  private enum Place { case attribute(String), dataSet(Int) }

  /// The group's name; empty for the root.
  private let group: String
  private let place: Place
  private let change: Int

  /// Every change of every attribute and every data set of a record.
  static func all(of record: Record) -> [RecordMutation] {
    ([record.root] + record.groups).flatMap { group in
      group.attributes.names.flatMap { name in
        attributes.indices.map { .init(group: group.name, place: .attribute(name), change: $0) }
      }
        + group.dataSets.indices.flatMap { index in
          dataSets.indices.map { .init(group: group.name, place: .dataSet(index), change: $0) }
        }
    }
  }

  /// One or two changes, drawn.
  static func mutate(_ record: inout Record, _ cursor: inout RandomCursor) {
    for _ in 0..<(1 + cursor.integer(below: 2)) {
      let all = all(of: record)
      if !all.isEmpty { all[cursor.integer(below: all.count)].apply(to: &record) }
    }
  }

  /// The group, and the attribute or the number of the data set, with the number of the change.
  var description: String { "\(group.isEmpty ? "root" : group) \(place) change \(change)" }

  /// Makes the change in the record that it was listed for.
  func apply(to record: inout Record) {
    let old = group.isEmpty ? record.root : record[group: group] ?? record.root
    var (attributes, sets) = (old.attributes, old.dataSets)
    switch place {
    case .attribute(let name): attributes[name] = Self.attributes[change]
    case .dataSet(let index):
      if let set = Self.dataSets[change](sets[index]) {
        sets[index] = set
      } else {
        sets.remove(at: index)
      }
      sets = Self.fitting(sets)
    }
    if group.isEmpty {
      record.root = Record(attributes: attributes, dataSets: sets).root
    } else {
      record[group: group] = Record.Group(group, attributes: attributes, dataSets: sets)
    }
  }

  /// Nothing, or a value of any type.
  private static let attributes: [AttributeValue?] = [
    nil, .string(""), .string("`touch pwned`\"; system('touch pwned') #"), .string("a\nb"),
    .int(0), .int(-1), .int(.max), .double(.nan), .double(.infinity), .double(-1), .strings([]),
    .ints([]), .string("steps = 9223372036854775807"), .strings(["", "x"]),
  ]

  private typealias SetChange = @Sendable (Record.DataSet) -> Record.DataSet?

  /// The set gone (nil), of another length, of another type, or with a value at an end of its range.
  private static let dataSets: [SetChange] = {
    let lengths: [@Sendable (Int) -> Int] = [
      { _ in 0 }, { _ in 1 }, { $0 / 2 }, { max(0, $0 - 1) }, { $0 + 1 },
    ]
    let types: [@Sendable (Int) -> Record.Values] = [
      { .string([String](repeating: "x", count: $0)) },
      { .int64([Int64](repeating: -1, count: $0)) },
      { .int64([Int64](repeating: .max, count: $0)) },
      { .double([Double](repeating: .nan, count: $0)) },
    ]
    var changes: [SetChange] = [{ _ in nil }]
    // Another number of axes, another extent of one of several, or no word of what it lies along.
    changes.append { with($0, resized($0.values, 2 * $0.values.count), $0.shape + [2]) }
    changes.append { with($0, resized($0.values, 0), $0.shape + [0]) }
    changes.append { with($0, $0.values, [$0.values.count]) }
    for step in [-1, 1] {
      changes.append { set in
        guard var last = set.shape.last, last + step >= 0 else { return set }
        last += step
        let shape = set.shape.dropLast() + [last]
        return with(set, resized(set.values, shape.reduce(1, *)), Array(shape))
      }
    }
    changes.append {
      .init($0.name, $0.values, shape: $0.shape, longName: $0.longName, units: $0.units)
    }
    for length in lengths {
      changes.append {
        let count = length($0.values.count)
        return with($0, resized($0.values, count), [count])
      }
    }
    for type in types { changes.append { with($0, type($0.values.count), $0.shape) } }
    for extreme in [Double.nan, .infinity, -.infinity, 0, -1, 1e308, .leastNonzeroMagnitude] {
      for part in [0.0, 0.5, 1] {
        changes.append { set in
          guard case .double(var values) = set.values, !values.isEmpty else { return set }
          values[Int(part * Double(values.count - 1))] = extreme
          return with(set, .double(values), set.shape)
        }
      }
    }
    return changes
  }()

  /// The sets with the axes that they named, but for those whose length a changed set does not have any more.
  private static func fitting(_ sets: [Record.DataSet]) -> [Record.DataSet] {
    sets.map { set in
      let dimensions = zip(set.dimensions, set.shape).map { name, length in
        let scale = sets.first { $0.name == name && $0.shape.count == 1 }
        return scale.map { $0.values.count == length } ?? true ? name : "\(name)_of_\(set.name)"
      }
      return .init(
        set.name, set.values, shape: set.shape, longName: set.longName, units: set.units,
        dimensions: dimensions)
    }
  }

  private static func with(
    _ set: Record.DataSet, _ values: Record.Values, _ shape: [Int]?
  ) -> Record.DataSet {
    .init(
      set.name, values, shape: shape, longName: set.longName, units: set.units,
      dimensions: shape?.count == set.dimensions.count ? set.dimensions : [])
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
