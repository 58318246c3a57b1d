// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A checksum against accidents, not against forgery (`Digest` is): FNV-1a of 64 bits. Whatever a single byte is changed to, it
/// changes.
public enum Checksum {
  /// The checksum of bytes that come piece by piece.
  struct Stream {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ bytes: some DataProtocol) {
      for region in bytes.regions { region.withUnsafeBytes { add($0) } }
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
      value = bytes.reduce(value) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    /// Sixteen hexadecimal digits.
    var text: String {
      let digits = String(value, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }
  }

  /// The checksum of all bytes.
  public static func fnv1a(_ bytes: some DataProtocol) -> UInt64 {
    var stream = Stream()
    stream.add(bytes)
    return stream.value
  }
}
