// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// The temporary files that are being written, in a form that a signal handler may read: whatever ends the process and can
/// be caught takes them along.
final class Temporaries: @unchecked Sendable {
  /// Those of this process.
  static let all = Temporaries()

  /// Temporaries beyond so many at a time would outlive a signal.
  private static let count = 64
  private static let stride = Int(PATH_MAX)
  /// Signals that end a process which does not listen to them, and that do not say that it is broken.
  private static let ending: [Int32] =
    [
      SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO,
      SIGXCPU, SIGPWR, SIGABRT, SIGSTKFLT, SIGSYS,
    ] + (34...64)  // the real-time signals

  private let inUse = Mutex([Bool](repeating: false, count: count))
  /// A path's bytes with a zero behind them, `stride` apart; empty where there is none.
  private let paths: UnsafeMutablePointer<CChar>

  init() {
    paths = .allocate(capacity: Self.count * Self.stride)
    paths.initialize(repeating: 0, count: Self.count * Self.stride)
  }

  deinit { paths.deallocate() }

  /// Listens to every signal that would end the process, but for those that are ignored at its start, as under nohup.
  static func listen() {
    _ = all  // made before a handler needs it
    for number in ending {
      let before = signal(number) { AtomicFile.die(of: $0) }
      if before.map({ unsafeBitCast($0, to: Int.self) }) == 1 { signal(number, SIG_IGN) }
    }
  }

  /// Notes a path; the number to give it back by, nil where there is no room.
  func insert(_ path: String) -> Int? {
    guard path.utf8.count < Self.stride else { return nil }
    return inUse.withLock { inUse -> Int? in
      guard let free = inUse.firstIndex(of: false) else { return nil }
      inUse[free] = true
      let place = paths + free * Self.stride
      // The first byte last: until then a handler sees nothing there.
      for (offset, byte) in path.utf8.enumerated().dropFirst() {
        place[offset] = CChar(bitPattern: byte)
      }
      place[path.utf8.count] = 0
      place[0] = CChar(bitPattern: path.utf8.first ?? 0)
      return free
    }
  }

  /// The file is whole and has its name, or is gone.
  func remove(_ number: Int?) {
    guard let number else { return }
    paths[number * Self.stride] = 0
    inUse.withLock { $0[number] = false }
  }

  /// Unlinks all; may be called by a signal handler.
  func removeAll() {
    for number in 0..<Self.count where paths[number * Self.stride] != 0 {
      unlink(paths + number * Self.stride)
    }
  }
}
