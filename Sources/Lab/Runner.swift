// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Synchronization
import Training

/// Takes an experiment from settings to records: expands the runs, reuses valid records by key, works
/// off the rest side by side, and writes each record the moment it is finished.
package struct Runner<E: Experiment>: Sendable {
  /// The settings, `methods` being everything that a job must run.
  package let config: E.Config
  /// The methods whose records are wanted.
  package let wanted: [String]
  /// The profile, for the record and its folder.
  package let profile: String
  /// Settings that differ from the profile's, as "key=value", for the folder's name.
  package let overrides: [String]
  /// Records go to `results`/<experiment>/<profile>/.
  package let results: String
  /// Where data sets lie.
  private let data: DataFolder
  /// What the records say about process and machine.
  package let telemetry: Telemetry
  /// Seconds between two checkpoints of a run.
  package let checkpointSeconds: Double
  /// Whether runs leave their weights beside their records; a record without them is computed anew.
  package let keepWeights: Bool
  /// The processes that share each run; the first of them does all that is said here, the others compute with it.
  package let ranks: any Ranks

  /// A runner for `config`; `wanted` nil means all its methods.
  package init(
    config: E.Config, wanted: [String]? = nil, profile: String, overrides: [String] = [],
    results: String, dataFolder: String = "data", telemetry: Telemetry,
    checkpointSeconds: Double = 60, keepWeights: Bool = false, ranks: any Ranks = SingleRank()
  ) {
    self.ranks = ranks
    self.keepWeights = keepWeights
    data = DataFolder(dataFolder)
    self.config = config
    self.wanted = wanted ?? config.methods
    self.profile = profile
    self.overrides = overrides
    self.results = results
    self.telemetry = telemetry
    self.checkpointSeconds = checkpointSeconds
  }

  /// Where the records go: the profile's folder, or one of its own for changed settings.
  package var folder: String {
    var variant = overrides.sorted().map { "+" + $0.filter { $0 != "/" && $0 != " " } }.joined()
    // No file system takes more than 255 bytes.
    if variant.utf8.count > 150 {
      let hash = Checksum.fnv1a(Data(variant.utf8))
      variant = "+\(overrides.count)-settings-\(String(hash, radix: 16))"
    }
    return "\(results)/\(E.name)/\(profile)\(variant)"
  }

  /// The jobs with at least one wanted method, cut off behind the last of them.
  package var jobs: [Job] {
    E.jobs(of: config).compactMap { job in
      guard let last = job.methods.lastIndex(where: wanted.contains) else { return nil }
      return Job(methods: Array(job.methods[...last]), seed: job.seed)
    }
  }

  /// The record file of a method and seed.
  package func path(_ method: String, _ seed: UInt64) -> String {
    "\(folder)/\(method)-seed\(seed).h5"
  }

  /// Where the weights of a method and seed go, if they are kept.
  package func weightsPath(_ method: String, _ seed: UInt64) -> String {
    "\(folder)/\(method)-seed\(seed).safetensors"
  }

  /// What determines a record: experiment, version, settings, method, seed.
  private static func identity(
    of config: E.Config, _ method: String, _ seed: UInt64
  ) throws -> [String] {
    let settings = try config.restricted(to: method).lines.filter {
      !$0.hasPrefix("methods = ") && !$0.hasPrefix("seeds = ")
    }
    return ["experiment = \(E.name)", "version = \(E.version)"] + settings
      + ["method = \(method)", "seed = \(seed)"]
  }

  /// Digest of `identity`: a record with this key need not be computed again.
  package func key(_ method: String, _ seed: UInt64) throws -> String {
    try Self.key(of: config, method, seed)
  }

  /// The same for any settings.
  package static func key(
    of config: E.Config, _ method: String, _ seed: UInt64
  ) throws -> String {
    // Where methods share a generator, those before this one are part of what determines it.
    let job = E.jobs(of: config).first { $0.seed == seed && $0.methods.contains(method) }
    let before = job?.methods.prefix { $0 != method } ?? []
    return try Digest.sha256(
      of: (identity(of: config, method, seed) + ["after = \(before.joined(separator: " "))"])
        .joined(separator: "\n"))
  }

  /// Seconds that all jobs will take on processors with nothing else to do, from a small piece of the real work, else from the
  /// records in the folder `records`; nil where neither tells.
  package func estimatedSeconds(records: String) throws -> Double? {
    var context = RunContext()
    context.data = data
    var rehearsed = config
    rehearsed.methods = config.methods.filter { method in
      jobs.contains { $0.methods.contains(method) }
    }
    let workers = Double(max(1, min(telemetry.jobs, jobs.count)) * telemetry.threads)
    if let perStep = try E.secondsPerStep(rehearsed, context) {
      return perStep * Double(jobs.reduce(0) { $0 + E.work(of: $1, config) }) / workers
    }
    return E.recordedSeconds(of: rehearsed, in: records).map { $0 / workers }
  }

  /// What became of the records.
  package struct Outcome: Sendable, Equatable {
    /// Records computed now.
    package var computed = 0
    /// Records found valid.
    package var reused = 0
  }

  /// Runs what is missing. Every finished record stays whatever happens to the others.
  ///
  /// With `onlyGathers` nothing is trained: records are made of what elements left, and a `StorageError` says what is missing.
  package func run(
    progress: ProgressLine? = nil, onlyGathers: Bool = false,
    willStep: (@Sendable (Job, Int) throws -> Void)? = nil
  ) throws -> Outcome {
    guard ranks.rank == 0 else { return try follow() }
    try FileManager.default.createDirectoryOrExplain(folder)
    let (journal, _) = try Journal.open(resuming: journalPath)
    defer { journal.release() }
    try removeLeftovers()  // the journal's lock says that nobody else writes here
    let jobs = jobs
    try checkPlaces(of: jobs)
    if onlyGathers { try checkThatAllIsThere(jobs) }
    let outcome = Mutex(Outcome())
    try runSideBySide(count: jobs.count, jobs: telemetry.jobs) { index in
      try work(
        off: jobs[index], journal, outcome, progress, onlyGathers: onlyGathers, willStep: willStep)
    }
    try journal.sync()
    try checkThatAllStayed(jobs)
    return outcome.withLock { $0 }
  }

  /// The journal of whoever has the folder to himself.
  var journalPath: String { "\(folder)/journal.log" }

  /// Computes one job, or a share of it, beside other processes that compute others; `journal` is this process's own.
  func run(
    _ job: Job, share: Share?, journal: Journal, progress: ProgressLine? = nil,
    willStep: (@Sendable (Job, Int) throws -> Void)? = nil
  ) throws {
    try checkPlaces(of: [job])
    let journals = try Journal.Share(of: journalPath)
    try withExtendedLifetime(journals) {
      try work(off: job, journal, Mutex(Outcome()), progress, share: share, willStep: willStep)
    }
  }

  /// Throws a `StorageError` where a record could not be written in the end, because something else has its name.
  private func checkPlaces(of jobs: [Job]) throws {
    for file in jobs.flatMap({ job in job.methods.map { path($0, job.seed) } }) {
      var status = stat()
      guard stat(file, &status) == 0, status.st_mode & S_IFMT != S_IFREG else { continue }
      throw StorageError("is no file, and a record would go there", at: file, hint: "move it away")
    }
  }

  /// A job that is not shared out is whole or missing.
  private func checkThatAllIsThere(_ jobs: [Job]) throws {
    let missing = try jobs.filter { E.stages(of: $0, config).isEmpty }.flatMap { job in
      try job.methods.filter { try wanted.contains($0) && !isValid($0, job.seed, nil) }
        .map { "\($0) seed \(job.seed)" }
    }
    if let first = missing.first {
      throw StorageError(
        "\(missing.count) record\(missing.count == 1 ? " is" : "s are") missing, the first \(first)",
        at: folder,
        hint: "spectral jobs says why; the command that submitted them submits what is missing")
    }
  }

  /// The folder may have been moved or emptied meanwhile.
  private func checkThatAllStayed(_ jobs: [Job]) throws {
    let files = jobs.flatMap { job in job.methods.filter(wanted.contains).map { path($0, job.seed) }
    }
    guard let gone = files.first(where: { !FileManager.default.fileExists(atPath: $0) }) else {
      return
    }
    throw StorageError(
      "was written and is not there any more", at: gone,
      hint:
        "leave the folder of results where it is, and run again: what is there is not computed again"
    )
  }

  private func work(
    off job: Job, _ journal: Journal, _ outcome: borrowing Mutex<Outcome>,
    _ progress: ProgressLine?,
    share: Share? = nil, onlyGathers: Bool = false,
    willStep: (@Sendable (Job, Int) throws -> Void)?
  ) throws {
    let label = "\(job.methods.filter(wanted.contains).joined(separator: ",")) seed \(job.seed)"
    let missing = try job.methods.filter {
      try wanted.contains($0) && !isValid($0, job.seed, progress)
    }
    _ = ranks.agreed(missing.isEmpty ? 0 : 1)
    if missing.isEmpty {
      progress?.advance(by: E.work(of: job, config), reused: true)
      outcome.withLock { $0.reused += job.methods.count(where: wanted.contains) }
      return try journal.append("reused \(label)")
    }
    try journal.append("started \(label)")
    let watch = Stopwatch()
    var context = try context(of: job)
    context.share = share
    context.onlyGathers = onlyGathers
    let resumed = FileManager.default.fileExists(atPath: context.checkpointPath ?? "")
    let freshWeights = "\(folder)/.\(job.label).safetensors.tmp"
    if keepWeights {
      precondition(job.methods.count == 1, "\(job.label): weights of several methods")
      context.weightsPath = freshWeights
    }
    context.progress = { units, status in
      progress?.advance(by: units) {
        let text = status()
        return text.isEmpty ? label : "\(label), \(text)"
      }
    }
    context.note = { progress?.note($0) }
    if let willStep { context.willStep = { try willStep(job, $0) } }
    let records: [Record]
    do { records = try E.run(job, config, context) } catch is Share.Done {
      return try journal.append("finished \(label)")
    }
    var seconds = watch.seconds / Double(records.count)  // methods of one job share its time
    if onlyGathers, let times = records.first?.telemetry.dataSets.first,
      case .double(let values) = times.values
    {
      // That of the results, wherever they were computed.
      seconds += values.filter(\.isFinite).reduce(0, +)
    }
    for (method, record) in zip(job.methods, records) where wanted.contains(method) {
      var record = try stamped(record, method, job.seed, seconds: seconds, resumed: resumed)
      try keepOtherData(method, job.seed, from: record, progress)
      if keepWeights {
        guard let seal = try SafetensorsFile(freshWeights).seal else {
          throw StorageError("has no checksum", at: freshWeights, hint: "report this as a bug")
        }
        record.telemetry.attributes[Self.weightsAttribute] = .string(seal)
        try Self.move(freshWeights, to: weightsPath(method, job.seed))
      }
      try record.write(to: path(method, job.seed))
    }
    // Only now is the unfinished state of no more use.
    for state in [context.checkpointPath, context.piecesFolder].compactMap(\.self)
    where FileManager.default.fileExists(atPath: state) {
      try FileManager.default.removeItem(atPath: state)
    }
    outcome.withLock { $0.computed += job.methods.count(where: wanted.contains) }
    try journal.append("finished \(label)")
  }

  private func context(of job: Job) throws -> RunContext {
    var context = RunContext()
    context.checkpointPath = "\(folder)/\(job.label).checkpoint"
    context.piecesFolder = job.piecesFolder(in: folder)
    context.identity = try Self.identity(
      of: config, job.methods.joined(separator: " "), job.seed)
    context.checkpointSeconds = checkpointSeconds
    context.threads = telemetry.threads
    context.data = data
    context.ranks = ranks
    return context
  }

  /// What a rank other than the first does: computes its share of what that one says is missing, and writes nothing.
  private func follow() throws -> Outcome {
    for job in jobs where ranks.agreed(0) == 1 { _ = try E.run(job, config, context(of: job)) }
    return Outcome()
  }

  /// Removes what writers that were killed in mid-write left behind.
  private func removeLeftovers() throws {
    for file in try FileManager.default.contentsOfDirectory(atPath: folder)
    where file.hasPrefix(".") && file.hasSuffix(".tmp") {
      try FileManager.default.removeItem(atPath: "\(folder)/\(file)")
    }
  }

  func isValid(_ method: String, _ seed: UInt64, _ progress: ProgressLine?) throws -> Bool {
    let file = path(method, seed)
    guard FileManager.default.fileExists(atPath: file) else { return false }
    let weights = weightsPath(method, seed)
    if keepWeights && !FileManager.default.fileExists(atPath: weights) { return false }
    let record: Record
    do {
      record = try Record.read(from: file)
      if keepWeights {
        // The weights of another run may lie beside it, where one was ended between the two.
        let file = try SafetensorsFile(weights)
        guard let seal = file.seal,
          record.telemetry.attributes[Self.weightsAttribute] == .string(seal)
        else {
          progress?.note("\(weights) are not the weights of its record (computing both anew)")
          return false
        }
        try file.verify()
      }
    } catch {
      progress?.note("\(error) (computing it anew)")
      return false
    }
    guard try (try? record.string(attribute: "key")) == key(method, seed) else { return false }
    if record.telemetry.attributes["source_digest"] != .string(telemetry.sourceDigest) {
      progress?.note(
        "\(file): reused, though other sources computed it; `make clean` first if they changed its meaning"
      )
    }
    return true
  }

  /// Moves a record that rests on other data than the new one out of its way, with its weights, to the folder other-data: a
  /// stand-in never replaces what real data gave.
  private func keepOtherData(
    _ method: String, _ seed: UInt64, from new: Record, _ progress: ProgressLine?
  ) throws {
    let file = path(method, seed)
    guard FileManager.default.fileExists(atPath: file), let old = try? Record.read(from: file),
      let digest = setting("dataDigest", of: old), digest != setting("dataDigest", of: new)
    else { return }
    let key = (try? old.string(attribute: "key")) ?? "unknown"
    let place = "\(folder)/other-data"
    try FileManager.default.createDirectoryOrExplain(place)
    let aside = "\(place)/\(method)-seed\(seed)-\(key.prefix(8))"
    // The weights first: after a kill between the two the record still says that both have to go.
    let weights = weightsPath(method, seed)
    if let seal = (try? SafetensorsFile(weights))?.seal,
      old.telemetry.attributes[Self.weightsAttribute] == .string(seal)
    {
      try Self.move(weights, to: aside + ".safetensors")
    }
    try Self.move(file, to: aside + ".h5")
    progress?.note(
      "\(file) rested on other data (\(text("data", of: old))); it is now \(aside).h5")
  }

  /// In a record's telemetry, the checksum of the weights that its run left.
  private static var weightsAttribute: String { "weights" }

  /// Renames a file, over one that may be there.
  private static func move(_ file: String, to place: String) throws {
    guard rename(file, place) == 0 else {
      throw StorageError(
        "cannot be moved to \(place) (\(String(cString: strerror(errno))))", at: file,
        hint: "leave the folder of results as it is, and run again")
    }
  }

  private func text(_ attribute: String, of record: Record) -> String {
    (try? record.string(attribute: attribute)) ?? "unknown"
  }

  private func setting(_ key: String, of record: Record) -> String? {
    (try? record.settings())?[key]?.string
  }

  /// The record with the attributes every record has, and its telemetry.
  private func stamped(
    _ record: Record, _ method: String, _ seed: UInt64, seconds: Double, resumed: Bool
  ) throws -> Record {
    var record = record
    // A record's settings do not mention the other seeds and methods it was computed beside.
    var own = config.restricted(to: method)
    own.seeds = [seed]
    var attributes: Attributes = [
      "experiment": .string(E.name), "experiment_version": .int(E.version),
      "method": .string(method), "seed": .int(Int(seed)), "profile": .string(profile),
      "overrides": .string(overrides.joined(separator: " ")),
      "data": .string(E.dataName(config)), "key": .string(try key(method, seed)),
      "config": .string(try own.yaml),
    ]
    for entry in record.attributes { attributes[entry.name] = entry.value }
    record.attributes = attributes
    var group = telemetry.group(seconds: seconds, resumed: resumed)
    for entry in record.telemetry.attributes { group.attributes[entry.name] = entry.value }
    for dataSet in record.telemetry.dataSets { group.add(dataSet) }
    group.attributes["ranks"] = .int(ranks.count)
    record.telemetry = group
    return record
  }
}

extension FileManager {
  /// Creates the folder and those above it, or throws one line that says why not.
  package func createDirectoryOrExplain(_ path: String) throws {
    do { try createDirectory(atPath: path, withIntermediateDirectories: true) } catch {
      throw StorageError(
        "cannot create this folder (\((error as NSError).localizedDescription))", at: path,
        hint: "check its permissions and that no file is in the way, or pass --results DIR")
    }
    guard isWritableFile(atPath: path) else {
      throw StorageError(
        "this folder is read-only", at: path, hint: "make it writable or pass --results DIR")
    }
  }
}
