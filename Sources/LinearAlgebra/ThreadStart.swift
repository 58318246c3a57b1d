// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Starts a detached thread; false where the machine has none to give after some patience, and `body` will not run.
///
/// A machine short of threads or memory may have some again in a moment, so it is tried `attempts` times, for three
/// seconds together. Callers must get by with fewer threads: no result here depends on their number.
package func startThread(
  stackSize: Int = 8 << 20, attempts: Int = 12, _ body: @escaping @Sendable () -> Void
) -> Bool {
  var attributes = pthread_attr_t()
  guard pthread_attr_init(&attributes) == 0 else { return false }
  defer { pthread_attr_destroy(&attributes) }
  pthread_attr_setstacksize(&attributes, stackSize)
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  let work = Unmanaged.passRetained(ThreadBody(body))
  for attempt in 0..<attempts {
    #if os(Linux)
      var thread = pthread_t()
    #else
      var thread: pthread_t?
    #endif
    let code = pthread_create(
      &thread, &attributes,
      {
        let raw: UnsafeMutableRawPointer? = $0
        if let raw { Unmanaged<ThreadBody>.fromOpaque(raw).takeRetainedValue().run() }
        return nil
      }, work.toOpaque())
    if code == 0 { return true }
    guard code == EAGAIN || code == ENOMEM, attempt < attempts - 1 else { break }
    usleep(UInt32(40_000 * (attempt + 1)))
  }
  work.release()
  return false
}

private final class ThreadBody: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
