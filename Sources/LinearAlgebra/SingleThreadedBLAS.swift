// SPDX-License-Identifier: Apache-2.0

import COpenBLAS
import Synchronization

/// OpenBLAS's thread setting belongs to the program: it is 1 while a call of ours runs, and then what it was.
private let callers = Mutex((calls: 0, threads: Int32(1)))

package func withSingleThreadedBLAS<R>(_ body: () throws -> R) rethrows -> R {
  callers.withLock { found in
    if found.calls == 0 {
      found.threads = openblas_get_num_threads()
      if found.threads != 1 { openblas_set_num_threads(1) }
    }
    found.calls += 1
  }
  defer {
    callers.withLock { found in
      found.calls -= 1
      if found.calls == 0 && found.threads != 1 { openblas_set_num_threads(found.threads) }
    }
  }
  return try body()
}
