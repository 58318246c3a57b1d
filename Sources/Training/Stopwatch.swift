// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation

/// Wall-clock seconds. Nothing it measures enters a result.
public struct Stopwatch: Sendable {
  private let start: UInt64

  /// Starts now.
  public init() { start = DispatchTime.now().uptimeNanoseconds }

  /// Seconds since the start.
  public var seconds: Double {
    Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
  }
}

/// What this process has had of the processors: what other work on the machine does not lengthen. For estimates.
public enum ProcessorTime {
  /// Seconds since the process began, of all its threads.
  public static var seconds: Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
  }
}
