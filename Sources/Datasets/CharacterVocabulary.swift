// SPDX-License-Identifier: Apache-2.0

/// One token a character, as nanoGPT's `shakespeare_char`: the ids number the sorted set of the Unicode
/// scalars of a text.
public struct CharacterVocabulary: Sendable, Equatable {
  /// The characters in the order of their ids, which is that of their code points.
  public let characters: [Unicode.Scalar]
  /// By code point, -1 for what is no character of the text.
  private let ids: [Int32]

  /// The vocabulary of `text`, Python's `sorted(set(text))`; CR LF counts as two characters.
  public init(of text: some StringProtocol) {
    self.init(sorted: Set(text.unicodeScalars).sorted())
  }

  private init(sorted characters: [Unicode.Scalar]) {
    self.characters = characters
    var ids = [Int32](repeating: -1, count: characters.last.map { Int($0.value) + 1 } ?? 0)
    for (id, scalar) in characters.enumerated() { ids[Int(scalar.value)] = Int32(id) }
    self.ids = ids
  }

  /// The number of characters; ids lie in 0..<count.
  public var count: Int { characters.count }

  /// The ids [scalars of text]; throws a `VocabularyError` for a character outside the vocabulary.
  public func encode(_ text: some StringProtocol) throws -> [Int] {
    try text.unicodeScalars.enumerated().map { position, scalar in
      let place = Int(scalar.value)
      guard place < ids.count, ids[place] >= 0 else {
        throw VocabularyError.unknownCharacter(scalar, position: position, size: count)
      }
      return Int(ids[place])
    }
  }

  /// The text of `tokens`; throws a `VocabularyError` for an id outside 0..<count.
  public func decode(_ tokens: [Int]) throws -> String {
    var text = String.UnicodeScalarView()
    for (position, id) in tokens.enumerated() {
      guard characters.indices.contains(id) else {
        throw VocabularyError.unknownToken(id, position: position, size: count)
      }
      text.append(characters[id])
    }
    return String(text)
  }
}
