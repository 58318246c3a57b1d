// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Mini-batches of token sequences for next-token prediction: inputs tokens[s ..< s + length], targets one
/// further.
public struct TokenBatches: Sendable {
  /// Where sequences begin.
  public enum Order: String, Codable, Sendable, CaseIterable {
    /// Anywhere, uniformly, independently (nanoGPT).
    case windows
    /// At multiples of the length, each once an epoch, in a new order every epoch (packed rows).
    case chunks
  }

  /// The tokens.
  public let tokens: [UInt16]
  /// Tokens of a sequence.
  public let length: Int
  /// Sequences of a batch.
  public let size: Int
  private let order: Order
  private let stream: RandomStream
  private var sampler: BatchSampler?

  /// Batches of `size` sequences of `length` tokens. Precondition: at least length + 1 tokens, and with
  /// `.chunks` at least `size` chunks (see `check`).
  public init(
    _ tokens: [UInt16], length: Int, size: Int, order: Order, stream: RandomStream
  ) {
    precondition(
      Self.chunks(in: tokens.count, length: length) >= (order == .chunks ? size : 1),
      "batches of \(size)×\(length) out of \(tokens.count) tokens")
    (self.tokens, self.length, self.size) = (tokens, length, size)
    (self.order, self.stream) = (order, stream)
    if order == .chunks {
      sampler = BatchSampler(
        count: Self.chunks(in: tokens.count, length: length), size: size, order: .reshuffled,
        stream: stream)
    }
  }

  /// Whole sequences with their targets among `count` tokens.
  public static func chunks(in count: Int, length: Int) -> Int { max(0, (count - 1) / length) }

  /// Where the sequences of the batch of step k = 0, 1, … begin: a function of the stream and k alone.
  public mutating func starts(step: Int) -> [Int] {
    if let chunks = sampler?.batch(step: step) { return chunks.map { $0 * length } }
    let stream = stream.at(step: step)
    return (0..<size).map { stream.integer(below: tokens.count - length, at: $0) }
  }

  /// `count` (or all, if fewer) sequences spread evenly over the tokens, without overlap.
  public func evenStarts(_ count: Int) -> [Int] {
    let all = Self.chunks(in: tokens.count, length: length)
    let wanted = min(count, all)
    return (0..<wanted).map { $0 * all / wanted * length }
  }

  /// Writes inputs and targets of the sequences that begin at `starts`, [starts.count, length] each.
  public func fill(
    _ starts: some Collection<Int>, inputs: UnsafeMutablePointer<Int32>,
    targets: UnsafeMutablePointer<Int32>
  ) {
    for (row, start) in starts.enumerated() {
      for i in 0..<length {
        inputs[row &* length &+ i] = Int32(tokens[start &+ i])
        targets[row &* length &+ i] = Int32(tokens[start &+ i &+ 1])
      }
    }
  }
}
