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
}
