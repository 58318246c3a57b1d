// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// Runs body(0), …, body(count - 1), at most `jobs` at a time, each on one thread with an 8 MiB stack.
///
/// Where the machine has fewer threads to give, fewer work, at the least the calling one.
///
/// The pieces must be independent: nothing is said about their order. After a failure no further
/// piece starts, the running ones end, and the error of the smallest failed index is thrown.
public func runSideBySide(
  count: Int, jobs: Int, _ body: @escaping @Sendable (Int) throws -> Void
) throws {
  precondition(count >= 0 && jobs >= 1, "\(count) pieces on \(jobs) workers")
  let queue = PieceQueue(count: count)
  let group = DispatchGroup()
  let work: @Sendable () -> Void = {
    while let index = queue.next() {
      do { try body(index) } catch { queue.fail(index, error) }
    }
    group.leave()
  }
  var started = 0
  for _ in 0..<min(jobs, count) {
    group.enter()
    guard startThread(work) else {
      group.leave()
      break
    }
    started += 1
  }
  if started == 0 {
    group.enter()
    work()
  }
  group.wait()
  if let failure = queue.failure { throw failure }
}

private final class PieceQueue: @unchecked Sendable {
  private let lock = NSLock()
  private let count: Int
  private var upcoming = 0
  private var failures: [(index: Int, error: Error)] = []

  init(count: Int) { self.count = count }

  func next() -> Int? {
    lock.withLock {
      guard failures.isEmpty, upcoming < count else { return nil }
      upcoming += 1
      return upcoming - 1
    }
  }

  func fail(_ index: Int, _ error: Error) { lock.withLock { failures.append((index, error)) } }

  var failure: Error? { lock.withLock { failures.min { $0.index < $1.index }?.error } }
}
