// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing
import Training

@testable import Experiments
@testable import Lab

/// What becomes of the state of an unfinished run.
@Suite final class CheckpointTests {
  private let scratch = Scratch()

  private var config: TraceRegression.Config {
    get throws {
      try TraceRegression.defaults.overlaid(
        yaml: "steps: 300\ndenseSteps: 10\nmethods: [quantile]\nseeds: [11]\n", file: "test.yaml")
    }
  }

  /// Runs until step 200 and leaves the state of step 199 behind.
  private func killed(_ folder: String) throws -> String {
    #expect(throws: Killed.self) {
      try run(TraceRegression.self, config, folder, checkpointSeconds: 0) { _, step in
        if step == 200 { throw Killed() }
      }
    }
    return "\(folder)/trace-regression/test/quantile-seed11.checkpoint"
  }

  /// One bit of it changed anywhere, or its end missing: the run begins anew and ends with the same record.
  @Test func aDamagedStateIsNeverTaken() throws {
    let whole = try run(TraceRegression.self, config, scratch.path + "/whole")
    let path = try killed(scratch.path + "/damaged")
    let good = try Data(contentsOf: URL(fileURLWithPath: path))
    var damaged = [0, 3, 12, 15, good.count / 3, good.count / 2, good.count - 1].map { place in
      var data = good
      data[place] ^= 1 << UInt8(place % 8)
      return data
    }
    damaged += [good.prefix(7), good.dropLast(), Data(), good + [0]]
    for (index, data) in damaged.enumerated() {
      try data.write(to: URL(fileURLWithPath: path))
      let warnings = Warnings()
      let checkpoint = Checkpoint<[Int]>(path: path, identity: [], secondsBetween: 1) {
        warnings.add($0)
      }
      #expect(try checkpoint.load() == nil && warnings.count == 1, "damage \(index)")
      let record = "\(scratch.path)/damaged/trace-regression/test/quantile-seed11.h5"
      try? FileManager.default.removeItem(atPath: record)
      expectEqual(
        whole, try run(TraceRegression.self, config, scratch.path + "/damaged"), "damage \(index)")
    }
  }

  /// A record that cannot be written costs nothing: the state stays, and the next run goes on from it.
  @Test func theStateOutlivesARecordThatCannotBeWritten() throws {
    let folder = scratch.path + "/unwritten"
    let path = try killed(folder)
    let record = path.replacing(".checkpoint", with: ".h5")
    try FileManager.default.createDirectory(
      atPath: record + "/in-the-way", withIntermediateDirectories: true)
    #expect(throws: (any Error).self) { try run(TraceRegression.self, config, folder) }
    #expect(FileManager.default.fileExists(atPath: path))
    try FileManager.default.removeItem(atPath: record)
    let resumed = try run(TraceRegression.self, config, folder)
    #expect(resumed.records[0].telemetry.attributes["resumed"] == .int(1))
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  private final class Warnings: @unchecked Sendable {
    private let lock = NSLock()
    private var texts: [String] = []
    func add(_ text: String) { lock.withLock { texts.append(text) } }
    var count: Int { lock.withLock { texts.count } }
  }
}
