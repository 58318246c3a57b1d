/// How an arm looks in every panel: its color by its role, its dash where two arms of a panel share a role.
package struct ArmStyle: Equatable, Sendable {
  /// As #rrggbb.
  package var color: String
  /// gnuplot's dash types, 1 solid.
  package var dash: Int

  /// Okabe and Ito's colors, told apart by every common kind of color vision.
  private enum Role: CaseIterable {
    case norm, spectral, quantile, ema, muon, adam, none, delta, exact

    var color: String {
      switch self {
      case .norm: "#0072b2"
      case .spectral: "#d55e00"
      case .quantile: "#009e73"
      case .ema: "#e69f00"
      case .muon: "#cc79a7"
      case .adam, .exact: "#000000"
      case .none: "#6f6f6f"
      case .delta: "#56b4e9"
      }
    }

    /// By the words of a name: an optimizer only where a panel mixes several.
    init?(_ words: [Substring], byOptimizer: Bool) {
      func has(_ word: Substring...) -> Bool { words.contains { word.contains($0) } }
      if byOptimizer && has("adam", "adamw") {
        self = .adam
      } else if byOptimizer && has("muon") {
        self = .muon
      } else if has("quantile") {
        self = .quantile
      } else if has("ema") {
        self = .ema
      } else if has("spectral") {
        self = .spectral
      } else if has("norm") {
        self = .norm
      } else if has("delta") {
        self = .delta
      } else if has("none") {
        self = .none
      } else if has("exact") {
        self = .exact
      } else if has("muon") {
        self = .muon
      } else if has("adam", "adamw") {
        self = .adam
      } else {
        return nil
      }
    }
  }

  /// For arms that no role fits, in turn.
  private static let others = [
    "#56b4e9", "#b59f00", "#000000", "#009e73", "#cc79a7", "#0072b2", "#e69f00", "#d55e00",
  ]
  /// Dashes of the first, second, … arm of one color.
  private static let dashes = [1, 2, 4, 3, 5]

  /// Styles of the arms that share a panel, in their order.
  package static func styles(_ names: [String]) -> [ArmStyle] {
    let words = names.map { $0.split(separator: "-") }
    let optimizers = Set(
      words.map { parts in
        ["adam", "adamw", "muon"].first { parts.contains(Substring($0)) } ?? "sgd"
      })
    let roles = words.map { Role($0, byOptimizer: optimizers.count > 1) }
    var free = others.filter { color in !roles.contains { $0?.color == color } }
    if free.isEmpty { free = others }
    var used: [String: Int] = [:]
    var unknown = 0
    return roles.map { role in
      let color = role?.color ?? free[unknown % free.count]
      unknown += role == nil ? 1 : 0
      let dash = dashes[used[color, default: 0] % dashes.count]
      used[color, default: 0] += 1
      return ArmStyle(color: color, dash: dash)
    }
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
  /// Says which arms there are: arrays `arm`, `arm_title`, `arm_color`, `arm_dash`, `arm_group` (the number of its
  /// group), and `group` with the groups' titles.
  package mutating func setArms(_ given: [TableArm], first: [String] = []) {
    let arms = TableArm.split(given)
    var groups = first.filter { name in arms.contains { $0.group == name } }
    for arm in arms where !groups.contains(arm.group) { groups.append(arm.group) }
    var styles = Array(repeating: ArmStyle(color: "", dash: 1), count: arms.count)
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
    set(
      "arm_group",
      .numbers(arms.map { arm in Double(1 + (groups.firstIndex(of: arm.group) ?? 0)) }))
    set("group", .texts(groups))
  }
}
