import Dispatch

/// Wall-clock seconds; the only clock outside progress lines. Nothing it measures enters a result.
public struct Stopwatch: Sendable {
  private let start: UInt64

  /// Starts now.
  public init() { start = DispatchTime.now().uptimeNanoseconds }

  /// Seconds since the start.
  public var seconds: Double {
    Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
  }
}
