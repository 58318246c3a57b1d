// SPDX-License-Identifier: Apache-2.0

import Storage

/// Labeled texts as sequences of tokens, [CLS] first and [SEP] last, for batches that are padded to their longest sequence.
public struct TokenizedTexts: Sendable {
  /// The tokens of each text.
  public private(set) var tokens: [[Int32]]
  /// The number of each text's label.
  public let labels: [Int32]
  /// How many texts were longer than they may be and lost their ends.
  public let cut: Int

  /// Batches are as long as their longest sequence, rounded up to a multiple of this, so that few lengths occur.
  public static let lengthStep = 8

  /// `texts` in pieces, of each text at most `limit` >= 3 with [CLS] and [SEP].
  ///
  /// Throws a `StorageError` that names the line for a text without a token.
  public init(_ texts: LabeledTexts, _ tokenizer: WordPieceTokenizer, limit: Int) throws {
    precondition(limit >= 3, "\(limit) tokens hold no text")
    var cut = 0
    tokens = try texts.texts.enumerated().map { index, text in
      let pieces = tokenizer.tokens(text)
      guard !pieces.isEmpty else {
        throw StorageError(
          "line \(index + 1) has no token in its text", at: texts.place,
          hint: "leave the line out, or give it a text")
      }
      if pieces.count > limit - 2 { cut += 1 }
      let whole =
        [tokenizer.classToken] + pieces.prefix(limit - 2) + [tokenizer.separator]
      return whole.map { Int32($0) }
    }
    labels = texts.labels.map { Int32($0) }
    self.cut = cut
  }

  /// How many texts.
  public var count: Int { tokens.count }

  /// Puts `number(token)` in the place of every token.
  public mutating func renumber(_ number: (Int32) -> Int32) {
    tokens = tokens.map { $0.map(number) }
  }

  /// The texts' numbers by their lengths, so that batches of neighbors need little padding.
  public var byLength: [Int] {
    tokens.indices.sorted { (tokens[$0].count, $0) < (tokens[$1].count, $1) }
  }

  /// The length to which the texts of these numbers are padded.
  public func paddedLength(_ numbers: some Collection<Int>) -> Int {
    let longest = numbers.map { tokens[$0].count }.max() ?? 0
    return (longest + Self.lengthStep - 1) / Self.lengthStep * Self.lengthStep
  }

  /// Writes these texts' tokens and mask, both [B, T], and labels [B]; beyond its end a text has tokens and mask of 0.
  public func fill(
    _ numbers: some Collection<Int>, length: Int, tokens ids: UnsafeMutablePointer<Int32>,
    mask: UnsafeMutablePointer<Int32>, labels own: UnsafeMutablePointer<Int32>
  ) {
    for (row, number) in numbers.enumerated() {
      let text = tokens[number]
      precondition(text.count <= length, "\(text.count) tokens in a row of \(length)")
      for t in 0..<length {
        ids[row * length + t] = t < text.count ? text[t] : 0
        mask[row * length + t] = t < text.count ? 1 : 0
      }
      own[row] = labels[number]
    }
  }
}
