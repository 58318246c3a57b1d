// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// Runs the executables as child processes with limits.
struct Bench: Sendable {
  /// Folder of the executables.
  let bin: String
  /// Seconds that a run may take.
  let seconds: Double

  /// How a child ended.
  struct Ending {
    /// Its exit status; nil after a signal or at the time limit.
    var status: Int32?
    var isHang = false
    /// What it died of.
    var signal: Int32?
    var error = ""
  }

  /// A folder; 4 GiB of addresses, files of 64 MiB, no core dumps; then the command itself, in the same process.
  private static let limited =
    "cd \"$0\" && ulimit -v 4194304 && ulimit -f 131072 && ulimit -c 0 && exec \"$@\""

  /// The BLAS kernels of this process, where OpenBLAS does not know the CPU: else every child would choose them anew.
  private static let kernels: [String] = {
    guard let chosen = ProcessInfo.processInfo.environment[BLASEnvironment.restarted] else {
      return []
    }
    return ["OPENBLAS_CORETYPE=\(chosen)", "\(BLASEnvironment.restarted)=\(chosen)"]
  }()

  /// The shell's spelling of a command, for people.
  func spelled(_ command: [String]) -> String {
    ([path(command[0])] + command.dropFirst()).map {
      "'" + $0.replacingOccurrences(of: "'", with: "'\\''") + "'"
    }.joined(separator: " ")
  }

  private func path(_ executable: String) -> String {
    executable.contains("/") ? executable : "\(bin)/\(executable)"
  }

  /// Runs a command in `folder` and waits for its end; after the time limit its whole process group is killed.
  func run(_ command: [String], in folder: String, seconds: Double? = nil) throws -> Ending {
    let (output, errors) = (folder + "/.stdout", folder + "/.stderr")
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    let words = ["/bin/sh", "-c", Self.limited, folder, path(command[0])] + command.dropFirst()
    let environment =
      [
        "PATH=/usr/bin:/bin", "HOME=\(folder)", "DATA_DIR=\(folder)/data",
        "MANIFEST=\(folder)/manifest.tsv", "OPENBLAS_NUM_THREADS=1", "SWIFT_BACKTRACE=enable=no",
      ] + Self.kernels
    var child = pid_t()
    let failure = withStrings(words) { words in
      withStrings(environment) { posix_spawn(&child, "/bin/sh", &actions, &attributes, words, $0) }
    }
    guard failure == 0 else { throw POSIXError(POSIXErrorCode(rawValue: failure) ?? .EAGAIN) }
    let end = ContinuousClock.now + .seconds(min(seconds ?? self.seconds, 1e9))
    var (status, pause) = (Int32(0), UInt32(500))
    while waitpid(child, &status, WNOHANG) == 0 {
      if ContinuousClock.now > end {
        kill(-child, SIGKILL)
        waitpid(child, &status, 0)
        return Ending(isHang: true)
      }
      usleep(pause)
      pause = min(5000, pause * 2)
    }
    kill(-child, SIGKILL)  // what it may have started
    let isExit = status & 0x7f == 0
    let text = (try? Data(contentsOf: URL(fileURLWithPath: errors))) ?? Data()
    return Ending(
      status: isExit ? (status >> 8) & 0xff : nil, signal: isExit ? nil : status & 0x7f,
      error: String(decoding: text, as: UTF8.self))
  }

  private func withStrings<R>(
    _ words: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
  ) -> R {
    var pointers = words.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    return body(&pointers)
  }
}
