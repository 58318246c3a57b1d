// SPDX-License-Identifier: Apache-2.0

/// A statement of the paper with a criterion that was fixed before the records were made.
package struct Claim: Sendable {
  /// A short name, unique in the suite; it begins with the figure: "fig2b-…".
  package let id: String
  /// Where the paper makes it.
  package let item: String
  /// The claim in our words.
  package let statement: String
  /// What must hold, with its bounds, for the verdict "reproduced".
  package let criterion: String
  /// The family of tests it belongs to.
  package let family: String
  /// An invariant must hold: if it does not, `spectral claims` fails.
  package let isInvariant: Bool
  /// The one profile whose records can tell, nil for the usual choice.
  package let profile: String?
  /// How the criterion was changed after records had been seen, nil where it was not.
  package let changed: String?
  /// The comparison that it is, nil where it is something else.
  package let comparison: Comparison?
  /// Looks at the records.
  package let evaluate: @Sendable (RecordSet) throws -> Evidence

  /// A claim and its test.
  package init(
    id: String, item: String, profile: String? = nil, statement: String, criterion: String,
    family: String? = nil, changed: String? = nil, isInvariant: Bool = false,
    comparison: Comparison? = nil,
    evaluate: @escaping @Sendable (RecordSet) throws -> Evidence
  ) {
    (self.id, self.item, self.statement, self.criterion) = (id, item, statement, criterion)
    (self.profile, self.family, self.changed) = (profile, family ?? id, changed)
    (self.isInvariant, self.comparison, self.evaluate) = (isInvariant, comparison, evaluate)
  }

  /// A claim that is a comparison of arms; what its criterion says is what is computed.
  package init(
    _ id: String, _ item: String, _ statement: String, profile: String? = nil,
    family: String? = nil, changed: String? = nil, _ comparison: Comparison
  ) {
    self.init(
      id: id, item: item, profile: profile, statement: statement, criterion: comparison.criterion,
      family: family, changed: changed, comparison: comparison, evaluate: comparison.evaluate)
  }

  /// The figure it is about: what its id begins with.
  package var figure: String { String(id.prefix { $0 != "-" }) }
}
