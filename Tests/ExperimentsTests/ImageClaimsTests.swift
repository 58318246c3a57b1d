// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// The claims of Figs 2a and 5b on records made by hand.
@Suite struct ImageClaimsTests {
  /// A record whose accuracy after epochs 1, 2, 3 and 4 is given; the share of clipped values is `share`.
  private func record(
    _ method: String, _ seed: Int, _ accuracies: [Double], share: Double = 0.5,
    isStandIn: Bool = false
  ) -> Record {
    var record = Record(attributes: [
      "method": .string(method), "seed": .int(seed), "title": .string(method),
      "network": .string("cifarnet"), "profile": .string("test"), "data": .string("images"),
      "config": .string("epochs: 4\n"), "parameters": .int(7),
      "data_is_stand_in": .int(isStandIn ? 1 : 0), "test_images": .int(1000),
      "steps_per_epoch": .int(5), "final_val_accuracy": .double(accuracies[3]),
      "final_augmented_accuracy": .double(accuracies[3]),
    ])
    let points = [1, 5, 10, 15, 20]
    record.add(.init("step", .int64(points.map { Int64($0) }), longName: "step", units: "1"))
    for name in ["val_accuracy", "train_loss", "val_loss", "clip_error", "clipped_fraction"] {
      let values =
        name == "val_accuracy"
        ? [0.1] + accuracies : Array(repeating: name == "clipped_fraction" ? share : 1, count: 5)
      let isOfLayers = name.hasPrefix("clip")
      record.add(
        .init(
          name, .double(values), shape: isOfLayers ? [5, 1] : [5], longName: name, units: "1"))
    }
    record.telemetry.attributes["seconds_clip"] = .double(2 + Double(seed))
    record.telemetry.add(
      .init("model_seconds", .double([1, 2, 3, 4, 40]), longName: "time", units: "s"))
    return record
  }

  /// Three seeds a method, a thousandth apart, in an order that depends on the length of its name.
  private func set(
    _ methods: [(String, [Double])], share: Double = 0.5, isStandIn: Bool = false
  ) throws -> RecordSet {
    try RecordSet(
      folder: "memory",
      records: methods.flatMap { name, accuracies in
        (1...3).map { seed in
          record(
            name, seed, accuracies.map { $0 + 0.001 * Double(seed * name.count % 3) }, share: share,
            isStandIn: isStandIn)
        }
      })
  }

  private func verdict(_ id: String, _ set: RecordSet) throws -> Verdict {
    let claims = CIFAR10ResNet18.claims + CIFAR10Truncation.claims
    return try #require(claims.first { $0.id == id }).evaluate(set).verdict
  }

  private let none = ("cifarnet-none", [0.4, 0.5, 0.6, 0.8])
  private let norm = ("cifarnet-norm", [0.3, 0.6, 0.7, 0.88])

  @Test func theBestFinalAccuracyDecides() throws {
    func verdict(_ spectral: [Double], share: Double = 0.5, isStandIn: Bool = false) throws
      -> Verdict
    {
      try self.verdict(
        "fig2a-best-cifarnet",
        set(
          [none, norm, ("cifarnet-spectral", spectral)], share: share, isStandIn: isStandIn))
    }
    #expect(try verdict([0.1, 0.1, 0.1, 0.92]) == .reproduced)
    #expect(try verdict([0.9, 0.9, 0.9, 0.85]) == .notReproduced)  // above none only
    #expect(try verdict([0.9, 0.9, 0.9, 0.88]) == .inconclusive)
    #expect(try verdict([0.9, 0.9, 0.9, .nan]) == .notReproduced)  // diverged
    #expect(try verdict([0.1, 0.1, 0.1, 0.92], isStandIn: true) == .inconclusive)
    #expect(try verdict([0.1, 0.1, 0.1, 0.92], share: 0) == .inconclusive)
    #expect(try self.verdict("fig2a-best-cifarnet", set([none, norm])) == .needsRecords)
    #expect(try self.verdict("fig2a-best-resnet18", set([none, norm])) == .needsRecords)
  }

  @Test func theStartIsTheMeanOfTheFirstThreeEpochs() throws {
    func verdict(_ spectral: [Double]) throws -> Verdict {
      try self.verdict(
        "fig2a-start-cifarnet", set([none, norm, ("cifarnet-spectral", spectral)]))
    }
    // Mean errors: 0.5 without a clip, 0.467 by norm.
    #expect(try verdict([0.6, 0.8, 0.85, 0.1]) == .reproduced)
    #expect(try verdict([0.6, 0.55, 0.7, 0.1]) == .reproduced)
    #expect(try verdict([0.3, 0.4, 0.85, 0.9]) == .notReproduced)
    #expect(try verdict([0.3, 0.6, 0.7, 0.9]) == .inconclusive)
  }

  @Test func muonIsComparedWithTheSpectralArm() throws {
    func verdict(_ muon: Double) throws -> Verdict {
      try self.verdict(
        "fig2a-muon-cifarnet",
        set([("cifarnet-spectral", [0, 0, 0, 0.9]), ("cifarnet-muon", [0, 0, 0, muon])]))
    }
    #expect(try verdict(0.93) == .reproduced)
    #expect(try verdict(0.85) == .notReproduced)
  }

  @Test func onAParMeansWithinAFactor() throws {
    func set(_ rank10: Double, _ rank1: Double) throws -> RecordSet {
      try self.set(
        [("exact", 0.8), ("rank1", rank1), ("rank5", 0.8), ("rank10", rank10), ("rank20", 0.81)]
          .map { ("cifarnet-\($0)", [0, 0, 0, $1]) })
    }
    #expect(try verdict("fig5b-rank10-cifarnet", set(0.799, 0.8)) == .reproduced)
    #expect(try verdict("fig5b-rank10-cifarnet", set(0.77, 0.8)) == .notReproduced)
    #expect(try verdict("fig5b-rank10-cifarnet", set(0.79, 0.8)) == .inconclusive)
    #expect(try verdict("fig5b-ranks-cifarnet", set(0.799, 0.799)) == .inconclusive)
    #expect(try verdict("fig5b-ranks-cifarnet", set(0.799, 0.6)) == .notReproduced)
  }

  /// The authors' curves end at 81.0, 90.9 and 91.7 %.
  @Test func theAuthorsAccuraciesAreWithinFivePoints() throws {
    func verdict(_ finals: [Double]) throws -> Verdict {
      try self.verdict(
        "fig2a-authors",
        set(
          zip(["none", "norm", "spectral"], finals).map {
            ("cifarnet-\($0)", [0, 0, 0, $1])
          }))
    }
    #expect(try verdict([0.77, 0.87, 0.88]) == .reproduced)
    #expect(try verdict([0.85, 0.95, 0.96]) == .reproduced)
    for finals in [[0.75, 0.9, 0.91], [0.8, 0.85, 0.91], [0.8, 0.9, 0.98], [.nan, 0.9, 0.91]] {
      #expect(try verdict(finals) == .notReproduced, "\(finals)")
    }
    #expect(try self.verdict("fig2a-authors", set([none, norm])) == .needsRecords)
  }

  @Test func referenceCurvesAreReadByColumn() throws {
    let curve = try ReferenceCurve("cifar10_val_acc.csv")
    #expect(try curve.column("epoch") == (0..<8).map(Double.init))
    #expect(try curve.column("spectral_const").last == 0.917)
    #expect(throws: StorageError.self) { try curve.column("spectral") }
    #expect(throws: StorageError.self) { try ReferenceCurve("no_such_plot.csv") }
    #expect(throws: StorageError.self) { try ReferenceCurve("README.md") }
  }

  @Test func theTableHoldsMeansSeedsAndTimes() throws {
    let set = try set([none, norm])
    let table = try CIFAR10ResNet18.table(of: set)
    #expect(table.blocks.map(\.name).prefix(3) == ["cifarnet-none", "cifarnet-norm", "final"])
    let block = table.blocks[0]
    #expect(block.numbers("epoch") == [0.2, 1, 2, 3, 4])
    func accuracy(_ name: String) -> Double { block.numbers("val_accuracy.\(name)")[1] }
    #expect(abs(accuracy("mean") - 0.401) < 1e-12)
    #expect(accuracy("low") < 0.4 && accuracy("high") > 0.402)
    #expect((1...3).map { accuracy("seed\($0)") } == [0.401, 0.402, 0.4])
    let final = try #require(table[block: "final"])
    #expect(final.numbers("number") == [1, 2] && final.texts("title")[0] == "cifarnet-none")
    // Five steps take a second where nothing else ran; a tenth of the time is the clip's.
    #expect(abs(final.numbers("clip_ms")[0] - 20) < 1e-9)
    #expect(abs(final.numbers("step_ms")[0] - 200) < 1e-9)
    let caption = try CIFAR10ResNet18.captionValues(of: set)
    #expect(
      caption.contains {
        $0.0 == "finals" && $0.1.hasPrefix("cifarnet-none 80.1 % (clip 20 of 200 ms a step)")
      })
  }

  /// Half an image keeps a perfect accuracy comparable.
  @Test func anErrorIsNeverZero() {
    #expect(ImageTask.error(accuracy: 1, of: 1000) == 0.0005)
    #expect(abs(ImageTask.error(accuracy: 0.25, of: 4) - 0.75) <= 1e-15)
  }
}
