import Lab
import Datasets
import Foundation
import LinearAlgebra
import Storage
import Training

/// Table 2: hyper-parameters of cifar10-resnet18's methods, by quasi-random search over the authors' ranges with equal
/// budgets.
package enum CIFAR10Search: SearchExperiment {
  /// Settings; what is not here is as in `ImageConfig`.
  package struct Config: SearchConfig {
    /// The images.
    package var images = ImageData.Source.cifar10
    /// Training images that are used, at most.
    package var trainingImages = 50_000
    /// Test images that are used, at most.
    package var testImages = 10_000
    /// Both networks' widths are the authors' divided by it.
    package var narrowing = 1
    /// Epochs of a trial.
    package var epochs = 8
    /// Images a step.
    package var batchSize = 2000
    /// The loss is the mean over the batch times this.
    package var imagesSummed = 2000
    /// Trials a method; the authors had 100.
    package var trials = 100
    /// Filled in from the data.
    package var dataName = ""
    /// Filled in from the data.
    package var dataDigest = ""
    /// The methods to search for.
    package var methods = ImageMethod.curves.map(\.name)
    /// Seeds of weights and batches (not those of the curves).
    package var seeds: [UInt64] = [1000]

    /// The authors' budget at the paper's size.
    package init() {}

    /// Throws a `ConfigError` for a value outside its range.
    package func validate() throws {
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

    package var stepsPerTrial: Int { epochs * curves.problem.stepsPerEpoch(trainingImages) }

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

  package static let name = "cifar10-search"
  package static let abstract = "Hyper-parameters of cifar10-resnet18's methods (Table 2)."
  package static let command = "cifar10-resnet18 search"
  package static let objective = "final_val_error"
  package static let objectiveTitle = "error on the test images"

  package static func objectiveMeaning(_ config: Config) -> String {
    "share of the \(config.testImages) test images told wrong, each in six views"
  }

  package static func resolve(_ config: Config, _ places: Places) throws -> Config {
    var config = config
    let own = try config.curves.identified(places.data)
    (config.dataName, config.dataDigest) = (own.dataName, own.dataDigest)
    (config.trainingImages, config.testImages) = (own.trainingImages, own.testImages)
    return config
  }

  package static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double {
    try secondsPerImageStep(
      config.curves, evaluations: 1 / Double(config.stepsPerTrial), context
    ) { HyperparameterSearch.values($0, at: 0, stream: "rehearsal") }
  }

  package static func dataName(_ config: Config) -> String { config.dataName }

  package static func trial(
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

  package static func captionSettings(_ config: Config) -> [(String, String)] {
    [
      ("epochs", "\(config.epochs)"), ("batchSize", "\(config.batchSize)"),
      ("narrowing", "\(config.narrowing)"), ("trainingImages", "\(config.trainingImages)"),
      ("testImages", "\(config.testImages)"),
    ]
  }
}
