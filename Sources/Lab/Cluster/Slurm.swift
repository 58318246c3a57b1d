// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// What Slurm is told of every element.
package struct SlurmSettings: Equatable, Sendable {
  /// The partition, nil for Slurm's own choice.
  package var partition: String?
  /// The time limit of an element as Slurm writes it, nil for the partition's.
  package var time: String?
  /// How many elements may run at a time, nil for no limit of ours.
  package var concurrent: Int?
  /// Memory of an element as Slurm writes it (4G), nil for the partition's.
  package var memory: String?
  /// Options of sbatch as they are: --account=x, --exclude=node3, ….
  package var others: [String] = []
  /// Cores and threads of an element.
  package var threads = 1
  /// Elements that a job computes one after another, at least.
  package var group = 1
  /// Seconds before the time limit at which an element saves its state and goes back into the queue.
  package var grace = 120

  /// Nothing said.
  package init() {}

  /// Throws a `ConfigError` for what Slurm would refuse later, and for a time limit that the grace uses up.
  package func validate() throws {
    guard (1...1_000_000).contains(grace) else {
      throw ConfigError("--grace \(grace)", "no such time", hint: "use 1 to 1000000 seconds")
    }
    if let time {
      guard let seconds = Self.seconds(time) else {
        throw ConfigError(
          "--time \(time)", "not a time as Slurm writes it", hint: "write 90, 1:30:00 or 2-12:00:00"
        )
      }
      // Slurm sends the signal up to a minute early.
      guard seconds > grace + 60 else {
        throw ConfigError(
          "--time \(time)", "an element saves its state \(grace) to \(grace + 60) s before the end",
          hint: "give it more time, or --grace fewer seconds")
      }
    }
    guard group >= 1 else {
      throw ConfigError("--group \(group)", "a job would have nothing to do", hint: "use 1 or more")
    }
    if let concurrent, concurrent < 1 {
      throw ConfigError("--concurrent \(concurrent)", "no element could run", hint: "use 1 or more")
    }
    for text in [partition, memory].compactMap(\.self) + others
    where text.isEmpty || text.contains(where: \.isNewline) {
      throw ConfigError("'\(text)'", "cannot be given to Slurm", hint: "write one word")
    }
  }

  /// Seconds of "minutes", "minutes:seconds", "hours:minutes:seconds", "days-hours", "days-hours:minutes" or
  /// "days-hours:minutes:seconds"; nil for any other text.
  static func seconds(_ time: String) -> Int? {
    let parts = time.split(separator: "-", omittingEmptySubsequences: false)
    let fields = (parts.last ?? "").split(separator: ":", omittingEmptySubsequences: false)
      .map { $0.allSatisfy { $0.isASCII && $0.isNumber } ? Int($0) : nil }
    let numbers = fields.compactMap(\.self)
    guard numbers.count == fields.count, numbers.allSatisfy({ $0 < 1_000_000 }), fields.count <= 3
    else { return nil }
    func sum(_ units: [Int]) -> Int { zip(numbers, units).reduce(0) { $0 + $1.0 * $1.1 } }
    switch parts.count {
    case 1: return sum([[60], [60, 1], [3600, 60, 1]][numbers.count - 1])
    case 2:
      guard let days = Int(parts[0]), (0..<100_000).contains(days) else { return nil }
      return days * 86400 + sum([3600, 60, 1])
    default: return nil
    }
  }
}

/// The array of one stage: its tasks by number, from 1, each of `group` elements one after another.
package struct SlurmArray: Equatable, Sendable {
  package let stage: Int
  package let tasks: [Int]
  package let group: Int

  /// The tasks of the `missing` elements of a stage of `count` where the largest number of a task is `limit` - 1; each of at
  /// least `least` elements.
  package init(stage: Int, missing: [Element], of count: Int, limit: Int, least: Int = 1) {
    self.stage = stage
    let most = max(1, limit - 1)
    let group = max(1, least, (count + most - 1) / most)
    self.group = group
    tasks = Set(missing.map { $0.number / group + 1 }).sorted()
  }

  /// "1-4,7%2".
  package func range(concurrent: Int?) -> String {
    runs(of: tasks).map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ",") + (concurrent.map { "%\($0)" } ?? "")
  }
}

/// The scripts of one submission, and how sbatch is called.
package struct SlurmScript: Sendable {
  /// "mlp-heatmap, profile paper".
  package let title: String
  /// The folder of list, logs and journals.
  package let place: String
  /// The executable, and what each of its processes is told besides its element.
  package let program: String
  package let arguments: [String]
  /// Where the command was given; paths in it are relative to that.
  package let workingFolder: String
  package let settings: SlurmSettings
  /// A command for the shell that follows the collection.
  package let then: String?

  /// What a task exits with when its state is saved and it is to run again (EX_TEMPFAIL).
  package static let requeue: Int32 = 75

  private var header: String {
    var lines = [
      "#!/bin/bash", "# \(title.filter { !$0.isNewline })",
      "#SBATCH --chdir=\(quoted(workingFolder))", "#SBATCH --nodes=1", "#SBATCH --ntasks=1",
      "#SBATCH --requeue", "#SBATCH --open-mode=append",
    ]
    func add(_ option: String, _ value: String?) {
      if let value { lines.append("#SBATCH --\(option)=\(quoted(value))") }
    }
    add("partition", settings.partition)
    add("time", settings.time)
    add("mem", settings.memory)
    for other in settings.others { lines.append("#SBATCH \(other)") }
    return lines.joined(separator: "\n") + "\n"
  }

  private var checks: String {
    """
    export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
    node=${SLURMD_NODENAME:-$(hostname)} program=\(quoted(program))
    if ! [ -x "$program" ]; then
      echo "$node: $program is not there: nodes must see the folder of the build (elsewhere: --sbatch=--exclude=$node)"
      exit 1
    fi

    """
  }

  private var command: String { arguments.map(quoted).joined(separator: " ") }

  /// The script of every array; its arguments are the stage and the elements of a task.
  package var element: String {
    header + "#SBATCH --cpus-per-task=\(settings.threads)\n"
      + "#SBATCH --signal=USR1@\(settings.grace)\n" + checks + """
        status=0
        srun --cpu-bind=cores --cpus-per-task=\(settings.threads) "$program" \(command) \\
          --element "$1:$SLURM_ARRAY_TASK_ID:$2" || status=$?
        case $status in
          0) ;;
          \(Self.requeue)) # its time is nearly over and its state is saved: back into the queue, which ends this script
            scontrol requeue "$SLURM_JOB_ID" && sleep 300
            echo "$node: its time was over and it could not be requeued; the same command submits it again" ;;
          132) echo "$node: this CPU has not all instructions of the build; build on the oldest kind, or --sbatch=--exclude=$node" ;;
          137) echo "$node: killed, by its memory limit or by hand; --memory gives it more" ;;
          138) echo "$node: its time was over before it could save its state; --time gives it more" ;;
          *) echo "$node: ended with status $status" ;;
        esac
        exit $status

        """
  }

  /// The script of the job that makes records of what the elements left, after them.
  package var collection: String {
    header + "#SBATCH --cpus-per-task=1\n" + checks
      + "\"$program\" \(command) --collect || exit\n" + (then.map { "\($0)\n" } ?? "")
  }

  private static let elementFile = "element.sbatch"
  private static let collectionFile = "collect.sbatch"

  /// Writes the scripts, and makes the folders that logs and journals go to.
  package func write() throws {
    for folder in ["logs", "journals"] {
      try FileManager.default.createDirectoryOrExplain("\(place)/\(folder)")
    }
    try AtomicFile.write(element, to: "\(place)/\(Self.elementFile)")
    try AtomicFile.write(collection, to: "\(place)/\(Self.collectionFile)")
  }

  /// sbatch and its arguments for an array; `after` is the job that it waits for.
  package func submission(of array: SlurmArray, after: String?) -> [String] {
    sbatch("stage\(array.stage)", log: "stage\(array.stage)-%a", after: after) + [
      "--array=\(array.range(concurrent: settings.concurrent))", "\(place)/\(Self.elementFile)",
      "\(array.stage)", "\(array.group)",
    ]
  }

  /// The same for the collection.
  package func submissionOfCollection(after: String?) -> [String] {
    sbatch("collect", log: "collect", after: after) + ["\(place)/\(Self.collectionFile)"]
  }

  private func sbatch(_ name: String, log: String, after: String?) -> [String] {
    let folder = place.replacingOccurrences(of: "%", with: "%%")
    return [
      "sbatch", "--parsable", "--job-name=\(title.prefix { $0 != "," })-\(name)",
      "--output=\(folder)/logs/\(log).log",
    ] + (after.map { ["--dependency=afterok:\($0)", "--kill-on-invalid-dep=yes"] } ?? [])
  }
}

/// A word as a POSIX shell takes it.
package func quoted(_ word: String) -> String {
  let plain = word.allSatisfy {
    $0.isASCII && ($0.isLetter || $0.isNumber || "_-+=./:,@%".contains($0))
  }
  return plain && !word.isEmpty
    ? word : "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
}

// MARK: - Talking to Slurm

/// The programs of Slurm.
package enum Slurm {
  /// What a program printed, and its exit status; a `ConfigError` where there is no such program.
  static func run(_ words: [String]) throws -> (status: Int32, output: String, errors: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    // sbatch waits for minutes where a queue is full.
    process.arguments = ["timeout", "30"] + words
    // Errors go to a file: two pipes would have to be read at the same time.
    let place = FileManager.default.temporaryDirectory.path + "/slurm-\(UUID().uuidString)"
    let (output, errors) = (Pipe(), open(place, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600))
    unlink(place)
    let messages =
      errors < 0 ? FileHandle.nullDevice : FileHandle(fileDescriptor: errors, closeOnDealloc: true)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = messages
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    var said = ""
    if errors >= 0 {
      try? messages.seek(toOffset: 0)
      said = String(decoding: (try? messages.readToEnd()) ?? Data(), as: UTF8.self)
    }
    if process.terminationStatus == 127 {
      throw ConfigError(
        "--engine slurm", "there is no \(words[0]) here",
        hint: "give the command on a machine that submits to Slurm, or leave --engine out")
    }
    return (process.terminationStatus, text, said)
  }

  /// The number that the numbers of an array's tasks stay below; Slurm's own default where it does not answer.
  package static func maxArraySize() -> Int {
    let shown = (try? run(["scontrol", "show", "config"]))?.output ?? ""
    let line = shown.split(separator: "\n").first { $0.hasPrefix("MaxArraySize") }
    let told = line.flatMap { Int($0.split(separator: " ").last ?? "") } ?? 1001
    return (1...Int(Int32.max)).contains(told) ? told : 1001
  }

  /// Submits by `words` and returns the job's number, or throws a `ConfigError` that says in one line why Slurm refuses.
  static func submit(_ words: [String], partition: String?) throws -> String {
    let (status, output, errors) = try run(words)
    let job = output.split(separator: "\n").last.map { $0.prefix { $0.isNumber } } ?? ""
    if status == 0, !job.isEmpty { return String(job) }
    let reason =
      errors.split(separator: "\n").last.map {
        $0.replacingOccurrences(of: "sbatch: error: ", with: "")
      } ?? "no word"
    let later = "nothing is lost: the same command submits it later"
    if errors.lowercased().contains("invalid partition") {
      let known = (try? run(["sinfo", "-h", "-o", "%R"]).output)?
        .split(separator: "\n").joined(separator: ", ")
      throw ConfigError(
        "--partition \(partition ?? "(none)")", "this Slurm has no such partition",
        hint: "it has \(known.map { $0.isEmpty ? "none" : $0 } ?? "none")")
    }
    if status == 124 || ["temporarily", "limit", "policy"].contains(where: errors.contains) {
      throw ConfigError("Slurm", "takes no more jobs now (\(reason))", hint: later)
    }
    throw ConfigError(
      "sbatch", reason, hint: "nothing is lost: when that is set right the same command submits it")
  }

  /// State and reason of what is in the queue, by job and task; task 0 is a job without tasks. Nil where Slurm does not
  /// answer.
  package static func queue(of user: String) -> [SlurmTask: (state: String, reason: String)]? {
    guard
      let (status, output, _) = try? run(["squeue", "-h", "-r", "-u", user, "-o", "%F|%K|%T|%r"]),
      status == 0
    else { return nil }
    var queue: [SlurmTask: (state: String, reason: String)] = [:]
    for line in output.split(separator: "\n") {
      let cells = line.split(separator: "|", maxSplits: 3, omittingEmptySubsequences: false)
        .map(String.init)
      guard cells.count == 4 else { continue }
      queue[SlurmTask(job: cells[0], task: Int(cells[1]) ?? 0)] = (cells[2], cells[3])
    }
    return queue
  }
}

/// A task of an array.
package struct SlurmTask: Hashable, Sendable {
  package var job: String
  package var task: Int
}
