// SPDX-License-Identifier: Apache-2.0

import Clipping
import Experiments
import Foundation
import Lab
import LinearAlgebra
import Storage
import Theory
import Training

// One JSON line a case: medians over repeats. compare.py runs the peers in turn beside it.
// suite-bench [SUBSTRING]: only the cases whose name contains it.

// suite-bench growth RECORD: see Growth.swift.

if HDF5Child.servesInstead() { exit(0) }
let filter = CommandLine.arguments.dropFirst().first ?? ""
BLASEnvironment.restartOnUnknownCPU()
let blas = BLASEnvironment.pinned()
if filter == "training-step" {
  try trainingStep(Array(CommandLine.arguments.dropFirst(2)))
  exit(0)
}
if filter == "growth", let record = CommandLine.arguments.dropFirst(2).first {
  try growth(record)
  exit(0)
}
if let warning = blas.warning { FileHandle.standardError.write(Data("warning: \(warning)\n".utf8)) }

/// Times `body` after `prepare`, which does not count, and prints the line.
func measure(
  _ name: String, unit: String = "s", work: Double? = nil, repeats: Int = 9,
  prepare: () -> Void = {}, _ body: () throws -> Void
) throws {
  guard filter.isEmpty || name.contains(filter) else { return }
  var values: [Double] = []
  for round in 0...repeats {
    prepare()
    let watch = Stopwatch()
    try body()
    let seconds = watch.seconds
    if round > 0 { values.append(work.map { $0 / seconds } ?? seconds) }  // round 0 warms up
  }
  let (low, high) = (values.min() ?? .nan, values.max() ?? .nan)
  print(
    "{\"case\": \"\(name)\", \"unit\": \"\(unit)\", \"median\": \(Statistics.median(values)), "
      + "\"min\": \(low), \"max\": \(high), \"repeats\": \(repeats), \"threads\": 1, "
      + "\"blas_core\": \"\(blas.core)\", \"cpu\": \"\(Telemetry.cpu)\"}")
}

// Trace regression, all seven methods: 11 gradients are clipped an iteration (and 10 for the exact bias).
do {
  var config = TraceRegression.Config()
  config.steps = 20_000
  config.seeds = [11]
  config.denseSteps = 1
  for rng in TraceRegression.Generator.allCases {
    config.rng = rng
    let unit = Job(methods: config.methods, seed: 11)
    let iterations = Double(config.methods.count * config.steps)
    try measure(
      "trace-regression, \(rng.rawValue)", unit: "iterations/s", work: iterations, repeats: 5
    ) {
      if rng == .numpy {
        _ = try TraceRegression.run(unit, config, RunContext())
      } else {
        for unit in TraceRegression.jobs(of: config) {
          _ = try TraceRegression.run(unit, config, RunContext())
        }
      }
    }
  }
}

func normal(_ m: Int, _ n: Int, _ name: String) -> Matrix<Float> {
  Matrix(
    rows: m, columns: n,
    elements: RandomStream(seed: 1, name: "bench/\(name)").normals(m * n, as: Float.self))
}

// Small matrices.
do {
  let count = 1000
  let source = RandomStream(seed: 1, name: "bench/3x3").normals(9 * count, as: Double.self)
  var batch = source
  var sigmaMax = [Double](repeating: 0, count: count)
  let clip = SmallBatchClip(rows: 3, columns: 3)
  try measure(
    "clip 3x3 batch", unit: "matrices/s", work: Double(count), repeats: 21,
    prepare: { batch = source }
  ) {
    try clip.clip(&batch, sigmaMax: &sigmaMax) { _ in 1 }
  }
}

// 100×100 of rank 33, from its factors and by LAPACK.
do {
  let (a, b) = (normal(33, 100, "a"), normal(33, 100, "b"))
  let dense = matmul(a, .yes, b, .no)
  let tau = Double(try singularValues(dense)[8])
  let g = LayerGradient(rows: 100, columns: 100)
  let workspace = FactoredSpectrum()
  let clip = SpectralClip.exact
  try measure("clip 100x100 from rank-33 factors", repeats: 51) {
    try a.withView { a in
      try b.withView { b in
        g.setProduct(left: a, right: b)
        try clip.clip(g, at: .fixed(tau), workspace: workspace)
      }
    }
  }
  try measure("gesdd 100x100, rank 33", repeats: 51) { _ = try svd(dense) }
}

// Gradient sizes of the paper's models: exact with few and with half of the values above τ, full SVD.
for (m, n) in [(100, 100), (384, 1536), (768, 3072)] {
  let source = normal(m, n, "\(m)x\(n)")
  let sigma = try singularValues(source)
  var g = source
  let repeats = m > 500 ? 3 : 9
  let clip = SpectralClip.exact
  for (what, index) in [("3 values", 3), ("half of the values", min(m, n) / 2)] {
    let tau = Double(sigma[index])
    try measure("exact clip \(m)x\(n), \(what)", repeats: repeats, prepare: { g = source }) {
      _ = try clip.clip(&g, at: tau)
    }
  }
  try measure("gesdd \(m)x\(n)", repeats: repeats) { _ = try svd(source) }
}

// Algorithm 2 at the ranks of the authors' configurations.
for (m, n, rank, oversampling, powerIterations) in [
  (768, 3072, 5, 5, 1), (3072, 768, 5, 5, 1), (768, 3072, 64, 10, 2), (3072, 768, 64, 10, 2),
  (384, 1536, 3, 5, 2), (256, 2304, 10, 5, 1),
] {
  let source = normal(m, n, "\(m)x\(n)")
  var g = source
  let clip = try SpectralClip.randomized(
    rank: rank, oversampling: oversampling, powerIterations: powerIterations)
  try measure(
    "randomized clip \(m)x\(n), rank \(rank), p \(oversampling), q \(powerIterations)",
    repeats: 15,
    prepare: {
      g = source
      g.elements[0] += 0  // a copy of its own before the clock starts
    }
  ) {
    _ = try clip.clip(&g, at: 1)
  }
}

do {
  var buffer = [Float](repeating: 0, count: 1 << 20)
  let stream = RandomStream(seed: 1, name: "bench/normals")
  try measure("normals, Float", unit: "numbers/s", work: Double(1 << 20)) {
    buffer.withUnsafeMutableBufferPointer { stream.fill(normal: $0) }
  }
  var g = normal(2048, 2048, "norm")
  try measure("norm clip 2048x2048", unit: "bytes/s", work: 4 * 2048 * 2048 * 2) {
    _ = try NormClip(maximumNorm: 1e-3).clip(&g)
  }
}

// The pieces of an MLP step: small products and the eigen-decomposition behind the factored clip.
do {
  let (x, w, d) = (normal(32, 100, "x"), normal(100, 100, "w"), normal(32, 100, "d"))
  var y = Matrix<Float>(rows: 32, columns: 100)
  var g = Matrix<Float>(rows: 100, columns: 100)
  func product(
    _ name: String, _ a: Matrix<Float>, _ ta: Transpose, _ b: Matrix<Float>, _ tb: Transpose,
    _ c: inout Matrix<Float>
  ) throws {
    try a.withView { a in
      try b.withView { b in
        try c.withMutableView { c in
          try measure("sgemm \(name), small", unit: "GFLOP/s", work: 2000 * 640e3 * 1e-9) {
            for _ in 0..<2000 { gemm(a, ta, b, tb, into: c) }
          }
        }
      }
    }
  }
  try product("NN 32x100x100", x, .no, w, .no, &y)
  try product("NT 32x100x100 (BLAS)", x, .no, w, .yes, &y)
  try product("TN 100x100x32", d, .yes, x, .no, &g)
  let core = gram(ofRows: normal(33, 100, "core"))
  let eigen = SmallSymmetricEigen(capacity: 33)
  try measure("eigenpairs of 33x33, own QL, 100 times") {
    for _ in 0..<100 { try eigen.decompose(core.elements, 33) }
  }
  try measure("eigenvalues of 33x33, own QL, 100 times") {
    for _ in 0..<100 { try eigen.decompose(core.elements, 33, vectors: false) }
  }
  try measure("eigenpairs of 33x33, LAPACK, 100 times") {
    for _ in 0..<100 { _ = try symmetricEigen(core) }
  }
}

func gram(ofRows m: Matrix<Float>) -> Matrix<Double> {
  m.withView { LinearAlgebra.gram(ofRows: $0) }
}

// MLP steps at paper size, batch 32, one thread, noise included; compare.py runs PyTorch's in turn.
// "tuned" is the threshold of tuned.yaml; at 0.001 every singular value that is not zero is clipped.
for (name, method, values) in [
  ("no clip", "sgdm-none", ["learningRate": 1e-6]),
  ("norm clip", "sgdm-norm", ["learningRate": 0.0076, "maximumNorm": 3.7]),
  ("spectral clip, tuned", "sgdm-spectral-const", ["learningRate": 0.004, "tau": 2.96]),
  ("spectral clip, tau 0.05", "sgdm-spectral-const", ["learningRate": 0.01, "tau": 0.05]),
  ("spectral clip, everything", "sgdm-spectral-const", ["learningRate": 1e-4, "tau": 0.001]),
  ("spectral clip, quantile", "sgdm-spectral-quantile", ["learningRate": 0.0145, "level": 0.55]),
  ("muon", "muon", ["learningRate": 0.0006]),
] as [(String, String, Hyperparameters)] {
  let run = try StepBenchmark.mlp(method, values)
  try measure("mlp step, \(name)", unit: "steps/s", work: 1000, repeats: 7) {
    for _ in 0..<1000 { _ = try run.step() }
  }
}

// Two runs at once against one: the machine's second core must be worth at least 1.9 times.
try measure("mlp steps of two runs side by side", unit: "steps/s", work: 8000, repeats: 3) {
  try runSideBySide(count: 2, jobs: 2) { _ in
    let run = try StepBenchmark.mlp("sgdm-norm", ["learningRate": 0.0076, "maximumNorm": 3.7])
    for _ in 0..<4000 { _ = try run.step() }
  }
}
try measure("mlp steps of two runs one after the other", unit: "steps/s", work: 8000, repeats: 3) {
  try runSideBySide(count: 2, jobs: 1) { _ in
    let run = try StepBenchmark.mlp("sgdm-norm", ["learningRate": 0.0076, "maximumNorm": 3.7])
    for _ in 0..<4000 { _ = try run.step() }
  }
}

// Clipped descent with heavy-tailed noise, one thread: what `make theory` spends its time on.
for (side, steps) in [(3, 20_000), (10, 4_000)] {
  let problem = Problem.quadratic(
    rows: side, columns: side, condition: 10, stream: RandomStream(seed: 1, name: "bench"))
  let descent = ClippedDescent(
    problem, law: .rankOnePareto(shape: 1.6, scale: 0.3), rule: .spectral(1), eta: 0.1,
    start: Matrix(rows: side, columns: side, repeating: 1))
  try measure(
    "clipped descent \(side)x\(side)", unit: "steps/s", work: Double(20 * steps), repeats: 5
  ) { _ = try descent.run(steps: steps, count: 20, stream: RandomStream(seed: 2, name: "runs")) }
}
