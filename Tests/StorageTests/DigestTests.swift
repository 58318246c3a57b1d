// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Storage

@Suite struct DigestTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  /// NIST's example values for SHA-256 (FIPS 180-2, appendix B, and the empty message).
  private static let vectors: [(message: String, digest: String)] = [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    (
      String(repeating: "a", count: 1_000_000),
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    ),
  ]

  @Test(arguments: vectors)
  func matchesTheExamples(message: String, digest: String) throws {
    #expect(Digest.sha256(of: message) == digest)
    let path = try scratch.file("odd \\name\n", holding: Data(message.utf8))
    #expect(try Digest.sha256(ofFile: path) == digest)
  }

  /// Longer than a piece that is read at once.
  @Test func aLongFileHasTheDigestOfItsBytes() throws {
    let bytes = Data((0..<3_000_001).map { UInt8(truncatingIfNeeded: $0 &* 31) })
    let path = try scratch.file("long", holding: bytes)
    #expect(try Digest.sha256(ofFile: path) == Digest.sha256(of: bytes))
  }

  @Test func faults() throws {
    let missing = scratch.file("missing")
    expectError("no such file", at: missing) { try Digest.sha256(ofFile: missing) }
    expectError("is a folder", at: scratch.path) { try Digest.sha256(ofFile: scratch.path) }
  }
}
