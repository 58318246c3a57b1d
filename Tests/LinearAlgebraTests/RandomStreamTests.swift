// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import LinearAlgebra

@Suite struct RandomStreamTests {
  // MARK: - Philox

  @Test("Known answers of Random123 (kat_vectors, philox4x32 10)")
  func philoxKnownAnswers() {
    let zeros = Philox4x32.block(counter: (0, 0, 0, 0), key: (0, 0))
    #expect(zeros == (0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8))
    let ones = Philox4x32.block(counter: (.max, .max, .max, .max), key: (.max, .max))
    #expect(ones == (0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD))
    let pi = Philox4x32.block(
      counter: (0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344),
      key: (0xA409_3822, 0x299F_31D0))
    #expect(pi == (0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1))
  }

  @Test("Words are the block's halves, least significant first")
  func words() {
    let words = Philox4x32.words(
      low: 0x85A3_08D3_243F_6A88, high: 0x0370_7344_1319_8A2E, key: 0x299F_31D0_A409_3822)
    #expect(words == (0x94FD_CCEB_D16C_FE09, 0x2412_6EA1_5001_E420))
  }

  // MARK: - Keys and counters

  @Test("Published hashes: FNV-1a of \"foobar\", SplitMix64 of seed 0")
  func hashes() {
    #expect(Hashing.fnv1a64("".utf8) == 0xCBF2_9CE4_8422_2325)
    #expect(Hashing.fnv1a64("foobar".utf8) == 0x8594_4171_F739_67E8)
    #expect(Hashing.mix64(0x9E37_79B9_7F4A_7C15) == 0xE220_A839_7B1D_CDAF)
  }

  @Test("The documented map from seed, name, step and index to key and counter")
  func documentedMap() {
    let stream = RandomStream(seed: 11, name: "noise", step: 7)
    let key = 11 ^ Hashing.mix64(Hashing.fnv1a64("noise".utf8))
    for (lane, block) in [(UInt64(0), UInt64(0)), (2, 5)] {
      let b = Philox4x32.block(
        counter: (UInt32(block), UInt32(lane << 28), 7, 0),
        key: (UInt32(truncatingIfNeeded: key), UInt32(key >> 32)))
      let first = UInt64(b.0) | UInt64(b.1) << 32
      let second = UInt64(b.2) | UInt64(b.3) << 32
      if lane == 0 {
        #expect(stream.uniform(at: 0) == Double(first >> 11) * 0x1p-53)
        #expect(stream.uniform(at: 1) == Double(second >> 11) * 0x1p-53)
      } else {
        #expect(stream.normal(at: 10) == BoxMuller.pair(first, second).0)
        #expect(stream.normal(at: 11) == BoxMuller.pair(first, second).1)
      }
    }
  }

  @Test("The seed suffices, and seed, name, step, index, lane and precision each matter")
  func everythingMatters() {
    let stream = RandomStream(seed: 3, name: "a", step: 5)
    let twin = RandomStream(seed: 3, name: "a").at(step: 5)
    #expect(stream == twin)
    #expect(stream.normals(9, as: Double.self) == twin.normals(9))
    var seen: Set<UInt64> = []
    let streams = [
      stream, RandomStream(seed: 4, name: "a", step: 5), RandomStream(seed: 3, name: "b", step: 5),
      stream.at(step: 6), stream.at(step: UInt64.max), stream.child("a"),
      stream.child("a").child("a"),
    ]
    let lanes: [RandomStream.Lane] = [
      .uniformDouble, .uniformFloat, .normalDouble, .normalFloat, .element, .cursor,
    ]
    for stream in streams {
      for lane in lanes {
        for block in 0..<50 as Range<UInt64> {
          let words = stream.words(lane, block)
          seen.formUnion([words.0, words.1])
        }
      }
    }
    #expect(seen.count == streams.count * lanes.count * 100)
  }

  @Test("A child's name is a path")
  func child() {
    let stream = RandomStream(seed: 1, name: "init", step: 2).child("wte")
    #expect(stream == RandomStream(seed: 1, name: "init/wte", step: 2))
  }

  // MARK: - Random access and filling

  @Test("Filling equals random access at any start and length", arguments: 0..<9)
  func fillEqualsAccess(start: Int) {
    let stream = RandomStream(seed: 5, name: "fill")
    for count in [0, 1, 2, 3, 4, 5, 8, 127, 128, 129, 261] {
      checkFill(stream, start: start, count: count, as: Double.self)
      checkFill(stream, start: start, count: count, as: Float.self)
    }
    checkFill(stream, start: 1 << 40 + start, count: 7, as: Double.self)
  }

  private func checkFill<Real: RandomReal>(
    _ stream: RandomStream, start: Int, count: Int, as type: Real.Type
  ) {
    let normals: [Real] = stream.normals(count, from: start)
    let uniforms: [Real] = stream.uniforms(count, from: start)
    #expect(
      normals == (0..<count).map { stream.normal(at: start + $0) },
      "\(type) start \(start) count \(count)")
    #expect(
      uniforms == (0..<count).map { stream.uniform(at: start + $0) },
      "\(type) start \(start) count \(count)")
  }

  @Test("The streams stay what they were when results were recorded")
  func golden() {
    // Recorded from the first version; a change of these numbers invalidates every record.
    let stream = RandomStream(seed: 11, name: "golden", step: 3)
    #expect(stream.uniforms(3).map { ($0 as Double).bitPattern } == Golden.uniform)
    #expect(stream.normals(3).map { ($0 as Double).bitPattern } == Golden.normal)
    #expect(stream.normals(3).map { ($0 as Float).bitPattern } == Golden.normalFloat)
    var cursor = stream.cursor()
    #expect((0..<3).map { _ in cursor.next() } == Golden.cursor)
    #expect((0..<8).map { stream.integer(below: 1000, at: $0) } == Golden.integers)
  }

  // MARK: - Cursor

  @Test("A cursor resumes exactly from its code, at every position", arguments: 0..<6)
  func cursorResumes(position: Int) throws {
    let stream = RandomStream(seed: .max, name: "résumé", step: .max)
    for var cursor in [stream.cursor(), stream.element(17)] {
      for _ in 0..<position { _ = cursor.next() }
      let code = try JSONEncoder().encode(cursor)
      var resumed = try JSONDecoder().decode(RandomCursor.self, from: code)
      #expect(resumed == cursor)
      #expect((0..<9).map { _ in resumed.next() } == (0..<9).map { _ in cursor.next() })
    }
  }

  @Test("A cursor out of range is an error, not a trap")
  func cursorDecodingFails() {
    let code = #"{"stream":{"seed":1,"name":"a","step":0},"element":3,"position":513}"#
    #expect(throws: DecodingError.self) {
      try JSONDecoder().decode(RandomCursor.self, from: Data(code.utf8))
    }
  }

  @Test("Elements and cursor do not share words")
  func elementsAreApart() {
    let stream = RandomStream(seed: 2, name: "elements")
    var generators = (0..<20).map { stream.element($0) } + [stream.cursor()]
    var seen: Set<UInt64> = []
    for index in generators.indices {
      for _ in 0..<512 { seen.insert(generators[index].next()) }
    }
    #expect(seen.count == 21 * 512)
    #expect(
      stream.draw(Pareto<Double>(shape: 2), at: 4) == stream.draw(Pareto<Double>(shape: 2), at: 4))
  }
}

@Suite struct RandomBoxMullerTests {
  @Test("Logarithm, sine and cosine against libm, within their rounding")
  func elementaryFunctions() {
    var cursor = RandomStream(seed: 1, name: "elementary").cursor()
    for round in 0..<20_000 {
      let word = cursor.next() >> UInt64(round % 52)
      let u = BoxMuller.openUnit(round % 2 == 0 ? word : ~word)
      #expect(u > 0 && u < 1)
      // 2 ulp measured over 1e6 values; k ln 2 + ln m, each rounded a few times, may reach 4.
      let logarithm = BoxMuller.logarithm(u)
      #expect(abs(logarithm - log(u)) <= 4 * log(u).ulp, "ln \(u): \(logarithm), libm \(log(u))")
      // Here it is libm's argument 2πu that is off, by up to 2^-51.
      let (sine, cosine) = BoxMuller.sineAndCosineOfTurns(u)
      #expect(abs(sine - sin(2 * .pi * u)) <= 0x1p-50, "sin of \(u) turns")
      #expect(abs(cosine - cos(2 * .pi * u)) <= 0x1p-50, "cos of \(u) turns")
      // Relative to themselves, near their zeros too: libm on the angle reduced exactly.
      let quarter = (4 * u).rounded()
      let angle = (u - quarter / 4) * 2 * Double.pi
      let turned = [sin(angle), cos(angle), -sin(angle), -cos(angle)]
      let expectedSine = turned[Int(quarter) % 4]
      let expectedCosine = turned[(Int(quarter) + 1) % 4]
      #expect(abs(sine - expectedSine) <= 2 * expectedSine.ulp, "sin of \(u) turns")
      #expect(abs(cosine - expectedCosine) <= 2 * expectedCosine.ulp, "cos of \(u) turns")
      #expect(abs(sine * sine + cosine * cosine - 1) <= 0x1p-51, "\(u) turns")
    }
  }

  @Test("The stated cut-offs, and no zero or infinity at extreme words")
  func extremes() {
    let largest = BoxMuller.pair(0, 0).0
    #expect(abs(largest - (106 * log(2)).squareRoot()) <= 4 * largest.ulp)
    let largestFloat = BoxMuller.pair(BoxMuller.widened(0), BoxMuller.widened(0)).0
    #expect(abs(largestFloat - (66 * log(2)).squareRoot()) <= 1e-5)
    let words: [UInt64] = [0, 1 << 62, 1 << 63, 3 << 62, .max]
    for first in words {
      for second in words {
        let (a, b) = BoxMuller.pair(first, second)
        #expect(a.isFinite && b.isFinite && a != 0 && b != 0, "\(first) \(second): \(a) \(b)")
      }
    }
  }
}

/// Bit patterns computed by an independent Python version of the documented map; the normals, with
/// mpmath, agree with it to one ulp in `Double` and exactly in `Float`.
private enum Golden {
  static let uniform: [UInt64] = [
    0x3F9E_26FA_9906_0F40, 0x3FD4_18C1_4CA3_6EB4, 0x3FE8_6580_75E1_5F98,
  ]
  static let normal: [UInt64] = [
    0xBFE5_68BF_730A_7924, 0x3FC3_3374_F091_38D9, 0xBFF7_F96D_0A0E_4724,
  ]
  static let normalFloat: [UInt32] = [0x3F96_B647, 0xBF15_D104, 0x3E94_40C6]
  static let cursor: [UInt64] = [
    0x2064_466A_A520_EFA0, 0x13FE_30B0_9CDB_AD29, 0xA053_2ADD_075F_254C,
  ]
  static let integers = [510, 536, 369, 231, 416, 932, 875, 992]
}
