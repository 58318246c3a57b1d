// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Storage

@Suite struct HalfPrecisionTests {
  @Test func everyPatternComesBack() {
    for bits in UInt16.min...UInt16.max {
      let (f16, bf16) = (HalfPrecision.float(f16: bits), HalfPrecision.float(bf16: bits))
      if HalfPrecision.f16(f16) != bits { Issue.record("F16 \(bits) gives \(f16)") }
      if HalfPrecision.bf16(bf16) != bits { Issue.record("BF16 \(bits) gives \(bf16)") }
    }
  }

  #if !(os(macOS) && arch(x86_64))
    @Test func f16AsTheCompilerHasIt() {
      for bits in UInt16.min...UInt16.max {
        let (got, want) = (HalfPrecision.float(f16: bits), Float(Float16(bitPattern: bits)))
        #expect(got == want || got.isNaN && want.isNaN, "bits \(bits)")
      }
      // Values around every half-way point between neighbours, and below and above the range.
      var values: [Float] = [0x1p-25, 0x1p-26, 0x1.8p-25, 65519, 65519.996, 65520, 1e30, .infinity]
      for bits in UInt16(0)..<0x7bff where bits % 7 == 0 || bits < 32 || bits > 0x7b00 {
        let low = Float(Float16(bitPattern: bits))
        let middle = (low + Float(Float16(bitPattern: bits + 1))) / 2
        values += [low, middle, middle.nextUp, middle.nextDown]
      }
      for value in values + values.map({ -$0 }) {
        let (got, want) = (HalfPrecision.f16(value), Float16(value).bitPattern)
        if got != want { Issue.record("\(value): got \(got), expected \(want)") }
      }
    }
  #endif

  @Test func bf16RoundsToNearestEven() {
    let cases: [(UInt32, UInt16)] = [
      (0x3f80_0000, 0x3f80), (0x3f80_7fff, 0x3f80), (0x3f80_8000, 0x3f80),
      (0x3f80_8001, 0x3f81), (0x3f81_8000, 0x3f82), (0x3f81_7fff, 0x3f81),
      (0x7f7f_8000, 0x7f80), (0xff7f_ffff, 0xff80), (0x7f80_0000, 0x7f80),
      (0x0000_8000, 0x0000), (0x0000_8001, 0x0001), (0x8000_0000, 0x8000),
      (0x7f80_0001, 0x7fc0), (0xffc1_2345, 0xffc1),
    ]
    for (bits, want) in cases {
      let got = HalfPrecision.bf16(Float(bitPattern: bits))
      #expect(got == want, "bits \(bits): got \(got), expected \(want)")
    }
  }
}
