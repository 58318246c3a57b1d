import Datasets
import Foundation
import LinearAlgebra
import Storage

/// What the experiments of Figs 2a and 5b share.
protocol ImageExperiment: Experiment where Config == ImageConfig {
  /// Where chosen.yaml is, beside the experiment's own folder.
  static var chosenFile: String { get }
}

extension ImageExperiment {
  static var chosenFile: String { "../\(CIFAR10ResNet18.name)/chosen.yaml" }
  /// See `Experiment`.
  public static var keepsWeights: Bool { true }

  /// See `Experiment`: hyper-parameters from chosen.yaml, the data's name and digest.
  public static func complete(_ config: ImageConfig, _ places: ExperimentPlaces) throws
    -> ImageConfig
  {
    var config = try config.identified(places.data)
    config.settings = try ImageMethod.complete(
      config.settings, methods: config.methods, file: "\(places.folder)/\(chosenFile)")
    return config
  }

  /// See `Experiment`.
  public static func work(of unit: RunUnit, _ config: ImageConfig) -> Int {
    config.epochs * config.problem.stepsPerEpoch(config.trainingImages)
  }

  /// See `Experiment`.
  public static func secondsPerStep(
    _ config: ImageConfig, _ context: RunContext
  ) throws -> Double {
    let images = try PreparedImages(config.load(context.dataFolder))
    let pool = WorkerPool(threads: context.threads)
    let perEpoch = config.problem.stepsPerEpoch(images.data.training.count)
    var total = 0.0
    for name in config.methods {
      let training = try ImageTraining(
        config.problem, ImageMethod.named(name, place: "method"),
        MethodSetting<ImageMethod>.values(of: name, in: config.settings), images: images, seed: 0,
        pool: pool)
      total += try training.secondsPerStep(
        evaluations: 1 / Double(perEpoch), testImages: images.data.test.count)
    }
    return total / Double(max(1, config.methods.count))
  }

  /// See `Experiment`.
  public static func dataName(_ config: ImageConfig) -> String { config.dataName }

  /// See `Experiment`.
  public static func run(
    _ unit: RunUnit, _ config: ImageConfig, _ context: RunContext
  ) throws -> [Record] {
    let method = try ImageMethod.named(unit.methods[0], place: "method")
    let run = ImageRun(
      config: config, method: method,
      values: try MethodSetting<ImageMethod>.values(of: method.name, in: config.settings),
      seed: unit.seed)
    return [try run.record(context)]
  }

  /// See `Experiment`.
  public static func table(of set: RecordSet) throws -> String { try ImageTable.text(of: set) }

  /// See `Experiment`.
  public static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    try ImageTable.captionValues(of: set)
  }
}
