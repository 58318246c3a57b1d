// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

@testable import Datasets

/// A text of one's own in the place of a known one.
@Suite struct OwnTextTests {
  private let folder = NSTemporaryDirectory() + "own-text-\(UUID().uuidString)"

  init() throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  private func load(
    _ path: String, _ tokens: LanguageData.FileTokens = .characters, block: Int = 4
  ) throws -> LanguageData {
    try LanguageData.load(.file(path), folder: folder, block: block, fileTokens: tokens)
  }

  @Test func itIsCalledByItsNameAndDigest() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/my poem.txt"
    let text = String(repeating: "abcé\n", count: 40)
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    let data = try load(path)
    let digest = Digest.sha256(of: text)
    #expect(data.name == "my poem.txt (\(digest.prefix(8)))" && data.digest.hasPrefix(digest))
    #expect(!data.isStandIn && data.vocabulary == 5 && data.tokenizer == .characters("\nabcé"))
    #expect(data.training.count == 180 && data.validation.count == 20)
    #expect(data.decode((data.training + data.validation).map { Int($0) }) == text)
    // Another text under the same name is another set.
    try (text + "b").write(toFile: path, atomically: true, encoding: .utf8)
    #expect(try load(path).digest != data.digest && load(path).name != data.name)
  }

  @Test func tokenFilesAreNamedByTheirFolder() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for name in ["train", "val"] {
      try TokenFile.write(
        (0..<50).map { UInt16($0 % 7) }, to: "\(folder)/mine/\(name).bin", as: .plain)
    }
    let data = try load(folder + "/mine")
    #expect(data.name == "mine/train.bin and val.bin" && data.vocabulary == 7)
  }

  @Test func whatIsNoTextIsRefused() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func refusal(_ name: String, _ bytes: [UInt8]?) throws -> String {
      let path = "\(folder)/\(name)"
      if let bytes { try Data(bytes).write(to: URL(fileURLWithPath: path)) }
      let error = #expect(throws: StorageError.self) { try load(path) }
      #expect(error.map { "\($0)".contains(path) } == true)
      return error?.what ?? ""
    }
    #expect(try refusal("none.txt", nil) == "no such file")
    #expect(try refusal("latin.txt", [0x61, 0xe9, 0x62]).contains("UTF-8"))
    #expect(try refusal("empty.txt", []).contains("empty"))
    #expect(try refusal("short.txt", Array("abc".utf8)).contains("fewer than a block"))
    #expect(try refusal("train.bin", [1, 0]).contains("no text"))
    let path = folder + "/t.txt"
    try "some words".write(toFile: path, atomically: true, encoding: .utf8)
    let error = #expect(throws: StorageError.self) { try load(path, .gpt2) }
    #expect(error?.hint == "run make data")
  }

  @Test(arguments: [
    ("tinyshakespeare", LanguageData.Source.shakespeare), ("bin", .binary),
    ("./bin", .file("./bin")),
    ("a.txt", .file("a.txt")), ("/x/y", .file("/x/y")), ("stand-in", .standIn),
  ]) func namesAndPaths(_ text: String, _ source: LanguageData.Source) throws {
    #expect(LanguageData.Source(rawValue: text) == source && source.rawValue == text)
    let coded = try JSONEncoder().encode([source])
    #expect(try JSONDecoder().decode([LanguageData.Source].self, from: coded) == [source])
  }

  @Test func anUnknownWordIsNotAPath() throws {
    let error = #expect(throws: DecodingError.self) {
      try JSONDecoder().decode([LanguageData.Source].self, from: Data(#"["shakespear"]"#.utf8))
    }
    #expect(error.map { "\($0)".contains("tinyshakespeare") } == true)
  }
}
