// SPDX-License-Identifier: Apache-2.0

/// NumPy's `SeedSequence` with an empty spawn key: spreads the entropy of a seed over a pool of
/// four 32-bit words, from which a generator's state is drawn.
///
/// The hash is Melissa O'Neill's `seed_seq_fe`; constants and order of mixing as in NumPy since
/// 1.17.
public struct SeedSequence: Sendable, Hashable {
  /// The mixed entropy.
  public let pool: [UInt32]

  /// The sequence of a non-negative integer, cut into 32-bit words, lowest first, leading zeros
  /// dropped.
  public init(_ seed: UInt64) {
    let low = UInt32(truncatingIfNeeded: seed)
    let high = UInt32(seed >> 32)
    self.init(words: high == 0 ? [low] : [low, high])
  }

  /// The sequence of entropy that has already been cut into words.
  public init(words: [UInt32]) {
    var constant: UInt32 = 0x43B0_D7E5
    func hash(_ word: UInt32) -> UInt32 {
      var value = word ^ constant
      constant &*= 0x931E_8875
      value &*= constant
      return value ^ value >> 16
    }
    func mix(_ x: UInt32, _ y: UInt32) -> UInt32 {
      let value = 0xCA01_F9DD &* x &- 0x4973_F715 &* y
      return value ^ value >> 16
    }
    let size = 4
    var pool = (0..<size).map { hash($0 < words.count ? words[$0] : 0) }
    for source in 0..<size {
      for target in 0..<size where target != source {
        pool[target] = mix(pool[target], hash(pool[source]))
      }
    }
    for word in words.dropFirst(size) {
      for target in 0..<size { pool[target] = mix(pool[target], hash(word)) }
    }
    self.pool = pool
  }

  /// `count` 64-bit words of state, NumPy's `generate_state(count, uint64)`.
  public func state(_ count: Int) -> [UInt64] {
    var constant: UInt32 = 0x8B51_F9DD
    let halves = (0..<2 * count).map { index -> UInt64 in
      var value = pool[index % pool.count] ^ constant
      constant &*= 0x58F3_8DED
      value &*= constant
      return UInt64(value ^ value >> 16)
    }
    return (0..<count).map { halves[2 * $0] | halves[2 * $0 + 1] << 32 }
  }
}
