// SPDX-License-Identifier: Apache-2.0

/// O'Neill's PCG XSL RR 128/64: a 128-bit linear congruential generator whose state is folded to 64
/// bits and rotated by its upper six. NumPy's `PCG64`, including the buffered half of a 64-bit
/// output.
///
/// O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms for random
/// number generation", 2014.
public struct PCG64: Sendable, Hashable {
  /// The state of the congruential generator.
  public private(set) var state: UInt128
  /// The odd increment, which selects the sequence.
  public let increment: UInt128
  /// The upper half of the last word split by ``nextUInt32()``, until it is handed out. Outputs of
  /// 64 bits neither use nor clear it.
  public private(set) var bufferedHalf: UInt32?

  private static let multiplier: UInt128 =
    UInt128(0x2360_ED05_1FC6_5DA4) << 64 | UInt128(0x4385_DF64_9FCC_F645)

  /// The generator that NumPy's `PCG64(seed)` makes.
  public init(seed: UInt64) { self.init(SeedSequence(seed)) }

  /// The generator of a seed sequence: four words, high halves first, give state and sequence
  /// number.
  public init(_ sequence: SeedSequence) {
    let words = sequence.state(4).map { UInt128($0) }
    increment = (words[2] << 64 | words[3]) << 1 | 1
    // A step from state zero leaves the increment; then the seed is added and one more step taken.
    state = increment &+ (words[0] << 64 | words[1])
    step()
  }

  private mutating func step() { state = state &* Self.multiplier &+ increment }

  /// The next 64 bits.
  public mutating func nextUInt64() -> UInt64 {
    step()
    let folded = UInt64(truncatingIfNeeded: state >> 64) ^ UInt64(truncatingIfNeeded: state)
    let rotation = UInt64(truncatingIfNeeded: state >> 122)
    return folded &>> rotation | folded &<< (0 &- rotation & 63)
  }

  /// The next 32 bits: the lower half of a new word, then its upper half.
  public mutating func nextUInt32() -> UInt32 {
    if let half = bufferedHalf {
      bufferedHalf = nil
      return half
    }
    let word = nextUInt64()
    bufferedHalf = UInt32(word >> 32)
    return UInt32(truncatingIfNeeded: word)
  }
}

extension PCG64: Codable {
  private enum CodingKeys: String, CodingKey { case state, increment, bufferedHalf }

  /// Decodes 128-bit words as pairs [high, low] of 64-bit words.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    func wide(_ key: CodingKeys) throws -> UInt128 {
      let halves = try container.decode([UInt64].self, forKey: key)
      guard halves.count == 2 else {
        throw DecodingError.dataCorruptedError(
          forKey: key, in: container, debugDescription: "expected two 64-bit halves")
      }
      return UInt128(halves[0]) << 64 | UInt128(halves[1])
    }
    state = try wide(.state)
    increment = try wide(.increment)
    bufferedHalf = try container.decodeIfPresent(UInt32.self, forKey: .bufferedHalf)
    guard increment & 1 == 1 else {
      throw DecodingError.dataCorruptedError(
        forKey: .increment, in: container, debugDescription: "the increment of PCG64 must be odd")
    }
  }

  /// Encodes 128-bit words as pairs [high, low] of 64-bit words.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    func halves(_ word: UInt128) -> [UInt64] {
      [UInt64(truncatingIfNeeded: word >> 64), UInt64(truncatingIfNeeded: word)]
    }
    try container.encode(halves(state), forKey: .state)
    try container.encode(halves(increment), forKey: .increment)
    try container.encodeIfPresent(bufferedHalf, forKey: .bufferedHalf)
  }
}
