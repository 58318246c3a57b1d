// SPDX-License-Identifier: Apache-2.0

import Datasets
import Lab
import Optimizers

/// Settings of a network that sees its training data epoch by epoch, and is recorded after each.
package protocol EpochSettings: WorkloadSettings {
  /// Epochs.
  var epochs: Int { get set }
  /// Steps of an epoch.
  var stepsPerEpoch: Int { get }
  /// Samples a step.
  var batchSize: Int { get set }
}

extension EpochSettings {
  package var stepCount: Int { epochs * stepsPerEpoch }
  package var pointEvery: Int { stepsPerEpoch }

  package func lasting(_ fraction: Double) -> Self {
    var own = self
    own.epochs = max(1, Int((fraction * Double(epochs)).rounded()))
    return own
  }
}

/// Settings of a network on a set of images.
package protocol ImageEpochs: EpochSettings {
  /// The images.
  var images: ImageData.Source { get }
  /// Training images that are used, at most.
  var trainingImages: Int { get set }
  /// Test images that are used, at most.
  var testImages: Int { get set }
}

extension ImageEpochs {
  /// Steps of an epoch; the incomplete batch at its end is left out.
  package var stepsPerEpoch: Int { trainingImages / batchSize }

  func checkBatch() throws {
    try check(
      "batchSize", batchSize, batchSize <= trainingImages,
      "at most the \(trainingImages) training images")
  }

  /// Throws a `ConfigError` for images whose sides `network` does not take.
  func check(_ data: ImageData, for network: String, sides: ClosedRange<Int>) throws {
    let (height, width) = (data.training.height, data.training.width)
    guard sides.contains(height), sides.contains(width) else {
      throw ConfigError(
        "setting 'images'", "\(data.name) has images of \(height)×\(width)",
        hint:
          "\(network) takes sides of \(sides.lowerBound) to \(sides.upperBound): choose cifar10")
    }
  }

  /// The images, as many as are used. Throws a `StorageError` for files that are missing or damaged.
  func load(folder: String) throws -> ImageData {
    try ImageData.load(images, folder: folder, batch: batchSize)
      .first(training: trainingImages, test: testImages)
  }

  /// A rehearsal under `small` settings with `batch` images a step and few images in all.
  func rehearsal(_ small: Self, batch: Int) -> Rehearsal<Self> {
    var small = small
    small.batchSize = max(1, batch)
    small.trainingImages = min(trainingImages, max(small.batchSize, 64))
    small.testImages = min(testImages, small.batchSize)
    var rehearsal = Rehearsal(small)
    rehearsal.pass = Double(batchSize) / Double(small.batchSize)
    rehearsal.evaluation = Double(testImages) / Double(small.testImages)
    return rehearsal
  }

  /// The images that stand for the real ones where only the time counts.
  package var placeholder: ImageData {
    .placeholder(images, training: trainingImages, test: testImages)
  }
}

/// Settings whose rate falls to a tenth at some epochs.
package protocol DecayingEpochs: EpochSettings {
  /// Epochs, counted from 0, from which the rate is a tenth of what it was, in every arm.
  var decayEpochs: [Int] { get set }
}

extension DecayingEpochs {
  package var schedule: Schedule {
    .steps(at: decayEpochs.map { $0 * stepsPerEpoch }, factor: 0.1)
  }

  /// The epochs of the schedule in proportion.
  package func lasting(_ fraction: Double) -> Self {
    func part(_ epoch: Int) -> Int { Int((fraction * Double(epoch)).rounded()) }
    var own = self
    own.epochs = max(1, part(epochs))
    own.decayEpochs = decayEpochs.map(part)
    return own
  }
}

extension Bound {
  /// Two errors on test images are equal within a twentieth, either way.
  static let equalErrors = Bound.within(0.9524, 1.05)
}

/// Images as a workload's data.
package protocol ImageSet: WorkloadSource {
  /// The images.
  var data: ImageData { get }
}

extension ImageSet {
  package var name: String { data.name }
  package var digest: String { data.digest }
  package var isStandIn: Bool { data.isStandIn }
}

/// Images as they were loaded.
package struct LoadedImages: ImageSet {
  package let data: ImageData

  package func holdingOut() throws -> LoadedImages {
    try LoadedImages(data: data.holdingOut())
  }
}

extension Workload where Settings: ImageEpochs, Source: ImageSet {
  package static func resolved(_ settings: Settings, _ source: Source) -> Settings {
    var settings = settings
    settings.trainingImages = source.data.training.count
    settings.testImages = source.data.test.count
    return settings
  }

  /// Throws a `ConfigError` for a batch larger than the training images.
  static func checkBatch(_ settings: Settings, _ data: ImageData) throws {
    guard settings.batchSize <= data.training.count else {
      throw ConfigError(
        "setting 'batchSize'",
        "\(data.training.count) training images of \(data.name) are fewer than a batch of \(settings.batchSize)",
        hint: "use a smaller batch or a larger set (\(settings.images.moreImages))")
    }
  }
}

extension Workload where Settings: ImageEpochs, Source == LoadedImages {
  package static func placeholder(_ settings: Settings) -> LoadedImages {
    LoadedImages(data: settings.placeholder)
  }
}
