// SPDX-License-Identifier: Apache-2.0

import Storage
import Testing
import Theory

@testable import Experiments
@testable import Lab

/// What counts violations of the theory counts one that is there.
@Suite struct TheoryCounterTests {
  private typealias F = ClaimFixtures

  @Test func aMeanBeyondItsBoundIsOneViolation() {
    let (kept, broken) = ([-1, -1.01, -0.99], [1, 1.01, 0.99])
    #expect(TheoryBounds.violations([kept, kept]) == 0)
    #expect(TheoryBounds.violations([kept, broken, kept]) == 1)
    #expect(TheoryBounds.violations([broken, broken]) == 2)
    // Runs that scatter as widely as they lie above decide nothing.
    #expect(TheoryBounds.violations([[-1, 1, 3]]) == 0)
  }

  private func tally(_ violated: Bool) -> StatementTally {
    var tally = StatementTally(name: "x")
    tally.add(Inequality("holds", 1, 2))
    tally.add(Inequality("decides", 1, violated ? 0.95 : 1))
    return tally
  }

  @Test func aTallyCountsWhatIsViolated() {
    let (fine, broken) = (tally(false), tally(true))
    #expect(fine.instances == 2 && fine.violations == 0 && fine.smallestSlack == 0)
    #expect(broken.instances == 2 && broken.violations == 1)
    #expect(abs(broken.smallestSlack + 0.05) <= 1e-15)
    #expect(abs(broken.smallestRelative + 0.05 / 1.95) <= 1e-15)
    let record = TheoryBounds.record([fine, broken])
    #expect(record.root.attributes["violations_total"] == .int(1))
    #expect(record.root.attributes["instances_total"] == .int(4))
  }

  /// In totals, and in a table by statement.
  @Test(arguments: [
    ("theory-theorem-3.3", "theorem33"), ("theory-theorem-3.4", "theorem34"),
    ("theory-bias", "bias"), ("theory-per-sample", "acceleration"),
    ("theory-inequalities", "inequalities"), ("theory-adversary", "adversarial"),
  ])
  func aViolationBreaksItsInvariant(_ id: String, _ method: String) throws {
    let claim = try #require(F.all[id])
    for violated in [false, true] {
      var record = F.record(
        method, seed: 1,
        integers: [("violations_total", violated ? 1 : 0), ("instances_total", 2)])
      if ["inequalities", "adversarial"].contains(method) {
        for dataSet in TheoryBounds.record([tally(violated)]).root.dataSets { record.add(dataSet) }
      }
      let evidence = try claim.evaluate(RecordSet(folder: "memory", records: [record]))
      #expect(evidence.verdict == (violated ? .notReproduced : .reproduced))
      #expect(evidence.count == 2)
      let report = ClaimsReport(
        .clipping,
        rows: [
          ClaimsReport.Row(
            experiment: "theory-bounds", claim: claim, profile: "full", horizon: "",
            evidence: evidence, registered: "no", seconds: 1)
        ])
      #expect(report.brokenInvariants.map(\.claim.id) == (violated ? [id] : []))
    }
  }
}
