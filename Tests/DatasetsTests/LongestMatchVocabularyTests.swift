// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Datasets

@Suite struct LongestMatchVocabularyTests {
  private final class Folder {
    let path = NSTemporaryDirectory() + "longest-match-\(UUID().uuidString)"
    var file: String { path + "/VOCAB.BIN" }

    init() throws {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The file of `entries`, in their order, as a reader without knowledge of the type would write it.
    func write(
      _ entries: [(text: [UInt8], id: Int)], count: Int? = nil, drop: Int = 0, more: Int = 0
    ) throws {
      func word(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(value >> (8 * $0) & 255) } }
      var bytes = word(count ?? entries.count)
      for (text, id) in entries {
        let padded = text + [UInt8](repeating: 0, count: max(0, 16 - text.count))
        bytes += word(text.count) + padded.prefix(16) + word(id)
      }
      bytes += [UInt8](repeating: 9, count: more)
      try Data(bytes.dropLast(drop)).write(to: URL(fileURLWithPath: file))
    }
  }

  /// Two names, all bytes, some strings; ids in another order than the entries.
  private static let entries: [(text: [UInt8], id: Int)] = {
    let strings =
      [Array("<|endoftext|>".utf8), Array("<|unk|>".utf8)] + (0...255).map { [UInt8($0)] }
      + ["th", "the", "there", "he", "<|", "|>", "0123456789abcdef", "é"].map { Array($0.utf8) }
      + [[0, 0]]
    let count = strings.count
    return strings.enumerated().map { ($1, ($0 + 5) % count) }
  }()

  private static func id(_ text: String) -> Int {
    entries.first { $0.text == Array(text.utf8) }?.id ?? -1
  }

  private func vocabulary() throws -> LongestMatchVocabulary {
    let folder = try Folder()
    try folder.write(Self.entries, more: 11)  // the real file has more behind the entries
    return try LongestMatchVocabulary(path: folder.file)
  }

  @Test func theLongestTokenThatFitsIsTaken() throws {
    let vocabulary = try vocabulary()
    let id = Self.id
    #expect(vocabulary.count == Self.entries.count)
    #expect(vocabulary.encode("there") == [id("there")])
    #expect(vocabulary.encode("ther") == [id("the"), id("r")])
    #expect(vocabulary.encode("thethhe") == [id("the"), id("th"), id("he")])
    #expect(vocabulary.encode("x0123456789abcdef0") == [id("x"), id("0123456789abcdef"), id("0")])
    #expect(vocabulary.encode("0123456789abcde").count == 15)
    #expect(vocabulary.encode("\0\0\0") == [Self.entries[Self.entries.count - 1].id, id("\0")])
    #expect(vocabulary.encode("é") == [id("é")])
    #expect(vocabulary.encode("") == [])
  }

  @Test func namesOfSpecialTokensAreNoText() throws {
    let vocabulary = try vocabulary()
    for name in ["<|endoftext|>", "<|unk|>"] {
      let tokens = vocabulary.encode(name)
      #expect(!tokens.contains(Self.id(name)) && tokens.first == Self.id("<|"), "\(tokens)")
      #expect(try vocabulary.decode([Self.id(name)]) == name)
    }
    // Two bytes are no name.
    #expect(vocabulary.encode("<|") == [Self.id("<|")])
  }

  @Test func textComesBack() throws {
    let vocabulary = try vocabulary()
    let letters = Array("the rthé<|>0123456789abcdef\0\n🙂".unicodeScalars)
    let stream = RandomStream(seed: 1, name: "longest match")
    for trial in 0..<50 {
      var text = ""
      for i in 0..<trial {
        text.unicodeScalars.append(
          letters[stream.integer(below: letters.count, at: 100 * trial + i)])
      }
      let tokens = vocabulary.encode(text)
      #expect(tokens.allSatisfy { (0..<vocabulary.count).contains($0) })
      #expect(try vocabulary.decode(tokens) == text, "\(text)")
    }
    // Half a character is no text.
    #expect(try vocabulary.decode([Self.entries[2 + 0xC3].id]) == "\u{FFFD}")
    for id in [-1, vocabulary.count] {
      #expect(throws: VocabularyError.unknownToken(id, position: 1, size: vocabulary.count)) {
        try vocabulary.decode([0, id])
      }
    }
  }

  @Test func damagedFilesAreOneClearLine() throws {
    let folder = try Folder()
    func message(
      _ entries: [(text: [UInt8], id: Int)] = Self.entries, count: Int? = nil, drop: Int = 0
    ) throws -> String {
      try folder.write(entries, count: count, drop: drop)
      do {
        _ = try LongestMatchVocabulary(path: folder.file)
        return ""
      } catch let error as StorageError {
        #expect(error.path == folder.file && !error.hint.isEmpty)
        return error.what
      }
    }
    func changed(_ place: Int, _ text: [UInt8]? = nil, _ id: Int? = nil) -> [(
      text: [UInt8], id: Int
    )] {
      var entries = Self.entries
      entries[place] = (text ?? entries[place].text, id ?? entries[place].id)
      return entries
    }
    let count = Self.entries.count
    #expect(try message() == "")
    #expect(try message(drop: 1).contains("cannot hold \(count) tokens"))
    #expect(try message(drop: 24 * count + 4) == "no count")
    #expect(try message(drop: 24 * count + 1) == "no count")
    #expect(try message(count: count + 1).contains("cannot hold \(count + 1) tokens"))
    #expect(try message(count: 0xFFFF_FFFF).contains("cannot hold"))
    #expect(try message(count: 255).contains("cannot hold"))
    #expect(try message(changed(3, nil, count)).contains("token 3"))
    #expect(try message(changed(3, nil, 0xFFFF_FFFF)).contains("token 3"))
    #expect(try message(changed(3, [])).contains("the length 0"))
    #expect(
      try message(changed(3, Array(repeating: 65, count: 17))).contains("the length 17"))
    // An id that is taken; a byte that nobody stands for.
    #expect(try message(changed(4, nil, Self.entries[3].id)).contains("token 4"))
    #expect(try message(changed(2 + 65, [65, 65])) == "no token for the byte 65")
    #expect(throws: StorageError.self) { try LongestMatchVocabulary(path: "nowhere/VOCAB.BIN") }
  }

  @Test func theCorpusIsItsTextInItsVocabulary() throws {
    let folder = try Folder()
    try FileManager.default.createDirectory(
      atPath: folder.path + "/gpt2-basic-463k", withIntermediateDirectories: true)
    try folder.write(Self.entries)
    try FileManager.default.moveItem(
      atPath: folder.file, toPath: folder.path + "/gpt2-basic-463k/VOCAB.BIN")
    func load(_ text: String, block: Int) throws -> LanguageData {
      try text.write(
        toFile: folder.path + "/gpt2-basic-463k/gold_curriculum_v4.txt", atomically: true,
        encoding: .utf8)
      return try LanguageData.load(.gpt2Basic, folder: folder.path, block: block)
    }
    let data = try load("there the", block: 2)
    #expect(data.training == ["there", " ", "the"].map { UInt16(Self.id($0)) })
    #expect(data.validation == data.training && data.vocabulary == Self.entries.count)
    #expect(data.decode(data.training.map { Int($0) }) == "there the" && !data.isStandIn)
    #expect(try load("there thr", block: 2).digest != data.digest)
    #expect(throws: StorageError.self) { try load("there the", block: 3) }
    #expect(throws: StorageError.self) {
      try LanguageData.load(.gpt2Basic, folder: "nowhere", block: 2)
    }
  }

  /// Token ids of a corpus are 16 bits wide.
  @Test func aVocabularyTooLargeForACorpusIsRefused() throws {
    let folder = try Folder()
    let place = folder.path + "/gpt2-basic-463k"
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
    var entries = (0..<65_537).map { (i: Int) -> (text: [UInt8], id: Int) in
      (text: [1, UInt8(i >> 16), UInt8(i >> 8 & 255), UInt8(i & 255)], id: i)
    }
    for byte in 0...255 { entries[65_536 - byte].text = [UInt8(byte)] }
    try folder.write(entries)
    try FileManager.default.moveItem(atPath: folder.file, toPath: place + "/VOCAB.BIN")
    try "\0\u{1}".write(
      toFile: place + "/gold_curriculum_v4.txt", atomically: true, encoding: .utf8)
    do {
      _ = try LanguageData.load(.gpt2Basic, folder: folder.path, block: 1)
      Issue.record("65 537 tokens were accepted")
    } catch { #expect("\(error)".contains("65537 tokens"), "\(error)") }
  }
}
