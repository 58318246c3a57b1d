import Lab
import Storage

/// The settings of an experiment that draws curves, beyond those of its problem.
protocol LanguageCurvesConfig: LanguageConfig {
  var recordEvery: Int { get }
  var clippedSet: ClippedSetVariant { get set }
  var settings: [String] { get set }
}

extension LanguageCurvesConfig {
  func validateCurves() throws {
    try validateProblem()
    guard recordEvery >= 1 else {
      throw ConfigError.value("recordEvery", recordEvery, "a whole number >= 1")
    }
    for line in settings { _ = try MethodSetting<LanguageMethod>(line: line) }
  }

  /// Only the method's own hyper-parameters; which set it clips, its name says.
  package func restricted(to method: String) -> Self {
    var own = self
    own.settings = MethodSetting<LanguageMethod>.lines(of: method, in: settings)
    own.clippedSet = .authors
    return own
  }
}

/// What both language-model experiments do.
protocol LanguageCurves: Experiment where Config: LanguageCurvesConfig {}

extension LanguageCurves {
  /// The reading of the clipped set, hyper-parameters from chosen.yaml, the data's digest.
  package static func resolve(_ config: Config, _ places: Places) throws -> Config {
    var config = try config.identified(places.data)
    config.methods = config.clippedSet.methods(config.methods)
    config.settings = try ChosenHyperparameters<LanguageMethod>.fillTuned(
      config.settings, methods: config.methods, file: places.folder + "/chosen.yaml")
    return config
  }

  package static var keepsWeights: Bool { true }

  package static func work(of unit: Job, _ config: Config) -> Int { config.steps }

  package static func secondsPerStep(
    _ config: Config, _ context: RunContext
  ) throws -> Double {
    try secondsPerLanguageStep(
      config, settings: config.settings, evaluations: 1 / Double(config.recordEvery), context)
  }

  package static func dataName(_ config: Config) -> String { config.dataName }

  package static func run(
    _ unit: Job, _ config: Config, _ context: RunContext
  ) throws -> [Record] {
    let method = try LanguageMethod.named(unit.methods[0], place: "method")
    let run = LanguageRun(
      problem: config.problem, method: method,
      values: try MethodSetting<LanguageMethod>.values(of: method.name, in: config.settings),
      seed: unit.seed, recordEvery: config.recordEvery)
    return [try run.record(try config.load(context.dataFolder), context)]
  }

  package static func table(of set: RecordSet) throws -> Table {
    try LanguageTable.table(of: set)
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    try LanguageTable.captionValues(of: set)
  }
}
