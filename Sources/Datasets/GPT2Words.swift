// SPDX-License-Identifier: Apache-2.0

/// The words that GPT-2 cuts a text into before it merges bytes, as ranges of UTF-8 offsets.
///
/// The matches of `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, one after
/// the other; together they cover the text. Bytes that are not UTF-8 count as neither letters, numbers
/// nor white space. The buffer must outlive the iterator.
struct GPT2Words: Sequence, IteratorProtocol {
  /// What the pattern tells apart.
  enum Kind {
    case letter, number, space, other

    /// The kind as of Unicode 16, which is tiktoken's: later scalars count as unassigned.
    init(_ scalar: Unicode.Scalar) {
      let properties = scalar.properties
      switch properties.generalCategory {
      case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
        self = .letter
      case .decimalNumber, .letterNumber, .otherNumber: self = .number
      default: self = properties.isWhitespace ? .space : .other
      }
      if self != .other, let age = properties.age, age.major > 16 { self = .other }
    }

    init(ascii byte: UInt8) {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
        self = .letter
      case UInt8(ascii: "0")...UInt8(ascii: "9"): self = .number
      case 0x09...0x0d, 0x20: self = .space
      default: self = .other
      }
    }
  }

  private let bytes: UnsafeBufferPointer<UInt8>
  private var position = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  mutating func next() -> Range<Int>? {
    guard position < bytes.count else { return nil }
    let start = position
    position = contraction(at: start) ?? run(at: start)
    return start..<position
  }

  /// The end of a contraction that begins here.
  private func contraction(at start: Int) -> Int? {
    guard bytes[start] == UInt8(ascii: "'"), start + 1 < bytes.count else { return nil }
    switch bytes[start + 1] {
    case UInt8(ascii: "s"), UInt8(ascii: "d"), UInt8(ascii: "m"), UInt8(ascii: "t"):
      return start + 2
    case UInt8(ascii: "l"): return follows(UInt8(ascii: "l"), start + 2)
    case UInt8(ascii: "v"), UInt8(ascii: "r"): return follows(UInt8(ascii: "e"), start + 2)
    default: return nil
    }
  }

  private func follows(_ byte: UInt8, _ index: Int) -> Int? {
    index < bytes.count && bytes[index] == byte ? index + 1 : nil
  }

  /// The end of the longest run of one kind that begins here, perhaps after one space.
  private func run(at start: Int) -> Int {
    var first = symbol(at: start)
    if bytes[start] == 0x20, start + 1 < bytes.count {
      let second = symbol(at: start + 1)
      if second.kind != .space { first = second }
    }
    var (last, end) = (start, first.end)
    while end < bytes.count {
      let next = symbol(at: end)
      guard next.kind == first.kind else {
        // Of white space before a word, the last is left over, unless there is no other.
        return first.kind == .space && last > start ? last : end
      }
      (last, end) = (end, next.end)
    }
    return end
  }

  /// The scalar that begins at `index` < count, and where it ends.
  private func symbol(at index: Int) -> (kind: Kind, end: Int) {
    let byte = bytes[index]
    if byte < 0x80 { return (Kind(ascii: byte), index + 1) }
    var rest = bytes[index...].makeIterator()
    var parser = Unicode.UTF8.ForwardParser()
    switch parser.parseScalar(from: &rest) {
    case .valid(let encoded):
      return (Kind(Unicode.UTF8.decode(encoded)), index + encoded.count)
    case .error(let length): return (.other, index + length)
    case .emptyInput: return (.other, index + 1)
    }
  }
}
