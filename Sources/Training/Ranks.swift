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
  /// Gives all ranks the bytes of `root`; all have room for as many.
  func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int)
  /// Nothing more is to be sent; called once, by all.
  func finish()
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
