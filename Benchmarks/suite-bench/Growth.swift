// SPDX-License-Identifier: Apache-2.0

import Clipping
import Experiments
import Foundation
import Lab
import LinearAlgebra
import Storage
import Training

/// What a thing costs over its size, one line a size.
///
/// `suite-bench growth RECORD`: TSV with the axis, what is measured, the exponent that the operations would give, the size, the
/// median and the least seconds, and the threads. RECORD is any record, of which a folder is filled with copies.
func growth(_ record: String) throws {
  let folder = NSTemporaryDirectory() + "growth-\(ProcessInfo.processInfo.processIdentifier)"
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  print("axis\twhat\torder\tsize\tseconds\tleast_seconds\trepeats\tthreads")
  for axis in growthAxes(record, folder) {
    for size in axis.sizes {
      let (threads, body) = try axis.make(size)
      try body()
      var times: [Double] = []
      while times.count < 3 || times.count < 15 && times.reduce(0, +) < 0.4 {
        let watch = Stopwatch()
        try body()
        times.append(watch.seconds)
      }
      print(
        axis.name, axis.what, axis.order, size, Statistics.median(times), times.min() ?? .nan,
        times.count, threads, separator: "\t")
    }
  }
}

private struct GrowthAxis {
  let name: String, what: String
  /// The exponent of the size in the count of operations; of the tokens, without attention.
  let order: Int
  let sizes: [Int]
  /// What is timed at a size, and on how many threads.
  let make: (Int) throws -> (threads: Int, body: () throws -> Void)
}

private func growthAxes(_ record: String, _ folder: String) -> [GrowthAxis] {
  func powers(_ low: Int, _ high: Int) -> [Int] { (low...high).map { 1 << $0 } }
  func step(_ benchmark: StepBenchmark, threads: Int) throws -> (Int, () throws -> Void) {
    let run = try benchmark.make(WorkerPool(threads: threads))
    return (threads, { _ = try run.step() })
  }
  func clip(_ source: Matrix<Float>, _ clip: SpectralClip, _ tau: Double) -> (
    Int, () throws -> Void
  ) {
    (
      1,
      {
        var g = source
        try clip.clip(&g, at: tau)
      }
    )
  }
  let wide = normal(768, 3072, "wide")
  return [
    GrowthAxis(
      name: "tokens", what: "nanoGPT 4x128, a step on one sequence", order: 1, sizes: powers(5, 12)
    ) {
      try step(.nanoGPT(width: 128, tokens: $0, sequences: 1), threads: 2)
    },
    GrowthAxis(
      name: "width", what: "nanoGPT of four blocks, a step on 8 x 64 tokens", order: 2,
      sizes: powers(5, 10)
    ) {
      try step(.nanoGPT(width: $0, tokens: 64, sequences: 8), threads: 2)
    },
    GrowthAxis(
      name: "rank", what: "Algorithm 2 on 768x3072, p 10, q 2", order: 1, sizes: powers(0, 9)
    ) {
      clip(wide, try .randomized(rank: $0, oversampling: 10, powerIterations: 2), 1)
    },
    GrowthAxis(
      name: "matrix size", what: "exact clip of n x n, three values above the threshold", order: 3,
      sizes: powers(3, 10)
    ) { n in
      let source = normal(n, n, "square")
      return clip(source, .exact, Double(try singularValues(source)[3]))
    },
    GrowthAxis(
      name: "images", what: "CifarNet, a step, filters clipped by Algorithm 2", order: 1,
      sizes: powers(2, 10)
    ) {
      try step(.cifarNet(images: $0), threads: 2)
    },
    GrowthAxis(
      name: "tensors", what: "reading a safetensors file of tensors of 1024 floats", order: 1,
      sizes: powers(0, 14)
    ) { count in
      let path = folder + "/tensors-\(count).safetensors"
      let values = normal(1, 1024, "tensor").elements
      try TensorFile.write(
        (0..<count).map { TensorFile.Tensor("t\($0)", shape: [1024], .float(values)) },
        format: .safetensors, to: path)
      return (
        1,
        {
          let file = try TensorFile(path)
          for entry in file.entries { _ = try file.floats(entry.name) }
        }
      )
    },
    GrowthAxis(
      name: "records", what: "reading a folder of records", order: 1, sizes: powers(0, 9)
    ) { count in
      let own = folder + "/records-\(count)"
      try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
      var copy = try Record.read(from: record)
      for seed in 1...count {
        copy.root.attributes["seed"] = .int(seed)
        try copy.write(to: own + "/copy-seed\(seed).h5")
      }
      return (1, { _ = try RecordSet(folder: own) })
    },
    GrowthAxis(
      name: "threads", what: "CifarNet, a step on 512 images", order: -1, sizes: [1, 2]
    ) { try step(.cifarNet(images: 512), threads: $0) },
  ]
}
