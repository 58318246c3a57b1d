import Experiments
import Foundation
import LinearAlgebra
import Training

/// `suite-bench training-step --case CASE --threads N --steps N`: the median time of single steps after one
/// that warms up, and the most memory held, as one JSON line.
func trainingStep(_ arguments: [String]) throws {
  func option(_ name: String) -> String? {
    arguments.firstIndex(of: "--\(name)").flatMap {
      $0 + 1 < arguments.count ? arguments[$0 + 1] : nil
    }
  }
  let name = option("case") ?? ""
  let language = LanguageStepProbe.Case(rawValue: name)
  let image = ImageStepProbe.Case(rawValue: name)
  guard language != nil || image != nil, let threads = Int(option("threads") ?? "2"),
    let steps = Int(option("steps") ?? "10"), threads >= 1, steps >= 1
  else {
    let cases =
      LanguageStepProbe.Case.allCases.map(\.rawValue) + ImageStepProbe.Case.allCases.map(\.rawValue)
    FileHandle.standardError.write(
      Data(
        ("usage: suite-bench training-step --case CASE --threads N --steps N, cases: "
          + cases.joined(separator: ", ") + "\n").utf8))
    exit(2)
  }
  var times: [Double] = []
  var loss = 0.0
  func measure(prepare: () -> Void = {}, _ body: () throws -> Double) rethrows {
    for step in 0...steps {
      prepare()
      let watch = Stopwatch()
      loss = try body()
      if step > 0 { times.append(1000 * watch.seconds) }
    }
  }
  var share = (clip: 0.0, optimizer: 0.0)
  if let language {
    let run = try LanguageStepProbe(language, threads: threads)
    try measure(prepare: run.prepare) { try run.step() }
    share = run.seconds
  } else if let image {
    let run = try ImageStepProbe(image, threads: threads)
    try measure { try run.step() }
    share = run.seconds
  }
  print(
    "{\"case\": \"\(name)\", \"ms_per_step\": \(Statistics.median(times)), \"steps\": \(steps), "
      + "\"threads\": \(threads), \"clip_ms\": \(1000 * share.clip / Double(steps + 1)), "
      + "\"optimizer_ms\": \(1000 * share.optimizer / Double(steps + 1)), \"loss\": \(loss), "
      + "\"peak_mb\": \(Telemetry.peakMemoryBytes >> 20), "
      + "\"blas_core\": \"\(BLASEnvironment.pinned().core)\"}")
}
