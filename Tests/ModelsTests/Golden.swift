// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import Storage
import Testing

@testable import Models

/// ‖got - want‖ / ‖want‖, where a `want` smaller than `floor` counts as that.
func relativeError(_ got: [Float], _ want: [Float], floor: Double = 1e-6) -> Double {
  var (error, size) = (0.0, 0.0)
  for (got, want) in zip(got, want) {
    error += pow(Double(got) - Double(want), 2)
    size += pow(Double(want), 2)
  }
  return error.squareRoot() / max(size.squareRoot(), floor)
}

/// The gradients of all parameters against those that PyTorch left in `file` under `prefix`, which has no others.
func expectGradients(
  of parameters: [Parameter], in file: SafetensorsFile, _ prefix: String = "gradient.",
  within tolerance: Double, floor: Double = 1e-6
) throws {
  #expect(
    parameters.map { prefix + $0.name }.sorted()
      == file.entries.map(\.name).filter { $0.hasPrefix(prefix) }.sorted())
  for parameter in parameters {
    let formed = parameter.gradient.materialized
    let got = parameter.fileValues((0..<parameter.count).map { formed.base[$0] })
    let error = relativeError(got, try file.floats(prefix + parameter.name), floor: floor)
    #expect(error <= tolerance, "\(prefix)\(parameter.name): \(error)")
  }
}
