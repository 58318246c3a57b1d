// SPDX-License-Identifier: Apache-2.0

import Foundation
import Lab
import Testing

/// experiments/figure: how long the parts of `make all` took.
@Suite struct FigureScriptTests {
  private let folder = FileManager.default.temporaryDirectory.path + "/figure-\(UUID().uuidString)"

  private func figure(_ words: String, profile: String = "quick") throws -> (Int32, String) {
    let (process, pipe) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments =
      [folder + "/experiments/figure"] + words.split(separator: " ").map(String.init)
    process.environment = ["PATH": "/usr/bin:/bin", "PROFILE": profile]
    process.standardOutput = pipe
    try process.run()
    let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }

  @Test func theLongestTimeOfAPartCounts() throws {
    let (manager, root) = (FileManager.default, try #require(Paths().root))
    defer { try? manager.removeItem(atPath: folder) }
    try manager.createDirectory(
      atPath: folder + "/experiments", withIntermediateDirectories: true)
    for name in ["figure", "figures.tsv", "insert"] {
      try manager.copyItem(
        atPath: "\(root)/experiments/\(name)", toPath: "\(folder)/experiments/\(name)")
    }
    #expect(try figure("times") == (0, ""))
    for line in ["took build 200", "took theory-bounds 61", "took build 3"] {
      #expect(try figure(line) == (0, ""))
    }
    #expect(try figure("took build 900", profile: "paper") == (0, ""))
    let said = try figure("times").1
    #expect(said.contains("took 4 min 21 s on "), "\(said)")
    #expect(said.hasSuffix(": build 3 min 20 s, theory-bounds 1 min 01 s.\n"), "\(said)")
    #expect(try figure("times", profile: "full") == (0, ""))
    // Two of many parts are no `make all`: README is left alone.
    let page = "a\n<!-- experiments/figure times -->\n\nold\n\n<!-- end of experiments/figure -->\n"
    try Data(page.utf8).write(to: URL(fileURLWithPath: folder + "/README.md"))
    try manager.createDirectory(atPath: folder + "/results", withIntermediateDirectories: true)
    #expect(try figure("record").0 == 0)
    #expect(try String(contentsOfFile: folder + "/README.md", encoding: .utf8) == page)
    #expect(!manager.fileExists(atPath: folder + "/results/times.tsv"))
    let parts = try figure("rules").1.split(separator: "\n").filter { $0.hasPrefix("all:") }
    for part in parts { #expect(try figure("took \(part.dropFirst(4)) 10").0 == 0) }
    #expect(try figure("record").0 == 0)
    let fresh = try String(contentsOfFile: folder + "/README.md", encoding: .utf8)
    #expect(fresh.contains("bad-token-spectra 10 s") && !fresh.contains("old"))
    #expect(manager.fileExists(atPath: folder + "/results/times.tsv"))
  }
}
