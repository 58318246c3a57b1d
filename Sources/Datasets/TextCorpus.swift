// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// A text to train a language model on, and where it came from.
public struct TextCorpus: Sendable {
  /// What a caption calls it: `tiny Shakespeare`, `WikiText-2 (valid + test)`.
  public let name: String
  /// The whole text.
  public let text: String
  /// Whether the text was generated because the files are not there, or because that was asked for.
  public let isStandIn: Bool
  /// SHA-256 of the text's bytes.
  public let digest: String

  /// What can be loaded.
  public enum Source: String, Codable, Sendable, CaseIterable {
    /// Karpathy's tiny Shakespeare, `tinyshakespeare/input.txt`.
    case tinyShakespeare = "tinyshakespeare"
    /// WikiText-2 without its training split, `wikitext2-valid-test/{valid,test}.txt` in this order.
    case wikiText2 = "wikitext2"
    /// The generated stand-in, which needs no file.
    case standIn = "stand-in"

    var title: String {
      switch self {
      case .tinyShakespeare, .standIn: "tiny Shakespeare"
      case .wikiText2: "WikiText-2 (valid + test)"
      }
    }

    var files: [String] {
      switch self {
      case .tinyShakespeare: ["tinyshakespeare/input.txt"]
      case .wikiText2: ["valid.txt", "test.txt"].map { "wikitext2-valid-test/" + $0 }
      case .standIn: []
      }
    }
  }

  /// Reads `source` below `folder`, or generates the stand-in if none of its files is there.
  ///
  /// Throws a `StorageError` if a file cannot be read, is empty or not UTF-8, or if only some of
  /// the files are there.
  public static func load(_ source: Source, folder: String) throws -> TextCorpus {
    let texts = try parts(source.files, folder: folder)
    let text = texts?.joined() ?? StandInText.text
    return TextCorpus(
      name: (texts == nil ? "generated stand-in for " : "") + source.title, text: text,
      isStandIn: texts == nil, digest: Digest.sha256(of: text))
  }

  /// The text of a file of one's own, called by its name and the beginning of its SHA-256.
  init(own path: String) throws {
    text = try Self.read(path, hint: "give a text in UTF-8")
    digest = Digest.sha256(of: text)
    name = "\(URL(fileURLWithPath: path).lastPathComponent) (\(digest.prefix(8)))"
    isStandIn = false
  }

  private init(name: String, text: String, isStandIn: Bool, digest: String) {
    (self.name, self.text, self.isStandIn, self.digest) = (name, text, isStandIn, digest)
  }

  /// The texts of `files` below `folder`, nil if none of them is there.
  static func parts(_ files: [String], folder: String) throws -> [String]? {
    let paths = files.map { "\(folder)/\($0)" }
    guard paths.contains(where: FileManager.default.fileExists(atPath:)) else { return nil }
    return try paths.map { try read($0, hint: "move it away and get it again (make data)") }
  }

  private static func read(_ path: String, hint: String) throws -> String {
    guard FileManager.default.fileExists(atPath: path) else {
      throw StorageError("missing, a part of the text", at: path, hint: "get it (make data)")
    }
    let data = try FileBytes.read(path)
    if data.isEmpty { throw StorageError("empty, no text", at: path, hint: hint) }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw StorageError("not a text in UTF-8", at: path, hint: hint)
    }
    return text
  }
}

extension String {
  /// The lines, of which an empty one follows a last line break; a break is LF or CR LF, which is one character.
  var lines: [Substring] {
    split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
  }
}
