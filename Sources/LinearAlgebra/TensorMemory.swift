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
