import Foundation
import Storage

/// The binary version of CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html): five training batches and a
/// test batch of 10 000 records of 3073 bytes, the label and then 1024 red, green and blue intensities each.
struct CIFAR10Files {
  /// How much of each batch has to be there.
  enum Extent {
    /// So many records; a batch has 10 000.
    case records(Int)
    /// Any number of records from the start.
    case prefix
  }

  static let side = 32
  static let channels = 3
  static let trainingNames = (1...5).map { "data_batch_\($0).bin" }
  static let testName = "test_batch.bin"
  static let names = trainingNames + [testName]
  static let classes = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
  ]

  private static let plane = side * side
  private static let recordSize = 1 + channels * plane

  let training: LabeledImages
  let test: LabeledImages
  /// SHA-256 of each file after its name.
  let digest: String

  /// Whether a batch is in the folder.
  static func areIn(_ folder: String) -> Bool {
    names.contains { FileManager.default.fileExists(atPath: "\(folder)/\($0)") }
  }

  /// Reads the six batches in `folder`.
  ///
  /// Throws a `StorageError` that names the file if one is missing, empty, ends inside a record, has another
  /// number of records than `extent` wants, or a label above 9.
  init(_ folder: String, _ extent: Extent) throws {
    training = try Self.images(Self.trainingNames.map { "\(folder)/\($0)" }, extent)
    test = try Self.images(["\(folder)/\(Self.testName)"], extent)
    digest = try Self.names.map { "\($0) \(try Digest.sha256(ofFile: "\(folder)/\($0)"))" }
      .joined(separator: ", ")
  }

  private static func images(_ paths: [String], _ extent: Extent) throws -> LabeledImages {
    let batches = try paths.map { try batch($0, extent) }
    let labels = batches.flatMap { data in
      stride(from: data.startIndex, to: data.endIndex, by: recordSize).map { data[$0] }
    }
    let pixels = [UInt8](unsafeUninitializedCapacity: labels.count * channels * plane) {
      buffer, initialized in
      guard var target = buffer.baseAddress else { return }
      for data in batches {
        data.withUnsafeBytes { bytes in
          for record in stride(from: 0, to: bytes.count, by: recordSize) {
            interleave(bytes, from: record + 1, into: &target)
          }
        }
      }
      initialized = labels.count * channels * plane
    }
    return LabeledImages(
      height: side, width: side, channels: channels, pixels: pixels, labels: labels)
  }

  /// Three planes to triples, and `target` behind them.
  private static func interleave(
    _ bytes: UnsafeRawBufferPointer, from start: Int, into target: inout UnsafeMutablePointer<UInt8>
  ) {
    guard let planes = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
    for i in start..<(start + plane) {
      target[0] = planes[i]
      target[1] = planes[i &+ plane]
      target[2] = planes[i &+ 2 &* plane]
      target += 3
    }
  }

  private static func batch(_ path: String, _ extent: Extent) throws -> Data {
    let hint = "get it again (make data-cifar gets the whole set)"
    guard FileManager.default.fileExists(atPath: path) else {
      throw StorageError("missing, one of CIFAR-10's six batches", at: path, hint: hint)
    }
    let data = try FileBytes.read(path)
    let (records, rest) = data.count.quotientAndRemainder(dividingBy: recordSize)
    if data.isEmpty { throw StorageError("empty, no images", at: path, hint: hint) }
    if rest > 0 {
      throw StorageError(
        "\(data.count) bytes end inside image \(records), byte \(rest) of \(recordSize)", at: path,
        hint: hint)
    }
    if case .records(let wanted) = extent, records != wanted {
      throw StorageError(
        "\(records) images instead of the \(wanted) of a batch", at: path, hint: hint)
    }
    for record in 0..<records {
      let label = data[data.startIndex + record * recordSize]
      guard label < classes.count else {
        throw StorageError(
          "label \(label) of image \(record) is above 9", at: path,
          hint: "check that it is the binary version of CIFAR-10, or \(hint)")
      }
    }
    return data
  }
}
