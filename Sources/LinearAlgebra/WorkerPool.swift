// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// A pool of threads that share out the pieces of one loop: they spin for work a while, then park.
///
/// The pieces are cut by the size of the work, never by the number of threads, and each piece writes
/// its own part of the result, so results do not depend on who did what. A fork and join of spinning
/// threads costs about a microsecond.
public final class WorkerPool: Sendable {
  /// Threads that work, the calling one included.
  public let threads: Int
  private let state: PoolState?

  /// A pool of `threads` - 1 threads beside the caller; 1 means that the caller does everything. There are fewer where
  /// the machine has no more to give.
  public convenience init(threads: Int = 1) {
    self.init(threads: threads) { body in startThread(body) }
  }

  init(threads: Int, start: (@escaping @Sendable () -> Void) -> Bool) {
    precondition(threads >= 1, "a pool of \(threads) threads")
    let state = PoolState()
    var helpers = 0
    while helpers < threads - 1 {
      let worker = helpers + 1
      guard start({ state.serve(worker) }) else { break }
      helpers += 1
    }
    state.helpers = helpers
    self.threads = helpers + 1
    self.state = helpers > 0 ? state : nil
  }

  deinit { state?.stop() }

  /// The pool that has no threads of its own.
  public static let single = WorkerPool(threads: 1)

  /// Runs body(0), …, body(pieces - 1), side by side, and returns when all are done.
  ///
  /// Must not be called from inside a piece, nor from two threads at once.
  public func forEach(pieces: Int, _ body: (Int) -> Void) {
    forEach(pieces: pieces) { piece, _ in body(piece) }
  }

  /// The same with body(piece, worker): a worker, 0 ..< threads, has one piece at a time, so it may
  /// have scratch of its own.
  public func forEach(pieces: Int, _ body: (Int, Int) -> Void) {
    guard let state, pieces > 1 else {
      for piece in 0..<max(0, pieces) { body(piece, 0) }
      return
    }
    withoutActuallyEscaping(body) { state.run(pieces: pieces, $0) }
  }

  /// Cuts `count` items into pieces of `size` and runs body(range) for each.
  public func forRanges(of count: Int, size: Int, _ body: (Range<Int>) -> Void) {
    let pieces = (count + size - 1) / size
    forEach(pieces: pieces) { piece in
      let start = piece * size
      body(start..<min(count, start + size))
    }
  }
}

private final class PoolState: @unchecked Sendable {
  /// Set once, before the first job.
  var helpers = 0
  /// Raised once a job (and once to stop); helpers wait for it to change.
  private let generation = Atomic<Int>(0)
  private let upcoming = Atomic<Int>(0)
  /// Helpers that are through with the present job.
  private let through = Atomic<Int>(0)
  private let parked = Atomic<Int>(0)
  private let stopping = Atomic<Bool>(false)
  private let condition = NSCondition()
  private var pieces = 0
  private var body: ((Int, Int) -> Void)?

  func run(pieces: Int, _ body: @escaping (Int, Int) -> Void) {
    self.pieces = pieces
    self.body = body
    upcoming.store(0, ordering: .relaxed)
    through.store(0, ordering: .relaxed)
    announce()
    work(pieces, 0, body)
    while through.load(ordering: .acquiring) < helpers { continue }
    self.body = nil
  }

  func stop() {
    stopping.store(true, ordering: .releasing)
    announce()
  }

  private func announce() {
    generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
    guard parked.load(ordering: .sequentiallyConsistent) > 0 else { return }
    condition.lock()
    condition.broadcast()
    condition.unlock()
  }

  private func work(_ pieces: Int, _ worker: Int, _ body: (Int, Int) -> Void) {
    while true {
      let piece = upcoming.wrappingAdd(1, ordering: .relaxed).oldValue
      guard piece < pieces else { return }
      body(piece, worker)
    }
  }

  func serve(_ worker: Int) {
    var seen = 0
    while true {
      seen = awaitChange(from: seen)
      if stopping.load(ordering: .acquiring) { return }
      if let body { work(pieces, worker, body) }
      through.wrappingAdd(1, ordering: .releasing)
    }
  }

  private func awaitChange(from seen: Int) -> Int {
    for _ in 0..<20_000 {
      let now = generation.load(ordering: .acquiring)
      if now != seen { return now }
    }
    condition.lock()
    defer { condition.unlock() }
    parked.wrappingAdd(1, ordering: .sequentiallyConsistent)
    defer { parked.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
    while generation.load(ordering: .sequentiallyConsistent) == seen { condition.wait() }
    return generation.load(ordering: .acquiring)
  }
}
