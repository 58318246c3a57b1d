import Datasets
import Foundation
import LinearAlgebra
import Storage
import Training

/// Table 2: hyper-parameters of cifar10-resnet18's methods, by quasi-random search over the authors' ranges with equal
/// budgets.
public enum CIFAR10Search: SearchExperiment {
  /// Settings; what is not here is as in `ImageConfig`.
  public struct Config: SearchConfig {
    /// The images.
    public var images = ImageData.Source.cifar10
    /// Training images that are used, at most.
    public var trainingImages = 50_000
    /// Test images that are used, at most.
    public var testImages = 10_000
    /// Both networks' widths are the authors' divided by it.
    public var narrowing = 1
    /// Epochs of a trial.
    public var epochs = 8
    /// Images a step.
    public var batchSize = 2000
    /// The loss is the mean over the batch times this.
    public var imagesSummed = 2000
    /// Trials a method; the authors had 100.
    public var trials = 100
    /// Filled in from the data.
    public var dataName = ""
    /// Filled in from the data.
    public var dataDigest = ""
    /// The methods to search for.
    public var methods = ImageMethod.curves.map(\.name)
    /// Seeds of weights and batches (not those of the curves).
    public var seeds: [UInt64] = [1000]

    /// The authors' budget at the paper's size.
    public init() {}

    /// Throws a `ConfigError` for a value outside its range.
    public func validate() throws {
      try curves.validate()
      try validateTrials()
      for name in methods {
        let method = try ImageMethod.named(name, place: "setting 'methods'")
        guard method.tunedAs == name else {
          throw ConfigError(
            "setting 'methods'", "'\(name)' takes the values of \(method.tunedAs)",
            hint: "search for that one")
        }
      }
    }

    var stepsPerTrial: Int { epochs * curves.problem.stepsPerEpoch(trainingImages) }

    /// The settings of a trial.
    var curves: ImageConfig {
      var config = ImageConfig()
      (config.images, config.trainingImages) = (images, trainingImages)
      (config.testImages, config.narrowing) = (testImages, narrowing)
      (config.epochs, config.batchSize) = (epochs, batchSize)
      config.imagesSummed = imagesSummed
      config.methods = methods
      return config
    }
  }

  /// See `Experiment`.
  public static let name = "cifar10-search"
  /// See `Experiment`.
  public static let abstract = "Hyper-parameters of cifar10-resnet18's methods (Table 2)."
  static let command = "cifar10-resnet18 search"
  static let objective = "final_val_error"

  static func objectiveMeaning(_ config: Config) -> String {
    "share of the \(config.testImages) test images told wrong, each in six views"
  }

  /// See `Experiment`.
  public static func complete(_ config: Config, _ places: ExperimentPlaces) throws -> Config {
    var config = config
    let own = try config.curves.identified(places.data)
    (config.dataName, config.dataDigest) = (own.dataName, own.dataDigest)
    (config.trainingImages, config.testImages) = (own.trainingImages, own.testImages)
    return config
  }

  /// See `Experiment`.
  public static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double {
    try secondsPerImageStep(
      config.curves, evaluations: 1 / Double(config.stepsPerTrial), context
    ) { HyperparameterSearch.values($0, at: 0, stream: "rehearsal") }
  }

  /// See `Experiment`.
  public static func dataName(_ config: Config) -> String { config.dataName }

  static func trial(
    of method: ImageMethod, seed: UInt64, _ config: Config, _ context: RunContext
  ) throws -> @Sendable (ImageMethod.Values) throws -> (loss: Double, divergedAt: Int?) {
    let curves = config.curves
    let images = try PreparedImages(curves.load(context.dataFolder))
    let count = images.data.test.count
    return { values in
      let training = try ImageTraining(
        curves.problem, method, values, images: images, seed: seed)
      while training.step < training.steps && training.divergedAt == nil {
        try training.advance()
      }
      guard training.divergedAt == nil else { return (.nan, training.divergedAt) }
      let accuracy = training.validate(curves.finalViews, count: count).accuracy
      return (ImageTable.error(accuracy: accuracy, of: count), nil)
    }
  }

  static func captionSettings(_ config: Config) -> [(String, String)] {
    [
      ("epochs", "\(config.epochs)"), ("batchSize", "\(config.batchSize)"),
      ("narrowing", "\(config.narrowing)"), ("trainingImages", "\(config.trainingImages)"),
      ("testImages", "\(config.testImages)"),
    ]
  }
}
