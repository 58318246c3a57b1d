// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Storage

@Suite struct JournalTests {
  let scratch: Scratch
  let path: String

  init() throws {
    scratch = try Scratch()
    path = scratch.file("runs/a.journal")
  }

  private func lines() throws -> [String] { try Journal.open(resuming: path).lines }

  @Test func appendsAndResumes() throws {
    for round in 0..<3 {
      let (journal, lines) = try Journal.open(resuming: path)
      #expect(lines == (0..<2 * round).map { "step\t\($0) τ" })
      try journal.append("step\t\(2 * round) τ")
      try journal.append("step\t\(2 * round + 1) τ")
      try journal.sync()
      #expect(journal.length == (try content(path)).count)
    }
  }

  @Test func everyCutKeepsTheWholeLines() throws {
    let text = "one\n\nthree – ü\nfour\n"
    let bytes = Data(text.utf8)
    try FileManager.default.createDirectory(
      atPath: SystemCalls.parentFolder(of: path), withIntermediateDirectories: true)
    for length in 0...bytes.count {
      try bytes.prefix(length).write(to: URL(fileURLWithPath: path))
      let (journal, lines) = try Journal.open(resuming: path)
      let whole = bytes.prefix(length).filter { $0 == 0x0a }.count
      #expect(lines == Array(["one", "", "three – ü", "four"].prefix(whole)), "\(length) bytes")
      try journal.append("next")
      #expect(
        String(decoding: try content(path), as: UTF8.self)
          == (lines + ["next"]).map { $0 + "\n" }.joined())
    }
  }

  @Test(arguments: [
    Data([0x61, 0x0a, 0, 0, 0, 0x0a]), Data([0x61, 0x0a, 0xff, 0x0a, 0x62, 0x0a]),
  ])
  func whatIsNoTextIsCutOff(bytes: Data) throws {
    try AtomicFile.write(bytes, to: path)
    #expect(try lines() == ["a"])
    #expect(try content(path) == Data([0x61, 0x0a]))
  }

  @Test func truncates() throws {
    let journal = try Journal.open(resuming: path).journal
    try journal.append("one")
    let checkpoint = journal.length
    try journal.append("two")
    try journal.truncate(to: checkpoint)
    try journal.append("deux")
    #expect(try content(path) == Data("one\ndeux\n".utf8))
    expectError("the checkpoint expects 100", at: path) { try journal.truncate(to: 100) }
    expectError("expects -1", at: path) { try journal.truncate(to: -1) }
  }

  @Test func aFullDiskLeavesWholeLines() throws {
    let journal = try Journal.open(resuming: path, writer: fullDisk(after: 10)).journal
    try journal.append("12345")
    expectError("disk full", at: path) { try journal.append("6789abc") }
    #expect(try content(path) == Data("12345\n".utf8))
    #expect(journal.length == 6)
  }

  @Test func onlyOneWriter() throws {
    let journal = try Journal.open(resuming: path).journal
    expectError("another run", at: path) { try Journal.open(resuming: path) }
    try journal.append("still mine")
  }

  @Test func placesThatAreNoJournal() throws {
    expectError("cannot open the journal", at: scratch.path) {
      try Journal.open(resuming: scratch.path)
    }
    let file = try scratch.file("file", holding: Data())
    expectError("is a file, not a folder", at: file) { try Journal.open(resuming: "\(file)/a") }
  }

  @Test func manyTasksAppend() async throws {
    let journal = try Journal.open(resuming: path).journal
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<8 {
        group.addTask { for number in 0..<50 { try journal.append("\(task) \(number)") } }
      }
      try await group.waitForAll()
    }
    let lines = String(decoding: try content(path), as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 400 && Set(lines).count == 400)
  }
}
