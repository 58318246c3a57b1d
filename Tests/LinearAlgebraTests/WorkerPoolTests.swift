// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import LinearAlgebra

@Suite struct WorkerPoolTests {
  @Test(arguments: [1, 2, 3, 5])
  func everyPieceRunsOnce(_ threads: Int) {
    let pool = WorkerPool(threads: threads)
    for pieces in [0, 1, 2, 7, 100] {
      for _ in 0..<20 {
        var counts = [Int32](repeating: 0, count: max(1, pieces))
        counts.withUnsafeMutableBufferPointer { buffer in
          nonisolated(unsafe) let base = buffer.baseAddress
          pool.forEach(pieces: pieces) { base?[$0] += 1 }
        }
        #expect(counts.prefix(pieces).allSatisfy { $0 == 1 })
      }
    }
  }

  /// A machine that gives only some of the threads, or none: the rest work, and nobody waits for the missing ones.
  @Test(arguments: [0, 1, 3]) func aPoolGetsByWithTheThreadsThereAre(_ given: Int) {
    var left = given
    let pool = WorkerPool(
      threads: 5,
      start: { body in
        left -= 1
        return left >= 0 && startThread(body)
      })
    #expect(pool.threads == given + 1)
    var counts = [Int32](repeating: 0, count: 50)
    for _ in 0..<10 {
      counts.withUnsafeMutableBufferPointer { buffer in
        nonisolated(unsafe) let base = buffer.baseAddress
        pool.forEach(pieces: 50) { base?[$0] += 1 }
      }
    }
    #expect(counts.allSatisfy { $0 == 10 })
  }

  @Test func aThreadThatCannotStartIsSaid() {
    #expect(!startThread(stackSize: 1 << 46, attempts: 2) { Issue.record("it ran") })
  }

  @Test func rangesCoverEverythingOnce() {
    let pool = WorkerPool(threads: 2)
    for (count, size) in [(0, 4), (1, 4), (8, 4), (9, 4)] {
      var marks = [Int](repeating: 0, count: max(1, count))
      marks.withUnsafeMutableBufferPointer { buffer in
        nonisolated(unsafe) let base = buffer.baseAddress
        pool.forRanges(of: count, size: size) { for i in $0 { base?[i] += 1 } }
      }
      #expect(marks.prefix(count).allSatisfy { $0 == 1 })
    }
  }

  @Test func parkedThreadsWakeUp() {
    let pool = WorkerPool(threads: 2)
    for _ in 0..<3 {
      Thread.sleep(forTimeInterval: 0.02)  // long enough to park
      var sum = [0, 0, 0, 0]
      sum.withUnsafeMutableBufferPointer { buffer in
        nonisolated(unsafe) let base = buffer.baseAddress
        pool.forEach(pieces: 4) { base?[$0] = $0 + 1 }
      }
      #expect(sum == [1, 2, 3, 4])
    }
  }
}
