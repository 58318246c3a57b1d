// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Processes that compute one run together, each a part of the micro-batches of every step.
///
/// All of them call the same in the same order. A lost process ends all others, so nothing throws.
public protocol Ranks: Sendable {
  /// This process, from 0; 0 writes records and checkpoints.
  var rank: Int { get }
  /// How many there are.
  var count: Int { get }
  /// Sends bytes to another rank, which receives as many.
  func send(_ bytes: UnsafeMutableRawBufferPointer, to rank: Int)
  /// Waits for bytes that another rank sends.
  func receive(into bytes: UnsafeMutableRawBufferPointer, from rank: Int)
  /// Begins to send bytes, which must stay as they are until that is done; they come in the order of those of the same tag.
  func startSending(_ bytes: UnsafeMutableRawBufferPointer, to rank: Int, tag: Int) -> any Transfer
  /// Begins to receive bytes that another rank sends with this tag.
  func startReceiving(
    into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: Int
  ) -> any Transfer
  /// Called while there is nothing to do but wait.
  func pause()
  /// Gives all ranks the bytes of `root`; all have room for as many.
  func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int)
  /// The same for many at a time.
  func broadcast(_ pieces: [(bytes: UnsafeMutableRawBufferPointer, root: Int)])
  /// Bytes that this rank has handed on so far; a broadcast counts at its root, once for each other rank.
  var bytesSent: Int { get }
  /// Nothing more is to be sent; called once, by all.
  func finish()
}

/// Bytes on their way.
public protocol Transfer: AnyObject {
  /// Whether they have left, or come; asking lets them move on.
  var isDone: Bool { get }
}

/// A run in one process, which sends nothing.
public struct SingleRank: Ranks {
  /// The first.
  public var rank: Int { 0 }
  /// And only.
  public var count: Int { 1 }
  /// The only rank.
  public init() {}
  /// Never called.
  public func send(_ bytes: UnsafeMutableRawBufferPointer, to rank: Int) {
    preconditionFailure("there is no rank \(rank)")
  }
  /// Never called.
  public func receive(into bytes: UnsafeMutableRawBufferPointer, from rank: Int) {
    preconditionFailure("there is no rank \(rank)")
  }
  /// Never called.
  public func startSending(
    _ bytes: UnsafeMutableRawBufferPointer, to rank: Int, tag: Int
  ) -> any Transfer {
    preconditionFailure("there is no rank \(rank)")
  }
  /// Never called.
  public func startReceiving(
    into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: Int
  ) -> any Transfer {
    preconditionFailure("there is no rank \(rank)")
  }
  /// Nothing to wait for.
  public func pause() {}
  /// None.
  public var bytesSent: Int { 0 }
  /// Nothing to do.
  public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) {}
  /// Nothing to do.
  public func finish() {}
}

extension Ranks {
  /// The part of `total` micro-batches that `rank` computes, this one if none is named: sizes differ by one at most.
  public func share(of total: Int, rank: Int? = nil) -> Range<Int> {
    let own = rank ?? self.rank
    return own * total / count..<(own + 1) * total / count
  }

  /// One after another, where nothing better is to be had.
  public func broadcast(_ pieces: [(bytes: UnsafeMutableRawBufferPointer, root: Int)]) {
    for (bytes, root) in pieces { broadcast(bytes, from: root) }
  }

  /// Fills in the other ranks' values: each knows those of its share of the blocks of `size` values.
  public func exchange(_ values: inout [Double], inBlocksOf size: Int = 1) {
    guard count > 1 else { return }
    let (all, blocks) = (values.count, (values.count + size - 1) / size)
    values.withUnsafeMutableBytes { bytes in
      let stride = MemoryLayout<Double>.stride
      for rank in 0..<count {
        let own = share(of: blocks, rank: rank)
        let range =
          min(all, own.lowerBound * size) * stride..<min(all, own.upperBound * size) * stride
        broadcast(UnsafeMutableRawBufferPointer(rebasing: bytes[range]), from: rank)
      }
    }
  }

  /// Every rank's value, in their order.
  public func gathered(_ value: Double) -> [Double] {
    var all = [Double](repeating: value, count: count)
    exchange(&all)
    return all
  }

  /// Rank 0's value, on all ranks.
  public func agreed(_ value: Int) -> Int {
    var value = value
    withUnsafeMutableBytes(of: &value) { broadcast($0, from: 0) }
    return value
  }

  /// The bytes of `root`, on all ranks.
  public func agreed(_ data: Data, from root: Int = 0) -> Data {
    guard count > 1 else { return data }
    var size = data.count
    withUnsafeMutableBytes(of: &size) { broadcast($0, from: root) }
    var bytes = rank == root ? [UInt8](data) : [UInt8](repeating: 0, count: size)
    bytes.withUnsafeMutableBytes { broadcast($0, from: root) }
    return Data(bytes)
  }

  /// The first rank whose text is not rank 0's, nil if all are equal; the same answer on all ranks.
  public func firstDiffering(_ text: String) -> Int? {
    let own = Data(text.utf8)
    let all = (0..<count).map { agreed(own, from: $0) }
    return all.firstIndex { $0 != all[0] }
  }
}

/// A run that these ranks cannot share.
public struct RanksError: Error, Equatable, CustomStringConvertible {
  /// One line: why, and what to do.
  public let description: String

  /// An error of this line.
  public init(_ description: String) { self.description = description }
}
