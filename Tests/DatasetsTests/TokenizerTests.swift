// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

@testable import Datasets

/// What Goldens/make_tokens.py recorded of tiktoken.
private struct TokenRecording: Decodable {
  struct Case: Decodable {
    let text: String
    let tokens: [Int]
    let cut: [Int]
  }
  let merges: Int
  let kinds: String
  let cases: [Case]

  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Goldens").path

  static func read() throws -> Self {
    try JSONDecoder().decode(Self.self, from: FileBytes.read(folder + "/gpt2-tokens.json"))
  }

  /// The tokenizer of the vocabulary that is checked in.
  static func cutTokenizer(limit: Int? = nil) throws -> GPT2Tokenizer {
    try GPT2Tokenizer(
      encoder: folder + "/cut-encoder.json", merges: folder + "/cut-vocab.bpe", limit: limit)
  }
}

/// GPT-2's own files: in gpt2-bpe below DATA_DIR, else below data/ in the package.
private enum WholeVocabulary {
  static let folder: String? = {
    let root = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let places = [ProcessInfo.processInfo.environment["DATA_DIR"], root.path + "/data"]
    return places.compactMap { $0.map { $0 + "/gpt2-bpe" } }
      .first { FileManager.default.fileExists(atPath: $0 + "/encoder.json") }
  }()

  static func tokenizer(limit: Int? = nil) throws -> GPT2Tokenizer {
    let folder = try #require(folder)
    return try GPT2Tokenizer(
      encoder: folder + "/encoder.json", merges: folder + "/vocab.bpe", limit: limit)
  }
}

/// A temporary folder, removed with it.
private final class Folder {
  let path = "\(FileManager.default.temporaryDirectory.path)/datasets-tests-\(UUID().uuidString)"

  init() throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String, _ text: String) throws -> String { try file(name, Array(text.utf8)) }

  func file(_ name: String, _ bytes: [UInt8]) throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
    return "\(path)/\(name)"
  }
}

/// Checks that `body` throws a one-line error about `path` that says all the `parts`.
private func expectError(
  at path: String, _ parts: String..., sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> some Any
) {
  let error = #expect(throws: StorageError.self, sourceLocation: sourceLocation) { try body() }
  guard let error else { return }
  #expect(error.path == path && !error.hint.isEmpty, sourceLocation: sourceLocation)
  for part in parts {
    #expect(error.description.contains(part), sourceLocation: sourceLocation)
  }
}

@Suite struct GPT2TokenizerTests {
  @Test func equalsTiktokenWithTheFirstMerges() throws {
    let (recording, tokenizer) = (try TokenRecording.read(), try TokenRecording.cutTokenizer())
    #expect(tokenizer.endOfText == 256 + recording.merges)
    #expect(recording.cases.count > 50)
    for item in recording.cases {
      #expect(tokenizer.encode(item.text) == item.cut, "\(item.text.debugDescription)")
      #expect(try tokenizer.decodeBytes(item.cut) == Array(item.text.utf8))
    }
  }

  @Test(.enabled(if: WholeVocabulary.folder != nil)) func equalsTiktoken() throws {
    let (recording, tokenizer) = (try TokenRecording.read(), try WholeVocabulary.tokenizer())
    #expect(tokenizer.vocabularySize == 50257 && tokenizer.endOfText == 50256)
    let cut = try WholeVocabulary.tokenizer(limit: recording.merges)
    for item in recording.cases {
      #expect(tokenizer.encode(item.text) == item.tokens, "\(item.text.debugDescription)")
      #expect(try tokenizer.decodeBytes(item.tokens) == Array(item.text.utf8))
      #expect(cut.encode(item.text) == item.cut)
    }
    // All at once, so that words come again.
    let texts = recording.cases.map(\.text)
    let whole = texts.joined(separator: "\u{1}")
    #expect(tokenizer.encode(whole + whole) == tokenizer.encode(Array((whole + whole).utf8)))
    #expect(try tokenizer.decode(tokenizer.encode(whole + whole)) == whole + whole)
    // Merging pairs comes to the same as tiktoken's merging of what has an id.
    for id in 0..<tokenizer.endOfText where try tokenizer.merge(tokenizer.decodeBytes([id])) != [id]
    {
      Issue.record("the bytes of token \(id) do not merge to it")
    }
  }

  @Test func kindsOfAllScalarsAreTiktokens() throws {
    var changes: [(start: UInt32, kind: Character)] = []
    for change in try TokenRecording.read().kinds.split(separator: " ") {
      changes.append((try #require(UInt32(change.dropLast(), radix: 16)), change.last ?? "?"))
    }
    let ends = changes.dropFirst().map(\.start) + [0x110000]
    var wrong = 0
    for (change, end) in zip(changes, ends) {
      let kind = try #require(
        ["L": GPT2Words.Kind.letter, "N": .number, "S": .space, "O": .other][change.kind])
      for scalar in (change.start..<end).lazy.compactMap(Unicode.Scalar.init) {
        // An older Swift library does not know the newest scalars.
        let known = scalar.properties.generalCategory != .unassigned
        if GPT2Words.Kind(scalar) != kind && known { wrong += 1 }
        if scalar.isASCII && GPT2Words.Kind(ascii: UInt8(scalar.value)) != kind { wrong += 1 }
      }
    }
    #expect(wrong == 0, "\(wrong) scalars are of another kind")
  }

  @Test func bytesThatAreNotTextComeBack() throws {
    let tokenizer = try TokenRecording.cutTokenizer()
    let bytes: [UInt8] = [
      0x80, 0x41, 0xff, 0x20, 0xc3, 0xe2, 0x82, 0x20, 0xf4, 0x90, 0x80, 0x80, 0xc3,
    ]
    for count in 0...bytes.count {
      let part = Array(bytes.prefix(count))
      #expect(try tokenizer.decodeBytes(tokenizer.encode(part)) == part)
    }
    let all = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* $0 &+ $0 >> 3) }
    #expect(try tokenizer.decodeBytes(tokenizer.encode(all)) == all)
    #expect(try tokenizer.decode(tokenizer.encode([0x61, 0xff, 0x62])) == "a\u{fffd}b")
  }

  @Test func cutsHaveTheirOwnIDs() throws {
    let bytes = try TokenRecording.cutTokenizer(limit: 0)
    #expect(bytes.vocabularySize == 257 && bytes.encode("Hi!") == [39, 72, 0])
    let one = try TokenRecording.cutTokenizer(limit: 1)
    #expect(one.encode("a to t") == [64, 256, 78, 256] && one.endOfText == 257)
    #expect(try one.decode([64, 256, 257]) == "a t<|endoftext|>")
    #expect(one.encode("<|endoftext|>").count == 13, "special tokens in a text are text")
    #expect(one.encode("abcd".dropFirst()) == one.encode("bcd"))
  }

  @Test func longWordsTakeNoSquareOfTheirLength() throws {
    let tokenizer = try TokenRecording.cutTokenizer()
    let word = String(repeating: "antidisestablishment", count: 2000)
    let once = tokenizer.encode(String(repeating: "antidisestablishment", count: 20)).count
    #expect(abs(tokenizer.encode(word).count - 100 * once) < once)
  }

  @Test func unknownTokensAreNamed() throws {
    let tokenizer = try TokenRecording.cutTokenizer()
    for id in [-1, 757, 50256] {
      let error = VocabularyError.unknownToken(id, position: 2, size: 757)
      #expect(throws: error) { try tokenizer.decode([1, 2, id]) }
      #expect(error.description.hasPrefix("token \(id) at position 2 is outside"))
    }
  }

  @Test func brokenVocabulariesAreNamed() throws {
    let folder = try Folder()
    let encoder = TokenRecording.folder + "/cut-encoder.json"
    let merges = TokenRecording.folder + "/cut-vocab.bpe"
    func read(_ encoder: String, _ merges: String, _ limit: Int? = nil) throws -> GPT2Tokenizer {
      try GPT2Tokenizer(encoder: encoder, merges: merges, limit: limit)
    }
    for limit in [-1, 501] {
      expectError(at: merges, "first \(limit) merges of 500") {
        try read(encoder, merges, limit)
      }
    }
    expectError(at: folder.path + "/none", "no such file") {
      try read(folder.path + "/none", merges)
    }
    expectError(at: folder.path + "/none", "no such file") {
      try read(encoder, folder.path + "/none")
    }
    for text in ["", "{\"a\": 1", "[1, 2]", "{\"a\": \"b\"}", "<html>"] {
      let path = try folder.file("bad.json", text)
      expectError(at: path, "not a JSON object of token ids") { try read(path, merges) }
    }
    let good = String(decoding: try FileBytes.read(merges), as: UTF8.self)
    let broken = [
      ("\nh e\n", "\nh e e\n", "line 4, 'h e e'"), ("\nh e\n", "\ne h\n", "merge 3, 'e h'"),
      ("\nh e\n", "\n", "499 merges do not match the 757 tokens"),
      ("\nh e\ni n\n", "\ni n\nh e\n", "merge 3, 'i n', is not token 258"),
    ]
    for (old, new, what) in broken {
      let path = try folder.file("bad.bpe", good.replacingOccurrences(of: old, with: new))
      expectError(at: path, what) { try read(encoder, path) }
    }
    let names = String(decoding: try FileBytes.read(encoder), as: UTF8.self)
    let path = try folder.file(
      "twice.json", names.replacingOccurrences(of: "\"A\": 32,", with: "\"A\": 33,"))
    expectError(at: path, "byte 66 ('B')") { try read(path, merges) }
    let windows = try folder.file("crlf.bpe", good.replacingOccurrences(of: "\n", with: "\r\n"))
    #expect(try read(encoder, windows).vocabularySize == 757)
  }
}

@Suite struct TokenFileTests {
  private static let tokens: [UInt16] = [0, 1, 258, 50256, 65535]

  @Test(arguments: TokenFile.Format.allCases) func roundTrip(_ format: TokenFile.Format) throws {
    let folder = try Folder()
    let path = folder.path + "/train.bin"
    for _ in 0..<2 { try TokenFile.write(Self.tokens, to: path, as: format) }
    let file = try TokenFile(path: path)
    #expect(file.tokens == Self.tokens && file.format == format && file.path == path)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["train.bin"])
    let bytes = Array(try FileBytes.read(path))
    #expect(bytes.suffix(10) == [0, 0, 1, 0, 2, 1, 0x50, 0xc4, 0xff, 0xff])
    if format == .shard {
      #expect(bytes.count == 1024 + 10)
      #expect(bytes.prefix(12) == [0x88, 0xd8, 0x34, 0x01, 1, 0, 0, 0, 5, 0, 0, 0])
      #expect(bytes[12..<1024].allSatisfy { $0 == 0 })
    }
    try file.check(vocabularySize: 65536)
    expectError(at: path, "token 50256 at position 3", "0..<50256") {
      try file.check(vocabularySize: 50256)
    }
  }

  @Test func brokenFilesAreNamed() throws {
    let folder = try Folder()
    let whole = folder.path + "/whole.bin"
    try TokenFile.write(Self.tokens, to: whole, as: .shard)
    let bytes = Array(try FileBytes.read(whole))
    var (version, negative, wide) = (bytes, bytes, bytes)
    version[4] = 7
    wide.replaceSubrange(0..<8, with: [0xA1, 0xD9, 0x34, 0x01, 7, 0, 0, 0])  // 20240801, version 7
    negative[11] = 0x80
    let broken: [([UInt8], String)] = [
      ([], "empty"), ([1, 2, 3], "3 bytes"), (Array(bytes.prefix(1023)), "1023 bytes"),
      (bytes.dropLast(2), "counts 5 tokens, 10 bytes, but 8 bytes follow"),
      (bytes.dropLast(), "but 9 bytes follow"), (bytes + [0, 0], "but 12 bytes follow"),
      (Array(bytes.prefix(1024)), "but 0 bytes follow"), (version, "version 7"),
      (negative, "counts -2147483643 tokens"), (wide, "32-bit tokens"),
    ]
    for (content, what) in broken {
      let path = try folder.file("broken.bin", content)
      expectError(at: path, what) { try TokenFile(path: path) }
    }
    let path = try folder.file("short.bin", bytes.dropLast(2))
    expectError(at: path, "the download may have been interrupted") { try TokenFile(path: path) }
    expectError(at: folder.path + "/none", "no such file") {
      try TokenFile(path: folder.path + "/none")
    }
    try TokenFile.write([], to: whole, as: .shard)
    #expect(try TokenFile(path: whole).tokens.isEmpty)
  }
}

@Suite struct CharacterVocabularyTests {
  @Test func sortedUniqueScalars() throws {
    let text = "to be,\r\nor not to be\n\u{e9}e\u{301}\u{1f600}"
    let vocabulary = CharacterVocabulary(of: text)
    #expect(
      String(String.UnicodeScalarView(vocabulary.characters))
        == "\n\r ,benort\u{e9}\u{301}\u{1f600}")
    #expect(vocabulary.count == 13)
    #expect(try vocabulary.encode("be\r\n") == [4, 5, 1, 0])
    #expect(
      try vocabulary.decode(vocabulary.encode(text)).unicodeScalars.elementsEqual(
        text.unicodeScalars))
    #expect(CharacterVocabulary(of: "").count == 0)
  }

  @Test func strangersAreNamed() throws {
    let vocabulary = CharacterVocabulary(of: "abc")
    let stranger = VocabularyError.unknownCharacter("\u{e9}", position: 2, size: 3)
    #expect(throws: stranger) { try vocabulary.encode("ab\u{e9}") }
    #expect(stranger.description.hasPrefix("U+00E9 at position 2"))
    for id in [-1, 3] {
      #expect(throws: VocabularyError.unknownToken(id, position: 1, size: 3)) {
        try vocabulary.decode([0, id])
      }
    }
  }
}
