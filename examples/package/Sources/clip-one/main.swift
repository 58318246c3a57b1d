// SPDX-License-Identifier: Apache-2.0

// Clips random gradients of a few shapes and says how long a clip takes, at best of several.

import Clipping
import LinearAlgebra

_ = BLASEnvironment.pinned()
let clock = ContinuousClock()

func measure(_ name: String, repeats: Int, _ body: () throws -> Void) rethrows {
  var best = Duration.seconds(1_000_000)
  for _ in 0..<repeats { best = try min(best, clock.measure { try body() }) }
  print("\(name): \(best / .microseconds(1)) us")
}

func gradient(_ rows: Int, _ columns: Int) -> Matrix<Float> {
  let stream = RandomStream(seed: 7, name: "gradient-\(rows)x\(columns)")
  return Matrix(rows: rows, columns: columns) { stream.normal(at: $0 * columns + $1) }
}

for (rows, columns, repeats) in [(3, 3, 2000), (100, 100, 50), (256, 1024, 5)] {
  let original = gradient(rows, columns)
  var clipper = try LayerwiseSpectralClip(.constant(1), .exact, layers: ["w"], seed: 11)
  var report = ClipStatistics()
  try measure("exact clip \(rows)x\(columns)", repeats: repeats) {
    var clipped = original
    report = try clipper.clip(&clipped, layer: "w")
  }
  print("  \(report.clippedCount) of \(report.valueCount) singular values clipped at \(report.tau)")
}

// The products of small layers: what the whole library computes fast or slowly by.
let (a, b) = (gradient(64, 100), gradient(100, 100))
measure("product 64x100x100", repeats: 500) { _ = matmul(a, b) }
