// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

extension LanguageData {
  /// The corpora that experiments may name.
  public enum Source: Codable, Sendable, Equatable, RawRepresentable {
    /// Tiny Shakespeare by characters, 90 % to train on (nanoGPT's shakespeare_char).
    case shakespeare
    /// The validation and test splits of WikiText-2 by byte pairs, packed with end-of-text.
    case wikiText
    /// FineWeb in llm.c's shards of GPT-2 tokens.
    case fineWeb
    /// train.bin and val.bin of nanoGPT's data scripts, in the folder `bin`.
    case binary
    /// GPT2-BASIC's own training text in its own vocabulary, the folder `gpt2-basic-463k`.
    case gpt2Basic
    /// Penn Treebank by words, `ptb/ptb.{train,valid}.txt`.
    case pennTreebank
    /// The generated text that stands in where files are missing, by characters.
    case standIn
    /// A text of one's own, or a folder of one's own with train.bin and val.bin: a path with a slash or a dot in it.
    case file(String)

    private static let known: [Source] = [
      .shakespeare, .wikiText, .fineWeb, .binary, .gpt2Basic, .pennTreebank, .standIn,
    ]

    /// A known name, or else a path.
    public init?(rawValue: String) {
      if let known = Self.known.first(where: { $0.rawValue == rawValue }) {
        self = known
      } else if rawValue.contains(where: { $0 == "/" || $0 == "." }) {
        self = .file(rawValue)
      } else {
        return nil
      }
    }

    /// The name, or the path.
    public var rawValue: String {
      switch self {
      case .shakespeare: "tinyshakespeare"
      case .wikiText: "wikitext2"
      case .fineWeb: "fineweb"
      case .binary: "bin"
      case .gpt2Basic: "gpt2-basic"
      case .pennTreebank: "ptb"
      case .standIn: "stand-in"
      case .file(let path): path
      }
    }

    /// Reads the name or path; the error of another word says what there is.
    public init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      let text = try container.decode(String.self)
      guard let source = Self(rawValue: text) else {
        throw DecodingError.dataCorruptedError(
          in: container,
          debugDescription:
            "'\(text)' is none of \(Self.known.map(\.rawValue).joined(separator: ", ")) "
            + "and no path (a file in this folder is ./\(text))")
      }
      self = source
    }

    /// Writes the name or path.
    public func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      try container.encode(rawValue)
    }

    /// Whether it is a file of the user's own.
    public var isOwn: Bool {
      if case .file = self { return true }
      return false
    }
  }

  /// What the tokens of a text file of one's own are.
  public enum FileTokens: String, Codable, Sendable, CaseIterable {
    /// Its characters.
    case characters
    /// GPT-2's byte pairs, cut behind the first `merges`.
    case gpt2
  }

  /// The text at `path`, its last tenth held out, or the folder's train.bin and val.bin. It is called by the name of the file and
  /// the beginning of its SHA-256, and never as a known corpus.
  static func own(
    _ path: String, _ tokens: FileTokens, dataFolder: String, merges: Int
  ) throws -> LanguageData {
    let name = URL(fileURLWithPath: path).lastPathComponent
    guard let isFolder = FileBytes.isFolder(path) else {
      throw StorageError(
        "no such file", at: path,
        hint: "give a text in UTF-8, or a folder with train.bin and val.bin"
      )
    }
    if isFolder { return try binaries(path, name: "\(name)/train.bin and val.bin") }
    guard !path.hasSuffix(".bin") else {
      throw StorageError(
        "a file of tokens is no text", at: path,
        hint: "name the folder in which train.bin and val.bin lie")
    }
    let corpus = try TextCorpus(own: path)
    guard tokens == .gpt2 else { return try characters(of: corpus) }
    let tokenizer = try gpt2Tokenizer(dataFolder, merges: merges, for: "\(name)")
    let ids = pack([tokenizer.encode(corpus.text)], endOfText: tokenizer.endOfText)
    let cut = Int(0.9 * Double(ids.count))
    return LanguageData(
      name: corpus.name, isStandIn: false, vocabulary: tokenizer.vocabularySize,
      training: Array(ids[..<cut]), validation: Array(ids[cut...]),
      digest: "\(corpus.digest) merges \(merges)", tokenizer: .gpt2(merges: merges),
      decode: { (try? tokenizer.decode($0)) ?? "" })
  }
}
