// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// One line of progress with the time to go and what a run last said of itself: redrawn in place on a terminal, once a minute when piped.
///
/// Safe to advance from many threads.
public final class ProgressLine: @unchecked Sendable {
  private let lock = NSLock()
  private let label: String
  private let total: Int
  private let stopwatch = Stopwatch()
  private let onTerminal = isatty(STDERR_FILENO) == 1
  private var done = 0
  private var skipped = 0
  private var lastShown = 0.0

  /// Counts to `total` units of work.
  public init(_ label: String, total: Int) {
    self.label = label
    self.total = total
  }

  /// `units` more are done; `reused` ones cost no time and do not enter the estimate. `status` is asked for only when the
  /// line is shown.
  public func advance(by units: Int, reused: Bool = false, status: () -> String = { "" }) {
    lock.withLock {
      done += units
      if reused { skipped += units }
      let now = stopwatch.seconds
      guard now - lastShown >= (onTerminal ? 0.2 : 60) else { return }
      lastShown = now
      show(now, status())
    }
  }

  /// Ends the line.
  public func finish() {
    lock.withLock {
      if onTerminal && lastShown > 0 { write("\r\u{1B}[2K") }
    }
  }

  /// A message of its own line, without tearing the progress line.
  public func note(_ message: String) {
    lock.withLock { write((onTerminal && lastShown > 0 ? "\r\u{1B}[2K" : "") + message + "\n") }
  }

  private func show(_ now: Double, _ status: String) {
    let fresh = done - skipped
    let share = total == 0 ? 1 : Double(done) / Double(total)
    let left = fresh == 0 ? nil : now / Double(fresh) * Double(total - done)
    let text =
      "\(label): \(Int(share * 100)) % after \(Self.duration(now))"
      + (left.map { ", \(Self.duration($0)) to go" } ?? "") + (status.isEmpty ? "" : "; \(status)")
    // A line that wraps cannot be redrawn in place.
    write(onTerminal ? "\r\u{1B}[2K\(text.prefix(Terminal.messageColumns - 1))" : text + "\n")
  }

  private func write(_ text: String) { Terminal.message(text) }

  /// Seconds as people say them: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min; "an unknown time" for what is none.
  public static func duration(_ seconds: Double) -> String {
    guard seconds.magnitude < 1e15 else { return "an unknown time" }
    if seconds < 10 { return String(format: "%.1f s", seconds) }
    let whole = Int(seconds.rounded())
    if whole < 60 { return "\(whole) s" }
    if whole < 3600 { return String(format: "%d min %02d s", whole / 60, whole % 60) }
    return String(format: "%d h %02d min", whole / 3600, whole / 60 % 60)
  }
}
