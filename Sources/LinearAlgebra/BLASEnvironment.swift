import COpenBLAS
import Foundation

/// Which BLAS and LAPACK this process runs on, and the one place that sets BLAS threads.
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

  private static func warning(core: String, threads: Int) -> String? {
    if threads != 1 {
      return "OpenBLAS kept \(threads) threads although 1 was asked for (an OpenMP build?); "
        + "results may depend on the thread count: install the pthread build (libopenblas0-pthread)"
    }
    let forced = ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"] ?? ""
    if !forced.isEmpty {
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
