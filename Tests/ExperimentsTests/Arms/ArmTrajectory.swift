// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage

/// What a training arm did from known weights, batches and noise.
///
/// The three adapters beside this file (MLPHarness, LanguageHarness, ImageHarness) are all that knows the training
/// classes; tests and goldens see arms by name.
struct ArmTrajectory {
  /// The loss of every step's batch, before the step.
  var losses: [Double] = []
  /// The trained parameters afterwards, in the layout in which they are held.
  var weights: [(name: String, values: [Float])] = []
}

/// The weights from which both sides begin: a closed formula of a parameter's name and shape.
enum ClosedForm {
  /// FNV-1a, 64 bits.
  static func hash(_ text: String) -> UInt64 {
    text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  /// `count` numbers, uniform on [-1, 1): SplitMix64 from the hash of the name.
  static func uniforms(_ name: String, _ count: Int) -> [Double] {
    var state = hash(name)
    return (0..<count).map { _ in
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ z &>> 30) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ z &>> 27) &* 0x94D0_49BB_1331_11EB
      z ^= z &>> 31
      return Double(z &>> 11) * 0x1p-52 - 1
    }
  }

  /// Matrices and filters: uniform with variance 2/(entries of a row); layer norms' scales: 1 and a tenth; other
  /// vectors: a tenth.
  static func weights(_ name: String, shape: [Int]) -> [Float] {
    let draws = uniforms(name, shape.reduce(1, *))
    if shape.count == 1 {
      let mean = name.contains("ln_") && name.hasSuffix("weight") ? 1.0 : 0
      return draws.map { Float(mean + 0.1 * $0) }
    }
    let bound = (6 / Double(shape.dropFirst().reduce(1, *))).squareRoot()
    return draws.map { Float(bound * $0) }
  }

  /// Whole numbers 0 ..< limit.
  static func integers(_ name: String, _ count: Int, below limit: Int) -> [Int] {
    uniforms(name, count).map { Int((0.5 * $0 + 0.5) * Double(limit)) }
  }
}

/// Long parameters are compared through 64 sums of their entries with signs: entry i goes to sum i mod 64 with the sign
/// of a hash. The map is linear and keeps the mean square of a difference, so a golden file stays small and no
/// entry is left out.
enum WeightSketch {
  static let size = 64

  static func of(_ values: [Double]) -> [Double] {
    guard values.count > size else { return values }
    let signs = ClosedForm.uniforms("sketch", values.count)
    var sums = [Double](repeating: 0, count: size)
    for (i, value) in values.enumerated() { sums[i % size] += signs[i] < 0 ? -value : value }
    return sums
  }
}
