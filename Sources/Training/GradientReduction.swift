// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra

/// The last levels of the `GradientTree`, over ranks: what each has added up of a parameter's gradient is added on the rank
/// that owns the parameter, in the order of the tree.
///
/// In round r = 0, 1, … neighboring groups of 2^r ranks become one. Of each group one rank holds the partial sums, in the end
/// the owner; the one of two that remains receives those of the other. In a group the holders of different owners differ, so
/// that a rank sends half of what it holds in a round, and all parameters but its own once. A parameter's rounds begin when its
/// gradient is complete, and go on whenever `poll` is called, so that they overlap with the rest of the backward pass.
final class GradientReduction {
  private let ranks: any Ranks
  private let tree: GradientTree
  private let parameters: [Parameter]
  private let owners: [Int]
  /// Micro-batches of a step.
  private let count: Int
  private var moving: [Move] = []

  /// A parameter on its way: the size of the groups that are merged next, and what has been begun.
  private struct Move {
    let index: Int
    var distance = 1
    var transfers: [any Transfer] = []
    var nodes: [GradientTree.Node] = []
    var isSending = false
  }

  /// The reduction of what `tree` adds up of `count` micro-batches; `owners` has a rank for each parameter.
  init(
    of tree: GradientTree, _ parameters: [Parameter], over ranks: any Ranks, owners: [Int],
    count: Int
  ) {
    (self.tree, self.parameters, self.ranks) = (tree, parameters, ranks)
    (self.owners, self.count) = (owners, count)
  }

  /// This rank's part of the gradient of parameter number `index` is complete.
  func begin(_ index: Int) {
    var move = Move(index: index)
    if !advance(&move) { moving.append(move) }
  }

  /// Lets what was begun go on, without waiting.
  func poll() {
    var index = 0
    while index < moving.count {
      if moving[index].transfers.allSatisfy(\.isDone), advance(&moving[index]) {
        moving.remove(at: index)
      } else {
        index += 1
      }
    }
  }

  /// Waits until each owner has its parameters' gradients.
  func finish() {
    while !moving.isEmpty {
      poll()
      ranks.pause()
    }
  }

  /// The rank that holds the sums of the group of `distance` ranks from `first`.
  private func holder(_ first: Int, _ distance: Int, _ owner: Int) -> Int {
    let place = first + owner % distance
    return place < ranks.count ? place : holder(first, distance / 2, owner)
  }

  /// Takes in what has come, if anything was under way, and begins the next round; true when this rank has no more to do.
  private func advance(_ move: inout Move) -> Bool {
    let (index, owner) = (move.index, owners[move.index])
    if !move.transfers.isEmpty {
      for node in move.nodes {
        if move.isSending {
          tree.giveBack(node.sum, of: index)
        } else {
          tree.insert(node, for: index)
        }
      }
      (move.transfers, move.nodes) = ([], [])
      if move.isSending { return true }
      move.distance *= 2
    }
    while move.distance < ranks.count {
      let distance = move.distance
      let first = ranks.rank / (2 * distance) * 2 * distance
      let second = first + distance
      guard second < ranks.count else {
        move.distance *= 2
        continue
      }
      let remaining = holder(first, 2 * distance, owner)
      let isFirst = remaining < second
      let leaving = isFirst ? holder(second, distance, owner) : holder(first, distance, owner)
      move.isSending = ranks.rank == leaving
      if move.isSending {
        move.nodes = tree.takeNodes(of: index)
        move.transfers = move.nodes.map {
          ranks.startSending($0.sum.bytes, to: remaining, tag: index)
        }
      } else {
        let group = isFirst ? second..<min(second + distance, ranks.count) : first..<second
        let start = ranks.share(of: count, rank: group.lowerBound).lowerBound
        let end = ranks.share(of: count, rank: group.upperBound - 1).upperBound
        move.nodes = GradientTree.blocks(of: start..<end).map {
          GradientTree.Node(start: $0.start, level: $0.level, sum: tree.buffer(for: index))
        }
        move.transfers = move.nodes.map {
          ranks.startReceiving(into: $0.sum.bytes, from: leaving, tag: index)
        }
      }
      return false
    }
    tree.finish(index, into: parameters[index])
    return true
  }
}

extension Buffer {
  fileprivate var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: base, count: count))
  }
}

extension LayerGradient {
  /// The bytes of its entries as they stand.
  var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: base, count: count))
  }
}

extension Parameter {
  /// The bytes of its values.
  var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(start: base, count: count))
  }
}
