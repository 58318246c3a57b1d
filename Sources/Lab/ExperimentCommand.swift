// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import LinearAlgebra
import Storage
import Training

/// The one command line of every experiment executable.
package struct ExperimentOptions: ParsableArguments {
  @Option(help: "The configuration experiments/<name>/<profile>.yaml: smoke, quick, paper, …")
  package var profile = "quick"
  @Option(help: "Seeds, e.g. 11,12,13 (default: the profile's).")
  package var seeds: String?
  @Option(
    name: .customLong("set"),
    help: "Change a setting: --set steps=2000, --set list=a,b,c (repeatable).")
  package var settings: [String] = []
  @Option(name: .customLong("method"), help: "Only this method (repeatable; default: all).")
  package var methods: [String] = []
  @Option(help: "Folder for the records (default: build/results).")
  package var results: String?
  @Option(help: "Folder of the data sets (default: DATA_DIR, then data/).")
  package var data: String?
  @Option(help: "Runs side by side (default: the number of cores, or 1 where runs share them).")
  package var jobs: Int?
  @Option(help: "Threads inside a run; results do not depend on it (default: 1, or all cores).")
  package var threads: Int?
  @Option(help: "philox, or numpy where the experiment offers it (same as --set rng=…).")
  package var rng: String?
  @Option(help: "Seconds between two checkpoints of a run.")
  package var checkpointSeconds = 60.0
  @Flag(help: "Keep the trained weights beside each record, as <record>.safetensors.")
  package var keepWeights = false
  @Flag(help: "Print the runs and the estimated time, compute nothing.")
  package var dryRun = false
  @Flag(help: "Print the methods that may be named, * those of this profile; compute nothing.")
  package var listMethods = false
  @OptionGroup(title: "Clusters") package var cluster: ClusterOptions
  @Flag(help: "Print all settings, with those of other files filled in, as YAML; compute nothing.")
  package var printConfig = false

  /// Made by the argument parser.
  package init() {}

  /// Checks what can be checked without the experiment.
  package mutating func validate() throws {
    for (name, count) in [("jobs", jobs), ("threads", threads)] {
      if let count, !(1...1024).contains(count) {
        throw ValidationError("--\(name) \(count): use 1 to 1024")
      }
    }
    if results == "" { throw ValidationError("--results: name a folder") }
    if !(checkpointSeconds >= 0) {
      throw ValidationError("--checkpoint-seconds \(checkpointSeconds): use 0 or more")
    }
  }
}

/// The main program of an experiment: parse, run, write.
package protocol ExperimentCommand: ParsableCommand {
  /// The experiment.
  associatedtype Body: Experiment
  /// Its options.
  var options: ExperimentOptions { get }
}

extension ExperimentCommand {
  /// Name and abstract of the experiment.
  package static var configuration: CommandConfiguration {
    CommandConfiguration(
      commandName: Body.name, abstract: Body.abstract, version: suiteVersion)
  }

  /// The main program.
  package static func main() { mainOfSuite() }

  /// Decodes the settings, prints the plan, and runs what is missing.
  package func run() throws {
    BLASEnvironment.restartOnUnknownCPU()
    endTidilyWithoutMemory()
    let ranks = try StartedRanks.join()
    do { try run(on: ranks) } catch {
      StartedRanks.yield(ranks)
      throw error
    }
    ranks.finish()
  }

  private func run(on ranks: any Ranks) throws {
    if ranks.count > 1, let refusal = Body.ranksRefusal {
      throw RanksError("\(Body.name) \(refusal); leave mpirun out")
    }
    func say(_ text: String) throws { if ranks.rank == 0 { try Terminal.line(text) } }
    let paths = Paths()
    var overrides = options.settings
    if let rng = options.rng { overrides.append("rng=\(rng)") }
    if let seeds = options.seeds { overrides.append("seeds=\(try Self.seeds(seeds))") }
    let dataFolder = options.data ?? paths.data
    let results = options.results ?? paths.freshResults
    guard Body.keepsWeights || !options.keepWeights else {
      throw ConfigError(
        "--keep-weights", "\(Body.name) trains no model whose weights could be kept",
        hint: "leave it out")
    }
    let (file, stated) = try statedConfig(paths, overrides)
    if options.listMethods { return try Self.methodLines(of: stated).forEach(say) }
    let folders = RunFolders(
      folder: URL(fileURLWithPath: file).deletingLastPathComponent().path,
      profile: options.profile, data: dataFolder, results: results)
    // A plan reads no data.
    let config =
      options.dryRun ? try Body.planned(stated, folders) : try Body.resolve(stated, folders)
    if options.printConfig {
      return try say(config.yaml.trimmingCharacters(in: .newlines))
    }
    for method in options.methods where !config.methods.contains(method) {
      throw ConfigError(
        "--method \(method)", "not a method of this configuration",
        hint:
          "\(suggestion(for: method, among: config.methods))its methods are \(config.methods.joined(separator: ", "))"
      )
    }
    let cluster = options.cluster
    if ranks.count > 1, cluster.engine != .local || cluster.collect || cluster.element != nil {
      throw RanksError("jobs of a cluster are single processes; leave mpirun or --engine out")
    }
    let isLocal = cluster.engine == .local
    // Of a job of a cluster there are many; this machine's cores say nothing there.
    let cores = isLocal ? ProcessInfo.processInfo.activeProcessorCount : 1
    let telemetry = Telemetry(
      root: paths.root, threads: options.threads ?? (Body.parallelWithinJob ? cores : 1),
      jobs: isLocal && ranks.count == 1
        ? options.jobs ?? (Body.parallelWithinJob ? 1 : cores) : 1)
    let runner = Runner<Body>(
      config: config, wanted: options.methods.isEmpty ? nil : options.methods,
      profile: options.profile, overrides: overrides.filter { !$0.hasPrefix("seeds=") },
      results: results, dataFolder: dataFolder, telemetry: telemetry,
      checkpointSeconds: options.checkpointSeconds, keepWeights: options.keepWeights,
      ranks: ranks)
    try compare(ranks, runner)

    if let element = cluster.element {
      return try ClusterRun(runner: runner, options: cluster).compute(element)
    }
    let jobs = runner.jobs
    let estimate =
      cluster.collect || ranks.rank != 0
      ? 0 : try runner.estimatedSeconds(records: paths.results) ?? .nan
    if !isLocal {
      return try ClusterRun(runner: runner, options: cluster).submit(
        Array(CommandLine.arguments.dropFirst()), seconds: estimate, onlyPrints: options.dryRun)
    }
    try say(
      "\(Body.name), profile \(options.profile): \(jobs.count) runs, \(telemetry.jobs) side by side, "
        + "\(telemetry.threads) thread\(telemetry.threads == 1 ? "" : "s") each; "
        + (cluster.collect
          ? "collected from what jobs left"
          : (estimate.isNaN
            ? "how long is not known without its weights"
            : "about \(ProgressLine.duration(estimate)) if nothing can be reused")
            + (ranks.count > 1 ? " and one rank did it; \(ranks.count) ranks" : "")))
    try say(
      "commit \(telemetry.commit); BLAS \(telemetry.blas.core), 1 thread a call; "
        + "LAPACK \(telemetry.blas.lapackLibrary)")
    if let warning = telemetry.blas.warning { try say("warning: \(warning)") }
    if options.dryRun {
      for job in jobs {
        try say("  \(job.methods.joined(separator: " then ")), seed \(job.seed)")
      }
      try say("records would go to \(runner.folder)/")
      return
    }
    let progress = ProgressLine(
      Body.name, total: jobs.reduce(0) { $0 + Body.work(of: $1, config) })
    let watch = Stopwatch()
    Interruption.listen()
    let outcome: Runner<Body>.Outcome
    do { outcome = try runner.run(progress: progress, onlyGathers: cluster.collect) } catch let
      ended as Interruption.Ended
    {
      if ranks.rank == 0 { progress.note("\(Body.name): \(ended)") }
      ranks.finish()
      return Interruption.die(of: ended.signal)
    }
    guard ranks.rank == 0 else { return }
    progress.finish()
    for file in try Body.sideFiles(of: RecordSet(folder: runner.folder)) {
      try AtomicFile.write(file.text, to: "\(runner.folder)/\(file.name)")
      try say("written: \(runner.folder)/\(file.name)")
    }
    try say(
      "\(outcome.computed) records computed, \(outcome.reused) reused in "
        + "\(ProgressLine.duration(watch.seconds)): \(runner.folder)/")
  }

  /// Throws a `RanksError` for ranks that are of another build, round otherwise, or have other settings or data, than the first:
  /// every rank clips and steps its own copy of the weights, which must stay the same to the last bit.
  private func compare(_ ranks: any Ranks, _ runner: Runner<Body>) throws {
    guard ranks.count > 1 else { return }
    let program = try Digest.sha256(of: FileBytes.read("/proc/self/exe"))
    let blas = runner.telemetry.blas
    for (what, text) in [
      ("another build", program),
      ("other kernels of OpenBLAS", "\(blas.core) \(blas.lapackLibrary)"),
      ("other settings or data", try runner.config.yaml),
      ("other methods", runner.jobs.map { "\($0)" }.joined(separator: "\n")),
    ] {
      if let rank = ranks.firstDiffering(text) {
        throw RanksError("rank \(rank) has \(what) than rank 0; give all nodes the same")
      }
    }
  }

  /// "1-3,7" as "[1, 2, 3, 7]".
  static func seeds(_ text: String) throws -> String {
    let seeds = try text.split(separator: ",", omittingEmptySubsequences: false).flatMap {
      part -> [UInt64] in
      let ends = part.split(separator: "-", omittingEmptySubsequences: false)
        .map { $0.allSatisfy(\.isASCII) && ($0 == "0" || $0.first != "0") ? UInt64($0) : nil }
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2,
        first <= last, last - first < 10_000
      else {
        throw ConfigError("--seeds \(text)", "not a list of seeds", hint: "write 11,12,13 or 1-5")
      }
      return Array(first...last)
    }
    return "\(seeds)"
  }

  /// A line a method: "* ema   EMA threshold", * where `config` runs it.
  static func methodLines(of config: Body.Config) -> [String] {
    let titled = Body.methodTitles
    let names = titled.map(\.name)
    let all =
      titled
      + config.methods.filter { !names.contains($0) }.map {
        (name: $0, title: "")
      }
    let width = all.map(\.name.count).max() ?? 0
    return all.map { name, title in
      let line =
        (config.methods.contains(name) ? "* " : "  ")
        + name.padding(toLength: width + 2, withPad: " ", startingAt: 0) + title
      return String(line.reversed().drop { $0 == " " }.reversed())
    }
  }

  /// The profile's file and its settings, changed as the command line says.
  private func statedConfig(
    _ paths: Paths, _ overrides: [String]
  ) throws -> (file: String, config: Body.Config) {
    let file = paths.config(experiment: Body.name, profile: options.profile)
    guard let text = FileBytes.text(file) else {
      if FileManager.default.isReadableFile(atPath: file) {
        throw ConfigError(file, "is not a text in UTF-8", hint: "save it as UTF-8")
      }
      let known = paths.profiles(of: Body.name)
      throw ConfigError(
        file, "cannot be read",
        hint: known.isEmpty
          ? "run this from the project's folder, or set SPECTRAL_HOME to it"
          : "choose a profile among \(known.joined(separator: ", "))")
    }
    return (file, try Body.defaults.overlaid(yaml: text, file: file, overrides: overrides))
  }
}

extension ParsableCommand {
  /// The main program of everything in the suite; as a process of another one it reads HDF5 files for it. `preparation` comes before the
  /// arguments are parsed.
  package static func mainOfSuite(after preparation: () -> Void = {}) {
    Terminal.prepare()
    if HDF5Child.servesInstead() { return }
    refuseArgumentsThatAreNoText()
    makeRoomForOpenFiles()
    preparation()
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch { end(with: fullMessage(for: error), exitCode(for: error)) }
  }
}

/// What was asked for, such as `--help`, is a result on standard output; everything else is a message.
private func end(with text: String, _ status: ExitCode) -> Never {
  guard status.isSuccess else {
    if !text.isEmpty { Terminal.message("\(text)\n") }
    exit(status.rawValue)
  }
  do { if !text.isEmpty { try Terminal.line(text) } } catch {
    Terminal.message("Error: \(error)\n")
    exit(1)
  }
  exit(0)
}

/// Ends a program whose arguments are not all UTF-8: Swift would put other letters in their place, and a file would get another name.
private func refuseArgumentsThatAreNoText() {
  for index in 0..<Int(CommandLine.argc) {
    guard let bytes = CommandLine.unsafeArgv[index], String(validatingCString: bytes) == nil else {
      continue
    }
    Terminal.message("Error: argument \(index) is not a text in UTF-8; give it another name\n")
    exit(1)
  }
}

/// Ends a program that may open fewer further files than it and the libraries below it need: these would trap.
private func makeRoomForOpenFiles() {
  let needed = 60
  func lacking() -> Int {
    var (opened, lacking) = ([Int32](), 0)
    for _ in 0..<needed {
      let descriptor = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      if descriptor >= 0 { opened.append(descriptor) } else if errno == EMFILE { lacking += 1 }
    }
    for descriptor in opened { close(descriptor) }
    return lacking
  }
  // Descriptors above the limit take up places once it is raised, so that once may not do.
  var limit = rlimit()
  while true {
    let lacking = lacking()
    if lacking == 0 { return }
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0,
      limit.rlim_cur < limit.rlim_max
    else {
      Terminal.message(
        "Error: \(needed - lacking) further open files are too few; allow \(lacking) more (ulimit -n)\n"
      )
      exit(1)
    }
    limit.rlim_cur = min(limit.rlim_cur + rlim_t(lacking), limit.rlim_max)
    if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 { return }
  }
}

/// Lets a program end with one line where a tensor is larger than the memory; it is called before any is made.
package func endTidilyWithoutMemory() {
  TensorMemory.whenExhausted = { bytes in
    Terminal.message("Error: \(TensorMemory.words(bytes))\n")
    exit(1)
  }
}
