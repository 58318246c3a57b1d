// SPDX-License-Identifier: Apache-2.0

/// A name that equals another only byte by byte.
///
/// `String` takes two spellings of one text (é, or e with a combining accent) for equal; to the file formats they are
/// two names.
public struct ByteName: Hashable, Comparable, Sendable, ExpressibleByStringLiteral {
  /// The name as a text.
  public let text: String

  /// A name.
  public init(_ text: String) { self.text = text }
  /// A name.
  public init(stringLiteral value: String) { text = value }

  /// The same bytes.
  public static func == (left: ByteName, right: ByteName) -> Bool {
    left.text.utf8.elementsEqual(right.text.utf8)
  }

  /// By the bytes.
  public static func < (left: ByteName, right: ByteName) -> Bool {
    left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
  }

  /// By the bytes.
  public func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

extension StringProtocol {
  /// Whether a byte of it is a slash; to `contains` a slash with an accent is another letter, to a file system it is one.
  package var hasSlash: Bool { utf8.contains(UInt8(ascii: "/")) }
}
