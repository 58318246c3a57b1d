// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// Criteria that were committed before their records.
@Suite struct RegistryTests {
  /// The file says direction and bound once more than the claims' criteria, which are made from the bounds that judge.
  @Test func theRegisteredCriteriaAreThoseOfTheClaims() throws {
    let registry = try Registry()
    #expect(registry.rows.count >= 40)
    #expect(Set(registry.rows.map(\.id)).count == registry.rows.count)
    let claims = Suite.clipping.experiments.flatMap { $0.claims }
    for row in registry.rows {
      let claim = try #require(claims.first { $0.id == row.id }, "\(row.id)")
      #expect(claim.family == row.family, "\(row.id)")
      #expect(claim.changed == nil, "\(row.id): what is registered was not changed")
      #expect((claim.comparison?.needed ?? 0) <= row.count, "\(row.id)")
      // A ratio is held against one as its logarithm is against zero; margins of equivalence are symmetric.
      func number(_ value: Double) -> String { String(format: "%.4g", value) }
      let plain = String(format: "%g", row.bound)
      let words =
        row.direction == "within"
        ? ["within \(number(exp(-row.bound))) to \(number(exp(row.bound)))"]
        : ["\(row.direction) \(plain)", "\(row.direction) \(number(exp(row.bound)))"]
      #expect(
        words.contains { claim.criterion.contains($0) },
        "\(row.id): \(words) in '\(claim.criterion)'")
    }
  }

  @Test func whetherACriterionWasThereBefore() throws {
    let scratch = Scratch()
    let root = scratch.path
    @discardableResult func git(_ arguments: String...) throws -> String {
      let (process, pipe) = (Process(), Pipe())
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments =
        ["git", "-C", root, "-c", "user.name=t", "-c", "user.email=t@example.org"] + arguments
      process.standardOutput = pipe
      process.standardError = FileHandle.nullDevice
      try process.run()
      let data = pipe.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
    let head = "id\tstatistic\tdirection\tbound\tfamily\tn\thorizon\n"
    func write(_ bound: String) throws -> String {
      let text = head + "a\tx\tabove\t\(bound)\tf\t3\t5 steps\nb\ty\tbelow\t1\tf\t3\t5 steps\n"
      try FileManager.default.createDirectory(
        atPath: root + "/experiments", withIntermediateDirectories: true)
      try text.write(
        toFile: root + "/experiments/registered.tsv", atomically: true, encoding: .utf8)
      return text
    }
    func record(_ commit: String, _ seed: Int) -> Record {
      var record = Record(attributes: ["seed": .int(seed)])
      record.telemetry.attributes["commit"] = .string(commit)
      return record
    }
    func status(
      _ id: String, _ text: String, _ commits: String..., seeds: [Int] = [1, 2, 3]
    ) throws -> String {
      try Registry(text: text, file: "x", root: root)
        .status(of: id, commits.flatMap { commit in seeds.map { record(commit, $0) } })
    }
    var text = try write("0")
    #expect(try status("a", text, "abc") == "unknown")  // no git
    try git("init", "-q")
    try git("commit", "-q", "--allow-empty", "-m", "zero")
    let zero = try git("rev-parse", "--short", "HEAD")
    try git("add", ".")
    try git("commit", "-q", "-m", "one")
    let one = try git("rev-parse", "--short", "HEAD")
    #expect(try status("a", text, one) == "before")
    // Nobody can make again what an uncommitted tree made.
    #expect(try status("a", text, one + "-dirty") == "uncommitted")
    #expect(try status("a", text, one, zero + "-dirty") == "uncommitted")
    #expect(try status("a", text, one, seeds: [1, 2]) == "no")  // three were promised
    #expect(try status("a", text, zero) == "after")
    #expect(try status("a", text, one, zero) == "after")
    #expect(try status("a", text, "unknown") == "after")
    #expect(try status("c", text, one) == "no")
    text = try write("0.5")
    try git("commit", "-q", "-a", "-m", "two")
    let two = try git("rev-parse", "--short", "HEAD")
    #expect(try status("a", text, one) == "after")
    #expect(try status("a", text, two) == "before")
    #expect(try status("b", text, one) == "before")  // that line did not change
    #expect(throws: StorageError.self) {
      try Registry(text: head + "a\tx\tabove\tno number\tf\t3\t5\n", file: "x", root: nil)
    }
  }
}
