// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// The figure of every clipping rule on every workload.
@Suite struct SummaryFigureTests {
  private let row = SummaryRow(
    "x", by: Measure("loss", final: "final_loss", series: "loss", limit: 50), tuning: "searched",
    [.none: "none", .norm: "norm", .delta: "delta", .spectralConstant: "spectral", .adam: "absent"])

  private func set(_ finals: [String: [Int: Double]]) throws -> RecordSet {
    try RecordSet(
      folder: "memory",
      records: finals.flatMap { method, values in
        values.map { seed, value in
          Record(attributes: [
            "method": .string(method), "seed": .int(seed), "config": "steps: 20\n",
            "final_loss": .double(value),
          ])
        }
      })
  }

  @Test func cellsAreRatiosToTheBestPairedBySeed() throws {
    let cells = try SummaryFigure.cells(
      row,
      set([
        "spectral": [1: 1, 2: 2, 3: 4], "norm": [3: 8, 1: 3, 2: 4, 4: 1e9],
        "none": [1: .nan, 2: .infinity, 3: .nan], "delta": [7: 6, 8: 6],
      ]))
    #expect(cells.map(\.rule) == [.none, .norm, .delta, .spectralConstant])
    #expect(cells.map(\.isBest) == [false, false, false, true])
    #expect(cells[3].text == ("best", "2.00"))
    // Seed 4 has no partner. Logarithms log 3, log 2, log 2: their mean, and t(0.975, 2) = 4.302653 standard errors.
    let logs = [log(3.0), log(2.0), log(2.0)]
    let mean = logs.reduce(0, +) / 3
    let deviation = (logs.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / 2 / 3).squareRoot()
    #expect(cells[1].seeds == 3)
    #expect(abs(cells[1].ratio.mean - exp(mean)) < 1e-12)
    #expect(abs(cells[1].ratio.high - exp(mean + 4.302653 * deviation)) < 1e-5)
    // A run that diverged is the limit: 50/1, 50/2, 50/4.
    #expect(abs(cells[0].ratio.mean - 25) < 1e-12 && cells[0].seeds == 3)
    #expect(cells[2].text == ("3.00", "other seeds") && cells[2].seeds == 0)
    #expect(cells.map(\.runs) == [3, 4, 2, 3])
  }

  @Test func everyRowNamesArmsThatThereAre() {
    var count = 0
    for experiment in Suite.clipping.experiments {
      let titles = experiment.methodTitles.map(\.name)
      for row in experiment.summary {
        count += 1
        let known = row.arms.filter { titles.contains($0.arm) }
        #expect(known.count >= 3, "\(experiment.name), \(row.title): \(row.arms.map(\.arm))")
        #expect(Set(row.arms.map(\.rule)).count == row.arms.count)
      }
    }
    #expect(count >= 12)
  }

  @Test func aFolderWithoutRecordsIsAnError() {
    #expect(throws: StorageError.self) { try SummaryFigure(.clipping, results: "/nowhere") }
  }
}
