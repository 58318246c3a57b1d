// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Clipping
import Foundation
import LinearAlgebra
import Optimizers

/// Clip and optimizers shared out over ranks: each rank clips and moves some of the parameters, and holds their optimizers'
/// state; values, and what is looked at, are given to all.
extension ClippedOptimizer {
  /// From now on each of `ranks` clips and moves a share of the parameters, as equal in cost as whole parameters allow. Where the
  /// rule or an optimizer has to see them all, every rank does it all.
  func share(over ranks: any Ranks) {
    self.ranks = ranks
    owners = Self.balanced(costs, over: ranks.count)
    isShared = rule.isShareable && groups.allSatisfy { $0.optimizer.isShareable }
    guard isShared else { return }
    let mine = Set(
      zip(parameters, owners).filter { $1 == ranks.rank }.map { ObjectIdentifier($0.0) })
    keepOwnState(mine)
    own = members.map { $0.filter { mine.contains(ObjectIdentifier($0)) } }
    let ownerOf = Dictionary(uniqueKeysWithValues: zip(parameters.map(\.name), owners))
    for gradients in [watched, clipped] {
      let owners = gradients.layers.map { ownerOf[$0.name] ?? 0 }
      gradients.share(owners.indices.filter { owners[$0] == ranks.rank }) { values in
        values.withUnsafeMutableBytes { bytes in
          let stride = MemoryLayout<Double>.stride
          ranks.broadcast(
            owners.enumerated().map { index, owner in
              (
                UnsafeMutableRawBufferPointer(
                  rebasing: bytes[index * stride..<(index + 1) * stride]), owner
              )
            })
        }
      }
    }
  }

  /// About how many multiplications a step costs for each parameter.
  private var costs: [Double] {
    let clippedNames = Set(clipped.layers.map(\.name))
    var optimizerOf: [String: any Optimizer] = [:]
    for group in groups { for name in group.names { optimizerOf[name] = group.optimizer } }
    return parameters.map {
      let (rows, columns) = ($0.gradient.rows, $0.gradient.columns)
      let clip = clippedNames.contains($0.name) ? rule.cost(rows: rows, columns: columns) : 0
      return clip + (optimizerOf[$0.name]?.cost(rows: rows, columns: columns) ?? 0)
    }
  }

  /// An owner for each of the costs: the largest first, each to the rank that has least.
  static func balanced(_ costs: [Double], over count: Int) -> [Int] {
    var loads = [Double](repeating: 0, count: count)
    var owners = [Int](repeating: 0, count: costs.count)
    for index in costs.indices.sorted(by: { (costs[$0], $1) > (costs[$1], $0) }) {
      let rank = loads.indices.min { (loads[$0], $0) < (loads[$1], $1) } ?? 0
      loads[rank] += costs[index]
      owners[index] = rank
    }
    return owners
  }

  /// Called when each rank has the gradients of its own parameters: gives all of them to all where every rank clips all.
  func completeGradients() {
    guard ranks.count > 1, !isShared else { return }
    ranks.broadcast(zip(parameters, owners).map { ($0.gradient.bytes, $1) })
  }

  /// What a rule throws on one rank for a number that is not finite is thrown on all.
  func together(_ body: () throws -> Void) throws {
    guard isShared else { return try body() }
    var failure: LinearAlgebraError?
    do { try body() } catch let error as LinearAlgebraError {
      guard case .notFinite = error else { throw error }
      failure = error
    }
    let failed = ranks.gathered(failure == nil ? 0 : 1)
    if let failure { throw failure }
    if failed.contains(1) { throw LinearAlgebraError.notFinite(value: .nan, row: 0, column: 0) }
  }

  /// All ranks' looks, in the order of the layers.
  func gathered(_ looks: [Look]) throws -> [Look] {
    guard isShared else { return looks }
    let encoder = PropertyListEncoder()
    encoder.outputFormat = .binary
    let data = try encoder.encode(looks)
    return try (0..<ranks.count).flatMap {
      try PropertyListDecoder().decode([Look].self, from: ranks.agreed(data, from: $0))
    }.sorted { $0.layer < $1.layer }
  }

  /// Forgets the optimizers' state of other ranks' parameters; the rule's is small, and is never looked at.
  func keepOwnState(_ mine: Set<ObjectIdentifier>? = nil) {
    let mine = mine ?? Set(own.joined().map { ObjectIdentifier($0) })
    for index in groups.indices {
      let keeps = members[index].map { mine.contains(ObjectIdentifier($0)) }
      groups[index].optimizer.state = groups[index].optimizer.state.map { buffers in
        buffers.isEmpty
          ? buffers : StateBuffers(zip(buffers.arrays, keeps).filter(\.1).map(\.0))
      }
    }
  }

  /// On the first rank the rule with what every rank knows of its layers.
  func wholeRule() throws -> any GradientTransform {
    guard isShared else { return rule }
    var whole = rule
    let data = try rule.encoded()
    let owns = ranks.gathered(Double(clipped.own.count))
    for rank in 1..<ranks.count where owns[rank] > 0 {
      let layers = ranks.agreed(
        try PropertyListEncoder().encode(clipped.own), from: rank)
      try whole.take(
        try PropertyListDecoder().decode([Int].self, from: layers),
        from: ranks.agreed(data, from: rank))
    }
    return whole
  }

  /// On the first rank a group's optimizer with every rank's state.
  func wholeOptimizer(of group: Int) -> any Optimizer {
    var whole = groups[group].optimizer
    guard isShared else { return whole }
    let ownerOf = Dictionary(
      uniqueKeysWithValues: zip(parameters.map { ObjectIdentifier($0) }, owners))
    whole.state = whole.state.map { buffers in
      // A rank without parameters of this group has none of its state either.
      guard ranks.gathered(buffers.isEmpty ? 0 : 1).contains(1) else { return buffers }
      var mine = buffers.arrays.makeIterator()
      return StateBuffers(
        members[group].map { parameter in
          let owner = ownerOf[ObjectIdentifier(parameter)] ?? 0
          var array =
            owner == ranks.rank
            ? mine.next() ?? []
            : [Float](repeating: 0, count: ranks.rank == 0 ? parameter.count : 0)
          guard owner > 0, ranks.rank == 0 || ranks.rank == owner else { return array }
          array.withUnsafeMutableBytes {
            if ranks.rank == 0 {
              ranks.receive(into: $0, from: owner)
            } else {
              ranks.send($0, to: 0)
            }
          }
          return array
        })
    }
    return whole
  }
}
