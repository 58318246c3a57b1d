// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// Floats at a fixed address: of one's own, aligned to a cache line and zero at first, or borrowed.
public final class Buffer: @unchecked Sendable {
  /// The first of them.
  public let base: UnsafeMutablePointer<Float>
  /// How many there are.
  public let count: Int
  private let owner: AnyObject?

  /// The `count` floats at `base`, which `owner` keeps alive.
  init(borrowing base: UnsafeMutablePointer<Float>, count: Int, owner: AnyObject) {
    (self.base, self.count, self.owner) = (base, count, owner)
  }

  /// A buffer of `count` zeros.
  public init(count: Int) {
    precondition(count >= 0, "a buffer of \(count) floats")
    (self.count, owner) = (count, nil)
    let bytes = max(64, (count * 4 + 63) & ~63)
    let raw = TensorMemory.aligned(bytes)
    base = raw.bindMemory(to: Float.self, capacity: bytes / 4)
    base.initialize(repeating: 0, count: bytes / 4)
  }

  deinit { if owner == nil { free(base) } }

  /// Sets every float to `value`.
  public func fill(_ value: Float) { base.update(repeating: value, count: count) }

  /// A copy as an array.
  public var array: [Float] { Array(UnsafeBufferPointer(start: base, count: count)) }

  /// Replaces the values; their number must be the buffer's.
  public func assign(_ values: [Float]) {
    precondition(values.count == count, "\(values.count) values for a buffer of \(count)")
    base.update(from: values, count: count)
  }
}

/// Hands out buffers while a tape is planned and takes them back for later operations.
final class BufferPool {
  private var free: [Buffer] = []
  /// How many buffers were allocated, ever.
  private(set) var allocations = 0

  func take(_ count: Int) -> Buffer {
    if let index = free.lastIndex(where: { $0.count == count }) { return free.remove(at: index) }
    allocations += 1
    return Buffer(count: count)
  }

  func giveBack(_ buffer: Buffer) { free.append(buffer) }
}

/// One buffer that a tape's operations share, each for what it needs no longer than its forward or its backward
/// pass: as large as the largest of them asks for.
final class Workspace {
  private var buffer = Buffer(count: 0)

  /// Asks for `count` floats; called while the operation is recorded.
  func reserve(_ count: Int) {
    if count > buffer.count { buffer = Buffer(count: count) }
  }

  /// The first float. Others may have written here.
  var base: UnsafeMutablePointer<Float> { buffer.base }
}

/// Bytes at a fixed address, for choices among a few.
final class ByteBuffer {
  let base: UnsafeMutablePointer<UInt8>

  init(count: Int) {
    base = .allocate(capacity: max(1, count))
    base.initialize(repeating: 0, count: max(1, count))
  }

  deinit { base.deallocate() }
}
