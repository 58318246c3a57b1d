// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// The binary versions of CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html): files of records, each the label
/// and then 1024 red, green and blue intensities; CIFAR-100's begin with the label of one of 20 coarse classes, then that of the class.
struct CIFARFiles {
  /// Which of them.
  enum Kind {
    /// Five training batches and a test batch of 10 000 records of 3073 bytes.
    case ten
    /// 50 000 training and 10 000 test records of 3074 bytes.
    case hundred

    var trainingNames: [String] {
      self == .ten ? (1...5).map { "data_batch_\($0).bin" } : ["train.bin"]
    }
    var testName: String { self == .ten ? "test_batch.bin" : "test.bin" }
    var names: [String] { trainingNames + [testName] }
    /// How many labels of each byte there are before the intensities; the last one counts.
    var labels: [Int] { self == .ten ? [10] : [20, 100] }
    var set: String { self == .ten ? "CIFAR-10" : "CIFAR-100" }
    var files: String { self == .ten ? "CIFAR-10's six batches" : "CIFAR-100's two files" }
    var hint: String {
      "get it again (make data-cifar\(self == .ten ? "" : "100") gets the whole set)"
    }
    var recordSize: Int { labels.count + channels * plane }

    var classes: [String] {
      guard self == .hundred else {
        return [
          "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
        ]
      }
      return CIFARFiles.hundredClasses.split(separator: " ").map(String.init)
    }
  }

  /// How much of each file has to be there.
  enum Extent {
    /// So many records.
    case records(Int)
    /// Any number of records from the start.
    case prefix
  }

  static let side = 32
  static let channels = 3
  private static let plane = side * side
  private static let hundredClasses =
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle "
    + "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish "
    + "forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle "
    + "mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine "
    + "possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar "
    + "sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree "
    + "wolf woman worm"

  let training: LabeledImages
  let test: LabeledImages
  /// SHA-256 of each file after its name.
  let digest: String

  /// Whether a file of the set is in the folder.
  static func areIn(_ folder: String, _ kind: Kind = .ten) -> Bool {
    kind.names.contains { FileManager.default.fileExists(atPath: "\(folder)/\($0)") }
  }

  /// Reads the files in `folder`.
  ///
  /// Throws a `StorageError` that names the file if one is missing, empty, ends inside a record, has another
  /// number of records than `extent` wants, or a label beyond the set's.
  init(_ folder: String, _ extent: Extent, of kind: Kind = .ten) throws {
    training = try Self.images(kind.trainingNames.map { "\(folder)/\($0)" }, kind, extent)
    test = try Self.images(["\(folder)/\(kind.testName)"], kind, extent)
    digest = try kind.names.map { "\($0) \(try Digest.sha256(ofFile: "\(folder)/\($0)"))" }
      .joined(separator: ", ")
  }

  private static func images(
    _ paths: [String], _ kind: Kind, _ extent: Extent
  ) throws -> LabeledImages {
    let files = try paths.map { try records($0, kind, extent) }
    let (size, before) = (kind.recordSize, kind.labels.count)
    let labels = files.flatMap { data in
      stride(from: data.startIndex + before - 1, to: data.endIndex, by: size).map { data[$0] }
    }
    let pixels = [UInt8](unsafeUninitializedCapacity: labels.count * channels * plane) {
      buffer, initialized in
      guard var target = buffer.baseAddress else { return }
      for data in files {
        data.withUnsafeBytes { bytes in
          for record in stride(from: 0, to: bytes.count, by: size) {
            interleave(bytes, from: record + before, into: &target)
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

  private static func records(_ path: String, _ kind: Kind, _ extent: Extent) throws -> Data {
    let (hint, size) = (kind.hint, kind.recordSize)
    guard FileManager.default.fileExists(atPath: path) else {
      throw StorageError("missing, one of \(kind.files)", at: path, hint: hint)
    }
    let data = try FileBytes.read(path)
    let (records, rest) = data.count.quotientAndRemainder(dividingBy: size)
    if data.isEmpty { throw StorageError("empty, no images", at: path, hint: hint) }
    if rest > 0 {
      throw StorageError(
        "\(data.count) bytes end inside image \(records), byte \(rest) of \(size)", at: path,
        hint: hint)
    }
    if case .records(let wanted) = extent, records != wanted {
      throw StorageError(
        "\(records) images instead of the \(wanted) of a batch", at: path, hint: hint)
    }
    for record in 0..<records {
      for (place, count) in kind.labels.enumerated() {
        let label = data[data.startIndex + record * size + place]
        guard label < count else {
          let coarse = place + 1 < kind.labels.count ? "coarse " : ""
          throw StorageError(
            "\(coarse)label \(label) of image \(record) is above \(count - 1)", at: path,
            hint: "check that it is the binary version of \(kind.set), or \(hint)")
        }
      }
    }
    return data
  }
}
