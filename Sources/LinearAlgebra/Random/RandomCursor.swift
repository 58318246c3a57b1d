// SPDX-License-Identifier: Apache-2.0

/// A sequential generator over a ``RandomStream``: a stream and a position, nothing else, so that
/// an encoded cursor resumes exactly.
///
/// `stream.cursor()` walks through all words of the cursor's own lane (2^61 of them);
/// `stream.element(i)` has the 512 words that belong to element `i` alone, for laws that reject.
public struct RandomCursor: RandomNumberGenerator, Sendable, Hashable {
  /// Where the words come from.
  public let stream: RandomStream
  /// The element of the stream that the cursor is confined to; nil for the whole stream.
  public let element: Int?
  /// The number of 64-bit words taken so far.
  public private(set) var position: UInt64
  /// The second word of the current block while `position` is odd, else 0: a function of the
  /// position.
  private var spare: UInt64 = 0

  private static let wordsOfElement: UInt64 = 512

  init(_ stream: RandomStream, element: Int?, position: UInt64 = 0) {
    if let element {
      precondition(
        element >= 0 && element < 1 << 52, "element \(element) of a stream is outside 0 ..< 2^52")
    }
    self.stream = stream
    self.element = element
    self.position = position
    if position & 1 == 1 { spare = block().1 }
  }

  /// The next 64 random bits.
  public mutating func next() -> UInt64 {
    if position & 1 == 1 {
      position += 1
      defer { spare = 0 }
      return spare
    }
    let words = block()
    position += 1
    spare = words.1
    return words.0
  }

  private func block() -> (UInt64, UInt64) {
    guard let element else {
      precondition(position < 1 << 61, "a cursor is exhausted after 2^61 words")
      return stream.words(.cursor, position / 2)
    }
    // No law here comes near: the rejections of 512 words in a row have probability below 1e-100.
    precondition(position < Self.wordsOfElement, "one element has 512 words; use a cursor")
    return stream.words(.element, (position / 2) &<< 52 | UInt64(element))
  }
}

extension RandomCursor: Codable {
  private enum CodingKeys: String, CodingKey { case stream, element, position }

  /// Decodes stream, element and position.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    let stream = try container.decode(RandomStream.self, forKey: .stream)
    let element = try container.decodeIfPresent(Int.self, forKey: .element)
    let position = try container.decode(UInt64.self, forKey: .position)
    let limit = element == nil ? 1 << 61 : Self.wordsOfElement
    guard (element ?? 0) >= 0, (element ?? 0) < 1 << 52, position <= limit else {
      throw DecodingError.dataCorruptedError(
        forKey: .position, in: container,
        debugDescription: "cursor position \(position) of \(stream.name) is out of range")
    }
    self.init(stream, element: element, position: position)
  }

  /// Encodes stream, element and position.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(stream, forKey: .stream)
    try container.encodeIfPresent(element, forKey: .element)
    try container.encode(position, forKey: .position)
  }
}
