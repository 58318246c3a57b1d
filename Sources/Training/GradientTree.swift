import Autodiff
import LinearAlgebra

/// The sum of the gradients of micro-batches by a fixed binary tree over their index.
///
/// Micro-batches 2i and 2i + 1 are added first, then pairs of pairs, and so on; what is left over when their number is no
/// power of two is added from the last to the first. The order of additions depends on the number of micro-batches only,
/// so ranks that share them out give the same bits. Holds at most log₂(n) + 1 partial sums, on a rank that does not begin with
/// the first micro-batch twice as many.
public final class GradientTree {
  private let sizes: [Int]
  /// Partial sums, each over the 2^level micro-batches from `start`, a multiple of 2^level.
  private var partial: [(start: Int, level: Int, sum: [Buffer])] = []
  /// The micro-batch that is added next.
  private var next = 0
  private var spare: [[Buffer]] = []

  /// A tree for the gradients of `parameters`.
  public init(_ parameters: [Parameter]) { sizes = parameters.map(\.count) }

  /// Begins a sum; the first micro-batch that is added is number `index`.
  public func begin(at index: Int) {
    clear()
    next = index
  }

  /// Adds the gradients of the next micro-batch, times `weight`.
  public func add(_ parameters: [Parameter], weight: Float = 1) {
    let sum = spare.popLast() ?? sizes.map { Buffer(count: $0) }
    for (parameter, buffer) in zip(parameters, sum) {
      let gradient = parameter.gradient.materialized.base
      if weight == 1 {
        buffer.base.update(from: gradient, count: buffer.count)
      } else {
        for i in 0..<buffer.count { buffer.base[i] = weight * gradient[i] }
      }
    }
    push(sum, level: 0)
  }

  /// Leaves on rank 0 the sum of what all ranks have added, each the micro-batches `share(of: count)` of all `count`; the
  /// other ranks send what they hold, in log₂ of their number rounds, and forget it.
  public func reduce(over ranks: any Ranks, count: Int) {
    var distance = 1
    while distance < ranks.count {
      if ranks.rank % (2 * distance) == distance {
        for (_, _, sum) in partial {
          for buffer in sum { ranks.send(buffer.bytes, to: ranks.rank - distance) }
        }
        return clear()
      }
      let other = ranks.rank + distance
      if other < ranks.count {
        let last = min(other + distance, ranks.count) - 1
        let first = ranks.share(of: count, rank: other).lowerBound
        let end = ranks.share(of: count, rank: last).upperBound
        for level in Self.levels(of: first..<end) {
          let sum = spare.popLast() ?? sizes.map { Buffer(count: $0) }
          for buffer in sum { ranks.receive(into: buffer.bytes, from: other) }
          push(sum, level: level)
        }
      }
      distance *= 2
    }
  }

  /// The levels of the partial sums that micro-batches `range` end in.
  static func levels(of range: Range<Int>) -> [Int] {
    var (levels, start): ([Int], Int) = ([], range.lowerBound)
    while start < range.upperBound {
      var level = 0
      while start % (2 << level) == 0, start + (2 << level) <= range.upperBound { level += 1 }
      levels.append(level)
      start += 1 << level
    }
    return levels
  }

  /// Pairs are added where they are siblings in the tree.
  private func push(_ sum: [Buffer], level: Int) {
    partial.append((next, level, sum))
    next += 1 << level
    while partial.count >= 2 {
      let (left, right) = (partial[partial.count - 2], partial[partial.count - 1])
      guard left.level == right.level, left.start % (2 << left.level) == 0 else { return }
      mergeLast()
      partial[partial.count - 1].level += 1
    }
  }

  /// Puts the sum of all that was added into the gradients of `parameters`, and forgets it.
  public func finish(into parameters: [Parameter]) {
    next = 0
    while partial.count >= 2 { mergeLast() }
    guard let total = partial.popLast() else { return }
    for (parameter, buffer) in zip(parameters, total.sum) {
      parameter.gradient.materialized.base.update(from: buffer.base, count: buffer.count)
    }
    spare.append(total.sum)
  }

  /// Forgets what was added, after a run has diverged in the middle of a batch.
  public func clear() {
    spare += partial.map(\.sum)
    (partial, next) = ([], 0)
  }

  private func mergeLast() {
    let right = partial.removeLast().sum
    let left = partial[partial.count - 1].sum
    for (a, b) in zip(left, right) {
      for i in 0..<a.count { a.base[i] += b.base[i] }
    }
    spare.append(right)
  }
}

extension Buffer {
  fileprivate var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: base, count: count))
  }
}
