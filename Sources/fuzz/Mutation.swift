// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Small damages to a file: one that leaves most of it as it was, or one to four of any kind.
struct Mutation {
  /// Words that mean something to some format.
  private static let words: [String] = [
    "-1", "0", "1", "2147483647", "4294967296", "9223372036854775807", "9223372036854775808",
    "18446744073709551616", "1e400", "-1e400", "1e-400", ".inf", ".nan", "nan", "0x10", "010",
    "1_0",
    "12:30", "[]", "{}", "null", "~", "\"\"", "''", "*a", "&a [*a, *a]", "&a [x,x,x,x,x,x,x,x,x]",
    "!!binary", "$(touch pwned)", "`touch pwned`", "files[$(touch pwned)]",
    "\"; system('touch pwned')",
    "../../x", "-o/tmp/x", "é", "e\u{301}", "\u{0}", "\u{1b}[2J", "\u{FEFF}", "\n", "\t", ": ",
    "- ",
    "BF16", "F64", "I64", "__metadata__", "data_offsets", "shape", "{{x}}",
  ]

  static func mutated(_ seed: [UInt8], _ cursor: inout RandomCursor) -> [UInt8] {
    var bytes = seed
    if !seed.isEmpty, cursor.integer(below: 2) == 0 {
      let at = cursor.integer(below: seed.count)
      let isText = !seed.contains { $0 < 0x09 || $0 == 0x7f }
      if isText, cursor.integer(below: 3) > 0 {
        replaceNumber(in: &bytes, from: at, &cursor)
      } else {
        bytes[at] ^= 1 << UInt8(cursor.integer(below: isText ? 6 : 8))
      }
      return bytes
    }
    for _ in 0..<(1 + cursor.integer(below: 4)) { change(&bytes, seed, &cursor) }
    return bytes
  }

  private static func change(
    _ bytes: inout [UInt8], _ seed: [UInt8], _ cursor: inout RandomCursor
  ) {
    // Headers are small and at the start, where most of what a reader believes stands.
    func position(_ count: Int) -> Int {
      let range = cursor.integer(below: 2) == 0 ? min(count, 512) : count
      return range == 0 ? 0 : cursor.integer(below: range)
    }
    let at = position(bytes.count)
    let rest = bytes.count - at
    switch cursor.integer(below: 10) {
    case 0 where rest > 0: bytes[at] ^= 1 << UInt8(cursor.integer(below: 8))
    case 1 where rest > 0: bytes[at] = UInt8(cursor.integer(below: 256))
    case 2 where rest > 0: bytes[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][cursor.integer(below: 6)]
    case 3:  // a number of 2, 4 or 8 bytes at the ends of its range
      let value: UInt64 = [0, 1, .max, .max >> 1, .max << 63, 1 << 31, 1 << 32, .max >> 33][
        cursor.integer(below: 8)]
      for i in 0..<min(rest, 2 << cursor.integer(below: 3)) {
        bytes[at + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * i))
      }
    case 4: bytes.removeLast(min(rest, 1 + position(bytes.count + 1)))
    case 5: bytes.removeSubrange(at..<(at + min(rest, 1 + cursor.integer(below: 64))))
    case 6:  // a piece of the file once more
      let from = position(seed.count)
      let piece = seed[from..<min(seed.count, from + 1 + cursor.integer(below: 64))]
      bytes.insert(contentsOf: piece, at: at)
    case 7: bytes.insert(contentsOf: Array(words[cursor.integer(below: words.count)].utf8), at: at)
    case 8: replaceNumber(in: &bytes, from: at, &cursor)
    default:
      bytes += (0..<(1 + cursor.integer(below: 40))).map { _ in UInt8(cursor.integer(below: 256)) }
    }
  }

  /// The next run of digits becomes another number or word.
  private static func replaceNumber(
    in bytes: inout [UInt8], from start: Int, _ cursor: inout RandomCursor
  ) {
    func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    guard let first = bytes[start...].firstIndex(where: isDigit) else { return }
    let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.endIndex
    bytes.replaceSubrange(
      first..<end, with: Array(words[cursor.integer(below: words.count)].utf8))
  }
}
