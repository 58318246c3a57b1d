// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

@testable import Datasets

@Suite struct StandInTests {
  /// Another text is another experiment: records of models trained on it no longer compare.
  @Test func isPinned() throws {
    let corpus = try TextCorpus.load(.standIn, folder: "/nonexistent")
    #expect(corpus.isStandIn && corpus.name == "generated stand-in for tiny Shakespeare")
    #expect(
      corpus.digest == "25c9e0c0dba0c83c21e3bb7c300956ca29e4627c0ed40a5564fce729cfd8a5d5")
    #expect(corpus.digest == Digest.sha256(of: corpus.text))
  }

  @Test func hasTheShapeOfVerse() {
    let text = StandInText.text
    #expect(text.utf8.count == 1_115_394 && text.hasSuffix("\n"))
    #expect(text.utf8.allSatisfy { $0 == 10 || (32..<127).contains($0) })
    #expect((45...65).contains(Set(text.utf8).count))
    let lines = text.split(separator: "\n")
    #expect(lines.allSatisfy { $0.utf8.count <= 64 && ($0.first?.isUppercase ?? false) })
    let speakers = lines.filter { $0.hasSuffix(":") }
    #expect(speakers.count > 5000 && Set(speakers).count == 40)
    // Only where a scene ends: chance would give a quarter and more.
    let repeats = zip(speakers, speakers.dropFirst()).count { $0 == $1 }
    #expect(repeats < speakers.count / 100)
  }

  @Test func repeatsItsWordsAsZipfSays() {
    let words = StandInText.text.lowercased().split { !$0.isLetter }
    let counts = Dictionary(words.map { ($0, 1) }, uniquingKeysWith: +).values.sorted(by: >)
    #expect((400...1200).contains(counts.count))
    // Much of the text is a few words, and hardly a word occurs too seldom to be learnt.
    #expect(counts.prefix(20).reduce(0, +) > words.count / 3)
    #expect(counts.prefix { $0 >= 10 }.count > counts.count / 2)
  }
}

@Suite struct TextCorpusTests {
  @Test(arguments: TextCorpus.Source.allCases)
  func withoutFilesThereIsTheStandIn(source: TextCorpus.Source) throws {
    let corpus = try TextCorpus.load(source, folder: CorpusFolder().path)
    #expect(corpus.isStandIn && corpus.text == StandInText.text)
    #expect(corpus.name == "generated stand-in for \(source.title)")
  }

  @Test func filesAreReadInOrder() throws {
    let folder = try CorpusFolder()
    try folder.write("wikitext2-valid-test/test.txt", "two – 2\n")
    try folder.write("wikitext2-valid-test/valid.txt", "\u{FEFF}one\r\n")
    let corpus = try TextCorpus.load(.wikiText2, folder: folder.path)
    #expect(Array(corpus.text.utf8) == Array("\u{FEFF}one\r\ntwo – 2\n".utf8))
    #expect(corpus.name == "WikiText-2 (valid + test)" && !corpus.isStandIn)
    #expect(corpus.digest == Digest.sha256(of: "\u{FEFF}one\r\ntwo – 2\n"))
  }

  @Test(arguments: [("", "empty"), ("good\u{0}bad", "not a text in UTF-8")])
  func brokenFilesAreErrors(content: String, complaint: String) throws {
    let folder = try CorpusFolder()
    let bytes = content.utf8.map { $0 == 0 ? 0xFF : $0 }
    let path = try folder.write("tinyshakespeare/input.txt", Data(bytes))
    let error = #expect(throws: StorageError.self) {
      try TextCorpus.load(.tinyShakespeare, folder: folder.path)
    }
    #expect(error?.path == path)
    #expect(error?.what.contains(complaint) == true && error?.hint.contains("make data") == true)
  }

  @Test func halfASetIsAnError() throws {
    let folder = try CorpusFolder()
    try folder.write("wikitext2-valid-test/valid.txt", "one\n")
    let error = #expect(throws: StorageError.self) {
      try TextCorpus.load(.wikiText2, folder: folder.path)
    }
    #expect(error?.path.hasSuffix("/test.txt") == true && error?.what.contains("missing") == true)
  }

  @Test(.enabled(if: DownloadedData.folder(with: "tinyshakespeare/input.txt") != nil))
  func tinyShakespeare() throws {
    let folder = try #require(DownloadedData.folder(with: "tinyshakespeare/input.txt"))
    let corpus = try TextCorpus.load(.tinyShakespeare, folder: folder)
    #expect(corpus.name == "tiny Shakespeare" && !corpus.isStandIn)
    #expect(corpus.text.utf8.count == StandInText.length)
    #expect(
      corpus.digest == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed")
    #expect(CharacterVocabulary(of: corpus.text).count == 65)
  }

  @Test(.enabled(if: DownloadedData.folder(with: "wikitext2-valid-test/test.txt") != nil))
  func wikiText2() throws {
    let folder = try #require(DownloadedData.folder(with: "wikitext2-valid-test/test.txt"))
    let corpus = try TextCorpus.load(.wikiText2, folder: folder)
    let (valid, test) = (corpus.text.utf8.prefix(1_121_681), corpus.text.utf8.dropFirst(1_121_681))
    #expect(
      Digest.sha256(of: Data(valid))
        == "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8")
    #expect(
      Digest.sha256(of: Data(test))
        == "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0")
  }
}

/// What `make data` has downloaded: below DATA_DIR, else below data/ in the package.
enum DownloadedData {
  static func folder(with file: String) -> String? {
    let root = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return [ProcessInfo.processInfo.environment["DATA_DIR"], root.path + "/data"]
      .compactMap { $0 }.first { FileManager.default.fileExists(atPath: "\($0)/\(file)") }
  }
}

/// A temporary folder, removed with it.
private final class CorpusFolder {
  let path = "\(FileManager.default.temporaryDirectory.path)/corpus-tests-\(UUID().uuidString)"

  init() throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  @discardableResult func write(_ name: String, _ data: Data) throws -> String {
    try AtomicFile.write(data, to: "\(path)/\(name)")
    return "\(path)/\(name)"
  }

  @discardableResult func write(_ name: String, _ text: String) throws -> String {
    try write(name, Data(text.utf8))
  }
}
