// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// A data set of labelled images in two parts.
public struct ImageData: Sendable {
  /// What figures call it.
  public private(set) var name: String
  /// Whether it was generated because the real files are not there, or because that was asked for.
  public let isStandIn: Bool
  /// What the labels 0, 1, … stand for.
  public let classes: [String]
  /// Images to train on.
  public private(set) var training: LabeledImages
  /// Images held out.
  public private(set) var test: LabeledImages
  /// How intensities become network inputs: for CIFAR-10 the published constants, whatever part of it is
  /// there, else the mean and standard deviation of the training images.
  public private(set) var normalization: ImageNormalization
  /// What the images were made from: SHA-256 of the files or of the generated images. Part of what determines
  /// a record; computed once, when the files are read.
  public private(set) var digest: String

  /// The data sets that experiments may name.
  public enum Source: String, Codable, Sendable, CaseIterable {
    /// CIFAR-10: the canonical files, else the copy through JPEG (five times the images of the subset), else
    /// the lossless subset, else the stand-in.
    case cifar10 = "cifar10"
    /// CIFAR-10 with its own pixels, if need be few of them: the canonical files, else the lossless subset,
    /// else the copy through JPEG, else the stand-in.
    case cifar10Exact = "cifar10-exact"
    /// The canonical files in `cifar-10-batches-bin` and nothing else.
    case cifar10Canonical = "cifar10-canonical"
    /// The first images of each batch, in `cifar10-lossless-subset`.
    case cifar10Subset = "cifar10-lossless-subset"
    /// Images whose pixels went through JPEG, in `cifar10-jpeg`.
    case cifar10JPEG = "cifar10-jpeg"
    /// CIFAR-100 in `cifar-100-binary`, as many images as the files hold, else the stand-in, which has other classes.
    case cifar100 = "cifar100"
    /// Fashion-MNIST in `fashion-mnist`, else the first training images in `fashion-mnist-subset`, of which
    /// the last fifth is held out.
    case fashionMNIST = "fashion-mnist"
    /// The same, and where neither is there its stand-in.
    case fashionMNISTOrStandIn = "fashion-mnist-or-stand-in"
    /// The generated images that stand in where files are missing.
    case standIn = "stand-in"
    /// The same, gray and cut to 28×28, which stand in for Fashion-MNIST.
    case grayStandIn = "gray-stand-in"

    /// How to get more images of the kind, in words.
    public var moreImages: String {
      switch self {
      case .fashionMNIST, .fashionMNISTOrStandIn, .grayStandIn:
        "make data-fashion gets Fashion-MNIST"
      case .cifar100: "make data-cifar100 gets CIFAR-100"
      default: "make data-cifar gets CIFAR-10"
      }
    }
  }

  /// Reads `source` from below `folder`.
  ///
  /// Only `.cifar10`, `.cifar10Exact`, `.cifar100` and `.fashionMNISTOrStandIn` are replaced by a generated stand-in if no files are
  /// there, and say so in `name`. Throws a `StorageError` for files that are missing or damaged, and for fewer training images than a
  /// `batch`.
  public static func load(_ source: Source, folder: String, batch: Int = 1) throws -> ImageData {
    let data =
      switch source {
      case .cifar10: try anyCIFAR10(folder, prefersExact: false)
      case .cifar10Exact: try anyCIFAR10(folder, prefersExact: true)
      case .cifar10Canonical: try canonicalCIFAR10(folder)
      case .cifar10Subset: try subsetOfCIFAR10(folder)
      case .cifar10JPEG: try jpegCIFAR10(folder)
      case .cifar100: try cifar100(folder)
      case .fashionMNIST: try fashionMNIST(folder)
      case .fashionMNISTOrStandIn:
        hasFashionMNIST(folder) ? try fashionMNIST(folder) : grayStandIn
      case .standIn: standIn
      case .grayStandIn: grayStandIn
      }
    guard batch <= data.training.count else {
      throw StorageError(
        "\(data.training.count) training images of \(data.name) are fewer than a batch of \(batch)",
        at: folder, hint: "use a smaller batch or a larger set (\(source.moreImages))")
    }
    return data
  }

  /// The first images of both parts, at most so many; name and digest say so if there are more.
  public func first(training count: Int, test testCount: Int) -> ImageData {
    precondition(count > 0 && testCount > 0, "the first \(count) and \(testCount) images")
    let (train, held) = (min(count, training.count), min(testCount, test.count))
    guard train < training.count || held < test.count else { return self }
    let part = "the first \(Self.grouped(train)) + \(Self.grouped(held)) images"
    return with(training: training.images(0..<train), test: test.images(0..<held), part, part)
  }

  /// The same images, whose intensities become network inputs by another `normalization`.
  public func normalized(by normalization: ImageNormalization) -> ImageData {
    precondition(
      normalization.channels == training.channels,
      "\(normalization.channels) constants for \(training.channels) channels")
    var same = self
    same.normalization = normalization
    return same
  }

  /// The same with other images, which name and digest say.
  private func with(
    training: LabeledImages, test: LabeledImages, _ title: String, _ mark: String
  ) -> ImageData {
    var other = self
    (other.training, other.test) = (training, test)
    (other.name, other.digest) = ("\(name), \(title)", "\(digest), \(mark)")
    return other
  }

  /// The last tenth of the training images in the place of the test images, which are left out; throws a `StorageError` where
  /// there is only one.
  public func holdingOut() throws -> ImageData {
    let cut = training.count - max(1, training.count / 10)
    guard cut > 0 else {
      throw StorageError(
        "no part of a single training image can be held out", at: name, hint: "take more images")
    }
    return with(
      training: training.images(0..<cut), test: training.images(cut..<training.count),
      "a tenth of the training images held out", "held out")
  }

  // MARK: - CIFAR-10

  private static func anyCIFAR10(_ folder: String, prefersExact: Bool) throws -> ImageData {
    func isThere(_ place: String) -> Bool { CIFARFiles.areIn("\(folder)/\(place)") }
    if isThere("cifar-10-batches-bin") { return try canonicalCIFAR10(folder) }
    let (hasSubset, hasJPEG) = (isThere("cifar10-lossless-subset"), isThere("cifar10-jpeg"))
    if hasSubset && (prefersExact || !hasJPEG) { return try subsetOfCIFAR10(folder) }
    if hasJPEG { return try jpegCIFAR10(folder) }
    return standIn
  }

  private static func canonicalCIFAR10(_ folder: String) throws -> ImageData {
    let files = try CIFARFiles("\(folder)/cifar-10-batches-bin", .records(10_000))
    return cifar10(files) { _, _ in "CIFAR-10" }
  }

  private static func subsetOfCIFAR10(_ folder: String) throws -> ImageData {
    cifar10(try CIFARFiles("\(folder)/cifar10-lossless-subset", .prefix)) {
      "CIFAR-10, lossless subset (\($0) + \($1) images)"
    }
  }

  private static func jpegCIFAR10(_ folder: String) throws -> ImageData {
    cifar10(try CIFARFiles("\(folder)/cifar10-jpeg", .prefix)) {
      "CIFAR-10 pixels from JPEG (\($0) + \($1))"
    }
  }

  private static func cifar100(_ folder: String) throws -> ImageData {
    let place = "\(folder)/cifar-100-binary"
    guard CIFARFiles.areIn(place, .hundred) else {
      return standIn(
        for: "CIFAR-100", training: standIn.training, test: standIn.test, digest: standIn.digest)
    }
    let files = try CIFARFiles(place, .prefix, of: .hundred)
    let isWhole = files.training.count == 50_000 && files.test.count == 10_000
    return ImageData(
      name: isWhole
        ? "CIFAR-100"
        : "CIFAR-100, \(grouped(files.training.count)) + \(grouped(files.test.count)) images",
      isStandIn: false, classes: CIFARFiles.Kind.hundred.classes, training: files.training,
      test: files.test, normalization: ImageNormalization(of: files.training),
      digest: files.digest)
  }

  private static func cifar10(
    _ files: CIFARFiles, name: (String, String) -> String
  ) -> ImageData {
    ImageData(
      name: name(grouped(files.training.count), grouped(files.test.count)), isStandIn: false,
      classes: CIFARFiles.Kind.ten.classes, training: files.training, test: files.test,
      normalization: .cifar10, digest: files.digest)
  }

  /// The stand-in for CIFAR-10, made once a process.
  private static let standIn: ImageData = {
    let all = StandInImages.all
    return standIn(
      for: "CIFAR-10", training: all.images(0..<StandInImages.trainingCount),
      test: all.images(StandInImages.trainingCount..<all.count),
      digest: Digest.sha256(of: Data(all.pixels + all.labels)))
  }()

  /// The stand-in for Fashion-MNIST: the middle of the generated images, the mean of their channels.
  private static let grayStandIn = standIn(
    for: "Fashion-MNIST", training: standIn.training.gray(side: 28),
    test: standIn.test.gray(side: 28), digest: "\(standIn.digest), gray")

  private static func standIn(
    for set: String, training: LabeledImages, test: LabeledImages, digest: String
  ) -> ImageData {
    ImageData(
      name: "generated stand-in for \(set)", isStandIn: true, classes: StandInImages.classes,
      training: training, test: test, normalization: ImageNormalization(of: training),
      digest: digest)
  }

  // MARK: - Fashion-MNIST

  private static let fashionClasses = [
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle boot",
  ]

  private static func fashionFolders(_ folder: String) -> (whole: String, subset: String) {
    ("\(folder)/fashion-mnist", "\(folder)/fashion-mnist-subset")
  }

  private static func isFashionMNIST(_ place: String) -> Bool {
    FileManager.default.fileExists(atPath: "\(place)/train-images-idx3-ubyte")
  }

  private static func hasFashionMNIST(_ folder: String) -> Bool {
    let (whole, subset) = fashionFolders(folder)
    return isFashionMNIST(whole) || isFashionMNIST(subset)
  }

  private static func fashionMNIST(_ folder: String) throws -> ImageData {
    let (whole, subset) = fashionFolders(folder)
    func read(_ place: String, _ part: String) throws -> LabeledImages {
      try IDXFile.images(
        "\(place)/\(part)-images-idx3-ubyte", labels: "\(place)/\(part)-labels-idx1-ubyte",
        classes: fashionClasses.count)
    }
    func digest(_ place: String, _ parts: [String]) throws -> String {
      try parts.flatMap { ["\($0)-images-idx3-ubyte", "\($0)-labels-idx1-ubyte"] }
        .map { "\($0) \(try Digest.sha256(ofFile: "\(place)/\($0)"))" }.joined(separator: ", ")
    }
    if isFashionMNIST(whole) || !isFashionMNIST(subset) {
      let (training, test) = (try read(whole, "train"), try read(whole, "t10k"))
      guard (test.height, test.width) == (training.height, training.width) else {
        throw StorageError(
          "test images of \(test.height)×\(test.width) pixels, training images of "
            + "\(training.height)×\(training.width)", at: whole,
          hint: "get the files again (make data-fashion)")
      }
      return ImageData(
        name: "Fashion-MNIST", isStandIn: false, classes: fashionClasses, training: training,
        test: test, normalization: ImageNormalization(of: training),
        digest: try digest(whole, ["train", "t10k"]))
    }
    let all = try read(subset, "train")
    let cut = all.count - all.count / 5
    let (training, test) = (all.images(0..<cut), all.images(cut..<all.count))
    return ImageData(
      name: "Fashion-MNIST, subset (\(grouped(cut)) + \(grouped(all.count - cut)) images)",
      isStandIn: false, classes: fashionClasses, training: training, test: test,
      normalization: ImageNormalization(of: training),
      digest: "\(try digest(subset, ["train"])), \(cut) to train on")
  }

  /// 7 897: thousands apart.
  private static func grouped(_ count: Int) -> String {
    count < 1000
      ? "\(count)"
      : "\(grouped(count / 1000)) \(String(count % 1000 + 1000).dropFirst())"
  }
}
