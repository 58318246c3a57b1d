// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab

/// From settings to records, table, caption and claims, at toy size.
@Suite struct FigurePipelineTests {
  init() { _ = BLASEnvironment.pinned() }

  private func run<E: Experiment>(_ type: E.Type, _ config: E.Config, _ results: String) throws
    -> RecordSet
  {
    let runner = Runner<E>(
      config: config, profile: "smoke", results: results,
      telemetry: Telemetry(root: nil, threads: 1, jobs: 2))
    _ = try runner.run()
    return try RecordSet(folder: runner.folder)
  }

  private func traceRegression(_ results: String) throws -> RecordSet {
    var config = TraceRegression.Config()
    config.steps = 60
    config.seeds = [12, 11]
    return try run(TraceRegression.self, config, results)
  }

  @Test func aTableHoldsTheMeansOfTheRecords() throws {
    let scratch = Scratch()
    let set = try traceRegression(scratch.path)
    #expect(set.methods == TraceRegression.Config().methods)
    #expect(set.seeds == [11, 12])
    let table = try TraceRegression.table(of: set)
    #expect(table.blocks.map(\.name) == set.methods + ["final"])
    for method in set.methods {
      let block = try #require(table[block: method])
      #expect(block.numbers("iteration") == (1...60).map(Double.init))
      let values = try set.records(of: method).map { try $0.doubles("bias_sq_monte_carlo_mean") }
      #expect(block.numbers("bias_sq_monte_carlo_mean.seed11") == values[0])
      #expect(block.numbers("bias_sq_monte_carlo_mean.seed12") == values[1])
      for k in [0, 30, 59] {
        let (a, b) = (values[0][k], values[1][k])
        #expect(
          abs(block.numbers("bias_sq_monte_carlo_mean.mean")[k] - (a + b) / 2) <= 1e-15 * (a + b))
        #expect(block.numbers("bias_sq_monte_carlo_mean.low")[k] == min(a, b))
        #expect(block.numbers("bias_sq_monte_carlo_mean.high")[k] == max(a, b))
      }
    }
    #expect(RecordSet.shortened([0, 1, 2, 11, 12, 21, 7]) == "0-2, 11, 12, 21, 7")
    #expect(set.stamp.hasPrefix("profile smoke · n = 2 seeds (11, 12) · synthetic data (philox)"))
    let variables = table.gnuplotVariables(of: set)
    #expect(variables.contains("n_seeds = 2.0\nseeds = '11 12'\n"))
  }

  @Test func captionsTakeTheirNumbersFromTheRecords() throws {
    let scratch = Scratch()
    let set = try traceRegression(scratch.path)
    let text = try Suite.clipping.caption(
      template: "{{n}} seeds, {{steps}} steps: {{tail.ema}}", file: "x", set: set)
    let tails = try set.values("tail_bias_sq_exact", of: "ema")
    #expect(text == "2 seeds, 60 steps: \(short(tails.min() ?? 0)) to \(short(tails.max() ?? 0))")
    #expect(throws: ConfigError.self) {
      try Suite.clipping.caption(template: "{{nonsense}}", file: "x", set: set)
    }
  }

  @Test func claimsAreEvaluatedForEveryExperimentAndMissingRecordsAreSaid() throws {
    let scratch = Scratch()
    _ = try traceRegression(scratch.path)
    let report = try ClaimsReport(.clipping, results: scratch.path)
    let all = Suite.clipping.experiments.flatMap { $0.claims }
    #expect(report.rows.map(\.claim.id) == all.map(\.id))
    #expect(Set(all.map(\.id)).count == all.count)
    for row in report.rows where row.experiment == "clip-cost" {
      #expect(row.evidence.verdict == .needsRecords)
    }
    let page = report.page(resultsAt: "x")
    for (experiment, rows) in Dictionary(grouping: report.rows, by: \.experiment) {
      let details = report.details(of: experiment)
      for row in rows {
        #expect(details.contains("## \(row.claim.id)\n"))
        #expect(page.contains("\n|\(row.claim.id)|"))
      }
    }
  }

  @Test func claimsAreJudgedByTheLongestRunsAndThenByTheMostSeeds() throws {
    let scratch = Scratch()
    func add(_ profile: String, steps: Int, seeds: [UInt64]) throws {
      var config = TraceRegression.Config()
      (config.steps, config.seeds) = (steps, seeds)
      _ = try Runner<TraceRegression>(
        config: config, profile: profile, results: scratch.path,
        telemetry: Telemetry(root: nil, threads: 1, jobs: 2)
      ).run()
    }
    func judging() throws -> (profiles: [String], others: [String]) {
      let report = try ClaimsReport(.clipping, results: scratch.path)
      let rows = report.rows.filter { $0.experiment == "trace-regression" }
      #expect(rows.allSatisfy { $0.evidence.verdict != .needsRecords })
      return (
        Set(rows.map(\.profile)).sorted(), report.unjudged.map { "\($0.experiment) \($0.profile)" }
      )
    }
    try add("smoke", steps: 90, seeds: [11, 12, 13])
    #expect(try judging() == (["smoke"], []))  // toys where nothing else is
    try add("quick", steps: 40, seeds: [11, 12])
    #expect(try judging() == (["quick"], []))
    try add("paper", steps: 60, seeds: [11, 12])
    #expect(try judging() == (["paper"], ["trace-regression quick"]))
    try add("full", steps: 60, seeds: [14, 15, 16])
    #expect(
      try judging() == (
        ["full"], ["trace-regression paper", "trace-regression quick"]
      ))
  }

  @Test func clipCostRecordsWhatTheClipsDid() throws {
    let scratch = Scratch()
    var config = ClipCost.defaults
    config.sizes = ["24x24", "20x32"]
    config.ranks = [1, 8]
    config.repeats = 1
    let set = try run(ClipCost.self, config, scratch.path)
    let exact = try set.records(of: "exact")[0]
    #expect(try exact.ints("rank") == [24, 20])
    #expect(try exact.doubles("relative_error") == [0, 0])
    let svd = try set.records(of: "svd")[0].doubles("relative_error")
    #expect(svd.allSatisfy { $0 < 1e-5 })
    let randomized = try set.records(of: "randomized")[0]
    #expect(try randomized.ints("rank") == [1, 8, 1, 8])
    let errors = try randomized.doubles("relative_error")
    #expect(errors[0] > 0.1 && errors[1] < errors[0], "one of five spikes, then all: \(errors)")
    #expect(try randomized.ints("clipped_count")[0] == 1)
    #expect(try randomized.doubles("telemetry/seconds_median").allSatisfy { $0 > 0 })
    // Without a power iteration, from the directions of other noise or from normal vectors: the former are closer.
    let warm = try set.records(of: "warm")[0].doubles("relative_error")
    config.powerIterations = 0
    config.methods = ["randomized"]
    let plain = try run(ClipCost.self, config, scratch.path + "/plain").records(of: "randomized")[0]
      .doubles("relative_error")
    #expect(warm[1] < plain[1] && warm[3] < plain[3], "\(warm), \(plain)")
    let table = try ClipCost.table(of: set)
    #expect(table.blocks.map(\.name) == ["24×24", "20×32"])
    #expect(table.blocks.allSatisfy { $0.numbers("rank") == [1, 8] })
    #expect(table.blocks.allSatisfy { $0.numbers("warm").allSatisfy { $0 > 0 } })
  }

  @Test func aFolderWithoutRecordsIsOneClearLine() throws {
    let error = #expect(throws: StorageError.self) { try RecordSet(folder: "/nowhere/at/all") }
    #expect(error?.description.contains("/nowhere/at/all") ?? false)
  }
}
