// SPDX-License-Identifier: Apache-2.0

/// How an arm looks in every panel. Its role says its color, dash and mark; an arm that finds one of them taken in its panel
/// gets the next that is free, so that in print without color dash and mark alone tell the arms of a panel apart.
package struct ArmStyle: Equatable, Sendable {
  /// As #rrggbb.
  package var color: String
  /// gnuplot's dash types as figures/style.gp sets them, 1 solid.
  package var dash: Int
  /// gnuplot's point types.
  package var mark: Int

  /// In the order in which a name is asked for them.
  private enum Role: String, CaseIterable {
    case quantile, ema, spectral, norm, delta, none, exact, muon, adam

    /// Okabe and Ito's colors, told apart by every common kind of color vision.
    var style: ArmStyle {
      switch self {
      case .spectral: ArmStyle(color: "#d55e00", dash: 1, mark: 7)
      case .norm: ArmStyle(color: "#0072b2", dash: 2, mark: 5)
      case .none: ArmStyle(color: "#6f6f6f", dash: 5, mark: 9)
      case .quantile: ArmStyle(color: "#009e73", dash: 4, mark: 11)
      case .ema: ArmStyle(color: "#e69f00", dash: 6, mark: 13)
      case .muon: ArmStyle(color: "#cc79a7", dash: 7, mark: 15)
      case .delta: ArmStyle(color: "#56b4e9", dash: 3, mark: 2)
      case .adam, .exact: ArmStyle(color: "#000000", dash: 8, mark: 1)
      }
    }

    /// By the words of a name: an optimizer only where a panel mixes several.
    init?(_ words: [Substring], byOptimizer: Bool) {
      let order = (byOptimizer ? [Role.adam, .muon] : []) + Role.allCases
      let names = Set(words.map { $0 == "adamw" ? "adam" : String($0) })
      guard let role = order.first(where: { names.contains($0.rawValue) }) else { return nil }
      self = role
    }
  }

  /// For arms that no role fits, in turn.
  private static let others = [
    "#56b4e9", "#b59f00", "#000000", "#009e73", "#cc79a7", "#0072b2", "#e69f00", "#d55e00",
  ]
  /// For arms whose role's own is taken, or that have no role, in turn.
  private static let dashes = [1, 2, 4, 5, 6, 7, 8, 3]
  private static let marks = [7, 5, 9, 11, 13, 15, 1, 2]

  /// Styles of the arms that share a panel, in their order.
  package static func styles(_ names: [String]) -> [ArmStyle] {
    let words = names.map { $0.split(separator: "-") }
    let optimizers = Set(
      words.map { parts in
        ["adam", "adamw", "muon"].first { parts.contains(Substring($0)) } ?? "sgd"
      })
    let roles = words.map { Role($0, byOptimizer: optimizers.count > 1)?.style }
    var colors = others.filter { color in !roles.contains { $0?.color == color } }
    if colors.isEmpty { colors = others }
    // The first arm of a role looks as its role says.
    var result: [ArmStyle?] = roles.indices.map { index in
      roles[..<index].contains { $0 == roles[index] } ? nil : roles[index]
    }
    var unknown = 0
    for index in names.indices where result[index] == nil {
      let (dashesTaken, marksTaken) = (result.map { $0?.dash }, result.map { $0?.mark })
      let place = index % dashes.count
      result[index] = ArmStyle(
        color: roles[index]?.color ?? colors[unknown % colors.count],
        dash: dashes.first { !dashesTaken.contains($0) } ?? dashes[place],
        mark: marks.first { !marksTaken.contains($0) } ?? marks[place])
      unknown += roles[index] == nil ? 1 : 0
    }
    return result.compactMap(\.self)
  }
}

/// An arm as a table names it.
package struct TableArm: Sendable {
  /// The block that holds its curves.
  package var name: String
  /// Its legend.
  package var title: String
  /// The panel it belongs to.
  package var group: String

  package init(name: String, title: String, group: String) {
    (self.name, self.title, self.group) = (name, title, group)
  }

  /// A panel holds no more lines than this.
  package static let linesPerPanel = 7

  /// The arms with groups of more than `linesPerPanel` cut into equal pieces.
  static func split(_ arms: [TableArm]) -> [TableArm] {
    var result = arms
    for group in Set(arms.map(\.group)) {
      let own = arms.indices.filter { arms[$0].group == group }
      let pieces = (own.count + linesPerPanel - 1) / linesPerPanel
      guard pieces > 1 else { continue }
      for (place, index) in own.enumerated() {
        result[index].group = "\(group) (\(1 + place * pieces / own.count) of \(pieces))"
      }
    }
    return result
  }
}

extension Table {
  /// Says which arms there are: arrays `arm`, `arm_title`, `arm_color`, `arm_dash`, `arm_mark`, `arm_group` (the number of its
  /// group), and `group` with the groups' titles.
  package mutating func setArms(_ given: [TableArm], first: [String] = []) {
    let arms = TableArm.split(given)
    var groups = first.filter { name in arms.contains { $0.group == name } }
    for arm in arms where !groups.contains(arm.group) { groups.append(arm.group) }
    var styles = Array(repeating: ArmStyle(color: "", dash: 1, mark: 7), count: arms.count)
    for group in groups {
      let own = arms.indices.filter { arms[$0].group == group }
      for (index, style) in zip(own, ArmStyle.styles(own.map { arms[$0].name })) {
        styles[index] = style
      }
    }
    set("arm", .texts(arms.map { Table.word($0.name) }))
    set("arm_title", .texts(arms.map(\.title)))
    set("arm_color", .texts(styles.map(\.color)))
    set("arm_dash", .numbers(styles.map { Double($0.dash) }))
    set("arm_mark", .numbers(styles.map { Double($0.mark) }))
    set(
      "arm_group",
      .numbers(arms.map { arm in Double(1 + (groups.firstIndex(of: arm.group) ?? 0)) }))
    set("group", .texts(groups))
  }
}
