import Lab
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
  package static var keepsWeights: Bool { true }

  /// Hyper-parameters from chosen.yaml, the data's name and digest.
  package static func resolve(_ config: ImageConfig, _ places: Places) throws
    -> ImageConfig
  {
    var config = try config.identified(places.data)
    config.settings = try ImageMethod.fillTuned(
      config.settings, methods: config.methods, file: "\(places.folder)/\(chosenFile)")
    return config
  }

  package static func work(of unit: Job, _ config: ImageConfig) -> Int {
    config.epochs * config.problem.stepsPerEpoch(config.trainingImages)
  }

  package static func secondsPerStep(
    _ config: ImageConfig, _ context: RunContext
  ) throws -> Double {
    try secondsPerImageStep(
      config, evaluations: 1 / Double(config.problem.stepsPerEpoch(config.trainingImages)), context
    ) { try MethodSetting<ImageMethod>.values(of: $0.name, in: config.settings) }
  }

  package static func dataName(_ config: ImageConfig) -> String { config.dataName }

  package static func run(
    _ unit: Job, _ config: ImageConfig, _ context: RunContext
  ) throws -> [Record] {
    let method = try ImageMethod.named(unit.methods[0], place: "method")
    let run = ImageRun(
      config: config, method: method,
      values: try MethodSetting<ImageMethod>.values(of: method.name, in: config.settings),
      seed: unit.seed)
    return [try run.record(context)]
  }

  package static func table(of set: RecordSet) throws -> Table { try ImageTable.table(of: set) }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    try ImageTable.captionValues(of: set)
  }
}

/// Seconds a step, the mean over the methods, from a small batch and one update each; `evaluations` is how many evaluations
/// there are to a step.
func secondsPerImageStep(
  _ config: ImageConfig, evaluations: Double, _ context: RunContext,
  values: (ImageMethod) throws -> ImageMethod.Values
) throws -> Double {
  let images = try PreparedImages(config.load(context.dataFolder))
  let pool = WorkerPool(threads: context.threads)
  var problem = config.problem
  (problem.batchSize, problem.parts) = (min(200, problem.batchSize / problem.parts), 1)
  let total = try config.methods.reduce(0.0) { sum, name in
    let method = try ImageMethod.named(name, place: "method")
    let training = try ImageTraining(
      problem, method, values(method), images: images, seed: 0, pool: pool)
    return try sum
      + training.secondsPerStep(
        of: config.batchSize, evaluations: evaluations, testImages: images.data.test.count)
  }
  return total / Double(max(1, config.methods.count))
}
