// SPDX-License-Identifier: Apache-2.0

import COpenBLAS
import Foundation

/// Which BLAS and LAPACK this process runs on, and where the suite's own programs set BLAS threads (a library's caller has
/// `withSingleThreadedBLAS`).
public struct BLASEnvironment: Sendable, Equatable {
  /// The CPU kernel family that OpenBLAS picked, e.g. "SkylakeX", "Zen", "Haswell".
  public let core: String
  /// OpenBLAS's build line.
  public let config: String
  /// Threads that one BLAS call may use.
  public let threads: Int
  /// The shared library that LAPACK calls end up in, or "statically linked" when none is mapped.
  public let lapackLibrary: String
  /// A sentence when the environment makes BLAS slower than this CPU allows.
  public let warning: String?

  /// Pins BLAS to one thread, reads the setting back, and describes the libraries.
  ///
  /// Parallelism is over our own pieces (fixed by size), so that results do not depend on the
  /// number of threads; a BLAS that ignores the setting (an OpenMP build) is reported as a warning.
  public static func pinned() -> BLASEnvironment {
    openblas_set_num_threads(1)
    let threads = Int(openblas_get_num_threads())
    let core = openblas_get_corename().map { String(cString: $0) } ?? "unknown"
    let config = openblas_get_config().map { String(cString: $0) } ?? "unknown"
    return BLASEnvironment(
      core: core, config: config.trimmingCharacters(in: .whitespaces), threads: threads,
      lapackLibrary: loadedLapack(),
      warning: warning(core: core, threads: threads))
  }

  /// Starts the program anew with the kernels that this CPU has instructions for, where OpenBLAS does not know the CPU and
  /// fell back to those of CPUs without AVX; returns where there is nothing to mend.
  ///
  /// OpenBLAS chooses when it is loaded, so this is the only way from within. Programs call it first of all.
  public static func restartOnUnknownCPU() {
    #if os(Linux)
      let environment = ProcessInfo.processInfo.environment
      guard environment["OPENBLAS_CORETYPE"] == nil, let name = openblas_get_corename(),
        let better = kernels(insteadOf: String(cString: name), flags: cpuFlags())
      else { return }
      setenv("OPENBLAS_CORETYPE", better, 1)
      setenv(restarted, better, 1)
      var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
      execv("/proc/self/exe", &arguments)
      unsetenv("OPENBLAS_CORETYPE")  // it could not be started; slow, but right
      unsetenv(restarted)
    #endif
  }

  /// Says to the program that was started anew that the kernels were chosen for the CPU and not by the user.
  package static let restarted = "SPECTRAL_BLAS_KERNELS"

  /// The kernels for a CPU with `flags` where OpenBLAS picked the oldest ones, nil where its choice stands.
  static func kernels(insteadOf core: String, flags: Set<Substring>) -> String? {
    guard ["prescott", "core2", "generic"].contains(core.lowercased()) else { return nil }
    if flags.isSuperset(of: ["avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"]) {
      return "SkylakeX"
    }
    return flags.isSuperset(of: ["avx2", "fma"]) ? "Haswell" : nil
  }

  private static func warning(core: String, threads: Int) -> String? {
    if threads != 1 {
      return "OpenBLAS kept \(threads) threads although 1 was asked for (an OpenMP build?); "
        + "results may depend on the thread count: install the pthread build (libopenblas0-pthread)"
    }
    let environment = ProcessInfo.processInfo.environment
    let forced = environment["OPENBLAS_CORETYPE"] ?? ""
    if !forced.isEmpty && environment[restarted] != forced {
      let has512 = cpuFlags().contains("avx512f")
      let narrow = ["haswell", "zen", "sandybridge", "nehalem", "generic", "prescott", "barcelona"]
      if has512 && narrow.contains(core.lowercased()) {
        return "OPENBLAS_CORETYPE=\(forced) keeps OpenBLAS from this CPU's AVX-512 kernels "
          + "(25-50 % slower products); unset it for benchmarks"
      }
      return "OPENBLAS_CORETYPE=\(forced) overrides OpenBLAS's choice of kernels for this CPU; "
        + "unset it for benchmarks"
    }
    return nil
  }

  static func cpuFlags() -> Set<Substring> {
    guard let info = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8),
      let line = info.split(separator: "\n").first(where: { $0.hasPrefix("flags") })
    else { return [] }
    return Set(line.split(separator: " "))
  }

  private static func loadedLapack() -> String {
    // Files of /proc have no size, so they are read to their end rather than by it.
    guard let data = try? FileHandle(forReadingAtPath: "/proc/self/maps")?.readToEnd() else {
      return "unknown"
    }
    let maps = String(decoding: data, as: UTF8.self)
    let libraries = maps.split(separator: "\n").compactMap { $0.split(separator: " ").last }
    return libraries.first { $0.contains("liblapack.so") || $0.contains("liblapack-") }
      .map(String.init) ?? "none mapped (LAPACKE may be linked to OpenBLAS itself)"
  }
}
