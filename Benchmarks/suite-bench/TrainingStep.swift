// SPDX-License-Identifier: Apache-2.0

import Experiments
import Foundation
import LinearAlgebra
import Training

/// `suite-bench training-step --case CASE --threads N --steps N`: the median and the least time of single steps after one
/// that warms up, the processor's own time (which other programs on the machine leave alone), and the most memory held,
/// as one JSON line.
func trainingStep(_ arguments: [String]) throws {
  func option(_ name: String) -> String? {
    arguments.firstIndex(of: "--\(name)").flatMap {
      $0 + 1 < arguments.count ? arguments[$0 + 1] : nil
    }
  }
  let name = option("case") ?? ""
  let steps = Int(option("steps") ?? "10") ?? 0
  let threads = Int(option("threads") ?? "2") ?? 0
  guard let benchmark = StepBenchmark.all.first(where: { $0.name == name }), threads >= 1,
    steps >= 1
  else {
    FileHandle.standardError.write(
      Data(
        ("usage: suite-bench training-step --case CASE --threads N --steps N, cases: "
          + StepBenchmark.all.map(\.name).joined(separator: ", ") + "\n").utf8))
    exit(2)
  }
  let run = try benchmark.make(WorkerPool(threads: threads))
  var (times, processor): ([Double], [Double]) = ([], [])
  var loss = 0.0
  for step in 0...steps {
    run.prepare()
    let (watch, before) = (Stopwatch(), clock())
    loss = try run.step()
    guard step > 0 else { continue }
    times.append(1000 * watch.seconds)
    processor.append(1000 * Double(clock() - before) / Double(CLOCKS_PER_SEC))
  }
  let share = run.seconds()
  print(
    "{\"case\": \"\(name)\", \"ms_per_step\": \(Statistics.median(times)), \"min_ms\": \(times.min() ?? .nan), "
      + "\"cpu_ms\": \(processor.min() ?? .nan), \"steps\": \(steps), "
      + "\"threads\": \(threads), \"clip_ms\": \(1000 * share.clip / Double(steps + 1)), "
      + "\"optimizer_ms\": \(1000 * share.optimizer / Double(steps + 1)), \"loss\": \(loss), "
      + "\"peak_mb\": \(Telemetry.peakMemoryBytes >> 20), "
      + "\"blas_core\": \"\(BLASEnvironment.pinned().core)\"}")
}
