import LinearAlgebra

/// A rule that acts on some of the layers only; the others' gradients pass.
public struct SelectedLayers<Rule: GradientRule>: GradientRule {
  /// The rule.
  public private(set) var rule: Rule
  /// The names of the layers it sees.
  public let names: [String]

  /// `rule` for the layers in `names`.
  public init(_ rule: Rule, names: [String]) {
    (self.rule, self.names) = (rule, names)
  }

  /// Applies the rule to the selected layers; the others have no threshold in the report.
  public mutating func apply(
    to layers: [Layer], workspace: FactoredSpectrum, pool: WorkerPool, report: inout RuleReport
  ) throws {
    let selected = Set(names)
    let places = layers.indices.filter { selected.contains(layers[$0].name) }
    var own = RuleReport(layers: places.count)
    try rule.apply(
      to: places.map { layers[$0] }, workspace: workspace, pool: pool, report: &own)
    for (i, place) in places.enumerated() {
      report.tau[place] = own.tau[i]
      report.clippedShare[place] = own.clippedShare[i]
    }
  }
}
