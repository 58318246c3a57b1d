// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab

/// Thrown where a test kills a run.
struct Killed: Error {}

/// Runs what is missing below `results` and reads all records.
func run<E: Experiment>(
  _ type: E.Type, _ config: E.Config, _ results: String, jobs: Int = 1, threads: Int = 1,
  data: String = "data", checkpointSeconds: Double = 60,
  willStep: (@Sendable (Job, Int) throws -> Void)? = nil
) throws -> RecordSet {
  let runner = Runner<E>(
    config: config, profile: "test", results: results, dataFolder: data,
    telemetry: Telemetry(root: nil, threads: threads, jobs: jobs),
    checkpointSeconds: checkpointSeconds)
  _ = try runner.run(willStep: willStep)
  return try RecordSet(folder: runner.folder)
}

/// Expects the same records to the last bit, telemetry left out.
func expectEqual(_ a: RecordSet, _ b: RecordSet, _ comment: String) {
  #expect(a.records.count == b.records.count, "\(comment)")
  for (x, y) in zip(a.records, b.records) {
    #expect(x.firstDifference(from: y) == nil, "\(comment)")
  }
}

/// What was said, in order, from any thread.
final class Messages: @unchecked Sendable {
  private let lock = NSLock()
  private var messages: [String] = []

  /// One more.
  func add(_ message: String) { lock.withLock { messages.append(message) } }

  /// All so far.
  var all: [String] { lock.withLock { messages } }
}
