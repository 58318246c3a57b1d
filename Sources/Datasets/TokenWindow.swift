// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Rows of a text's columns that a step goes through: `length` of them from `start` on.
public struct TokenWindow: Sendable, Equatable {
  /// The first row.
  public let start: Int
  /// Rows.
  public let length: Int
  /// The length that was drawn; the last window of an epoch is cut to what is left.
  public let drawn: Int

  /// A window that is as long as was drawn.
  public init(start: Int, length: Int) { self.init(start: start, length: length, drawn: length) }

  init(start: Int, length: Int, drawn: Int) {
    (self.start, self.length, self.drawn) = (start, length, drawn)
  }

  /// A whole number drawn as the training loops of AWD-LSTM (Merity et al. 2018, section 5) and of arXiv 1905.11881 draw it: normal
  /// with deviation 5 around `base`, in one of twenty steps around half of it, its fraction cut off, at least 5.
  static func randomLength(_ base: Int, _ stream: RandomStream, step: Int) -> Int {
    let coin = stream.child("half").at(step: step).uniforms(1, as: Double.self)[0]
    let normal = stream.child("length").at(step: step).normals(1, as: Double.self)[0]
    return max(5, Int((coin < 0.95 ? Double(base) : Double(base) / 2) + 5 * normal))
  }

  /// The windows of the first `steps` steps through columns of `rows` >= 3 tokens, with lengths around `base`: one after
  /// another, and from the beginning again where at most one token with its target is left.
  public static func random(
    steps: Int, rows: Int, around base: Int, _ stream: RandomStream
  ) -> [TokenWindow] {
    precondition(rows >= 3, "columns of \(rows) tokens")
    var start = 0
    return (0..<steps).map { step in
      if start >= rows - 2 { start = 0 }
      let drawn = randomLength(base, stream, step: step)
      let window = TokenWindow(
        start: start, length: min(drawn, rows - 1 - start), drawn: drawn)
      start += drawn
      return window
    }
  }
}
