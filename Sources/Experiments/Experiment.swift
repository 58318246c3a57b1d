import Storage
import Training

/// One experiment of the paper: settings in, records out. Everything around it (command line, keys,
/// reuse, workers, telemetry) is `ExperimentRunner`'s.
public protocol Experiment: Sendable {
  /// Its settings.
  associatedtype Config: ExperimentConfig
  /// Its name: of the executable, of `experiments/<name>/` and of `results/<name>/`.
  static var name: String { get }
  /// One sentence for `--help`.
  static var abstract: String { get }
  /// Raised by hand when the meaning of the records changes; old records are then computed anew.
  static var version: Int { get }
  /// The independent pieces that the methods and seeds of `config` fall into.
  static func units(of config: Config) -> [RunUnit]
  /// How many steps of progress a unit takes.
  static func work(of unit: RunUnit, _ config: Config) -> Int
  /// Does a small piece of a unit's real work and returns how many steps it was; the runner times it
  /// for the estimate.
  static func rehearse(_ config: Config) throws -> Int
  /// The data the records rest on, as figures name it: "synthetic data", "tiny Shakespeare", …
  static func dataName(_ config: Config) -> String
  /// Computes the records of a unit, one a method, in the unit's order; times go to their telemetry.
  static func run(_ unit: RunUnit, _ config: Config, _ context: RunContext) throws -> [Record]
  /// The table its figure is drawn from.
  static func table(of set: RecordSet) throws -> String
  /// The numbers its captions mention, by placeholder.
  static func captionValues(of set: RecordSet) throws -> [(String, String)]
  /// What the paper claims of it, with criteria.
  static var claims: [Claim] { get }
}

/// A piece of work that stands alone: one seed, and the methods that must run one after another.
public struct RunUnit: Equatable, Sendable {
  /// The methods, in order.
  public var methods: [String]
  /// The seed.
  public var seed: UInt64

  /// A unit of `methods` at `seed`.
  public init(methods: [String], seed: UInt64) {
    self.methods = methods
    self.seed = seed
  }

  /// A file name for it.
  public var label: String {
    (methods.count == 1 ? methods[0] : "all") + "-seed\(seed)"
  }
}

/// What a run may use of the world around it.
public struct RunContext: Sendable {
  /// Where the run saves its unfinished state, nil for none.
  public var checkpointPath: String?
  /// What the state belongs to.
  public var identity: [String] = []
  /// Seconds between two saves.
  public var checkpointSeconds = 60.0
  /// Threads inside the run.
  public var threads = 1
  /// Called as steps are done.
  public var advance: @Sendable (Int) -> Void = { _ in }
  /// Called before each step with the number of steps done so far; tests throw here to kill a run.
  public var willStep: (@Sendable (Int) throws -> Void)?

  /// A context without checkpoint, progress or interruptions.
  public init() {}

  /// The checkpoint of this run for a state of type `State`.
  func checkpoint<State: Codable>(_ state: State.Type) -> Checkpoint<State>? {
    checkpointPath.map {
      Checkpoint(path: $0, identity: identity, secondsBetween: checkpointSeconds)
    }
  }
}
