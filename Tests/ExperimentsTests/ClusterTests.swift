// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab
@testable import spectral

/// Runs as elements of arrays: list, grouping, script, states, and that shares add up to the whole. What a real Slurm does
/// with them, `make cluster-test` shows.
@Suite final class ClusterTests {
  private let scratch = Scratch()

  private var map: MLPHeatMap.Config {
    var map = MLPHeatMap.defaults
    (map.settings.inputs, map.settings.hidden, map.settings.samples) = (6, [8], 60)
    (map.settings.steps, map.learningRateCount, map.thresholdCount) = (10, 3, 4)
    (map.levelCount, map.updateNormEvery) = (2, 5)
    return map
  }

  private var search: MLPSearch.Config {
    var search = MLPSearch.defaults
    (search.inputs, search.hidden, search.samples, search.batchSize) = (6, [8], 60, 5)
    (search.steps, search.candidates, search.rounds, search.rungs) = (20, 6, 2, 2)
    search.methods = ["sgdm-norm", "sgdm-spectral-ema"]
    return search
  }

  private func runner<E: Experiment>(
    _ type: E.Type, _ config: E.Config, _ folder: String, threads: Int = 1
  ) -> Runner<E> {
    Runner<E>(
      config: config, profile: "test", results: "\(scratch.path)/\(folder)",
      telemetry: Telemetry(root: nil, threads: threads, jobs: 1), checkpointSeconds: 0)
  }

  private func compute<E: Experiment>(_ element: Element, _ runner: Runner<E>) throws {
    let journal = try Journal.open(
      resuming: element.journal(in: ElementList.place(in: runner.folder))
    ).journal
    defer { journal.release() }
    try runner.run(element.job, share: element.share, journal: journal)
  }

  // MARK: - List

  @Test func elementsCoverEveryResultOnce() throws {
    for threads in [1, 3, 5] {
      let list = try ElementList(of: runner(MLPHeatMap.self, map, "list", threads: threads))
      #expect(list.stageCount == 1)
      for method in map.methods {
        let columns = method == "quantile" ? 2 : 4
        let covered = list.elements.filter { $0.methods == [method] }.compactMap(\.share).flatMap {
          share in
          (share.block * share.size..<(share.block + 1) * share.size).filter { $0 < 3 * columns }
        }
        #expect(covered == Array(0..<3 * columns), "\(method), \(threads) threads")
      }
      #expect(list.elements.map(\.number) == Array(list.elements.indices))
    }
    // Two rounds of rungs with six and two candidates, and three finalists on two seeds, of two arms.
    let list = try ElementList(of: runner(MLPSearch.self, search, "list"))
    #expect((0..<5).map { list.stage($0).count } == [12, 4, 12, 4, 12])
    let curves = try ElementList(of: runner(MLPHeavyTails.self, tuned, "list"))
    #expect(curves.elements.count == 4 && curves.elements.allSatisfy { $0.share == nil })
    #expect(Set(curves.elements.map(\.label)).count == 4)
  }

  private var tuned: MLPHeavyTails.Config {
    var config = MLPHeavyTails.defaults
    (config.methods, config.seeds) = (["sgdm-norm", "adam-none"], [3, 4])
    return config
  }

  @Test func aListComesBackAndADamagedOneIsALine() throws {
    let place = scratch.path + "/place"
    let list = try ElementList(of: runner(MLPSearch.self, search, "list"))
    try list.write(to: place)
    #expect(try ElementList(from: place) == list)
    let path = ElementList.path(in: place)
    let good = try String(contentsOfFile: path, encoding: .utf8)
    for (old, new) in [
      ("# mlp", "mlp"), ("stage\t", "stages\t"), ("\n0\t0\t", "\n-1\t0\t"), ("0/1", "0/0"),
      ("0/1", "x/1"), ("sgdm-norm", "../sgdm-norm"), ("\n0\t1\t", "\n0\t1\t1\t"),
    ] {
      let range = try #require(good.range(of: old), "\(old)")
      try AtomicFile.write(good.replacingCharacters(in: range, with: new), to: path)
      #expect(throws: StorageError.self, "\(old) as \(new)") { try ElementList(from: place) }
    }
  }

  // MARK: - Shares

  /// All elements, each stage's in another order, each with a journal of its own; what is gathered is what one process computes.
  private func sharesAddUp<E: Experiment>(_ type: E.Type, _ config: E.Config) throws {
    let whole = try run(type, config, "\(scratch.path)/whole")
    let runner = runner(type, config, "shared", threads: 2)
    let list = try ElementList(of: runner)
    for stage in 0..<list.stageCount {
      if let later = list.stage(stage + 1).first {
        #expect(throws: StorageError.self, "stage \(stage + 1) cannot come first") {
          try compute(later, runner)
        }
      }
      for element in list.stage(stage).reversed() {
        #expect(throws: StorageError.self, "one is missing") { try runner.run(onlyGathers: true) }
        try compute(element, runner)
      }
    }
    let gathered = try runner.run(onlyGathers: true)
    #expect(gathered.computed + gathered.reused == whole.records.count)
    expectEqual(whole, try RecordSet(folder: runner.folder), E.name)
    let left = try FileManager.default.contentsOfDirectory(atPath: runner.folder)
    #expect(
      left.allSatisfy { $0.hasSuffix(".h5") || $0 == "journal.log" || $0 == "slurm" }, "\(left)")
    // Once more is nothing to do.
    try compute(list.elements[0], runner)
    #expect(try runner.run().reused == whole.records.count)
  }

  @Test func sharesOfAHeatMapAddUp() throws { try sharesAddUp(MLPHeatMap.self, map) }

  @Test func sharesOfASearchAddUp() throws { try sharesAddUp(MLPSearch.self, search) }

  @Test func jobsOfCurvesAddUp() throws {
    var config = TraceRegression.defaults
    (config.steps, config.seeds, config.methods) = (60, [11, 12], ["quantile"])
    try sharesAddUp(TraceRegression.self, config)
  }

  /// What a killed element leaves of a trial is where the next one begins, in this rung and the next.
  @Test func aTrialGoesOnFromItsState() throws {
    let whole = try run(MLPSearch.self, search, "\(scratch.path)/whole")
    let runner = runner(MLPSearch.self, search, "killed")
    let list = try ElementList(of: runner)
    for element in list.elements {
      try compute(element, runner)
      let pieces = element.job.piecesFolder(in: runner.folder)
      let share = try #require(element.share)
      let piece = "\(pieces)/stage\(share.stage)-block\(share.block)-of-\(share.size).piece"
      let states = try FileManager.default.contentsOfDirectory(atPath: pieces)
        .filter { $0.hasSuffix(".state") }
      #expect(!states.isEmpty)
      try FileManager.default.removeItem(atPath: piece)
      try compute(element, runner)
    }
    _ = try runner.run(onlyGathers: true)
    expectEqual(whole, try RecordSet(folder: runner.folder), "killed trials")
  }

  @Test func nobodyElseWritesWhileElementsDo() throws {
    let runner = runner(MLPHeatMap.self, map, "busy")
    let share = try Journal.Share(of: runner.journalPath)
    try withExtendedLifetime(share) {
      #expect(throws: StorageError.self) { try runner.run() }
      let beside = try ElementList(of: runner).elements[0]
      try compute(beside, runner)
      let path = beside.journal(in: ElementList.place(in: runner.folder))
      let journal = try Journal.open(resuming: path).journal
      #expect(try Journal.glance(at: path).isWritten)
      #expect(throws: StorageError.self) { try compute(beside, runner) }
      journal.release()
      #expect(try !Journal.glance(at: path).isWritten)
    }
  }

  // MARK: - Arrays and script

  private func elements(_ count: Int) -> [Element] {
    (0..<count).map { number in
      var element = Element(methods: ["m"], keys: [("m", "k")], seed: UInt64(number))
      element.number = number
      return element
    }
  }

  @Test func moreElementsThanAnArrayTakesAreGrouped() {
    for (count, limit) in [
      (1, 1001), (1000, 1001), (1001, 1001), (5003, 1001), (9, 5), (7, 2), (3, 1),
    ] {
      let all = elements(count)
      let array = SlurmArray(stage: 0, missing: all, of: count, limit: limit)
      #expect(array.tasks.allSatisfy { (1..<max(2, limit)).contains($0) }, "\(count), \(limit)")
      let computed = array.tasks.flatMap { task in
        all.filter { $0.number / array.group == task - 1 }.map(\.number)
      }
      #expect(computed == Array(0..<count), "\(count), \(limit)")
    }
    let short = SlurmArray(stage: 0, missing: elements(9), of: 9, limit: 1001, least: 4)
    #expect(short.tasks == [1, 2, 3] && short.group == 4)
    // The tasks of what is missing, numbered as if all were.
    let some = elements(3000).filter { [0, 5, 6, 2999].contains($0.number) }
    let array = SlurmArray(stage: 2, missing: some, of: 3000, limit: 1001)
    #expect(array.group == 3 && array.tasks == [1, 2, 3, 1000])
    #expect(
      array.range(concurrent: 8) == "1-3,1000%8" && array.range(concurrent: nil) == "1-3,1000")
  }

  @Test func timesAsSlurmWritesThem() {
    for (text, seconds) in [
      ("90", 5400), ("1:30", 90), ("2:00:00", 7200), ("1-2", 93600), ("1-2:30", 95400),
      ("1-2:30:05", 95405), ("0", 0),
    ] { #expect(SlurmSettings.seconds(text) == seconds, "\(text)") }
    for text in ["", "x", "-1", "1:2:3:4", "1-", "1-2-3", "1:", "٣", "1.5", "99999999999999999999"]
    {
      #expect(SlurmSettings.seconds(text) == nil, "\(text)")
    }
    func complaint(_ change: (inout SlurmSettings) -> Void) -> String {
      var settings = SlurmSettings()
      change(&settings)
      do { try settings.validate() } catch { return "\(error)" }
      return ""
    }
    #expect(complaint { $0.time = "4" } == "")
    #expect(complaint { $0.time = "3" }.contains("--grace"))
    #expect(complaint { $0.time = "soon" }.contains("not a time"))
    #expect(complaint { $0.concurrent = 0 }.contains("--concurrent 0"))
    #expect(complaint { $0.partition = "a\n#SBATCH --uid=0" } != "")
  }

  @Test func aCommandLineIsHandedOnWithoutWhatIsForSlurm() {
    #expect(
      ClusterOptions.forwarded(
        """
        search --profile full --engine slurm --partition=long --set steps=3 --time 1:00 --group 9 --jobs 4 --threads=2 --then x \
        --sbatch --account=a --sbatch=--qos=b --dry-run --method m
        """.words)
        == "search --profile full --set steps=3 --method m".words)
  }

  @Test(arguments: [
    "--partition=a", "--time=1:00:00", "--concurrent=3", "--memory=1G", "--group=5", "--sbatch=--x",
    "--grace=30", "--then=x",
  ])
  func whatIsForSlurmGoesWithIt(_ option: String) throws {
    _ = try ClusterOptions.parse([option, "--engine=slurm"])
    _ = try ClusterOptions.parse([option, "--collect"])
    let error = #expect(throws: (any Error).self) { try ClusterOptions.parse([option]) }
    let text = error.map { ClusterOptions.message(for: $0) } ?? ""
    #expect(text == "\(option.prefix { $0 != "=" }) goes with --engine slurm")
  }

  private func script(_ program: String, _ arguments: [String] = []) -> SlurmScript {
    var settings = SlurmSettings()
    (settings.partition, settings.time, settings.threads) = ("long", "2:00:00", 3)
    (settings.memory, settings.others) = ("4G", ["--account=x"])
    return SlurmScript(
      title: "x, profile y", place: "\(scratch.path)/it's 100%", program: program,
      arguments: arguments, workingFolder: scratch.path, settings: settings, then: "echo then")
  }

  @Test func theScriptSaysWhatSlurmNeeds() throws {
    let lines = script("/bin/true").element.split(separator: "\n").map(String.init)
    for line in [
      "--partition=long", "--time=2:00:00", "--mem=4G", "--account=x", "--cpus-per-task=3",
      "--signal=USR1@120", "--requeue", "--open-mode=append", "--nodes=1", "--ntasks=1",
    ] { #expect(lines.contains("#SBATCH \(line)"), "\(line)") }
    let array = SlurmArray(stage: 1, missing: elements(9), of: 9, limit: 5)
    let words = script("/bin/true").submission(of: array, after: "17")
    #expect(words.contains("--dependency=afterok:17") && words.contains("--array=1-3"))
    #expect(words.contains("--output=\(scratch.path)/it's 100%%/logs/stage1-%a.log"))
    #expect(words.suffix(2) == ["1", "3"])
    #expect(quoted("it's") == "'it'\\''s'" && quoted("") == "''" && quoted("a-b=c/d") == "a-b=c/d")
  }

  /// The script itself, with a srun that ends as told and a scontrol that writes down what it was asked.
  @Test func theScriptRequeuesOrSaysWhy() throws {
    let bin = "\(scratch.path)/bin"
    try AtomicFile.write(
      "#!/bin/bash\nprintf '%s|' \"$@\" >\(bin)/asked\nexit ${SRUN_STATUS:-0}\n", to: "\(bin)/srun")
    try AtomicFile.write(
      "#!/bin/bash\necho \"$@\" >\(bin)/requeued\nexit 1\n", to: "\(bin)/scontrol")
    try AtomicFile.write("#!/bin/bash\n", to: "\(bin)/pro gram")
    for name in ["srun", "scontrol", "pro gram"] { chmod("\(bin)/\(name)", 0o755) }
    func run(_ program: String, _ status: Int) throws -> (status: Int32, output: String) {
      try AtomicFile.write(
        script("\(bin)/\(program)", ["--set", "a={b: 1}"]).element, to: "\(bin)/script")
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/bash")
      process.arguments = ["\(bin)/script", "4", "2"]
      process.environment = [
        "PATH": "\(bin):/usr/bin:/bin", "SRUN_STATUS": "\(status)", "SLURM_ARRAY_TASK_ID": "7",
        "SLURM_JOB_ID": "99", "SLURMD_NODENAME": "n1",
      ]
      let output = Pipe()
      process.standardOutput = output
      process.standardError = output
      try process.run()
      let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      return (process.terminationStatus, text)
    }
    #expect(try run("pro gram", 0) == (0, ""))
    let asked = try String(contentsOfFile: "\(bin)/asked", encoding: .utf8)
    #expect(asked.hasSuffix("/pro gram|--set|a={b: 1}|--element|4:7:2|"), "\(asked)")
    #expect(!FileManager.default.fileExists(atPath: "\(bin)/requeued"))
    #expect(try run("pro gram", 75).status == 75)
    #expect(try String(contentsOfFile: "\(bin)/requeued", encoding: .utf8) == "requeue 99\n")
    for (status, words) in [
      (75, "could not be requeued"), (137, "memory"), (138, "--time"), (132, "instructions"),
      (1, "status 1"),
    ] {
      let (ended, text) = try run("pro gram", status)
      #expect(ended == status && text.contains(words) && text.hasPrefix("n1: "), "\(text)")
      #expect(text.filter { $0 == "\n" }.count == 1, "\(text)")
    }
    let (ended, text) = try run("missing", 0)
    #expect(
      ended == 1 && text.hasPrefix("n1: ") && text.contains("missing is not there"), "\(text)")
  }

  // MARK: - States

  @Test func statesAreReadFromRecordsJournalsLogsAndQueue() throws {
    let runner = runner(MLPHeatMap.self, map, "states")
    let (list, place) = (try ElementList(of: runner), ElementList.place(in: runner.folder))
    typealias Queue = [SlurmTask: (state: String, reason: String)]
    func states(_ queue: Queue?) throws -> [ElementState] {
      let known = try ElementStates(folder: runner.folder, list: list) { user in
        #expect(user == "me")
        return queue
      }
      return known.states
    }
    #expect(list.elements.count == 9)
    #expect(try states([:]) == Array(repeating: .new, count: 9))
    var submission = Submission(user: "me")
    submission.arrays[0] = ("12", 1)
    submission.collection = "13"
    try submission.write(to: place)
    #expect(Submission(from: place) == submission)

    try compute(list.elements[0], runner)
    func journal(_ index: Int, _ lines: String...) throws {
      let (journal, _) = try Journal.open(resuming: list.elements[index].journal(in: place))
      for line in lines { try journal.append(line) }
      journal.release()
    }
    try journal(1, "began on n1, job 12", "failed no such file")
    try journal(2, "began on n1, job 12", "interrupted by signal 10, its state is saved")
    try journal(3, "began on n1, job 12", "started norm seed 1")
    try AtomicFile.write(
      "slurmstepd: killed\n\u{7}n1: killed, by its memory limit\n\n",
      to: "\(place)/logs/stage0-4.log")
    let held = try Journal.open(resuming: list.elements[4].journal(in: place)).journal
    try held.append("began on n2, job 12")
    try journal(6, "began on n1, job 12", "finished norm seed 1")
    let queue: Queue = [
      SlurmTask(job: "12", task: 3): ("PENDING", "BeginTime"),
      SlurmTask(job: "12", task: 6): ("PENDING", "Resources"),
      SlurmTask(job: "12", task: 9): ("RUNNING", "None"),
      SlurmTask(job: "11", task: 8): ("RUNNING", "None"),  // of another submission
    ]
    let expected: [ElementState] = [
      .done, .failed("no such file"), .waiting("requeued, BeginTime"),
      .failed("n1: killed, by its memory limit"), .running("on n2, job 12"), .waiting("Resources"),
      .failed("its results are gone"),
      .failed("never started: canceled, or what it waited for failed"), .running("running"),
    ]
    #expect(try states(queue) == expected)
    // Without Slurm nobody knows who waits; what is written stays known.
    let blind = try states(nil)
    #expect(
      blind[0] == .done && blind[4] == expected[4] && blind[5] == .waiting("Slurm does not answer"))
    held.release()

    let lines = Jobs.lines(
      try ElementStates(folder: runner.folder, list: list) { _ in queue }, all: false)
    #expect(lines[0].hasSuffix("9 elements, 2 waiting, 1 running, 1 done, 5 failed"), "\(lines)")
    #expect(lines.contains("  waiting  1 for Resources"), "\(lines)")
    #expect(lines.contains("  failed   norm-seed1-stage0-block1: no such file"), "\(lines)")

    // With its record every element of a map is done, wherever it was computed.
    _ = try runner.run()
    #expect(try states([:]) == Array(repeating: .done, count: 9))
  }
}
