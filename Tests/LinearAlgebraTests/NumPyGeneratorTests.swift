// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import LinearAlgebra

/// Streams recorded by Goldens/make_numpy_streams.py; words as hexadecimal bit patterns.
struct NumPyRecording: Decodable {
  struct Stream: Decodable {
    let count: Int
    let first: [String]
    let hash: String
  }
  struct Integers: Decodable {
    let low: String
    let high: String
    let count: Int
    let first: [String]
    let hash: String
  }
  struct OfSeed: Decodable {
    let seed: String
    let pool: [String]
    let state: String
    let increment: String
    let random: Stream
    let standard_normal: Stream
    let uniform: Stream
    let integers: [Integers]
    let mixed: Stream
    let trace_regression: Stream
  }
  struct Quantiles: Decodable {
    let values: [String]
    let q: [String]
    let interpolated: [String]
    let lower: [String]
  }
  struct Versions: Decodable {
    let numpy: String
    let python: String
  }
  let versions: Versions
  let seeds: [OfSeed]
  let quantiles: [Quantiles]

  static func load() throws -> NumPyRecording {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Goldens/numpy_streams.json")
    return try JSONDecoder().decode(NumPyRecording.self, from: Data(contentsOf: file))
  }
}

func word(_ hexadecimal: String) throws -> UInt64 {
  try #require(UInt64(hexadecimal, radix: 16))
}

@Suite struct NumPyGeneratorTests {
  static let seeds: [UInt64] = [0, 1, 11, 12, 13, 1 << 32 - 1, 1 << 32, 1 << 63 + 5, .max]

  private func recording(_ seed: UInt64) throws -> NumPyRecording.OfSeed {
    let recorded = try NumPyRecording.load().seeds.first { try word($0.seed) == seed }
    return try #require(recorded, "seed \(seed) was not recorded")
  }

  /// FNV-1a over the little-endian bytes, written out because debug builds hash 100 000 words.
  private func hash(_ words: [UInt64]) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for word in words {
      var rest = word
      var byte = 0
      while byte < 8 {
        hash = (hash ^ (rest & 0xFF)) &* 0x100_0000_01B3
        rest >>= 8
        byte += 1
      }
    }
    return hash
  }

  private func check(
    _ words: [UInt64], _ first: [String], _ digest: String, _ name: String, _ seed: UInt64
  ) throws {
    for (index, recorded) in try first.map(word).enumerated() where words[index] != recorded {
      let expected = Double(bitPattern: recorded)
      let got = Double(bitPattern: words[index])
      Issue.record(
        """
        \(name), seed \(seed), element \(index): expected bits \(recorded) (\(expected)), \
        got \(words[index]) (\(got))
        """)
    }
    #expect(try hash(words) == word(digest), "\(name) of seed \(seed), \(words.count) elements")
  }

  private func check(
    _ words: [UInt64], _ stream: NumPyRecording.Stream, _ name: String, _ seed: UInt64
  ) throws {
    #expect(words.count == stream.count)
    try check(words, stream.first, stream.hash, name, seed)
  }

  @Test("Seeding: pool, state and increment", arguments: seeds)
  func seeding(seed: UInt64) throws {
    let recorded = try recording(seed)
    #expect(try SeedSequence(seed).pool == recorded.pool.map { UInt32(try word($0)) })
    let bits = PCG64(seed: seed)
    #expect(bits.state == UInt128(recorded.state, radix: 16))
    #expect(bits.increment == UInt128(recorded.increment, radix: 16))
    #expect(bits.bufferedHalf == nil)
  }

  @Test("Entropy longer than the pool")
  func longEntropy() {
    // numpy.random.SeedSequence([1, 2, 3, 4, 5, 6]).pool, NumPy 2.4.6.
    #expect(
      SeedSequence(words: [1, 2, 3, 4, 5, 6]).pool == [
        0x3AE7_A697, 0xA21E_E909, 0xCF61_026C, 0x4E53_5C87,
      ])
  }

  @Test("random and uniform, bit for bit", arguments: seeds)
  func uniform(seed: UInt64) throws {
    let recorded = try recording(seed)
    var random = NumPyGenerator(seed: seed)
    try check(random.random(1000).map(\.bitPattern), recorded.random, "random", seed)
    var uniform = NumPyGenerator(seed: seed)
    try check(
      uniform.uniform(0.5, 1.5, 1000).map(\.bitPattern), recorded.uniform, "uniform", seed)
  }

  @Test("100 000 standard normals, bit for bit, wedges and tails included", arguments: seeds)
  func standardNormal(seed: UInt64) throws {
    let recorded = try recording(seed)
    var generator = NumPyGenerator(seed: seed)
    let normals = generator.standardNormal(100_000)
    try check(normals.map(\.bitPattern), recorded.standard_normal, "standard_normal", seed)
    // The tail has probability 2.6e-4: 26 expected, and P(none) = 6e-12.
    #expect(normals.contains { abs($0) > ZigguratTables.tailStart })
  }

  @Test("integers over all paths, exactly", arguments: seeds)
  func integers(seed: UInt64) throws {
    for recorded in try recording(seed).integers {
      let low = Int(Int64(bitPattern: try word(recorded.low)))
      let high = Int(Int64(bitPattern: try word(recorded.high)))
      var generator = NumPyGenerator(seed: seed)
      let values = generator.integers(low, high, recorded.count)
      try check(
        values.map { UInt64(bitPattern: Int64($0)) }, recorded.first, recorded.hash,
        "integers(\(low), \(high))", seed)
    }
  }

  @Test("Mixed calls keep the buffered half", arguments: seeds)
  func mixed(seed: UInt64) throws {
    var g = NumPyGenerator(seed: seed)
    var words: [UInt64] = []
    func put(_ value: Int) { words.append(UInt64(bitPattern: Int64(value))) }
    for i in 0..<50 {
      put(g.integers(below: 10))
      words.append(g.random().bitPattern)
      put(g.integers(below: 10))
      words.append(g.standardNormal().bitPattern)
      put(g.integers(below: 3 + i))
      put(g.integers(below: 1 << 40))
      words.append(g.uniform(0.5, 1.5).bitPattern)
      put(g.integers(below: 1))
      put(g.integers(below: 1 << 32))
    }
    try check(words, recording(seed).mixed, "mixed calls", seed)
  }

  @Test(
    "The draws of the trace-regression script, in its order", arguments: [11, 12, 13] as [UInt64])
  func traceRegression(seed: UInt64) throws {
    var g = NumPyGenerator(seed: seed)
    var words: [UInt64] = []
    for _ in 0..<10 {
      words += g.standardNormal(9).map(\.bitPattern) + g.uniform(0.5, 1.5, 3).map(\.bitPattern)
    }
    words += g.standardNormal(9).map(\.bitPattern) + g.standardNormal(10).map(\.bitPattern)
    for _ in 0..<300 * 11 { words.append(UInt64(g.integers(below: 10))) }
    try check(words, recording(seed).trace_regression, "trace regression", seed)
  }

  @Test("A generator resumes exactly from its code, with and without a buffered half")
  func resumes() throws {
    var generator = NumPyGenerator(seed: .max)
    for round in 0..<4 {
      let code = try JSONEncoder().encode(generator)
      var resumed = try JSONDecoder().decode(NumPyGenerator.self, from: code)
      #expect(resumed == generator)
      #expect((resumed.bits.bufferedHalf != nil) == (round % 2 == 1))
      var original = generator
      #expect(resumed.integers(below: 10, 5) == original.integers(below: 10, 5))
      #expect(resumed.standardNormal(5) == original.standardNormal(5))
      _ = generator.integers(below: 10)
    }
  }

  @Test("A damaged state is an error, not a trap")
  func decodingFails() {
    for bits in [#"{"state":[1],"increment":[0,1]}"#, #"{"state":[1,2],"increment":[0,2]}"#] {
      #expect(throws: DecodingError.self) {
        try JSONDecoder().decode(PCG64.self, from: Data(bits.utf8))
      }
    }
  }

  @Test("The ziggurat's layers have equal areas and its constants agree")
  func zigguratLayers() {
    #expect(1 / ZigguratTables.tailStart == ZigguratTables.inverseTailStart)
    func edge(_ layer: Int) -> Double { ZigguratTables.width(layer) * 0x1p52 }
    #expect(edge(255) == ZigguratTables.tailStart)
    let area = edge(0) * ZigguratTables.height(255)
    for layer in 1...255 {
      // The relative condition of exp(-x²/2) is x² <= 13.4, times the rounding of x and x².
      let height = exp(-0.5 * edge(layer) * edge(layer))
      #expect(abs(ZigguratTables.height(layer) / height - 1) <= 16 * 0x1p-52, "layer \(layer)")
      // x (f(above) - f) = V: the difference of heights is 0.0013 or more, so it has 12 digits.
      let above = ZigguratTables.height(layer - 1) - ZigguratTables.height(layer)
      #expect(abs(edge(layer) * above / area - 1) <= 1e-12, "layer \(layer)")
      if layer > 1 {
        let inner = (edge(layer - 1) / edge(layer) * 0x1p52).rounded(.toNearestOrEven)
        #expect(ZigguratTables.inner(layer) == UInt64(inner), "layer \(layer)")
      }
    }
    #expect(ZigguratTables.inner(1) == 0 && ZigguratTables.height(0) == 1)
  }
}
