// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Where tensors live, and what happens where there is no room for one.
public enum TensorMemory {
  /// Called with the number of bytes that could not be had. A program sets it before it does anything else, to end with one line.
  public nonisolated(unsafe) static var whenExhausted: @Sendable (_ bytes: Int) -> Never = {
    preconditionFailure(words($0))
  }

  /// What to say of so many bytes.
  public static func words(_ bytes: Int) -> String {
    "no memory for a tensor of \(String(format: "%.3g", Double(bytes) / 1e9)) GB; take a smaller network or batch"
  }

  /// Ends in `whenExhausted` where there is no room for an array of `count` values of `type`: Swift's own arrays would trap. To be called
  /// before an array whose length a setting decides.
  public static func expect<Value>(_ count: Int, of type: Value.Type) {
    let (bytes, overflows) = count.multipliedReportingOverflow(by: MemoryLayout<Value>.stride)
    guard overflows || bytes > 1 << 20 else { return }
    free(aligned(overflows ? .max : bytes))
  }

  /// `bytes` bytes at an address that is a multiple of 64; `free` gives them back.
  ///
  /// What is more than the machine has ends in `whenExhausted`: the kernel would promise it, and kill the process at its first use.
  public static func aligned(_ bytes: Int) -> UnsafeMutableRawPointer {
    var raw: UnsafeMutableRawPointer?
    guard bytes >= 0, UInt64(bytes) <= ProcessInfo.processInfo.physicalMemory,
      posix_memalign(&raw, 64, bytes) == 0, let raw
    else { whenExhausted(bytes) }
    return raw
  }
}
