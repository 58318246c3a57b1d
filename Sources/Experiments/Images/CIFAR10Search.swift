import Datasets
import Foundation
import LinearAlgebra
import Storage
import Training

/// Table 2: hyper-parameters of cifar10-resnet18's methods, by quasi-random search over the authors' ranges with equal
/// budgets.
public enum CIFAR10Search: Experiment {
  /// Settings; what is not here is as in `ImageConfig`.
  public struct Config: ExperimentConfig {
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
      guard trials >= 1 else { throw ConfigError.value("trials", trials, "a whole number >= 1") }
      for name in methods {
        let method = try ImageMethod.named(name, place: "setting 'methods'")
        guard method.tunedAs == name else {
          throw ConfigError(
            "setting 'methods'", "'\(name)' takes the values of \(method.tunedAs)",
            hint: "search for that one")
        }
      }
    }

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

  private typealias Search = HyperparameterSearch<ImageMethod>
  private static let objective = "final_val_error"

  /// See `Experiment`.
  public static let name = "cifar10-search"
  /// See `Experiment`.
  public static let abstract = "Hyper-parameters of cifar10-resnet18's methods (Table 2)."
  /// See `Experiment`.
  public static let version = 1
  /// See `Experiment`: trials run side by side.
  public static let sharesOutUnits = true
  /// See `Experiment`: the paper's numbers are not in its text, so there is nothing to compare with.
  public static let claims: [Claim] = []

  /// See `Experiment`.
  public static func complete(_ config: Config, _ places: ExperimentPlaces) throws -> Config {
    var config = config
    let own = try config.curves.identified(places.data)
    (config.dataName, config.dataDigest) = (own.dataName, own.dataDigest)
    (config.trainingImages, config.testImages) = (own.trainingImages, own.testImages)
    return config
  }

  /// See `Experiment`.
  public static func units(of config: Config) -> [RunUnit] {
    config.seeds.flatMap { seed in config.methods.map { RunUnit(methods: [$0], seed: seed) } }
  }

  private static func steps(_ config: Config) -> Int {
    config.epochs * config.curves.problem.stepsPerEpoch(config.trainingImages)
  }

  /// See `Experiment`.
  public static func work(of unit: RunUnit, _ config: Config) -> Int {
    config.trials * steps(config)
  }

  /// See `Experiment`.
  public static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double {
    let images = try PreparedImages(config.curves.load(context.dataFolder))
    let total = try config.methods.reduce(0.0) { sum, name in
      let method = try ImageMethod.named(name, place: "method")
      let training = try ImageTraining(
        config.curves.problem, method, Search.values(method, at: 0, stream: "rehearsal"),
        images: images, seed: 0)
      return try sum
        + training.secondsPerStep(
          evaluations: 1 / Double(steps(config)), testImages: images.data.test.count)
    }
    return total / Double(max(1, config.methods.count))
  }

  /// See `Experiment`.
  public static func dataName(_ config: Config) -> String { config.dataName }

  /// See `Experiment`.
  public static func run(
    _ unit: RunUnit, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let method = try ImageMethod.named(unit.methods[0], place: "method")
    let curves = config.curves
    let images = try PreparedImages(curves.load(context.dataFolder))
    let trials = try context.cells(config.trials, progress: steps(config)) { index in
      let watch = Stopwatch()
      let training = try ImageTraining(
        curves.problem, method, Search.values(method, at: index, stream: name), images: images,
        seed: unit.seed)
      while training.step < training.steps && training.divergedAt == nil {
        try training.advance()
      }
      let error =
        training.divergedAt == nil
        ? ImageTable.error(
          accuracy: training.validate(curves.finalViews, count: images.data.test.count).accuracy,
          of: images.data.test.count)
        : .nan
      return Search.Trial(
        loss: error, divergedAt: training.divergedAt ?? -1, seconds: watch.seconds)
    }
    return [
      Search.record(
        method, trials, stream: name, objective: objective,
        longName: "share of the \(images.data.test.count) test images told wrong, each in six views"
      )
    ]
  }

  /// See `Experiment`: the winners as chosen.yaml.
  public static func companions(of set: RecordSet) throws -> [(name: String, text: String)] {
    [
      (
        "chosen.yaml",
        try Search.chosen(of: set, objective: objective, command: "cifar10-resnet18 search")
      )
    ]
  }

  /// See `Experiment`.
  public static func table(of set: RecordSet) throws -> String {
    try Search.table(of: set, objective: objective)
  }

  /// See `Experiment`.
  public static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let text = try set.records[0].string(attribute: "config")
    let config = try Config.decode(yaml: text, file: set.folder, overrides: [])
    return try Search.captionValues(of: set) + [
      ("epochs", "\(config.epochs)"), ("batchSize", "\(config.batchSize)"),
      ("narrowing", "\(config.narrowing)"), ("trainingImages", "\(config.trainingImages)"),
      ("testImages", "\(config.testImages)"),
    ]
  }
}
