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
  /// Whether a job cuts itself into pieces that run side by side (`--threads` is then all cores and
  /// `--jobs` 1, unless told otherwise).
  static var parallelWithinJob: Bool { get }
  /// Whether a run can leave the weights it trained (`RunContext.weightsPath`).
  static var keepsWeights: Bool { get }
  /// Why its runs cannot be shared out over the ranks of mpirun, in words that follow its name; nil if they can.
  static var ranksRefusal: String? { get }
  /// Fills in what the configuration leaves to other files, and what identifies the data.
  static func resolve(_ config: Config, _ folders: RunFolders) throws -> Config
  /// The same as far as it goes without reading data: what a plan is made from.
  static func planned(_ config: Config, _ folders: RunFolders) throws -> Config
  /// How many steps of progress a job takes.
  static func work(of job: Job, _ config: Config) -> Int
  /// What a job can be cut into for several processes: the stages of its `ResultBoard`, in the order of the calls of `map`;
  /// none where it cannot.
  static func stages(of job: Job, _ config: Config) -> [Stage]
  /// The methods that may be named, with what they are; empty where a name holds numbers and there is no list.
  static var methodTitles: [(name: String, title: String)] { get }
  /// Seconds of a processor that a step of progress takes, from a small piece of the real work, or of something like it, that
  /// reads no data; nil where the checked-in records must tell it (`recordedScale`).
  static func secondsPerStep(_ config: Config, _ context: RunContext) throws -> Double?
  /// What the time of a method's run is proportional to, for estimates from other records than those of the same settings.
  static func recordedScale(of method: String, _ config: Config) -> Double
  /// The data the records rest on, as figures name it: "synthetic data", "tiny Shakespeare", …
  static func dataName(_ config: Config) -> String
  /// Computes the records of a job, one a method, in the job's order; times go to their telemetry.
  static func run(_ job: Job, _ config: Config, _ context: RunContext) throws -> [Record]
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
  /// Most jobs run on one thread.
  package static var parallelWithinJob: Bool { false }
  /// And in one piece.
  package static func stages(of job: Job, _ config: Config) -> [Stage] { [] }
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
  package static func planned(_ config: Config, _ folders: RunFolders) throws -> Config { config }
  /// Most runs take time by their steps.
  package static func recordedScale(of method: String, _ config: Config) -> Double {
    Double(work(of: Job(methods: [method], seed: config.seeds.first ?? 1), config))
  }
  /// Most configurations are complete.
  package static func resolve(_ config: Config, _ folders: RunFolders) throws -> Config {
    config
  }
}

/// The folders of one run, as its command line gave them or `Paths` found them: where a configuration finds what it does not say
/// itself.
package struct RunFolders: Sendable {
  /// The experiment's own folder, experiments/<name>.
  package var folder: String
  /// The profile.
  package var profile: String
  /// Data sets.
  package var data: String
  /// Fresh records of all experiments, and weights that some of them keep.
  package var results: String

  /// Folders as given.
  package init(folder: String, profile: String, data: String, results: String) {
    (self.folder, self.profile, self.data, self.results) = (folder, profile, data, results)
  }

  /// What the search of `experiment` chose.
  package func tuned(by experiment: String) -> String { "\(folder)/../\(experiment)/tuned.yaml" }
}

/// The processor time of `body`, which does a number of steps and returns how many, for one of them.
package func timePerStep(_ body: () throws -> Int) rethrows -> Double {
  let start = ProcessorTime.seconds
  let steps = try body()
  return (ProcessorTime.seconds - start) / Double(max(1, steps))
}
