// SPDX-License-Identifier: Apache-2.0

/// A text cut into columns that are read side by side, as recurrent models are trained: column b is the b-th of `count` equal
/// contiguous parts, and window k is rows k·length ..< (k + 1)·length of all columns, so that what a model remembers of window
/// k is what came before window k + 1. What does not fill a column or a window is left out.
public struct TokenColumns: Sendable {
  private let tokens: [UInt16]
  /// Columns, B.
  public let count: Int
  /// Rows of a window, T.
  public let length: Int
  /// Windows of an epoch.
  public let windows: Int

  /// Precondition: the tokens hold a window and its targets.
  public init(_ tokens: [UInt16], count: Int, length: Int) {
    (self.tokens, self.count, self.length) = (tokens, count, length)
    windows = Self.windows(in: tokens.count, columns: count, length: length)
    precondition(windows >= 1, "\(tokens.count) tokens in \(count) columns of \(length) and more")
  }

  /// Whole windows, each with its targets, that `tokens` tokens give.
  public static func windows(in tokens: Int, columns: Int, length: Int) -> Int {
    max(0, (tokens / columns - 1) / length)
  }

  /// Tokens of a column.
  public var rows: Int { tokens.count / count }

  /// Writes window k: inputs and targets, one token further, [length, count] each.
  public func fill(
    window k: Int, inputs: UnsafeMutablePointer<Int32>, targets: UnsafeMutablePointer<Int32>
  ) {
    precondition(k >= 0 && k < windows, "window \(k) of \(windows)")
    fill(TokenWindow(start: k * length, length: length), inputs: inputs, targets: targets)
  }

  /// Writes a window: inputs and targets, one token further, [its length, count] each.
  public func fill(
    _ window: TokenWindow, inputs: UnsafeMutablePointer<Int32>,
    targets: UnsafeMutablePointer<Int32>
  ) {
    let rows = rows
    precondition(
      window.start >= 0 && window.length >= 1 && window.start + window.length < rows,
      "\(window) and a target of \(rows) tokens")
    for t in 0..<window.length {
      for b in 0..<count {
        let place = b &* rows &+ window.start &+ t
        inputs[t &* count &+ b] = Int32(tokens[place])
        targets[t &* count &+ b] = Int32(tokens[place &+ 1])
      }
    }
  }
}
