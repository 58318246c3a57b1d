// SPDX-License-Identifier: Apache-2.0

/// The Philox 4×32 counter-based generator with ten rounds: a pure function from a 128-bit counter
/// and a 64-bit key to 128 random bits.
///
/// Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. It passes
/// the BigCrush battery at seven rounds; ten is the authors' recommended margin. There is no state,
/// so any element of a stream can be computed on its own, in any order and on any thread.
public enum Philox4x32 {
  /// 128 random bits as four words, least significant first.
  public typealias Block = (UInt32, UInt32, UInt32, UInt32)

  // Multipliers and Weyl increments of the paper's table 2 (the increments are the golden ratio and
  // sqrt(3) - 1, scaled to 32 bits).
  @usableFromInline static var multiplier0: UInt64 { 0xD251_1F53 }
  @usableFromInline static var multiplier1: UInt64 { 0xCD9E_8D57 }
  @usableFromInline static var weyl0: UInt32 { 0x9E37_79B9 }
  @usableFromInline static var weyl1: UInt32 { 0xBB67_AE85 }

  /// Returns the block of `counter` under `key`.
  @inlinable
  public static func block(counter: Block, key: (UInt32, UInt32)) -> Block {
    var (c0, c1, c2, c3) = counter
    var (k0, k1) = key
    for _ in 0..<10 {
      let p0 = multiplier0 &* UInt64(c0)
      let p1 = multiplier1 &* UInt64(c2)
      let high0 = UInt32(truncatingIfNeeded: p0 &>> 32)
      let high1 = UInt32(truncatingIfNeeded: p1 &>> 32)
      (c0, c1, c2, c3) = (
        high1 ^ c1 ^ k0, UInt32(truncatingIfNeeded: p1),
        high0 ^ c3 ^ k1, UInt32(truncatingIfNeeded: p0)
      )
      k0 &+= weyl0
      k1 &+= weyl1
    }
    return (c0, c1, c2, c3)
  }

  /// Returns the block of the counter (`low`, `high`) under `key`, all as 64-bit words, least
  /// significant half first.
  @inline(__always)
  static func words(low: UInt64, high: UInt64, key: UInt64) -> (UInt64, UInt64) {
    let b = block(
      counter: (
        UInt32(truncatingIfNeeded: low), UInt32(truncatingIfNeeded: low &>> 32),
        UInt32(truncatingIfNeeded: high), UInt32(truncatingIfNeeded: high &>> 32)
      ),
      key: (UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key &>> 32)))
    return (UInt64(b.0) | UInt64(b.1) &<< 32, UInt64(b.2) | UInt64(b.3) &<< 32)
  }

  /// The blocks of the counters (`low` + i, `high`), i = 0, …, 7: word 0 of all eight, word 1 of all
  /// eight, …; the low 32 bits of `low` must not overflow.
  @inline(__always)
  static func eightBlocks(
    low: UInt64, high: UInt64, key: UInt64
  ) -> (SIMD8<UInt32>, SIMD8<UInt32>, SIMD8<UInt32>, SIMD8<UInt32>) {
    typealias Wide = SIMD8<UInt64>
    let mask = Wide(repeating: 0xFFFF_FFFF)
    var c0 = (Wide(repeating: low & 0xFFFF_FFFF) &+ Wide(0, 1, 2, 3, 4, 5, 6, 7)) & mask
    var c1 = Wide(repeating: low &>> 32)
    var c2 = Wide(repeating: high & 0xFFFF_FFFF)
    var c3 = Wide(repeating: high &>> 32)
    var (k0, k1) = (
      UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key &>> 32)
    )
    let (m0, m1) = (Wide(repeating: multiplier0), Wide(repeating: multiplier1))
    for _ in 0..<10 {
      let p0 = m0 &* c0
      let p1 = m1 &* c2
      c0 = (p1 &>> 32) ^ c1 ^ Wide(repeating: UInt64(k0))
      c2 = (p0 &>> 32) ^ c3 ^ Wide(repeating: UInt64(k1))
      c1 = p1 & mask
      c3 = p0 & mask
      k0 &+= weyl0
      k1 &+= weyl1
    }
    return (
      SIMD8(truncatingIfNeeded: c0), SIMD8(truncatingIfNeeded: c1), SIMD8(truncatingIfNeeded: c2),
      SIMD8(truncatingIfNeeded: c3)
    )
  }
}
