// SPDX-License-Identifier: Apache-2.0

/// Something that a vocabulary does not hold.
public enum VocabularyError: Error, Equatable, CustomStringConvertible {
  /// A token id outside 0..<size, the position-th of the sequence.
  case unknownToken(Int, position: Int, size: Int)
  /// A character outside the vocabulary, the position-th Unicode scalar of the text.
  case unknownCharacter(Unicode.Scalar, position: Int, size: Int)

  /// A list of pieces that is no vocabulary: why.
  case notAVocabulary(String)

  /// One line: what, where, what to do.
  public var description: String {
    switch self {
    case .notAVocabulary(let reason):
      return "\(reason); get the vocabulary that belongs to the model"
    case .unknownToken(let id, let position, let size):
      return "token \(id) at position \(position) is outside the vocabulary 0..<\(size); "
        + "decode with the vocabulary that the text was encoded with"
    case .unknownCharacter(let scalar, let position, let size):
      let code = String(scalar.value, radix: 16, uppercase: true)
      return "U+\(String(repeating: "0", count: max(0, 4 - code.count)))\(code) at position "
        + "\(position) is not among the \(size) characters of the vocabulary; "
        + "build the vocabulary from the whole text"
    }
  }
}
