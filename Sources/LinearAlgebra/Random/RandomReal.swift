// SPDX-License-Identifier: Apache-2.0

/// `Float` and `Double`, the types that streams produce.
///
/// The requirements are how a ``RandomStream`` makes its elements; call the stream's methods
/// instead.
public protocol RandomReal: BinaryFloatingPoint, Sendable {
  /// The uppermost bits of `word` as a number in [0, 1).
  static func halfOpenUnit(_ word: UInt64) -> Self
  /// Uniform element `index` of `stream`.
  static func uniform(_ stream: RandomStream, at index: Int) -> Self
  /// Normal element `index` of `stream`.
  static func normal(_ stream: RandomStream, at index: Int) -> Self
  /// Uniform elements of `stream` from `index` on.
  static func fill(
    uniform buffer: UnsafeMutableBufferPointer<Self>, _ stream: RandomStream, from index: Int)
  /// Normal elements of `stream` from `index` on.
  static func fill(
    normal buffer: UnsafeMutableBufferPointer<Self>, _ stream: RandomStream, from index: Int)
}

// A Double takes one 64-bit word, two elements a block; a Float one 32-bit word, four elements a
// block. Element 2j of a normal stream is the cosine and 2j + 1 the sine of the same pair of words.

extension Double: RandomReal {
  /// The upper 53 bits of `word`, times 2^-53.
  @inline(__always)
  public static func halfOpenUnit(_ word: UInt64) -> Double { Double(word &>> 11) * 0x1p-53 }

  /// Uniform element `index` of `stream`, a multiple of 2^-53.
  public static func uniform(_ stream: RandomStream, at index: Int) -> Double {
    let words = stream.words(.uniformDouble, blockNumber(index, elementsPerBlock: 2))
    return halfOpenUnit(index & 1 == 0 ? words.0 : words.1)
  }

  /// Normal element `index` of `stream`.
  public static func normal(_ stream: RandomStream, at index: Int) -> Double {
    let words = stream.words(.normalDouble, blockNumber(index, elementsPerBlock: 2))
    let pair = BoxMuller.pair(words.0, words.1)
    return index & 1 == 0 ? pair.0 : pair.1
  }

  /// Uniform elements of `stream` from `index` on.
  public static func fill(
    uniform buffer: UnsafeMutableBufferPointer<Double>, _ stream: RandomStream, from index: Int
  ) {
    fillByBlocks(buffer, from: index, elementsPerBlock: 2) {
      uniform(stream, at: $0)
    } whole: { out, first, blocks in
      for i in 0..<blocks {
        let words = stream.words(.uniformDouble, first &+ UInt64(truncatingIfNeeded: i))
        out[2 &* i] = halfOpenUnit(words.0)
        out[2 &* i &+ 1] = halfOpenUnit(words.1)
      }
    }
  }

  /// Normal elements of `stream` from `index` on.
  public static func fill(
    normal buffer: UnsafeMutableBufferPointer<Double>, _ stream: RandomStream, from index: Int
  ) {
    fillByBlocks(buffer, from: index, elementsPerBlock: 2) {
      normal(stream, at: $0)
    } whole: { out, first, blocks in
      BoxMuller.forEachTile(pairs: blocks) { start, count, radii, turns in
        for i in 0..<count {
          (radii[i], turns[i]) = stream.words(
            .normalDouble, first &+ UInt64(truncatingIfNeeded: start &+ i))
        }
      } transformed: { start, count, cosines, sines in
        let target = out + 2 &* start
        for i in 0..<count {
          target[2 &* i] = cosines[i]
          target[2 &* i &+ 1] = sines[i]
        }
      }
    }
  }
}

extension Float: RandomReal {
  /// The upper 24 bits of `word`, times 2^-24.
  @inline(__always)
  public static func halfOpenUnit(_ word: UInt64) -> Float {
    Float(UInt32(truncatingIfNeeded: word &>> 40)) * 0x1p-24
  }

  /// Uniform element `index` of `stream`, a multiple of 2^-24.
  public static func uniform(_ stream: RandomStream, at index: Int) -> Float {
    let words = stream.words(.uniformFloat, blockNumber(index, elementsPerBlock: 4))
    let word = index & 2 == 0 ? words.0 : words.1
    return halfOpenUnit(index & 1 == 0 ? word &<< 32 : word)
  }

  /// Normal element `index` of `stream`.
  public static func normal(_ stream: RandomStream, at index: Int) -> Float {
    let words = stream.words(.normalFloat, blockNumber(index, elementsPerBlock: 4))
    let pair = normalPair(index & 2 == 0 ? words.0 : words.1)
    return index & 1 == 0 ? pair.0 : pair.1
  }

  /// Uniform elements of `stream` from `index` on.
  public static func fill(
    uniform buffer: UnsafeMutableBufferPointer<Float>, _ stream: RandomStream, from index: Int
  ) {
    fillByBlocks(buffer, from: index, elementsPerBlock: 4) {
      uniform(stream, at: $0)
    } whole: { out, first, blocks in
      for i in 0..<blocks {
        let words = stream.words(.uniformFloat, first &+ UInt64(truncatingIfNeeded: i))
        let target = out + 4 &* i
        target[0] = halfOpenUnit(words.0 &<< 32)
        target[1] = halfOpenUnit(words.0)
        target[2] = halfOpenUnit(words.1 &<< 32)
        target[3] = halfOpenUnit(words.1)
      }
    }
  }

  /// Normal elements of `stream` from `index` on.
  public static func fill(
    normal buffer: UnsafeMutableBufferPointer<Float>, _ stream: RandomStream, from index: Int
  ) {
    fillByBlocks(buffer, from: index, elementsPerBlock: 4) {
      normal(stream, at: $0)
    } whole: { out, first, blocks in
      BoxMuller.forEachTile(pairs: 2 * blocks) { start, count, radii, turns in
        // Tiles start at even pairs, so each begins with a whole block.
        for i in 0..<count / 2 {
          let block = UInt64(truncatingIfNeeded: start &>> 1 &+ i)
          let words = stream.words(.normalFloat, first &+ block)
          radii[2 &* i] = BoxMuller.widened(words.0 & 0xFFFF_FFFF)
          turns[2 &* i] = BoxMuller.widened(words.0 &>> 32)
          radii[2 &* i &+ 1] = BoxMuller.widened(words.1 & 0xFFFF_FFFF)
          turns[2 &* i &+ 1] = BoxMuller.widened(words.1 &>> 32)
        }
      } transformed: { start, count, cosines, sines in
        let target = out + 2 &* start
        for i in 0..<count {
          target[2 &* i] = Float(cosines[i])
          target[2 &* i &+ 1] = Float(sines[i])
        }
      }
    }
  }

  /// The pair of the lower and the upper 32 bits of `word`.
  @inline(__always)
  private static func normalPair(_ word: UInt64) -> (Float, Float) {
    let pair = BoxMuller.pair(
      BoxMuller.widened(word & 0xFFFF_FFFF), BoxMuller.widened(word &>> 32))
    return (Float(pair.0), Float(pair.1))
  }
}

// MARK: - Helpers

@inline(__always)
private func blockNumber(_ index: Int, elementsPerBlock: Int) -> UInt64 {
  precondition(index >= 0 && index < 1 << 60, "element \(index) of a stream is outside 0 ..< 2^60")
  return UInt64(index / elementsPerBlock)
}

/// Fills `buffer` with elements from `index` on: `single` elements up to the first whole block, the
/// `whole` blocks (where to, number of the first, how many), single elements again.
@inline(__always)
private func fillByBlocks<Real>(
  _ buffer: UnsafeMutableBufferPointer<Real>, from index: Int, elementsPerBlock width: Int,
  single: (Int) -> Real, whole: (UnsafeMutablePointer<Real>, UInt64, Int) -> Void
) {
  guard let base = buffer.baseAddress else { return }
  let count = buffer.count
  precondition(
    index >= 0 && index < 1 << 60 - count, "elements \(index) + \(count) are outside 0 ..< 2^60")
  var done = 0
  while done < count && (index + done) % width != 0 {
    base[done] = single(index + done)
    done += 1
  }
  let blocks = (count - done) / width
  whole(base + done, UInt64((index + done) / width), blocks)
  done += blocks * width
  while done < count {
    base[done] = single(index + done)
    done += 1
  }
}
