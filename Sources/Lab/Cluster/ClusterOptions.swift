// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Storage
import Training

/// What computes the runs.
package enum Engine: String, CaseIterable, ExpressibleByArgument, Sendable {
  /// This process.
  case local
  /// Jobs of a Slurm that this machine submits to.
  case slurm
}

/// The options that send the runs of an experiment to a cluster.
package struct ClusterOptions: ParsableArguments {
  @Option(help: "What computes the runs: local (default), or slurm, as arrays of jobs.")
  package var engine = Engine.local
  @Option(help: "Slurm: the partition (default: Slurm's own).")
  package var partition: String?
  @Option(
    help: "Slurm: time limit of a job, e.g. 2:00:00; a run that needs longer goes on in the next.")
  package var time: String?
  @Option(help: "Slurm: how many jobs may run at a time (default: as many as there is room for).")
  package var concurrent: Int?
  @Option(help: "Slurm: memory of a job, e.g. 4G (default: the partition's).")
  package var memory: String?
  @Option(
    help: "Slurm: runs that a job computes one after another, at least: more where they are short.")
  package var group = 1
  @Option(
    name: .customLong("sbatch"), parsing: .unconditionalSingleValue,
    help: "Slurm: any option of sbatch, e.g. --sbatch=--account=x (repeatable).")
  package var others: [String] = []
  @Option(
    help: "Slurm: seconds before its time limit at which a job saves its state and requeues itself."
  )
  package var grace = 120
  @Option(help: "Slurm: a shell command that follows when all records are there.")
  package var then: String?
  @Flag(help: "Compute nothing: make records of what the jobs left, or say what is missing.")
  package var collect = false
  @Option(help: .hidden)
  package var element: String?

  /// Made by the argument parser.
  package init() {}

  /// What Slurm is told, with `threads` a job.
  func settings(threads: Int) -> SlurmSettings {
    var settings = SlurmSettings()
    (settings.partition, settings.time, settings.concurrent) = (partition, time, concurrent)
    (settings.memory, settings.others, settings.grace) = (memory, others, grace)
    (settings.threads, settings.group) = (threads, group)
    return settings
  }

  /// Checks what can be checked without Slurm.
  package mutating func validate() throws {
    try settings(threads: 1).validate()
    if engine == .local {
      let given: [(String, Bool)] = [
        ("partition", partition != nil), ("time", time != nil), ("concurrent", concurrent != nil),
        ("memory", memory != nil), ("sbatch", !others.isEmpty), ("then", then != nil),
        ("group", group != 1), ("grace", grace != 120),
      ]
      // What is collected was submitted by the same command.
      if !collect, let (name, _) = given.first(where: \.1) {
        throw ValidationError("--\(name) goes with --engine slurm")
      }
    } else if collect || element != nil {
      throw ValidationError("--engine slurm: submit first, then --collect")
    }
  }

  /// A command line without what is said to Slurm or for this machine only.
  static func forwarded(_ arguments: [String]) -> [String] {
    let valued = [
      "engine", "partition", "time", "concurrent", "memory", "sbatch", "group", "grace", "then",
      "jobs",
      "threads",
    ].map { "--\($0)" }
    var kept: [String] = []
    var skipsNext = false
    for argument in arguments {
      if skipsNext {
        skipsNext = false
      } else if valued.contains(argument) {
        skipsNext = true
      } else if argument != "--dry-run"
        && !valued.contains(where: { argument.hasPrefix("\($0)=") })
      {
        kept.append(argument)
      }
    }
    return kept
  }
}

/// An experiment's runs as elements of arrays.
struct ClusterRun<E: Experiment> {
  let runner: Runner<E>
  let options: ClusterOptions

  private var place: String { ElementList.place(in: runner.folder) }

  // MARK: - In a job

  /// Computes the elements of a task, "stage:task:group"; one that fails leaves the others be.
  ///
  /// Throws `ExitCode(75)` where a signal said that the time is nearly over, with the state saved.
  func compute(_ text: String) throws {
    let numbers = text.split(separator: ":").compactMap { Int($0) }
    guard numbers.count == 3, numbers[1] > 0, numbers[2] > 0 else {
      throw ConfigError("--element \(text)", "not stage:task:group", hint: "leave it to the script")
    }
    let list = try ElementList(from: place)
    let own = list.stage(numbers[0]).filter { $0.number / numbers[2] == numbers[1] - 1 }
    guard !own.isEmpty else {
      throw ConfigError(
        "--element \(text)", "the list has no such elements", hint: "submit the experiment anew")
    }
    Interruption.listen(userSignalEnds: true)
    var failures: [String] = []
    for element in own {
      do { try compute(element) } catch let ended as Interruption.Ended {
        if ended.signal == SIGUSR1 { throw ExitCode(SlurmScript.requeue) }
        return Interruption.die(of: ended.signal)
      } catch {
        failures.append("\(element.label): \(error)")
      }
    }
    if let first = failures.first {
      throw ConfigError(
        first, "\(failures.count) of \(own.count) failed",
        hint: "the same command submits them again")
    }
  }

  private func compute(_ element: Element) throws {
    let journal = try Journal.open(resuming: element.journal(in: place)).journal
    defer { journal.release() }
    let environment = ProcessInfo.processInfo.environment
    let node = environment["SLURMD_NODENAME"] ?? ProcessInfo.processInfo.hostName
    try journal.append("began on \(node), job \(environment["SLURM_JOB_ID"] ?? "-")")
    do {
      for (method, key) in element.keys where try runner.key(method, element.seed) != key {
        throw ConfigError(
          "\(method), seed \(element.seed)",
          "the settings or data are not those that were submitted",
          hint: "give the command again")
      }
      // What a share has to do is known only to those who have the shares before.
      let progress =
        element.share == nil
        ? ProgressLine(element.label, total: E.work(of: element.job, runner.config)) : nil
      try runner.run(element.job, share: element.share, journal: journal, progress: progress)
    } catch let ended as Interruption.Ended {
      try journal.append("interrupted by signal \(ended.signal), its state is saved")
      throw ended
    } catch {
      try journal.append(
        "failed " + "\(error)".split(whereSeparator: \.isNewline).joined(separator: " "))
      throw error
    }
  }

  // MARK: - Where it is submitted

  /// Writes the list and the scripts, submits what is not done, and says how to look on; with `onlyPrints` only says what it
  /// would do. `seconds` is the time of all of it on one job.
  func submit(_ arguments: [String], seconds: Double, onlyPrints: Bool) throws {
    let settings = options.settings(threads: runner.telemetry.threads)
    let list = try ElementList(of: runner)
    let states = try ElementStates(folder: runner.folder, list: list) { _ in [:] }.states
    let missing = zip(list.elements, states).filter { $1 != .done }.map(\.0)
    let limit = Slurm.maxArraySize()
    let arrays = (0..<list.stageCount).compactMap { stage -> SlurmArray? in
      let own = missing.filter { $0.stage == stage }
      return own.isEmpty
        ? nil
        : SlurmArray(
          stage: stage, missing: own, of: list.stage(stage).count, limit: limit,
          least: settings.group)
    }
    let folder = FileManager.default.currentDirectoryPath
    let script = SlurmScript(
      title: list.title, place: absolute(place), program: Self.program,
      arguments: ClusterOptions.forwarded(arguments) + [
        "--jobs", "1", "--threads", "\(settings.threads)",
      ],
      workingFolder: folder, settings: settings, then: options.then)
    try describe(list, missing, arrays, seconds: seconds, limit: limit)
    if onlyPrints {
      try Terminal.line(script.element)
      var after: String?
      for array in arrays {
        try Terminal.line(
          script.submission(of: array, after: after).map(quoted).joined(separator: " "))
        after = "<stage\(array.stage)>"
      }
      try Terminal.line(
        script.submissionOfCollection(after: after).map(quoted).joined(separator: " "))
      return
    }
    try refuseTwice()
    try script.write()
    try list.write(to: place)
    var submission = Submission(user: NSUserName())
    do {
      var after: String?
      for array in arrays {
        let job = try Slurm.submit(
          script.submission(of: array, after: after), partition: settings.partition)
        submission.arrays[array.stage] = (job, array.group)
        after = job
      }
      submission.collection = try Slurm.submit(
        script.submissionOfCollection(after: after), partition: settings.partition)
    } catch {
      // All of the chain or none.
      if !submission.jobs.isEmpty { _ = try? Slurm.run(["scancel"] + submission.jobs) }
      throw error
    }
    try submission.write(to: place)
    try Terminal.line("submitted: jobs \(submission.jobs.joined(separator: ", "))")
    try Terminal.line("look on:   \(Self.tool) jobs \(quoted(runner.folder))")
    try Terminal.line(
      "collected by job \(submission.collection ?? "-") when all are done, or by hand: "
        + "the same command with --collect and without --engine")
  }

  private func describe(
    _ list: ElementList, _ missing: [Element], _ arrays: [SlurmArray], seconds: Double, limit: Int
  ) throws {
    let threads = Double(runner.telemetry.threads)
    let total = runner.jobs.reduce(0) { $0 + E.work(of: $1, runner.config) }
    let longest =
      runner.jobs.map { job -> Int in
        let stages = E.stages(of: job, runner.config)
        return stages.isEmpty
          ? E.work(of: job, runner.config)
          : stages.map { $0.work * max($0.block, runner.telemetry.threads) }.max() ?? 0
      }.max() ?? 0
    let group = arrays.map { min($0.group, list.stage($0.stage).count) }.max() ?? 1
    let perElement = total > 0 ? seconds * Double(longest * group) / Double(total) : 0
    try Terminal.line(
      "\(list.elements.count) elements in \(list.stageCount) stage\(list.stageCount == 1 ? "" : "s"), "
        + "\(missing.count) of them to do; about \(ProgressLine.duration(seconds * threads)) of core time for all, "
        + "\(ProgressLine.duration(perElement)) for the longest job; no more than \(limit - 1) jobs an array"
    )
    for array in arrays {
      let own = missing.count { $0.stage == array.stage }
      try Terminal.line(
        "  stage \(array.stage): \(own) element\(own == 1 ? "" : "s") in \(array.tasks.count) "
          + "job\(array.tasks.count == 1 ? "" : "s")"
          + (array.group > 1 ? ", \(array.group) one after another in each" : ""))
    }
  }

  /// Throws where an earlier submission has jobs that run or will; what only waits for others of it is canceled, since they
  /// have failed.
  private func refuseTwice() throws {
    guard let earlier = Submission(from: place) else { return }
    guard let queue = Slurm.queue(of: earlier.user) else {
      throw ConfigError("Slurm", "does not answer", hint: "try again when squeue does")
    }
    let there = queue.filter { earlier.jobs.contains($0.key.job) }
    let alive = Set(
      there.filter { task in
        ["PENDING", "RUNNING", "CONFIGURING", "SUSPENDED"].contains(task.value.state)
          && !task.value.reason.hasPrefix("Dependency")
      }.map(\.key.job)
    ).sorted()
    guard alive.isEmpty else {
      throw ConfigError(
        place, "its jobs are in the queue (\(alive.joined(separator: ", ")))",
        hint: "spectral jobs \(quoted(runner.folder)) looks on; "
          + "scancel \(earlier.jobs.joined(separator: " ")) ends them")
    }
    let dead = Set(there.keys.map(\.job)).sorted()
    if !dead.isEmpty { _ = try Slurm.run(["scancel"] + dead) }
  }

  private func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
  }

  /// This program, wherever it is called from.
  private static var program: String {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
      ?? URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath().path
  }

  private static var tool: String {
    URL(fileURLWithPath: program).deletingLastPathComponent().path + "/spectral"
  }
}
