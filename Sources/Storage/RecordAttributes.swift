// SPDX-License-Identifier: Apache-2.0

/// The value of an attribute: a scalar or a short list.
public enum AttributeValue: Sendable {
  /// Text in UTF-8.
  case string(String)
  /// A whole number.
  case int(Int)
  /// A real number.
  case double(Double)
  /// Texts in order.
  case strings([String])
  /// Whole numbers in order.
  case ints([Int])
  /// Real numbers in order.
  case doubles([Double])
}

extension AttributeValue: Equatable {
  /// Bitwise equality: a NaN equals itself, and -0 differs from 0.
  public static func == (left: AttributeValue, right: AttributeValue) -> Bool {
    switch (left, right) {
    case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
    case (.int(let a), .int(let b)): a == b
    case (.double(let a), .double(let b)): a.bitPattern == b.bitPattern
    case (.strings(let a), .strings(let b)): a.elementsEqual(b) { $0.utf8.elementsEqual($1.utf8) }
    case (.ints(let a), .ints(let b)): a == b
    case (.doubles(let a), .doubles(let b)): a.elementsEqual(b) { $0.bitPattern == $1.bitPattern }
    default: false
    }
  }
}

extension AttributeValue: CustomStringConvertible {
  /// The value alone, as it would be typed.
  public var description: String {
    switch self {
    case .string(let text): text
    case .int(let number): "\(number)"
    case .double(let number): "\(number)"
    case .strings(let texts): "\(texts)"
    case .ints(let numbers): "\(numbers)"
    case .doubles(let numbers): "\(numbers)"
    }
  }
}

extension AttributeValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral
{
  /// A text.
  public init(stringLiteral value: String) { self = .string(value) }
  /// A whole number.
  public init(integerLiteral value: Int) { self = .int(value) }
  /// A real number.
  public init(floatLiteral value: Double) { self = .double(value) }
}

/// Attributes by name, in the order in which they were added.
public struct Attributes: Equatable, Sendable {
  private var entries: [Entry] = []

  /// One name with its value.
  public struct Entry: Equatable, Sendable {
    /// The name; not empty, unique among its siblings.
    public let name: String
    /// The value.
    public let value: AttributeValue

    /// Bit for bit, the name too.
    public static func == (left: Entry, right: Entry) -> Bool {
      ByteName(left.name) == ByteName(right.name) && left.value == right.value
    }
  }

  /// No attributes.
  public init() {}

  /// The value of an attribute; setting a new name adds it at the end, setting nil removes it.
  public subscript(name: String) -> AttributeValue? {
    get { entries.first { ByteName($0.name) == ByteName(name) }?.value }
    set {
      precondition(!name.isEmpty, "an attribute needs a name")
      let index = entries.firstIndex { ByteName($0.name) == ByteName(name) }
      switch (index, newValue) {
      case (let index?, let value?): entries[index] = Entry(name: name, value: value)
      case (let index?, nil): entries.remove(at: index)
      case (nil, let value?): entries.append(Entry(name: name, value: value))
      case (nil, nil): break
      }
    }
  }

  /// The names in order.
  public var names: [String] { entries.map(\.name) }
}

extension Attributes: RandomAccessCollection, ExpressibleByDictionaryLiteral {
  /// Attributes in the order of the literal.
  public init(dictionaryLiteral elements: (String, AttributeValue)...) {
    for (name, value) in elements {
      precondition(self[name] == nil, "the attribute \(name) is given twice")
      self[name] = value
    }
  }

  /// Always 0.
  public var startIndex: Int { 0 }
  /// The number of attributes.
  public var endIndex: Int { entries.count }
  /// The entry at a place.
  public subscript(position: Int) -> Entry { entries[position] }
}
