// SPDX-License-Identifier: Apache-2.0

import Clipping
import Foundation
import LinearAlgebra
import Optimizers
import Testing

@testable import Experiments
@testable import Lab

// What CONTRIBUTING.md shows between its two lines of this kind is this, word for word.
// example:begin
/// Norm clipping whose limit shrinks as c/√k with the step k = 1, 2, ….
struct ShrinkingNormClip: GradientTransform {
  let start: Double
  private(set) var steps = 0

  init(start: Double) { self.start = start }

  mutating func apply(to gradients: Gradients) throws {
    steps += 1
    try NormClip(maximumNorm: start / Double(steps).squareRoot()).apply(to: gradients)
  }
}

let shrinking = Arm(
  "sgdm-shrinking-norm", "SGDM, shrinking norm clip", source: "ours",
  [.logarithmic("learningRate", 1e-4, 0.1), .logarithmic("start", 0.01, 10)], { _ in SGD() }
) { ShrinkingNormClip(start: try $0("start")) }
// example:end

/// A rule of one's own, from the rule to the curve.
@Suite struct OwnRuleTests {
  init() { _ = BLASEnvironment.pinned() }

  /// The paper's experiment with one more arm.
  private enum Mine: CurveExperiment {
    typealias Task = MLPTask
    static let name = "mine"
    static let abstract = "The MLP with a rule of one's own."
    static let version = 1
    static let arms = MLPArms.all + [shrinking]
    static let defaults = MLPHeavyTails.defaults
    static let claims: [Claim] = []
    static func table(of set: RecordSet) throws -> Table { try MLPHeavyTails.table(of: set) }
    static func captionValues(of set: RecordSet) throws -> [(String, String)] { [] }
  }

  @Test func anArmOfOnesOwnTrainsResumesAndIsDrawn() throws {
    var config = Mine.defaults
    (config.hidden, config.inputs, config.samples) = ([12, 8], 6, 200)
    (config.batchSize, config.steps, config.recordEvery) = (5, 60, 20)
    (config.methods, config.seeds) = (["sgdm-norm", "sgdm-shrinking-norm"], [1, 2])
    config.hyperparameters["sgdm-norm"] = ["learningRate": 0.01, "maximumNorm": 1]
    config.hyperparameters["sgdm-shrinking-norm"] = ["learningRate": 0.01, "start": 1]
    let scratch = Scratch()
    let set = try run(Mine.self, config, scratch.path + "/whole")
    let own = try set.records(of: "sgdm-shrinking-norm")
    #expect(own.count == 2)
    #expect(
      try own.allSatisfy { try $0.doubles("clipped_fraction", axes: 2).values.contains { $0 > 0 } })
    // The rule's state is part of the run: killed at step 31, it goes on bit for bit.
    #expect(throws: Killed.self) {
      try run(Mine.self, config, scratch.path + "/cut", checkpointSeconds: 0) { _, step in
        if step == 31 { throw Killed() }
      }
    }
    expectEqual(set, try run(Mine.self, config, scratch.path + "/cut"), "resumed")
    let table = try Mine.table(of: set)
    #expect(table.blocks.map(\.name).contains("sgdm-shrinking-norm"))
    #expect(table.gnuplotVariables(of: set).contains("SGDM, shrinking norm clip"))
  }

  @Test func contributingShowsThisVeryExample() throws {
    let root = try #require(Paths().root)
    let marks = ("// example:begin\n", "// example:end\n")
    func between(_ text: String, _ begin: String, _ end: String) throws -> String {
      let from = try #require(text.range(of: begin))
      let to = try #require(text.range(of: end, range: from.upperBound..<text.endIndex))
      return String(text[from.upperBound..<to.lowerBound])
    }
    let source = try String(
      contentsOfFile: "\(root)/Tests/ExperimentsTests/OwnRuleTests.swift", encoding: .utf8)
    let page = try String(contentsOfFile: "\(root)/CONTRIBUTING.md", encoding: .utf8)
    #expect(try page.contains("```swift\n\(between(source, marks.0, marks.1))```\n"))
  }
}
