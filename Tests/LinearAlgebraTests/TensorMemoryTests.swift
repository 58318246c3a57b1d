// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Testing

@Suite struct TensorMemoryTests {
  @Test func isAlignedToACacheLine() {
    for bytes in [0, 1, 64, 4097] {
      let raw = TensorMemory.aligned(bytes)
      #expect(UInt(bitPattern: raw) % 64 == 0)
      free(raw)
    }
  }

  @Test func moreThanTheMachineHasEndsAsTheProgramSays() async {
    await #expect(processExitsWith: .exitCode(3)) {
      TensorMemory.whenExhausted = { _ in exit(3) }
      _ = TensorMemory.aligned(.max)
    }
  }

  @Test func saysHowMuch() {
    #expect(TensorMemory.words(40_000_000_000).contains("40 GB"))
  }

  /// Swift's own arrays, whose length a setting decides, end a program in the same way where there is no room.
  @Test func arraysBeyondTheMemoryEndTheProgramTidily() async {
    await #expect(processExitsWith: .exitCode(3)) {
      TensorMemory.whenExhausted = { _ in exit(3) }
      let values: [Float] = RandomStream(seed: 1, name: "t").normals(1 << 50)
      print(values.count)
    }
    await #expect(processExitsWith: .exitCode(3)) {
      TensorMemory.whenExhausted = { _ in exit(3) }
      TensorMemory.expect(.max, of: Double.self)
    }
    await #expect(processExitsWith: .exitCode(3)) {
      TensorMemory.whenExhausted = { _ in exit(3) }
      print(Matrix<Double>(rows: 1 << 25, columns: 1 << 25).rows)
    }
    TensorMemory.expect(1000, of: Double.self)
  }
}
