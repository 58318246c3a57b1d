import Datasets
import Lab

/// Settings of a network that sees its training data epoch by epoch, and is recorded after each.
package protocol EpochSettings: WorkloadSettings {
  /// Epochs.
  var epochs: Int { get set }
  /// Steps of an epoch.
  var stepsPerEpoch: Int { get }
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
  /// Images a step.
  var batchSize: Int { get }
}

extension ImageEpochs {
  /// Steps of an epoch; the incomplete batch at its end is left out.
  package var stepsPerEpoch: Int { trainingImages / batchSize }

  func checkBatch() throws {
    try check(
      "batchSize", batchSize, batchSize <= trainingImages,
      "at most the \(trainingImages) training images")
  }

  /// The images, as many as are used. Throws a `StorageError` for files that are missing or damaged.
  func load(folder: String) throws -> ImageData {
    try ImageData.load(images, folder: folder, batch: batchSize)
      .first(training: trainingImages, test: testImages)
  }

  /// A step's share of an evaluation on the test images, over that of `small` settings.
  func evaluationShare(over small: Self) -> Double {
    Double(testImages) / Double(small.testImages) * Double(small.stepsPerEpoch)
      / Double(max(1, stepsPerEpoch))
  }
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

  package func holdingOut() -> LoadedImages { LoadedImages(data: data.holdingOut()) }
}

extension Workload where Settings: ImageEpochs, Source: ImageSet {
  package static func resolved(_ settings: Settings, _ source: Source) -> Settings {
    var settings = settings
    settings.trainingImages = source.data.training.count
    settings.testImages = source.data.test.count
    return settings
  }

  /// Throws a `ConfigError` for a batch larger than the training images; `larger` says how to get more.
  static func checkBatch(
    _ settings: Settings, _ data: ImageData, larger: String = "make data-cifar gets CIFAR-10"
  ) throws {
    guard settings.batchSize <= data.training.count else {
      throw ConfigError(
        "setting 'batchSize'",
        "\(data.training.count) training images of \(data.name) are fewer than a batch of \(settings.batchSize)",
        hint: "use a smaller batch or a larger set (\(larger))")
    }
  }
}

extension SearchExperiment where Task.Settings: ImageEpochs {
  package static func captionSettings(_ config: Config) -> [(String, String)] {
    epochSettings(config)
  }

  /// What captions say of every network on images.
  static func epochSettings(_ config: Config) -> [(String, String)] {
    let s = config.settings
    return [
      ("epochs", "\(s.epochs)"), ("batchSize", "\(s.batchSize)"),
      ("trainingImages", "\(s.trainingImages)"),
    ]
  }
}
