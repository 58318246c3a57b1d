// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Lab
import LinearAlgebra
import Storage

/// The user's tool: clip tensors in files, look at spectra, inspect and compare records.
@main
struct Spectral: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "spectral",
    abstract: "Spectral clipping of tensors in files, and what is in a file or record.",
    discussion: """
      Tensor files are HDF5 or safetensors, told apart by their first bytes. Files are written \
      whole or not at all. Exit status: 0 done, 1 a difference or a fault of the data, 64 wrong \
      usage.
      """,
    version: suiteVersion,
    subcommands: [
      // The user's files.
      Clip.self,
      Spectrum.self,
      Grad.self, Sample.self,
      Info.self,
      // The suite's records.
      Diff.self,
      Tabulate.self,
      Caption.self,
      Claims.self, Verdicts.self, Report.self,
      Costs.self, Jobs.self,
      Migrate.self,
    ])

  /// Pins BLAS before anything else, so that no result depends on the number of threads.
  static func main() {
    mainOfSuite {
      endTidilyWithoutMemory()
      BLASEnvironment.restartOnUnknownCPU()
      if let warning = BLASEnvironment.pinned().warning { note("warning: \(warning)") }
    }
  }
}

/// One line for people on standard error; standard output stays for results.
func note(_ line: String) {
  Terminal.message("\(oneLine(line))\n")
}
