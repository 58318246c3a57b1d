import Foundation
import Storage
import Training

/// One experiment of the paper: settings in, records out. Everything around it (command line, keys,
/// reuse, workers, telemetry) is `Runner`'s.
package protocol Experiment: Sendable {
  /// Its settings.
  associatedtype Config: ExperimentConfig
  /// The paper's own settings.
  static var defaults: Config { get }
  /// Its name: of the executable, of `experiments/<name>/` and of `results/<name>/`.
  static var name: String { get }
  /// One sentence for `--help`.
  static var abstract: String { get }
  /// Raised by hand when the meaning of the records changes; old records are then computed anew.
  static var version: Int { get }
  /// The independent pieces that the methods and seeds of `config` fall into.
  static func jobs(of config: Config) -> [Job]
  /// Whether a unit cuts itself into pieces that run side by side (`--threads` is then all cores and
  /// `--jobs` 1, unless told otherwise).
  static var parallelWithinJob: Bool { get }
  /// Whether a run can leave the weights it trained (`RunContext.weightsPath`).
  static var keepsWeights: Bool { get }
  /// Why its runs cannot be shared out over the ranks of mpirun, in words that follow its name; nil if they can.
  static var ranksRefusal: String? { get }
  /// Fills in what the configuration leaves to other files, and what identifies the data.
  static func resolve(_ config: Config, _ places: Places) throws -> Config
  /// How many steps of progress a unit takes.
  static func work(of unit: Job, _ config: Config) -> Int
  /// The methods that may be named, with what they are; empty where a name holds numbers and there is no list.
  static var methodTitles: [(name: String, title: String)] { get }
  /// Seconds that a step of progress takes on one worker, from a small piece of the real work.
  static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double
  /// The data the records rest on, as figures name it: "synthetic data", "tiny Shakespeare", …
  static func dataName(_ config: Config) -> String
  /// Computes the records of a unit, one a method, in the unit's order; times go to their telemetry.
  static func run(_ unit: Job, _ config: Config, _ context: RunContext) throws -> [Record]
  /// Files made from the records that go beside them, by name.
  static func sideFiles(of set: RecordSet) throws -> [(name: String, text: String)]
  /// The table its figure is drawn from.
  static func table(of set: RecordSet) throws -> Table
  /// The numbers its captions mention, by placeholder.
  static func captionValues(of set: RecordSet) throws -> [(String, String)]
  /// What the paper claims of it, with criteria.
  static var claims: [Claim] { get }
}

extension Experiment {
  /// The settings that the records of `set` were computed with.
  package static func config(of set: RecordSet) throws -> Config {
    guard let record = set.records.first else { return defaults }
    return try defaults.recalled(
      from: record.string(attribute: "config"), place: set.folder)
  }

  /// Many methods are made of their names.
  package static var methodTitles: [(name: String, title: String)] { [] }

  /// Most runs are of one method and one seed.
  package static func jobs(of config: Config) -> [Job] {
    config.seeds.flatMap { seed in config.methods.map { Job(methods: [$0], seed: seed) } }
  }
  /// Most units run on one thread.
  package static var parallelWithinJob: Bool { false }
  /// Most train nothing that is of further use.
  package static var keepsWeights: Bool { false }
  /// Most have many independent pieces.
  package static var ranksRefusal: String? {
    "has many independent pieces, for --jobs, and no gradient to share"
  }
  /// Most records stand alone.
  package static func sideFiles(of set: RecordSet) throws -> [(name: String, text: String)] { [] }
  /// Most configurations are complete.
  package static func resolve(_ config: Config, _ places: Places) throws -> Config {
    config
  }
}

/// Where a configuration finds what it does not say itself.
package struct Places: Sendable {
  /// The experiment's own folder, experiments/<name>.
  package var folder: String
  /// The profile.
  package var profile: String
  /// Data sets.
  package var data: String
  /// Fresh records of all experiments, and weights that some of them keep.
  package var results: String

  /// Places as given.
  package init(folder: String, profile: String, data: String, results: String) {
    (self.folder, self.profile, self.data, self.results) = (folder, profile, data, results)
  }
}

/// The time of `body`, which does a number of steps and returns how many, for one of them.
package func timePerStep(_ body: () throws -> Int) rethrows -> Double {
  let watch = Stopwatch()
  let steps = try body()
  return watch.seconds / Double(max(1, steps))
}

/// A piece of work that stands alone: one seed, and the methods that must run one after another.
package struct Job: Equatable, Sendable {
  /// The methods, in order.
  package var methods: [String]
  /// The seed.
  package var seed: UInt64

  /// A unit of `methods` at `seed`.
  package init(methods: [String], seed: UInt64) {
    self.methods = methods
    self.seed = seed
  }

  /// A file name for it.
  package var label: String {
    (methods.count == 1 ? methods[0] : "all") + "-seed\(seed)"
  }
}

/// What a run may use of the world around it.
package struct RunContext: Sendable {
  /// Where the run saves its unfinished state, nil for none.
  package var checkpointPath: String?
  /// Where the run is to leave the weights it trained, nil for nowhere.
  package var weightsPath: String?
  /// What the state belongs to.
  package var identity: [String] = []
  /// Seconds between two saves.
  package var checkpointSeconds = 60.0
  /// Threads inside the run.
  package var threads = 1
  /// The processes that share the run.
  package var ranks: any Ranks = SingleRank()
  /// Where data sets lie.
  package var dataFolder = "data"
  /// Where warnings go.
  package var note: @Sendable (String) -> Void = { _ in }
  /// Called as steps are done, with what there is to say of the run.
  package var progress: @Sendable (Int, () -> String) -> Void = { _, _ in }
  /// Called before each step with the number of steps done so far; tests throw here to kill a run.
  package var willStep: (@Sendable (Int) throws -> Void)?

  /// A context without checkpoint, progress or interruptions.
  package init() {}

  /// `units` more steps are done; `status` is asked for only where it is shown.
  package func advance(_ units: Int, status: @autoclosure () -> String = "") {
    progress(units, status)
  }

  /// Computes `count` independent results, `threads` of them at a time, in any order.
  ///
  /// What is finished survives a kill through the checkpoint; `progress` says how many steps a result was.
  package func parallelMap<Result: Codable & Sendable>(
    _ count: Int, progress: Int, _ body: @escaping @Sendable (Int) throws -> Result
  ) throws -> [Result] {
    try board(Result.self, count: count).map(0..<count, progress: { _ in progress }, body)
  }

  /// A board for `count` results that are computed in stages, each when those before it are known.
  package func board<Result: Codable & Sendable>(
    _ type: Result.Type, count: Int
  ) throws -> ResultBoard<Result> {
    try ResultBoard(count: count, self)
  }

  /// The checkpoint of this run for a state of type `State`.
  package func checkpoint<State: Codable>(_ state: State.Type) -> Checkpoint<State>? {
    checkpointPath.map {
      Checkpoint(
        path: $0, identity: identity, secondsBetween: checkpointSeconds, ranks: ranks, warn: note)
    }
  }
}

/// Independent results as they come in; what is finished survives a kill through the checkpoint.
package final class ResultBoard<Result: Codable & Sendable>: @unchecked Sendable {
  private let lock = NSLock()
  private let context: RunContext
  private var results: [Result?]
  private var checkpoint: Checkpoint<[Result?]>?

  /// Takes over what an earlier process finished.
  init(count: Int, _ context: RunContext) throws {
    self.context = context
    results = Array(repeating: nil, count: count)
    checkpoint = context.checkpoint([Result?].self)
    if let saved = try checkpoint?.load(), saved.count == count { results = saved }
  }

  /// The results `range`: those that are missing are computed, `threads` at a time, in any order; `progress` says how
  /// many steps one was.
  package func map(
    _ range: Range<Int>, progress: (Int) -> Int, _ body: @escaping @Sendable (Int) throws -> Result
  ) throws -> [Result] {
    let missing = lock.withLock { range.filter { results[$0] == nil } }
    let steps = range.map(progress)
    context.advance(
      steps.reduce(0, +) - missing.reduce(0) { $0 + steps[$1 - range.lowerBound] })
    try runSideBySide(count: missing.count, jobs: context.threads) { [context] index in
      try context.willStep?(missing[index])
      let result = try body(missing[index])
      try self.put(result, at: missing[index])
      context.advance(steps[missing[index] - range.lowerBound])
    }
    return lock.withLock { range.compactMap { results[$0] } }
  }

  private func put(_ result: Result, at index: Int) throws {
    try lock.withLock {
      results[index] = result
      if checkpoint?.isDue ?? false { try checkpoint?.save(results) }
    }
  }
}
