// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Testing

@testable import Optimizers

/// Optimizers at hyper-parameters that give exact values; their trajectories against PyTorch are in
/// TrainingTests.
@Suite struct OptimizerTests {
  private func parameter(_ values: [Float], _ gradient: [Float], shape: [Int]) -> Parameter {
    let parameter = Parameter("p", shape: shape)
    parameter.tensor.assign(values)
    for (i, g) in gradient.enumerated() { parameter.gradient.base[i] = g }
    return parameter
  }

  private func values(_ p: Parameter) -> [Float] { p.tensor.array }

  @Test func gradientDescentWithoutMomentum() {
    let p = parameter([1, 2], [4, -8], shape: [2])
    var optimizer = SGD(momentum: 0)
    optimizer.step([p], learningRate: 0.25)
    #expect(values(p) == [0, 4])
    optimizer.step([p], learningRate: 0)
    #expect(values(p) == [0, 4])
  }

  @Test func momentumSumsUp() {
    let p = parameter([0], [1], shape: [1])
    var optimizer = SGD(momentum: 0.5)
    for _ in 0..<3 { optimizer.step([p], learningRate: 1) }
    #expect(values(p) == [-(1 + 1.5 + 1.75)])
    let q = parameter([0], [1], shape: [1])
    var nesterov = SGD(momentum: 0.5, nesterov: true)
    for _ in 0..<2 { nesterov.step([q], learningRate: 1) }
    #expect(values(q) == [-(1.5 + 1.75)])
    let r = parameter([2], [0], shape: [1])
    var decay = SGD(momentum: 0.5, weightDecay: 0.5)
    decay.step([r], learningRate: 0.5)
    #expect(values(r) == [1.5])
  }

  @Test func adamsFirstStepIsTheSign() {
    let p = parameter([1, 1, 1], [3, -0.001, 0], shape: [3])
    var optimizer = Adam(epsilon: 0)
    let q = parameter([1, 1], [3, -0.001], shape: [2])
    optimizer.step([q], learningRate: 0.5)
    for (got, want) in zip(values(q), [0.5, 1.5] as [Float]) { #expect(abs(got - want) < 1e-6) }
    // A zero gradient moves nothing as long as ε > 0.
    var usual = Adam()
    usual.step([p], learningRate: 0.5)
    #expect(values(p)[2] == 1)
    var decoupled = Adam(weightDecay: 0.5, isDecoupled: true)
    let r = parameter([4], [0], shape: [1])
    decoupled.step([r], learningRate: 0.5)
    #expect(values(r) == [3])
  }

  @Test func muonAndScionMoveBySingularDirections() throws {
    let g: [Float] = [3, 0, 0, 0, 0.5, 0]
    let p = parameter([Float](repeating: 0, count: 6), g, shape: [2, 3])
    var muon = Muon(form: .authors, momentum: 0.9)
    muon.step([p], learningRate: 1)
    // Both singular values become about one, times 0.2 √3.
    let scale = Float(0.2 * 3.0.squareRoot())
    for (i, j) in [(0, 0), (1, 1)] {
      let value = -values(p)[i * 3 + j] / scale
      #expect(value > 0.6 && value < 1.25, "\(value)")
    }
    #expect(values(p)[1] == 0 && values(p)[3] == 0)
    // Clipped Scion: the dual norm of 0.1 g is about 0.35, below the radius 1, above 0.1.
    for (radius, low, high) in [(1.0, 0.2, 0.45), (0.1, 0.06, 0.125)] {
      let q = parameter([Float](repeating: 0, count: 6), g, shape: [2, 3])
      var scion = ClippedScion(radius: radius)
      scion.step([q], learningRate: 1)
      let moved = Double(-values(q)[0])
      #expect(moved > low * 0.65 && moved < high * 1.25, "\(radius): \(moved)")
    }
  }

  @Test func acclipLimitsTheMomentum() {
    let p = parameter([0], [1], shape: [1])
    var optimizer = ACClip(beta1: 0, beta2: 0.75, epsilon: 0)
    optimizer.step([p], learningRate: 1)  // τ = 0.25, m = 1
    #expect(values(p) == [-0.25])
  }

  @Test func stateSurvivesACheckpoint() throws {
    try checkResuming(SGD(), "SGD")
    try checkResuming(Adam(), "Adam")
    try checkResuming(Muon(), "Muon")
    try checkResuming(Muon(form: .torch), "Muon, torch form")
    try checkResuming(ClippedScion(radius: 1), "Clipped Scion")
    try checkResuming(ACClip(), "ACClip")
  }

  private func checkResuming<O: Optimizer>(_ fresh: O, _ name: String) throws {
    var optimizer = fresh
    func set(_ p: Parameter, _ k: Int) {
      let gradient: [Float] = RandomStream(seed: UInt64(k), name: "g").normals(6)
      for (i, g) in gradient.enumerated() { p.gradient.base[i] = g }
    }
    let p = parameter([1, 2, 3, 4, 5, 6], [], shape: [2, 3])
    for k in 0..<3 {
      set(p, k)
      optimizer.step([p], learningRate: 0.01)
    }
    let q = parameter(values(p), [], shape: [2, 3])
    var resumed = fresh
    try resumed.restore(optimizer.encoded())
    set(p, 3)
    set(q, 3)
    optimizer.step([p], learningRate: 0.01)
    resumed.step([q], learningRate: 0.01)
    #expect(values(p) == values(q), "\(name)")
  }

  @Test func schedules() {
    #expect(
      (0..<4).map { Schedule.factors([2, 0.5]).factor(step: $0, of: 9) } == [2, 0.5, 0.5, 0.5])
    func factors(_ schedule: Schedule, _ steps: Int) -> [Double] {
      (0..<steps).map { schedule.factor(step: $0, of: steps) }
    }
    #expect(factors(.constant, 3) == [1, 1, 1])
    #expect(factors(.linear(), 4) == [1, 0.75, 0.5, 0.25])
    #expect(factors(.linear(warmup: 2), 4) == [0.5, 1, 1, 0.5])
    let cosine = factors(.cosine(warmup: 2, floor: 0.5), 6)
    #expect(cosine[0] == 0.5 && cosine[2] == 1 && abs(cosine[4] - 0.75) < 1e-15)
    #expect(factors(.steps(at: [2, 3], factor: 0.5), 5) == [1, 1, 0.5, 0.25, 0.25])
    #expect(factors(.steps(at: [], factor: 0.5), 2) == [1, 1])
  }
}

@Suite struct ThreadTests {
  private func parameters(_ seed: UInt64) -> [Parameter] {
    [("w", [40, 30]), ("v", [70]), ("u", [300, 500])].map { name, shape in
      let parameter = Parameter(name, shape: shape)
      let stream = RandomStream(seed: seed, name: name)
      parameter.tensor.assign(stream.normals(parameter.count))
      parameter.gradient.base.update(
        from: stream.child("gradient").normals(parameter.count) as [Float],
        count: parameter.count)
      return parameter
    }
  }

  private func values(_ parameters: [Parameter]) -> [[Float]] {
    parameters.map { Array(UnsafeBufferPointer(start: $0.base, count: $0.count)) }
  }

  @Test func threadsDoNotChangeABit() {
    func run<O: Optimizer>(_ optimizer: O, threads: Int) -> [[Float]] {
      var optimizer = optimizer
      // Muon moves matrices only.
      let parameters = parameters(1).filter { !(optimizer is Muon) || $0.shape.count > 1 }
      let pool = WorkerPool(threads: threads)
      for _ in 0..<3 { optimizer.step(parameters, learningRate: 0.01, pool: pool) }
      return values(parameters)
    }
    let adam = Adam(weightDecay: 0.1, isDecoupled: true)
    #expect(run(adam, threads: 1) == run(adam, threads: 3))
    let muon = Muon(form: .torch)
    #expect(run(muon, threads: 1) == run(muon, threads: 3))
  }
}
