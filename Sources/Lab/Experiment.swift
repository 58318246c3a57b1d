// SPDX-License-Identifier: Apache-2.0

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
  /// What it is called as one of a program's several experiments.
  static var subcommand: String { get }
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
  /// The same as far as it goes without reading data: what a plan is made from.
  static func planned(_ config: Config, _ places: Places) throws -> Config
  /// How many steps of progress a unit takes.
  static func work(of unit: Job, _ config: Config) -> Int
  /// What a unit can be cut into for several processes: the stages of its `ResultBoard`, in the order of the calls of `map`;
  /// none where it cannot.
  static func stages(of unit: Job, _ config: Config) -> [Stage]
  /// The methods that may be named, with what they are; empty where a name holds numbers and there is no list.
  static var methodTitles: [(name: String, title: String)] { get }
  /// Seconds of a processor that a step of progress takes, from a small piece of the real work, or of something like it, that
  /// reads no data; nil where the checked-in records must tell it (`recordedScale`).
  static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double?
  /// What the time of a method's run is proportional to, for estimates from other records than those of the same settings.
  static func recordedScale(of method: String, _ config: Config) -> Double
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
  /// Its rows of the figure that shows every clipping rule on every workload.
  static var summary: [SummaryRow] { get }
}

extension Experiment {
  /// The settings that the records of `set` were computed with.
  package static func config(of set: RecordSet) throws -> Config {
    guard let record = set.records.first else { return defaults }
    return try defaults.recalled(
      from: record.string(attribute: "config"), place: set.folder)
  }

  /// Most record curves.
  package static var subcommand: String { "curves" }
  /// Many methods are made of their names.
  package static var methodTitles: [(name: String, title: String)] { [] }

  /// Most runs are of one method and one seed.
  package static func jobs(of config: Config) -> [Job] {
    config.seeds.flatMap { seed in config.methods.map { Job(methods: [$0], seed: seed) } }
  }
  /// Most units run on one thread.
  package static var parallelWithinJob: Bool { false }
  /// And in one piece.
  package static func stages(of unit: Job, _ config: Config) -> [Stage] { [] }
  /// Most train nothing that is of further use.
  package static var keepsWeights: Bool { false }
  /// Most have many independent pieces.
  package static var ranksRefusal: String? {
    "has many independent pieces, for --jobs, and no gradient to share"
  }
  /// Most compare no rules that other experiments compare too.
  package static var summary: [SummaryRow] { [] }
  /// Most records stand alone.
  package static func sideFiles(of set: RecordSet) throws -> [(name: String, text: String)] { [] }
  /// Most plans are what the configuration says.
  package static func planned(_ config: Config, _ places: Places) throws -> Config { config }
  /// Most runs take time by their steps.
  package static func recordedScale(of method: String, _ config: Config) -> Double {
    Double(work(of: Job(methods: [method], seed: config.seeds.first ?? 1), config))
  }
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

/// The processor time of `body`, which does a number of steps and returns how many, for one of them.
package func timePerStep(_ body: () throws -> Int) rethrows -> Double {
  let start = ProcessorTime.seconds
  let steps = try body()
  return (ProcessorTime.seconds - start) / Double(max(1, steps))
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

  /// Where the processes that share it leave their results, in the folder of its records.
  func piecesFolder(in folder: String) -> String { "\(folder)/\(label).pieces" }
}

/// Results of a unit that do not wait for each other, but for those of the stages before.
package struct Stage: Equatable, Sendable {
  /// How many.
  package var results: Int
  /// How many of them one process had better compute.
  package var block: Int
  /// Steps of progress that one takes.
  package var work: Int

  /// A stage of `results`.
  package init(results: Int, block: Int = 1, work: Int) {
    (self.results, self.block, self.work) = (results, block, work)
  }
}

/// A part of a unit that a process of its own computes.
package struct Share: Equatable, Sendable {
  /// The stage, from 0.
  package var stage: Int
  /// Which block of its results, from 0; results of a stage that come to be fewer leave the last blocks empty.
  package var block: Int
  /// Results in a block.
  package var size: Int

  /// The file of its results, in the folder of its unit's pieces.
  var fileName: String { "stage\(stage)-block\(block)-of-\(size).piece" }

  /// Thrown where the share is done, since the unit is not.
  struct Done: Error {}
}

/// What a run may use of the world around it.
package struct RunContext: Sendable {
  /// Where the run saves its unfinished state, nil for none.
  package var checkpointPath: String?
  /// A folder in which processes that share a unit leave their results, and what else the unit's own state is, nil for none.
  package var piecesFolder: String?
  /// The only part of the unit to compute, nil for all of it.
  package var share: Share?
  /// Whether nothing is to be computed but what is left when all results are there.
  package var onlyGathers = false
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
    checkpointPath.map { checkpoint(state, at: $0) }
  }

  /// Where the process that computes a share keeps the state of one result, by name; nil outside a share.
  package func pieceCheckpoint<State: Codable>(
    _ state: State.Type, _ name: String
  ) -> Checkpoint<State>? {
    guard share != nil else { return nil }
    return piecesFolder.map { checkpoint(state, at: "\($0)/\(name).state") }
  }

  private func checkpoint<State: Codable>(
    _ state: State.Type, at path: String
  ) -> Checkpoint<State> {
    Checkpoint(
      path: path, identity: identity, secondsBetween: checkpointSeconds, ranks: ranks,
      warn: note)
  }

  /// What is known already of the results of a unit, of this process and of others.
  fileprivate func known<Result: Codable>(_ count: Int) throws -> [Result?] {
    var files = checkpointPath.map { [$0] } ?? []
    if let folder = piecesFolder {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      files += names.filter { $0.hasSuffix(".piece") }.sorted().map { "\(folder)/\($0)" }
    }
    var results = [Result?](repeating: nil, count: count)
    for file in files {
      guard let saved = try checkpoint([Result?].self, at: file).load(), saved.count == count
      else { continue }
      for (index, result) in saved.enumerated() where result != nil { results[index] = result }
    }
    return results
  }

  /// Where the results of this process go.
  fileprivate func boardCheckpoint<Result: Codable>(
    _ result: Result.Type
  ) -> Checkpoint<[Result?]>? {
    guard let share, let piecesFolder else { return checkpoint([Result?].self) }
    return checkpoint([Result?].self, at: "\(piecesFolder)/\(share.fileName)")
  }
}

/// Independent results as they come in; what is finished survives a kill through the checkpoint.
package final class ResultBoard<Result: Codable & Sendable>: @unchecked Sendable {
  private let lock = NSLock()
  private let context: RunContext
  private var results: [Result?]
  private var checkpoint: Checkpoint<[Result?]>?
  private var stage = -1

  /// Takes over what an earlier process finished.
  init(count: Int, _ context: RunContext) throws {
    self.context = context
    results = try context.known(count)
    checkpoint = context.boardCheckpoint(Result.self)
  }

  /// The results `range`: those that are missing are computed, `threads` at a time, in any order; `progress` says how
  /// many steps one was.
  ///
  /// In a process that computes a share, throws `Share.Done` when that is saved, and a `StorageError` if an earlier stage has
  /// not all its results.
  package func map(
    _ range: Range<Int>, progress: (Int) -> Int, _ body: @escaping @Sendable (Int) throws -> Result
  ) throws -> [Result] {
    stage += 1
    let unknown = lock.withLock { range.filter { results[$0] == nil } }
    let steps = range.map(progress)
    context.advance(
      steps.reduce(0, +) - unknown.reduce(0) { $0 + steps[$1 - range.lowerBound] })
    let isShared = context.share?.stage == stage
    let missing = unknown.filter { index in
      guard let share = context.share, isShared else { return true }
      return (index - range.lowerBound) / share.size == share.block
    }
    if context.share != nil || context.onlyGathers, !isShared, !missing.isEmpty {
      throw StorageError(
        "stage \(stage) has \(range.count - missing.count) of its \(range.count) results",
        at: context.piecesFolder ?? "a shared run",
        hint: "spectral jobs says why; the command that submitted it submits what is missing")
    }
    do {
      try runSideBySide(count: missing.count, jobs: context.threads) { [context] index in
        try context.willStep?(missing[index])
        let result = try body(missing[index])
        try self.put(result, at: missing[index])
        context.advance(steps[missing[index] - range.lowerBound])
      }
    } catch let ended as Interruption.Ended {
      // A result that was given up in its middle saved nothing; those beside it are kept.
      try lock.withLock { try checkpoint?.save(results) }
      throw ended
    }
    if isShared {
      try lock.withLock { try checkpoint?.save(results) }
      throw Share.Done()
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
