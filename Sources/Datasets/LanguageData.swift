// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// A tokenised corpus in two parts, with the way back to text.
public struct LanguageData: Sendable {
  /// What figures call it.
  public private(set) var name: String
  /// Whether it was generated because the real files are not there.
  public let isStandIn: Bool
  /// Token ids are 0 ..< vocabulary.
  public let vocabulary: Int
  /// Tokens to train on.
  public private(set) var training: [UInt16]
  /// Tokens held out.
  public private(set) var validation: [UInt16]
  /// What the tokens were made from, and how: SHA-256 of texts and token files, of shards name, length and
  /// SHA-256 of the first million bytes. Part of what determines a record.
  public private(set) var digest: String
  /// Text of tokens.
  public let decode: @Sendable ([Int]) -> String
  /// What the tokens are.
  public let tokenizer: Tokenizer

  /// What tokens are.
  public enum Tokenizer: Sendable, Equatable {
    /// The characters, in the order of their ids.
    case characters(String)
    /// GPT-2's byte pairs, cut behind so many merges.
    case gpt2(merges: Int)
    /// Something that weights cannot name.
    case other
  }

  /// Data as given.
  public init(
    name: String, isStandIn: Bool, vocabulary: Int, training: [UInt16], validation: [UInt16],
    digest: String, tokenizer: Tokenizer = .other,
    decode: @escaping @Sendable ([Int]) -> String
  ) {
    (self.name, self.isStandIn, self.vocabulary) = (name, isStandIn, vocabulary)
    (self.training, self.validation, self.tokenizer) = (training, validation, tokenizer)
    (self.digest, self.decode) = (digest, decode)
  }

  /// Reads `source` from below `folder`; byte pairs are cut to the first `merges`, and a text file of one's own becomes
  /// `fileTokens`.
  ///
  /// Small corpora that are not there are replaced by a generated stand-in, and say so in `name`. Throws a
  /// `StorageError` for files that are damaged, for shards that are missing, and for a corpus without
  /// `block` + 1 tokens in both parts.
  public static func load(
    _ source: Source, folder: String, merges: Int = 50_000, block: Int,
    fileTokens: FileTokens = .characters
  ) throws -> LanguageData {
    let data =
      switch source {
      case .shakespeare: try characters(of: .load(.tinyShakespeare, folder: folder))
      case .standIn: try characters(of: .load(.standIn, folder: folder))
      case .wikiText: try bytePairs(folder, merges: merges)
      case .fineWeb: try shards(folder)
      case .binary: try binaries(folder + "/bin", name: "token files in nanoGPT's format")
      case .file(let path): try own(path, fileTokens, dataFolder: folder, merges: merges)
      case .gpt2Basic: try gpt2Basic(folder + "/gpt2-basic-463k")
      case .pennTreebank: try pennTreebank(folder)
      }
    for (part, tokens) in [("training", data.training), ("validation", data.validation)]
    where tokens.count <= block {
      throw StorageError(
        "\(tokens.count) \(part) tokens are fewer than a block of \(block) and its targets",
        at: source.isOwn ? source.rawValue : folder, hint: "use a longer text or a smaller block")
    }
    return data
  }

  /// The last tenth of the training tokens in the place of the validation tokens, which are left out.
  public func holdingOut() -> LanguageData {
    let cut = training.count - training.count / 10
    var part = self
    part.name += ", a tenth of the training text held out"
    (part.training, part.validation) = (Array(training[..<cut]), Array(training[cut...]))
    part.digest += ", held out"
    return part
  }

  /// A text by characters: the vocabulary is what occurs, the last tenth is held out.
  static func characters(of corpus: TextCorpus) throws -> LanguageData {
    let (vocabulary, tokens) = corpus.isStandIn ? try standIn.get() : try encoded(corpus)
    let cut = Int(0.9 * Double(tokens.count))
    return LanguageData(
      name: corpus.name, isStandIn: corpus.isStandIn, vocabulary: vocabulary.count,
      training: Array(tokens[..<cut]), validation: Array(tokens[cut...]),
      digest: "\(corpus.digest) characters",
      tokenizer: .characters(try vocabulary.decode(Array(0..<vocabulary.count))),
      decode: { (try? vocabulary.decode($0)) ?? "" })
  }

  /// The stand-in's, made once a process.
  private static let standIn = Result { try encoded(.load(.standIn, folder: "")) }

  private static func encoded(
    _ corpus: TextCorpus
  ) throws -> (vocabulary: CharacterVocabulary, tokens: [UInt16]) {
    let vocabulary = CharacterVocabulary(of: corpus.text)
    guard vocabulary.count <= 1 << 16 else {
      throw StorageError(
        "\(vocabulary.count) different characters, but ids of a corpus have 16 bits",
        at: corpus.name, hint: "use GPT-2's tokens (fileTokens: gpt2)")
    }
    return (vocabulary, try vocabulary.encode(corpus.text).map { UInt16($0) })
  }

  /// WikiText-2: an end-of-text before every article, the last tenth of the articles held out.
  private static func bytePairs(_ folder: String, merges: Int) throws -> LanguageData {
    let corpus = try TextCorpus.load(.wikiText2, folder: folder)
    if corpus.isStandIn { return try characters(of: corpus) }
    let tokenizer = try gpt2Tokenizer(folder, merges: merges, for: "WikiText-2")
    let articles = articles(of: corpus.text)
    let cut = Int(0.9 * Double(articles.count))
    func packed(_ articles: ArraySlice<String>) -> [UInt16] {
      pack(articles.map { tokenizer.encode($0) }, endOfText: tokenizer.endOfText)
    }
    return LanguageData(
      name: corpus.name, isStandIn: false, vocabulary: tokenizer.vocabularySize,
      training: packed(articles[..<cut]), validation: packed(articles[cut...]),
      digest: "\(corpus.digest) merges \(merges)", tokenizer: .gpt2(merges: merges),
      decode: { (try? tokenizer.decode($0)) ?? "" })
  }

  /// GPT-2's byte pairs from below `folder`, for `text`.
  static func gpt2Tokenizer(
    _ folder: String, merges: Int, for text: String
  ) throws -> GPT2Tokenizer {
    let files = ["encoder.json", "vocab.bpe"].map { "\(folder)/gpt2-bpe/\($0)" }
    for file in files where !FileManager.default.fileExists(atPath: file) {
      throw StorageError(
        "is missing, and \(text) is tokenised with it", at: file, hint: "run make data")
    }
    return try GPT2Tokenizer(encoder: files[0], merges: files[1], limit: merges)
  }

  /// Documents one after another, an end-of-text before each.
  public static func pack(_ documents: [[Int]], endOfText: Int) -> [UInt16] {
    documents.flatMap { [UInt16(endOfText)] + $0.map { UInt16($0) } }
  }

  /// WikiText's articles begin with a line " = Title = " (sub-headings have more equal signs).
  static func articles(of text: String) -> [String] {
    var articles: [String] = []
    for line in text.lines {
      let isTitle = line.hasPrefix(" = ") && !line.hasPrefix(" = =") && line.hasSuffix(" = ")
      if isTitle || articles.isEmpty { articles.append("") }
      articles[articles.count - 1] += line + "\n"
    }
    return articles
  }

  /// nanoGPT's files hold token ids and nothing else: the vocabulary ends at the largest of both.
  static func binaries(_ place: String, name: String) throws -> LanguageData {
    let files = ["train.bin", "val.bin"].map { "\(place)/\($0)" }
    let parts = try files.map { try TokenFile(path: $0).tokens }
    let largest = parts.compactMap { $0.max() }.max() ?? 0
    return LanguageData(
      name: name, isStandIn: false, vocabulary: Int(largest) + 1,
      training: parts[0], validation: parts[1],
      digest: try files.map { try Digest.sha256(ofFile: $0) }.joined(separator: " "),
      decode: { $0.map(String.init).joined(separator: " ") })
  }

  /// Nothing is held out: all of the text is what the model was trained on.
  private static func gpt2Basic(_ place: String) throws -> LanguageData {
    let text = "\(place)/gold_curriculum_v4.txt"
    let bytes = try FileBytes.read(text)
    let vocabulary = try LongestMatchVocabulary(path: place + "/VOCAB.BIN")
    guard vocabulary.count <= 1 << 16 else {
      throw StorageError(
        "\(vocabulary.count) tokens, but ids of a corpus have 16 bits", at: place + "/VOCAB.BIN",
        hint: "get the file anew")
    }
    let tokens = vocabulary.encode(String(decoding: bytes, as: UTF8.self)).map { UInt16($0) }
    return LanguageData(
      name: "GPT2-BASIC's training text", isStandIn: false, vocabulary: vocabulary.count,
      training: tokens, validation: tokens, digest: Digest.sha256(of: bytes),
      decode: { (try? vocabulary.decode($0)) ?? "" })
  }

  private static func shards(_ folder: String) throws -> LanguageData {
    let place = "\(folder)/fineweb10B"
    let files = ((try? FileManager.default.contentsOfDirectory(atPath: place)) ?? []).sorted()
    var identity: [String] = []
    func head(_ tokens: [UInt16]) -> Data { tokens.prefix(1 << 19).withUnsafeBytes { Data($0) } }
    func tokens(_ prefix: String) throws -> [UInt16] {
      let names = files.filter { $0.hasPrefix(prefix) && $0.hasSuffix(".bin") }
      guard !names.isEmpty else {
        throw StorageError(
          "no shards \(prefix)*.bin", at: place,
          hint: "run make data-fineweb SHARDS=20, or use --set corpus=wikitext2")
      }
      var all: [UInt16] = []
      for name in names {
        let file = try TokenFile(path: "\(place)/\(name)")
        try file.check(vocabularySize: 50_257)
        if all.isEmpty { all.reserveCapacity(names.count * file.tokens.count) }
        all += file.tokens
        identity.append("\(name) \(file.tokens.count) \(Digest.sha256(of: head(file.tokens)))")
      }
      return all
    }
    let training = try tokens("fineweb_train")
    return LanguageData(
      name: "FineWeb (\(training.count / 1_000_000) M tokens)", isStandIn: false,
      vocabulary: 50_257, training: training, validation: try tokens("fineweb_val"),
      digest: identity.joined(separator: ", "), tokenizer: .gpt2(merges: 50_000),
      decode: { $0.map(String.init).joined(separator: " ") })
  }
}
