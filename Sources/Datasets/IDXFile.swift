// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// A file of unsigned bytes in MNIST's IDX format: the magic number 0, 0, 8 (bytes), number of dimensions;
/// the dimensions as big-endian 32-bit integers; the values, last dimension fastest.
struct IDXFile {
  /// The dimensions; the first counts the items.
  let shape: [Int]
  /// All values.
  let values: [UInt8]

  /// Reads the file at `path`, which must have as many `dimensions`.
  ///
  /// Throws a `StorageError` if it cannot be read, is still compressed, has another magic number, no items,
  /// or another size than its header says.
  init(path: String, dimensions: Int) throws {
    let again = "get it again (make data-fashion)"
    guard FileManager.default.fileExists(atPath: path) else {
      throw StorageError("missing", at: path, hint: again)
    }
    let data = try FileBytes.read(path)
    let magic: [UInt8] = [0, 0, 8, UInt8(dimensions)]
    if data.starts(with: [0x1F, 0x8B]) {
      throw StorageError("compressed by gzip", at: path, hint: "unpack it (gzip -d)")
    }
    guard data.starts(with: magic) else {
      throw StorageError(
        "begins with the bytes \(data.prefix(4).map { Int($0) }), not with \(magic)", at: path,
        hint: "check that it is an IDX file of \(dimensions) dimensions")
    }
    let header = 4 + 4 * dimensions
    guard data.count >= header else {
      throw StorageError("\(data.count) bytes, not even a header", at: path, hint: again)
    }
    shape = (0..<dimensions).map { dimension in
      data.dropFirst(4 + 4 * dimension).prefix(4).reduce(0) { $0 << 8 | Int($1) }
    }
    guard elementCount(of: shape) == data.count - header, !shape.contains(0) else {
      throw StorageError(
        "a header of \(shape.map(String.init).joined(separator: "×")) bytes, "
          + "but \(data.count - header) follow it", at: path, hint: again)
    }
    values = Array(data.dropFirst(header))
  }

  /// Images and labels, grey, [count, height, width, 1], with labels below `classes`.
  static func images(_ imagePath: String, labels labelPath: String, classes: Int) throws
    -> LabeledImages
  {
    let (images, labels) = (
      try IDXFile(path: imagePath, dimensions: 3), try IDXFile(path: labelPath, dimensions: 1)
    )
    guard images.shape[0] == labels.shape[0] else {
      throw StorageError(
        "\(labels.shape[0]) labels for \(images.shape[0]) images", at: labelPath,
        hint: "get both files from the same place")
    }
    if let image = labels.values.firstIndex(where: { $0 >= classes }) {
      throw StorageError(
        "label \(labels.values[image]) of image \(image) is above \(classes - 1)", at: labelPath,
        hint: "check that it belongs to this data set")
    }
    return LabeledImages(
      height: images.shape[1], width: images.shape[2], channels: 1, pixels: images.values,
      labels: labels.values)
  }
}
