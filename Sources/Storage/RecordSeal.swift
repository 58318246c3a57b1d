// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A checksum of a whole record behind its HDF5 content, where readers of HDF5 do not look.
///
/// HDF5's own checksums leave out the texts. A program that changes a record drops the seal with the rest of what lies
/// behind the content, so that such a record, like one of an older build, is held against HDF5's checksums only.
enum RecordSeal {
  private static let mark = Array("record\u{1}\n".utf8)
  private static let length = mark.count + 8

  /// The content with its seal.
  static func sealed(_ content: Data) -> Data {
    var data = content
    data.append(contentsOf: mark)
    withUnsafeBytes(of: Checksum.fnv1a(content).littleEndian) { data.append(contentsOf: $0) }
    return data
  }

  /// The content without its seal; throws where either is damaged.
  static func opened(_ data: Data, path: String, hint: String) throws -> Data {
    let content = data.dropLast(length)
    if data.count > length, data[content.endIndex...].starts(with: mark) {
      let stored = data.suffix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      guard stored == Checksum.fnv1a(content) else {
        throw StorageError("damaged: its checksum does not match", at: path, hint: hint)
      }
      return content
    }
    if let end = HDF5File.contentEnd(of: data), end < data.count {
      throw StorageError("damaged: the end of its checksum is missing", at: path, hint: hint)
    }
    return data
  }
}
