// SPDX-License-Identifier: Apache-2.0

extension Record: Equatable {
  /// Bitwise equality of everything but the path read from.
  public static func == (left: Record, right: Record) -> Bool {
    left.root == right.root && left.groups == right.groups
  }

  /// How far reals may lie apart that count as equal: |a - b| <= absolute + relative · |b|, as in numpy.isclose.
  public struct Tolerance: Sendable {
    /// In units of the value.
    public var absolute: Double
    /// Of the other record's value.
    public var relative: Double

    /// None: equal bit for bit.
    public init(absolute: Double = 0, relative: Double = 0) {
      (self.absolute, self.relative) = (absolute, relative)
    }

    /// NaNs are equal to each other, infinities to themselves.
    func allows(_ a: Double, _ b: Double) -> Bool {
      if a.isNaN || b.isNaN { return a.isNaN && b.isNaN }
      if a == b { return true }
      return a.isFinite && b.isFinite && abs(a - b) <= absolute + relative * abs(b)
    }
  }

  /// The first difference between the results of two records (everything but the group `telemetry`), or nil if
  /// they are equal, bit for bit without a `tolerance`: `bias_sq_exact[17]: 0.5 (bits 3fe0000000000000) against 0.25 (…)`.
  public func firstDifference(from other: Record, within tolerance: Tolerance? = nil) -> String? {
    if let difference = names(resultGroups.map(\.name), other.resultGroups.map(\.name), "groups") {
      return difference
    }
    for (left, right) in zip([root] + resultGroups, [other.root] + other.resultGroups) {
      if let difference = left.firstDifference(from: right, tolerance) { return difference }
    }
    return nil
  }

  private var resultGroups: [Group] { groups.filter { $0.name != Self.telemetryName } }
}

extension Record.Group {
  fileprivate func firstDifference(
    from other: Record.Group, _ tolerance: Record.Tolerance?
  ) -> String? {
    let place = name.isEmpty ? "" : "\(name)/"
    let at = name.isEmpty ? "" : " of \(name)"
    if let difference = names(attributes.names, other.attributes.names, "attributes\(at)") {
      return difference
    }
    for (left, right) in zip(attributes, other.attributes) where left.value != right.value {
      if let tolerance, case .double(let a) = left.value, case .double(let b) = right.value,
        tolerance.allows(a, b)
      {
        continue
      }
      return "attribute \(left.name)\(at): \(left.value) against \(right.value)"
    }
    if let difference = names(dataSets.map(\.name), other.dataSets.map(\.name), "data sets\(at)") {
      return difference
    }
    for (left, right) in zip(dataSets, other.dataSets) {
      if let difference = left.firstDifference(from: right, tolerance) { return place + difference }
    }
    return nil
  }
}

extension Record.DataSet {
  fileprivate func firstDifference(
    from other: Record.DataSet, _ tolerance: Record.Tolerance?
  ) -> String? {
    if values.typeName != other.values.typeName {
      return "\(name): \(values.typeName) against \(other.values.typeName)"
    }
    if shape != other.shape { return "\(name): shape \(shape) against \(other.shape)" }
    if let (index, difference) = values.firstDifference(from: other.values, tolerance) {
      return "\(name)\(coordinates(of: index)): \(difference)"
    }
    func texts(_ set: Record.DataSet) -> [ByteName] {
      ([set.longName, set.units] + set.dimensions).map { ByteName($0) }
    }
    if texts(self) != texts(other) {
      return "\(name): \(labels) against \(other.labels)"
    }
    return nil
  }

  private var labels: String { "long name \(longName), units \(units), dimensions \(dimensions)" }

  /// `[2, 5]` for the element at a place in row-major order; nothing for a scalar.
  private func coordinates(of index: Int) -> String {
    var rest = index
    var place: [Int] = []
    for extent in shape.reversed() {
      place.append(rest % extent)
      rest /= extent
    }
    return place.isEmpty ? "" : "\(Array(place.reversed()))"
  }
}

private func names(_ left: [String], _ right: [String], _ what: String) -> String? {
  let (first, second) = (left.map { ByteName($0) }, right.map { ByteName($0) })
  if first == second { return nil }
  let (inFirst, inSecond) = (Set(first), Set(second))
  if let missing = first.first(where: { !inSecond.contains($0) }) {
    return "\(what): only the first record has \(missing.text)"
  }
  if let missing = second.first(where: { !inFirst.contains($0) }) {
    return "\(what): only the second record has \(missing.text)"
  }
  return "\(what): order \(left) against \(right)"
}
