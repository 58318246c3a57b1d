// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Synchronization

/// Signals that ask a run to save its state: SIGTERM, SIGINT and SIGHUP to save and end, SIGUSR1 to save and go on, or, where
/// a scheduler sends it before the time is over, to save and end as well.
///
/// A handler only counts; runs look at the count between two steps, through their `Checkpoint`. A process in which nothing
/// looks, and one that is told a second time, ends at once.
public enum Interruption {
  /// What a run throws that has saved its state and is to end.
  public struct Ended: Error, CustomStringConvertible {
    /// The signal.
    public let signal: Int32

    /// One line: what ended it, and how to go on.
    public var description: String {
      let name =
        [SIGTERM: "SIGTERM", SIGINT: "SIGINT", SIGHUP: "SIGHUP", SIGUSR1: "SIGUSR1"][signal]
        ?? "signal \(signal)"
      return "ended by \(name); the state is saved: the same command goes on from there"
    }
  }

  private static let count = Atomic<Int>(0)
  private static let ending = Atomic<Int32>(0)
  private static let isPolled = Atomic<Bool>(false)
  private static let userSignalEnds = Atomic<Bool>(false)

  /// How many signals have come.
  static var requests: Int { count.load(ordering: .relaxed) }

  /// A run has begun that looks at `requests`.
  public static func expectPolling() { isPolled.store(true, ordering: .relaxed) }

  /// Throws if the process is to end: what takes long looks here between two of its steps.
  public static func check() throws { try check(SingleRank()) }

  /// The same on all ranks if the first of them is to end.
  static func check(_ ranks: any Ranks) throws {
    let signal = Int32(truncatingIfNeeded: ranks.agreed(Int(ending.load(ordering: .relaxed))))
    if signal != 0 { throw Ended(signal: signal) }
  }

  /// Begins to listen. SIGHUP stays ignored where it was, as under nohup; `userSignalEnds` says what SIGUSR1 is.
  public static func listen(userSignalEnds: Bool = false) {
    // Made before a handler needs them.
    _ = (requests, ending.load(ordering: .relaxed), isPolled.load(ordering: .relaxed))
    Self.userSignalEnds.store(userSignalEnds, ordering: .relaxed)
    for number in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] {
      let before = signal(number, SIG_IGN)
      if number == SIGHUP, before.map({ unsafeBitCast($0, to: Int.self) }) == 1 { continue }
      signal(number, Self.handle)
    }
  }

  private static let handle: @convention(c) (Int32) -> Void = { number in
    if number != SIGUSR1 || Interruption.userSignalEnds.load(ordering: .relaxed) {
      let isFirst = Interruption.ending.exchange(number, ordering: .relaxed) == 0
      guard isFirst, Interruption.isPolled.load(ordering: .relaxed) else { return die(of: number) }
    }
    Interruption.count.add(1, ordering: .relaxed)
  }

  /// Ends the process by `number`, as if nobody had listened.
  public static func die(of number: Int32) { AtomicFile.die(of: number) }
}
