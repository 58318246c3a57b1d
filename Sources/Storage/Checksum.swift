import Foundation

/// A checksum against accidents, not against forgery (`Digest` is).
public enum Checksum {
  /// FNV-1a of 64 bits: whatever a single byte is changed to, it changes.
  public static func fnv1a(_ bytes: some DataProtocol) -> UInt64 {
    bytes.regions.reduce(0xcbf2_9ce4_8422_2325) { hash, region in
      region.withUnsafeBytes { $0.reduce(hash) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 } }
    }
  }
}
