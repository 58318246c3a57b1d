import Autodiff
import LinearAlgebra

/// The sum of the gradients of micro-batches by a fixed binary tree over their index.
///
/// Micro-batches 2i and 2i + 1 are added first, then pairs of pairs, and so on; what is left over when their number is no
/// power of two is added from the last to the first. The order of additions depends on the number of micro-batches only,
/// so workers that share them out can give the same bits. Holds at most log₂(n) + 1 partial sums.
public final class GradientTree {
  private let sizes: [Int]
  /// Partial sums, each over 2^level micro-batches, levels descending.
  private var partial: [(level: Int, sum: [Buffer])] = []
  private var spare: [[Buffer]] = []

  /// A tree for the gradients of `parameters`.
  public init(_ parameters: [Parameter]) { sizes = parameters.map(\.count) }

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
    partial.append((0, sum))
    while partial.count >= 2, partial[partial.count - 2].level == partial[partial.count - 1].level {
      mergeLast()
      partial[partial.count - 1].level += 1
    }
  }

  /// Puts the sum of all that was added into the gradients of `parameters`, and forgets it.
  public func finish(into parameters: [Parameter]) {
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
    partial = []
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
