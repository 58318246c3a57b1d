// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Datasets
import Foundation
import Lab
import LinearAlgebra
import Models
import Storage

/// `spectral sample`: what a language model writes, for a person to read.
struct Sample: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Let a GPT continue a text.",
    discussion: """
      gpt2: weights as Hugging Face has them, --vocabulary a folder with encoder.json and vocab.bpe \
      (make data, make data-gpt2). nanogpt: the authors' names or Karpathy's, --text the file whose characters are the \
      vocabulary; weights of this suite know their characters themselves. The same seed gives the same text.
      """)

  enum ModelName: String, ExpressibleByArgument, CaseIterable { case nanogpt, gpt2 }

  @Option(help: "Which model: nanogpt or gpt2.")
  var model: ModelName
  @Option(help: "Its weights.")
  var weights: String
  @Option(help: "Folder of GPT-2's vocabulary (default: gpt2-bpe among the data).")
  var vocabulary: String?
  @Option(help: "The text that nanogpt's characters come from (default: what its weights say).")
  var text: String?
  @Option(help: "What to continue.")
  var prompt: String
  @Option(help: "Tokens to add.")
  var count = 100
  @Option(help: "Above 1 bolder, below 1 more cautious.")
  var temperature = 0.8
  @Option(help: "Only among so many of the likeliest tokens (default: all).")
  var top: Int?
  @Option(help: "Seed of the draws.")
  var seed: UInt64 = 1
  @Option(
    help:
      "Attention heads (default: what metadata or config.json say; gpt2 without either: width / 64)."
  )
  var heads: Int?
  @Option(help: "Threads; the result does not depend on them.")
  var threads = 1

  func validate() throws {
    for (name, value) in [("count", count), ("threads", threads), ("heads", heads), ("top", top)] {
      if let value, value < 1 { throw ValidationError("--\(name) \(value): use at least 1") }
      if let value, value > 1_000_000_000 {
        throw ValidationError("--\(name) \(value): use at most 1000000000")
      }
    }
    if !(temperature > 0) { throw ValidationError("--temperature \(temperature): use above 0") }
  }

  func run() throws {
    let gpt = try GPT(
      loading: weights, form: model == .gpt2 ? .gpt2 : .nanoGPT, heads: heads,
      note: { note("note: \($0)") })
    let (encoded, size, decode) = try tokens(of: gpt)
    guard size == gpt.shape.vocabulary else {
      throw StorageError(
        "has \(gpt.shape.vocabulary) tokens, the vocabulary given \(size)", at: weights,
        hint: "name the vocabulary that the model was trained with")
    }
    guard !encoded.isEmpty else {
      throw StorageError("--prompt is empty", at: weights, hint: "give it something to continue")
    }
    let drawn = gpt.sample(
      after: encoded, count: count, temperature: temperature, top: top,
      stream: RandomStream(seed: seed, name: "spectral/sample"),
      pool: WorkerPool(threads: threads))
    try Terminal.line(decode(encoded + drawn))
  }

  /// The prompt in tokens, how many tokens there are, and the way back.
  private func tokens(
    of gpt: GPT
  ) throws -> (prompt: [Int], size: Int, decode: ([Int]) throws -> String) {
    let known = text == nil ? try ModelConfiguration(of: TensorFile(weights)) : nil
    if let characters = try known?.characters ?? text.map(characters(of:)) {
      return (try characters.encode(prompt), characters.count, characters.decode)
    }
    guard model == .gpt2 else {
      throw StorageError(
        "does not say which characters its tokens are", at: weights,
        hint: "give --text, the file that it was trained on")
    }
    let folder = vocabulary ?? Paths().data + "/gpt2-bpe"
    // A small vocabulary is GPT-2's, cut behind its first merges.
    let merges = gpt.shape.vocabulary - 257
    let tokenizer = try GPT2Tokenizer(
      encoder: folder + "/encoder.json", merges: folder + "/vocab.bpe",
      limit: (0..<50_000).contains(merges) ? merges : nil)
    return (tokenizer.encode(prompt), tokenizer.vocabularySize, tokenizer.decode)
  }

  private func characters(of file: String) throws -> CharacterVocabulary {
    CharacterVocabulary(of: String(decoding: try FileBytes.read(file), as: UTF8.self))
  }
}

extension ModelConfiguration {
  /// The characters that the tokens are; nil where they are no characters.
  var characters: CharacterVocabulary? {
    text("tokenizer") == "characters"
      ? CharacterVocabulary(of: text("characters") ?? "") : nil
  }
}
