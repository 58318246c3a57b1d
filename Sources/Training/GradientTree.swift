// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra

/// The sum of the gradients of micro-batches by a fixed binary tree over their index, parameter by parameter.
///
/// Micro-batches 2i and 2i + 1 are added first, then pairs of pairs, and so on; what is left over when their number is no
/// power of two is added from the last to the first. The order of additions depends on the number of micro-batches only,
/// so ranks that share them out (`GradientReduction`) give the same bits. Holds at most log₂(n) + 1 partial sums, on a rank
/// that does not begin with the first micro-batch twice as many.
public final class GradientTree {
  /// A partial sum over the 2^level micro-batches from `start`, a multiple of 2^level.
  struct Node {
    var start: Int
    var level: Int
    var sum: Buffer
  }

  private let sizes: [Int]
  /// For each parameter its partial sums, in the order of the micro-batches.
  private var partial: [[Node]]
  /// For each parameter the micro-batch that is added next.
  private var next: [Int]
  private var spare: [[Buffer]]

  /// A tree for the gradients of `parameters`.
  public init(_ parameters: [Parameter]) {
    sizes = parameters.map(\.count)
    partial = Array(repeating: [], count: sizes.count)
    spare = partial.map { _ in [] }
    next = Array(repeating: 0, count: sizes.count)
  }

  /// Begins a sum; the first micro-batch that is added is number `index`.
  public func begin(at index: Int) {
    clear()
    for parameter in next.indices { next[parameter] = index }
  }

  /// Adds the gradients of the next micro-batch, times `weight`.
  public func add(_ parameters: [Parameter], weight: Float = 1) {
    for (index, parameter) in parameters.enumerated() { add(index, parameter, weight: weight) }
  }

  /// Adds the gradient of the next micro-batch with respect to parameter number `index`, times `weight`.
  func add(_ index: Int, _ parameter: Parameter, weight: Float = 1) {
    let (sum, gradient) = (buffer(for: index), parameter.gradient.materialized.base)
    if weight == 1 {
      sum.base.update(from: gradient, count: sum.count)
    } else {
      for i in 0..<sum.count { sum.base[i] = weight * gradient[i] }
    }
    insert(Node(start: next[index], level: 0, sum: sum), for: index)
    next[index] += 1
  }

  /// Room for a partial sum of a parameter.
  func buffer(for index: Int) -> Buffer { spare[index].popLast() ?? Buffer(count: sizes[index]) }

  /// Takes back the room of a partial sum that nobody needs any more.
  func giveBack(_ buffer: Buffer, of index: Int) { spare[index].append(buffer) }

  /// Takes a partial sum in, and adds pairs where they are siblings in the tree.
  func insert(_ node: Node, for index: Int) {
    var nodes = partial[index]
    var place = nodes.lastIndex { $0.start < node.start }.map { $0 + 1 } ?? 0
    nodes.insert(node, at: place)
    while true {
      // The node that has just grown is the right or the left one of a pair.
      let left = nodes[place].start % (2 << nodes[place].level) == 0 ? place : place - 1
      guard left >= 0, left + 1 < nodes.count, nodes[left].level == nodes[left + 1].level,
        nodes[left].start % (2 << nodes[left].level) == 0,
        nodes[left + 1].start == nodes[left].start + 1 << nodes[left].level
      else { break }
      merge(&nodes, left, index)
      nodes[left].level += 1
      place = left
    }
    partial[index] = nodes
  }

  private func merge(_ nodes: inout [Node], _ left: Int, _ index: Int) {
    let (a, b) = (nodes[left].sum, nodes.remove(at: left + 1).sum)
    for i in 0..<a.count { a.base[i] += b.base[i] }
    giveBack(b, of: index)
  }

  /// Gives away the partial sums of a parameter.
  func takeNodes(of index: Int) -> [Node] {
    defer { partial[index] = [] }
    return partial[index]
  }

  /// The blocks of the partial sums that micro-batches `range` end in: the largest aligned ones, from the left.
  static func blocks(of range: Range<Int>) -> [(start: Int, level: Int)] {
    var (blocks, start): ([(start: Int, level: Int)], Int) = ([], range.lowerBound)
    while start < range.upperBound {
      var level = 0
      while start % (2 << level) == 0, start + (2 << level) <= range.upperBound { level += 1 }
      blocks.append((start, level))
      start += 1 << level
    }
    return blocks
  }

  /// Puts the sum of all that was added into the gradients of `parameters`, and forgets it.
  public func finish(into parameters: [Parameter]) {
    for (index, parameter) in parameters.enumerated() { finish(index, into: parameter) }
  }

  /// The same for parameter number `index` alone.
  func finish(_ index: Int, into parameter: Parameter) {
    next[index] = 0
    var nodes = takeNodes(of: index)
    while nodes.count >= 2 { merge(&nodes, nodes.count - 2, index) }
    guard let total = nodes.popLast()?.sum else { return }
    parameter.gradient.materialized.base.update(from: total.base, count: total.count)
    giveBack(total, of: index)
  }

  /// Forgets what was added, after a run has diverged in the middle of a batch.
  public func clear() {
    for index in partial.indices {
      spare[index] += takeNodes(of: index).map(\.sum)
      next[index] = 0
    }
  }
}
