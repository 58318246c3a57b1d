// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// What figures and claims make of records that were written by hand.
@Suite struct SpectraClaimsTests {
  /// Mini-batches of two matrices, B = 2 and 4; the details are those of B = 4.
  private struct Law {
    /// σ_1 and the median of the other values of mini-batch `batch` with b bad samples of B.
    var sigma: @Sendable (_ batch: Int, _ count: Int, _ size: Int) -> Double = { _, _, _ in 1 }
    var median: @Sendable (_ batch: Int, _ count: Int) -> Double = { _, _ in 0.1 }
    /// What the rules remove at b = 1.
    var removed: @Sendable (_ batch: Int) -> (bad: Double, rest: Double) = { _ in (0.5, 0.1) }
    var batches = 6
    /// The second matrix does as the first, but for this factor on what σ_1 grows by.
    var second = 1.0

    func record(_ method: String, seed: Int = 1) throws -> Record {
      let cells = [2, 4].flatMap { size in (0...size).map { (size: size, count: $0) } }
      var record = Record(attributes: [
        "method": .string(method), "seed": .int(seed), "title": .string("title of \(method)"),
        "model_title": "a model", "data": "a text", "mean_good_probability": 0.5,
        "mean_bad_probability": 0.25, "config": "methods: [confident-lowest, two]\n",
      ])
      func add(_ name: String, _ values: [Double], _ shape: [Int]) {
        record.add(.init(name, .double(values), shape: shape))
      }
      record.add(.init("layer", .string(["first", "second"])))
      record.add(.init("batch_size", .int64(cells.map { Int64($0.size) })))
      record.add(.init("bad_count", .int64(cells.map { Int64($0.count) })))
      func each(_ value: (Int, Int, (size: Int, count: Int)) -> [Double]) -> [Double] {
        cells.flatMap { cell in
          (0..<batches).flatMap { batch in (0..<2).flatMap { value(batch, $0, cell) } }
        }
      }
      let tops = each { batch, layer, cell in
        let (start, now) = (sigma(batch, 0, cell.size), sigma(batch, cell.count, cell.size))
        let top = layer == 0 ? now : start * pow(now / start, second)
        return [top, 0.5 * top, 0]
      }
      add("sigma", tops, [cells.count, batches, 2, 3])
      let shape = [cells.count, batches, 2]
      add("sigma_median", each { batch, _, cell in [median(batch, cell.count)] }, shape)
      for name in ["norm", "effective_rank", "bad_fraction", "left_alignment", "right_alignment"] {
        add(name, each { _, layer, cell in [Double(10 * cell.count + layer)] }, shape)
      }
      for isBad in [true, false] {
        // Rule 2, the quantile, has the given shares at b = 1; whatever else is there must not be looked at.
        let all = (1...4).flatMap { count in
          (0..<batches).flatMap { batch -> [Double] in
            let share = isBad ? removed(batch).bad : removed(batch).rest
            return (0..<2).flatMap { _ in (0..<3).map { $0 == 2 && count == 1 ? share : -7 } }
          }
        }
        add(isBad ? "removed_bad" : "removed_rest", all, [4, batches, 2, 3])
      }
      record.add(.init("spectrum_count", .int64([0, 1, 2, 4])))
      add("spectrum", (0..<24).map { Double($0 + 1) }, [4, 2, 3])
      return record
    }

    func set(_ others: (String, Law)...) throws -> RecordSet {
      try RecordSet(
        folder: "memory",
        records: [record("confident-lowest")] + others.map { try $0.1.record($0.0) })
    }
  }

  private func verdict(_ id: String, _ set: RecordSet) throws -> Verdict {
    let claim = try #require(BadTokenSpectra.claims.first { $0.id == id })
    return try claim.evaluate(set).verdict
  }

  @Test func everyOldClaimIsThereTwice() {
    let ids = BadTokenSpectra.claims.map(\.id)
    #expect(ids.count == 16 && Set(ids).count == 16)
    #expect(ids.suffix(6).elementsEqual(ids[4..<10].map { $0 + "-basic" }))
    #expect(BadTokenSpectra.claims.suffix(6).allSatisfy { $0.profile == "gpt2-basic" })
    #expect(BadTokenSpectra.claims.allSatisfy { !$0.isInvariant })
  }

  @Test(arguments: ["", "-basic"]) func topValuesGrowOrNot(_ suffix: String) throws {
    let id = "fig1-growth" + suffix
    var law = Law()
    law.sigma = { batch, count, _ in 1 + Double(batch) + Double(count) }
    #expect(try verdict(id, law.set()) == .reproduced)
    law.second = -1
    #expect(try verdict(id, law.set()) == .notReproduced)
    law.second = 0  // all pairs tied: exactly no correlation
    #expect(try verdict(id, law.set()) == .notReproduced)
    law.second = 1
    law.sigma = { batch, count, _ in batch % 2 == 0 ? 1 + Double(count) : 9 - Double(count) }
    #expect(try verdict(id, law.set()) == .inconclusive)
    law.batches = 1
    #expect(try verdict(id, law.set()) == .inconclusive)
    // confident-lowest decides; without it nothing does.
    var (good, bad) = (Law(), Law())
    good.sigma = { _, count, _ in 1 + Double(count) }
    bad.sigma = { _, count, _ in 9 - Double(count) }
    #expect(try verdict(id, good.set(("argmax-random", bad))) == .reproduced)
    #expect(try verdict(id, bad.set(("argmax-random", good))) == .notReproduced)
    let alone = try RecordSet(folder: "memory", records: [good.record("argmax-random")])
    #expect(try verdict(id, alone) == .inconclusive)
  }

  @Test func goodTokensLeaveThemSmallOrNot() throws {
    // The factor counts from b = 0 to b = B/2, where B/2 is 1 and 2.
    func law(_ factor: Double) -> Law {
      var law = Law()
      law.sigma = { batch, count, size in
        let scatter = 1 + 0.001 * Double(batch)
        return 2 * count < size ? 1 : 2 * count == size ? factor * scatter : 1e6
      }
      return law
    }
    #expect(try verdict("fig1-good-small", law(3.1).set()) == .reproduced)
    #expect(try verdict("fig1-good-small", law(2.9).set()) == .notReproduced)
    var other = law(3.1)
    other.second = 0.9
    #expect(try verdict("fig1-good-small", other.set()) == .notReproduced)
  }

  @Test func theBulkGrowsLessOrNot() throws {
    // σ_1 is multiplied by 16 at b = 1, the median by `factor`: the limit is 4.
    func law(_ factor: Double) -> Law {
      var law = Law()
      law.sigma = { batch, count, _ in count == 0 ? 1 : 16 * (1 + 0.001 * Double(batch)) }
      law.median = { _, count in count == 0 ? 0.1 : count == 1 ? 0.1 * factor : 1e6 }
      return law
    }
    #expect(try verdict("fig1-bulk-less", law(3.5).set()) == .reproduced)
    #expect(try verdict("fig1-bulk-less", law(4.5).set()) == .notReproduced)
    for (factor, want) in [
      (1.2, Verdict.reproduced), (0.85, .reproduced), (1.3, .notReproduced), (0.75, .notReproduced),
    ] {
      #expect(try verdict("fig1-bulk-still", law(factor).set()) == want, "factor \(factor)")
    }
    // σ_1 changes by 15, so the median may by 0.75.
    for (factor, want) in [
      (8.0, Verdict.reproduced), (9, .notReproduced), (-6, .reproduced), (-7, .notReproduced),
    ] {
      #expect(try verdict("fig1-bulk-shift", law(factor).set()) == want, "factor \(factor)")
    }
  }

  @Test func theRuleHitsTheBadMoreOrNot() throws {
    func law(_ removed: @escaping @Sendable (Int) -> (bad: Double, rest: Double)) -> Law {
      var law = Law()
      law.removed = removed
      return law
    }
    let id = "fig1-rules"
    #expect(try verdict(id, law { (0.3 + 0.01 * Double($0), 0.2) }.set()) == .reproduced)
    #expect(try verdict(id, law { (0.2, 0.3 + 0.01 * Double($0)) }.set()) == .notReproduced)
    #expect(try verdict(id, law { _ in (0.2, 0.2) }.set()) == .notReproduced)
    #expect(try verdict(id, law { ($0 % 2 == 0 ? 0.1 : 0.4, 0.2) }.set()) == .inconclusive)
    #expect(try verdict(id, law { _ in (.nan, 0.2) }.set()) == .inconclusive)
  }

  @Test func evidenceNamesTheWeakestPlace() throws {
    var law = Law()
    law.sigma = { _, count, size in 1 + Double(count) * (size == 4 ? 10 : 20) }
    law.second = 0.1
    let claim = try #require(BadTokenSpectra.claims.first { $0.id == "fig1-good-small" })
    let finding = try #require(try claim.evaluate(law.set()).deciding)
    // 21 at both sizes for the first matrix, 21^0.1 = 1.36 for the second.
    #expect(
      finding.words
        == "factor, confident-lowest, where it is weakest: 1.36, above 3? not reproduced (n = 6 mini-batches); "
        + "second, B = 2; holds in 2 of 4, fails in 2; 1.4 to 21, median 11", "\(finding.words)")
  }

  @Test func captionsAndTablesHoldTheNumbers() throws {
    var law = Law()
    law.sigma = { _, count, _ in count == 0 ? 1 : 4 }
    law.median = { _, count in count == 0 ? 0.1 : 0.2 }
    let set = try law.set(("two", Law()))
    let values = try BadTokenSpectra.captionValues(of: set)
    func value(_ name: String) -> String? { values.first { $0.0 == name }?.1 }
    #expect(value("growth") == "4" && value("bulk") == "2")
    #expect(value("definition") == "title of confident-lowest" && value("data") == "a text")
    #expect(value("definitions") == "title of confident-lowest; title of two")
    #expect(value("good") == "0.5" && value("bad") == "0.25")
    #expect(value("batches") == "6" && value("detail") == "4" && value("top") == "3")
    let table = try BadTokenSpectra.table(of: set)
    #expect(table.blocks.count == 4 + 2 + 2 + 1)
    // Values behind the rank do not count: 4 and 2 are left, six times each.
    let boxes = try #require(table.blocks.first)
    #expect(boxes.name.hasPrefix("boxes:1:"))
    #expect(
      ["bad", "q5", "q25", "q50", "q75", "q95", "largest", "last"].map { boxes.numbers($0)[1] }
        == [1, 2, 2, 3, 4, 4, 4, 2])
    // The spectra of both matrices, one column a b.
    #expect(table[block: "spectrum:1"]?.numbers("index") == [1, 2, 3])
    let spectrum = try #require(table[block: "spectrum:2"])
    for (column, want) in zip(spectrum.columns, [2.0, 5, 11, 17, 23]) {
      let got = spectrum.numbers(column.name)[1]
      #expect(abs(got - want) <= 1e-6 * want, "\(column.name): \(got)")
    }
    // Means of the two matrices' medians.
    let definition = try #require(table[block: "definition:1"])
    #expect(
      definition.columns.map { definition.numbers($0.name)[3] } == [3, 30.5, 30.5, 30.5, 30.5])
    let removed = try #require(table[block: "removed"])
    #expect(
      removed.columns.map { removed.numbers($0.name)[1] } == [2, -7, -7, -7, -7, 0.5, 0.1])
  }

  @Test func matricesOfFig7GoFromTheFirstBlockToTheLast() {
    let kinds = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
    let layers = (0..<4).flatMap { block in kinds.map { "transformer.h.\(block).\($0).weight" } }
    #expect(BadTokenSpectra.oneOfEachKind(layers) == [0, 5, 10, 15])
    #expect(BadTokenSpectra.shortName(layers[5]) == "block 1 attn.c_proj")
    #expect(BadTokenSpectra.oneOfEachKind([layers[0]]) == [0])
  }

  @Test func spectraOfSeveralSeedsAreGeometricMeans() throws {
    let records = try [1, 2].map { seed in
      var record = try Law().record("confident-lowest", seed: seed)
      let old = record
      record = Record(attributes: old.attributes)
      for dataSet in old.root.dataSets where dataSet.name != "spectrum" { record.add(dataSet) }
      let scale = seed == 1 ? 1.0 : 4
      var values = (0..<24).map { scale * Double($0 + 1) }
      if seed == 2 { values[5] = 0 }
      record.add(.init("spectrum", .double(values), shape: [4, 2, 3]))
      return record
    }
    let view = try SpectraView(
      "confident-lowest", of: RecordSet(folder: "memory", records: records))
    let spectra = try view.spectra(layer: 1)
    #expect(spectra.map(\.count) == [0, 1, 2, 4])
    // 2 i of i and 4 i; 0 where one of them is.
    #expect(abs(spectra[1].sigma[2] - 24) <= 1e-13 && spectra[0].sigma[2] == 0)
    #expect(view.batches == 12)
    #expect(view.column("norm", size: 4, count: 3, layer: 1) == Array(repeating: 31, count: 12))
    #expect(view.values("sigma", size: 3, count: 0, layer: 0).isEmpty)
  }

  @Test func kendallCountsPairs() {
    #expect(kendallTau([1, 2, 3, 4]) == 1 && kendallTau([4, 3, 2, 1]) == -1)
    #expect(kendallTau([1, 1, 1]) == 0)
    // 5 rising pairs and 1 falling one of 6; a tie is neither.
    #expect(kendallTau([1, 3, 2, 4]) == 4.0 / 6)
    #expect(kendallTau([1, 1, 2]) == 2.0 / 3)
    #expect(kendallTau([]).isNaN && kendallTau([1]).isNaN)
  }
}
