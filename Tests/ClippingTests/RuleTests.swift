// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Testing

@testable import Clipping

/// The rules on whole models: two layers of a mini-batch of five samples, one carrying a rank-one term.
@Suite struct RuleTests {
  init() { _ = BLASEnvironment.pinned() }

  /// Layers with their factors kept alive.
  private final class Fixture {
    let layers: [Layer]
    private let factors: [(Matrix<Float>, Matrix<Float>)]
    private let weights: [Matrix<Float>]
    private let held: [(UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>)]
    static let shapes = [(6, 8), (1, 6)]
    static let samples = 5

    init(formed: Bool = false, noise: Float = 3, scale: Float = 1) {
      func normal(_ m: Int, _ n: Int, _ name: String) -> Matrix<Float> {
        Matrix(rows: m, columns: n, elements: RandomStream(seed: 7, name: name).normals(m * n))
      }
      var layers: [Layer] = []
      var held: [(UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>)] = []
      factors = Self.shapes.enumerated().map { index, shape in
        (
          scale * normal(Self.samples, shape.0, "left\(index)"),
          normal(Self.samples, shape.1, "right\(index)")
        )
      }
      weights = Self.shapes.enumerated().map { normal($1.0, $1.1, "w\($0)") }
      for (index, (m, n)) in Self.shapes.enumerated() {
        let (left, right) = factors[index]
        let a = UnsafeMutablePointer<Float>.allocate(capacity: left.elements.count)
        let b = UnsafeMutablePointer<Float>.allocate(capacity: right.elements.count)
        a.initialize(from: left.elements, count: left.elements.count)
        b.initialize(from: right.elements, count: right.elements.count)
        held.append((a, b))
        let gradient = LayerGradient(rows: m, columns: n)
        gradient.setProduct(
          left: MatrixView(rows: Self.samples, columns: m, base: UnsafePointer(a)),
          right: MatrixView(rows: Self.samples, columns: n, base: UnsafePointer(b)))
        if noise != 0 {
          let u: [Float] = RandomStream(seed: 8, name: "u\(index)").normals(m)
          let v: [Float] = RandomStream(seed: 8, name: "v\(index)").normals(n)
          gradient.addRankOne(noise * scale, u, v, sample: 2)
        }
        if formed { gradient.materialize() }
        let w = UnsafeMutablePointer<Float>.allocate(capacity: m * n)
        w.initialize(from: weights[index].elements, count: m * n)
        held.append((w, w))
        layers.append(
          Layer(
            name: "layer\(index)", gradient: gradient,
            weights: MatrixView(rows: m, columns: n, base: UnsafePointer(w))))
      }
      self.layers = layers
      self.held = held
    }

    deinit {
      for (a, b) in held {
        a.deallocate()
        if a != b { b.deallocate() }
      }
    }

    /// The gradients as they are now, in Double.
    var gradients: [Matrix<Double>] { layers.map { $0.gradient.materialized.readOnly.widened() } }

    /// The gradients after `rule`, and what it did to each.
    func applying(
      _ rule: some GradientTransform
    ) throws -> (gradients: [Matrix<Double>], statistics: [ClipStatistics]) {
      var rule = rule
      let gradients = Gradients(layers)
      try rule.apply(to: gradients)
      return (self.gradients, gradients.statistics)
    }

    /// Each sample's own gradient (times the number of samples), both layers.
    var sampleGradients: [[Matrix<Double>]] {
      (0..<Self.samples).map { sample in
        layers.map { layer in
          guard let (left, right) = layer.gradient.factors else {
            return layer.gradient.entries.readOnly.widened()
          }
          var sum = Matrix<Double>(rows: layer.gradient.rows, columns: layer.gradient.columns)
          for (row, owner) in layer.gradient.samples.enumerated() where owner == sample {
            for i in 0..<sum.rows {
              for j in 0..<sum.columns {
                sum[i, j] +=
                  Double(Self.samples) * Double(left.base[row * sum.rows + i])
                  * Double(right.base[row * sum.columns + j])
              }
            }
          }
          return sum
        }
      }
    }
  }

  private func norm(_ gradients: [Matrix<Double>]) -> Double {
    gradients.reduce(0) { $0 + $1.frobeniusNorm * $1.frobeniusNorm }.squareRoot()
  }

  private func distance(_ a: [Matrix<Double>], _ b: [Matrix<Double>]) -> Double {
    norm(zip(a, b).map { $0 - $1 })
  }

  private func scaled(_ factor: Double, _ gradients: [Matrix<Double>]) -> [Matrix<Double>] {
    gradients.map { factor * $0 }
  }

  @Test func normAndItsRelatives() throws {
    let raw = Fixture().gradients
    let size = norm(raw)
    func result(_ rule: some GradientTransform) throws -> [Matrix<Double>] {
      try Fixture().applying(rule).gradients
    }
    let tolerance = 1e-5 * size
    #expect(distance(try result(NoClip()), raw) == 0)
    #expect(distance(try result(NormClip(maximumNorm: 2 * size)), raw) <= tolerance)
    #expect(distance(try result(NormClip(maximumNorm: 1)), scaled(1 / size, raw)) <= tolerance)
    #expect(
      distance(try result(NormalizedGradient(offset: 2)), scaled(1 / (size + 2), raw)) <= tolerance)
    // δ = 0 is norm clipping, δ = 1 nothing, in between a floor.
    for (delta, factor) in [(0.0, 1 / size), (0.5, 0.5), (1, 1)] {
      let clipped = try result(DeltaNormClip(maximumNorm: 1, minimumFactor: delta))
      #expect(distance(clipped, scaled(factor, raw)) <= tolerance, "delta \(delta)")
    }
  }

  @Test func spectralRuleClipsEachLayer() throws {
    let raw = Fixture().gradients
    let rule = try LayerwiseSpectralClip(
      .constant(1.5), .exact, layers: ["layer0", "layer1"], seed: 0)
    for formed in [false, true] {
      let (clipped, statistics) = try Fixture(formed: formed).applying(rule)
      for (got, g) in zip(clipped, raw) {
        let expected = PlainSVD(g).clipped(at: 1.5, rows: g.rows)
        #expect((got - expected).frobeniusNorm <= 1e-5 * g.frobeniusNorm)
      }
      #expect(statistics.map(\.tau) == [1.5, 1.5] && statistics[0].clippedFraction > 0)
    }
  }

  @Test func statisticsTellWhatEachRuleDid() throws {
    let raw = Fixture().gradients
    let sigma = raw.map { PlainSVD($0).sigma(min($0.rows, $0.columns)) }
    let norms = raw.map(\.frobeniusNorm)
    func statistics(
      _ rule: some GradientTransform, formed: Bool = false
    ) throws -> [ClipStatistics] {
      try Fixture(formed: formed).applying(rule).statistics
    }
    #expect(try statistics(NoClip()) == [ClipStatistics(), ClipStatistics()])
    // σ_1 of the raw gradients, from the rule itself: what an adaptive threshold learns is reported.
    for formed in [false, true] {
      let adaptive = try LayerwiseSpectralClip(
        .quantile(), .exact, layers: ["layer0", "layer1"], seed: 0)
      for (own, sigma) in zip(try statistics(adaptive, formed: formed), sigma) {
        #expect(abs((own.sigmaMax ?? .nan) - sigma[0]) <= 1e-5 * sigma[0])
        #expect(own.tau == .infinity && own.clippedCount == 0 && own.valueCount == sigma.count)
      }
      for (own, sigma) in zip(try statistics(SoftSpectralClip(limit: 1), formed: formed), sigma) {
        #expect(abs((own.sigmaMax ?? .nan) - sigma[0]) <= 1e-5 * sigma[0])
        #expect(own.clippedFraction == 1 && own.valueCount == sigma.count)
      }
    }
    // Rules by the joint norm have each layer's own.
    let joint = norm(raw)
    let rules: [(any GradientTransform, Double)] = [
      (try NormClip(maximumNorm: 1), 1 / joint),
      (try DeltaNormClip(maximumNorm: 1, minimumFactor: 0.5), 0.5),
      (try NormalizedGradient(offset: 2), 1 / (joint + 2)),
    ]
    for (rule, factor) in rules {
      for (own, norm) in zip(try statistics(rule), norms) {
        #expect(own.route == .norm && own.clippedFraction == 1)
        #expect(abs((own.normBefore ?? .nan) - norm) <= 1e-5 * norm)
        #expect(abs((own.normAfter ?? .nan) - factor * norm) <= 1e-5 * factor * norm)
      }
    }
    // Counts of rows, entries and samples.
    #expect(try statistics(CoordinateClip(limit: 0)).map(\.clippedCount) == [48, 6])
    #expect(try statistics(CoordinateClip(limit: 1e9)).map(\.clippedFraction) == [0, 0])
    #expect(try statistics(AdaptiveGradientClip(ratio: 1e-9)).map(\.clippedCount) == [6, 1])
    let samples = try statistics(PerSampleClip(scale: 0, moment: 1))
    #expect(samples.map(\.clippedCount) == [5, 5] && samples.map(\.valueCount) == [5, 5])
    // Five samples in micro-batches of two, two and one: never more clipped than there are.
    let norm = try statistics(MicroBatchClip(microBatches: 3, inner: .norm(limit: 0)))
    #expect(norm.map(\.clippedFraction) == [1, 1])
    let spectral = try statistics(MicroBatchClip(microBatches: 3, inner: .spectral(tau: 0)))
    #expect(spectral.map(\.valueCount) == [3 * 6, 3 * 1])
    #expect(spectral[1].clippedCount == 3)
  }

  @Test func softClippingFollowsItsCurve() throws {
    let raw = Fixture().gradients
    for (limit, formed) in [(0.5, false), (0.5, true), (1e6, false), (1e-6, false)] {
      let (clipped, _) = try Fixture(formed: formed).applying(SoftSpectralClip(limit: limit))
      for (got, g) in zip(clipped, raw) {
        let before = PlainSVD(g).sigma(min(g.rows, g.columns))
        let after = PlainSVD(got).sigma(min(g.rows, g.columns))
        for (s, t) in zip(before, after) {
          let want = s / (1 + s * s / (limit * limit)).squareRoot()
          #expect(abs(t - want) <= 1e-5 * (want + 1e-6 * before[0]) + 1e-6 * min(limit, s))
        }
      }
    }
  }

  @Test func coordinatesAndRowsAreLimited() throws {
    let raw = Fixture().gradients
    let (coordinates, statistics) = try Fixture().applying(CoordinateClip(limit: 0.25))
    for (got, g) in zip(coordinates, raw) {
      for (x, y) in zip(got.elements, g.elements) { #expect(x == min(max(y, -0.25), 0.25)) }
    }
    #expect(statistics[0].clippedFraction > 0 && statistics[0].clippedFraction < 1)
    let fixture = Fixture()
    let (rows, _) = try fixture.applying(AdaptiveGradientClip(ratio: 0.5))
    for (layer, (got, g)) in zip(fixture.layers, zip(rows, raw)) {
      for i in 0..<g.rows {
        let row = (0..<g.columns).map { g[i, $0] }
        let weight = (0..<g.columns).map { Double(layer.weights.base[i * g.columns + $0]) }
        let size = dot(row, row).squareRoot()
        let limit = 0.5 * max(dot(weight, weight).squareRoot(), 1e-3)
        let factor = size > limit ? limit / size : 1
        for j in 0..<g.columns { #expect(abs(got[i, j] - factor * g[i, j]) <= 1e-6 * size) }
      }
    }
  }

  /// A row of weights that are all zero counts as one of norm 1e-3.
  @Test func adaptiveClippingLetsZeroWeightsMove() throws {
    let gradient = LayerGradient(rows: 1, columns: 2)
    (gradient.base[0], gradient.base[1]) = (3, -4)
    try Matrix<Float>(rows: 1, columns: 2).withView { weights in
      let gradients = Gradients([Layer(name: "a", gradient: gradient, weights: weights)])
      let rule = try AdaptiveGradientClip(ratio: 0.5)
      try rule.apply(to: gradients)
    }
    let after = [Double(gradient.base[0]), Double(gradient.base[1])]
    #expect(abs(dot(after, after).squareRoot() - 0.5e-3) <= 1e-9, "\(after)")
  }

  @Test(arguments: [0.5, 3, 1e9])
  func singleSamplesAreClippedByTheirPosition(_ scale: Double) throws {
    let fixture = Fixture()
    let samples = fixture.sampleGradients
    var expected = samples[0].map { 0 * $0 }
    for (k, gradient) in samples.enumerated() {
      let limit = scale * pow(Double(k + 1), 1 / 1.5)
      let factor = min(1, limit / norm(gradient)) / Double(samples.count)
      for l in expected.indices { expected[l] = expected[l] + factor * gradient[l] }
    }
    let (got, _) = try fixture.applying(PerSampleClip(scale: scale, moment: 1.5))
    #expect(distance(got, expected) <= 1e-5 * norm(Fixture().gradients))
  }

  @Test(arguments: [1, 2, 5])
  func microBatchesAreClippedOnTheirOwn(_ parts: Int) throws {
    for inner in [MicroBatchClip.Inner.norm(limit: 2), .spectral(tau: 1)] {
      let fixture = Fixture()
      let samples = fixture.sampleGradients
      let size = (samples.count + parts - 1) / parts
      var expected = samples[0].map { 0 * $0 }
      for start in stride(from: 0, to: samples.count, by: size) {
        let own = samples[start..<min(samples.count, start + size)]
        var mean = samples[0].map { 0 * $0 }
        for gradient in own {
          for l in mean.indices { mean[l] = mean[l] + (1 / Double(own.count)) * gradient[l] }
        }
        let share = Double(own.count) / Double(samples.count)
        let joint = norm(mean)
        for l in mean.indices {
          let clipped =
            switch inner {
            case .norm(let limit): min(1, limit / joint) * mean[l]
            case .spectral(let tau): PlainSVD(mean[l]).clipped(at: tau, rows: mean[l].rows)
            }
          expected[l] = expected[l] + share * clipped
        }
      }
      let (got, _) = try fixture.applying(MicroBatchClip(microBatches: parts, inner: inner))
      #expect(distance(got, expected) <= 1e-5 * norm(Fixture().gradients), "\(parts) \(inner)")
    }
  }

  @Test func sampleRulesNeedSamples() {
    #expect(throws: ClippingError.needsFactors(layer: "layer0")) {
      try Fixture(formed: true).applying(PerSampleClip(scale: 1, moment: 2))
    }
    #expect(throws: ClippingError.needsFactors(layer: "layer0")) {
      try Fixture(formed: true).applying(MicroBatchClip(microBatches: 2, inner: .norm(limit: 1)))
    }
  }

  @Test(arguments: [4, 6]) func layersHaveTheSameSamples(_ count: Int) throws {
    let fixture = Fixture(noise: 0)
    let factor = [Float](repeating: 1, count: 8 * count)
    try factor.withUnsafeBufferPointer { factor in
      let base = try #require(factor.baseAddress)
      let layer = fixture.layers[1].gradient
      layer.setProduct(
        left: MatrixView(rows: count, columns: layer.rows, base: base),
        right: MatrixView(rows: count, columns: layer.columns, base: base))
      let error = ClippingError.otherSamples(layer: "layer1", held: count, expected: 5)
      #expect(throws: error) { try fixture.applying(PerSampleClip(scale: 1, moment: 2)) }
      for inner in [MicroBatchClip.Inner.norm(limit: 1e-3), .spectral(tau: 1e-3)] {
        #expect(throws: error) {
          try fixture.applying(MicroBatchClip(microBatches: .max, inner: inner))
        }
      }
    }
  }

  @Test func parametersOutOfRangeAreRefused() {
    #expect(throws: ClippingError.self) { try SoftSpectralClip(limit: 0) }
    #expect(throws: ClippingError.self) { try CoordinateClip(limit: -1) }
    #expect(throws: ClippingError.self) { try AdaptiveGradientClip(ratio: 0) }
    #expect(throws: ClippingError.self) { try PerSampleClip(scale: 1, moment: 0) }
    #expect(throws: ClippingError.self) {
      try MicroBatchClip(microBatches: 0, inner: .norm(limit: 1))
    }
    #expect(throws: ClippingError.self) {
      try MicroBatchClip(microBatches: 1, inner: .spectral(tau: -1))
    }
    #expect(throws: ClippingError.self) { try NormalizedGradient(offset: .nan) }
    #expect(throws: ClippingError.self) { try DeltaNormClip(maximumNorm: 1, minimumFactor: 2) }
  }

  @Test func gradientsThatAreNotFiniteAreNamed() throws {
    let rules: [any GradientTransform] = [
      try NormClip(maximumNorm: 1), try CoordinateClip(limit: 1),
      try AdaptiveGradientClip(ratio: 1),
      try LayerwiseSpectralClip(
        .constant(1), .exact, layers: ["layer0", "layer1"], seed: 0),
    ]
    for rule in rules {
      let fixture = Fixture(formed: true)
      fixture.layers[0].gradient.base[3] = .nan
      #expect(throws: LinearAlgebraError.self, "\(rule)") { try fixture.applying(rule) }
    }
  }

  @Test func adaptiveStateSurvivesACheckpoint() throws {
    var rule: any GradientTransform = try LayerwiseSpectralClip(
      .quantile(level: 0.7, window: 3, .lowerOrderStatistic), .exact,
      layers: ["layer0", "layer1"], seed: 0)
    func step(_ rule: inout any GradientTransform, _ scale: Float) throws -> [Matrix<Double>] {
      let fixture = Fixture(scale: scale)
      try rule.apply(to: Gradients(fixture.layers))
      return fixture.gradients
    }
    for scale in [1, 2, 0.5, 3] as [Float] { _ = try step(&rule, scale) }
    var resumed: any GradientTransform = try LayerwiseSpectralClip(
      .quantile(level: 0.7, window: 3, .lowerOrderStatistic), .exact,
      layers: ["layer0", "layer1"], seed: 0)
    try resumed.restore(rule.encoded())
    #expect(try step(&rule, 4) == step(&resumed, 4))
  }
}

@Suite struct SelectionTests {
  init() { _ = BLASEnvironment.pinned() }

  private func layers(_ seed: UInt64) -> [Layer] {
    [("a", 40, 60), ("b", 25, 1), ("c", 120, 30), ("d", 7, 7)].map { name, rows, columns in
      let gradient = LayerGradient(rows: rows, columns: columns)
      gradient.base.update(
        from: RandomStream(seed: seed, name: name).normals(rows * columns) as [Float],
        count: rows * columns)
      return Layer(name: name, gradient: gradient, weights: gradient.entries.readOnly)
    }
  }

  private func values(_ layers: [Layer]) -> [[Float]] {
    layers.map { Array(UnsafeBufferPointer(start: $0.gradient.base, count: $0.gradient.count)) }
  }

  private func apply<R: GradientTransform>(
    _ rule: R, _ layers: [Layer], names: [String]? = nil, threads: Int = 1
  ) throws -> (rule: R, statistics: [ClipStatistics]) {
    var rule = rule
    var gradients = Gradients(layers, pool: WorkerPool(threads: threads))
    if let names { gradients = try gradients.masked(to: names) }
    try rule.apply(to: gradients)
    return (rule, gradients.statistics)
  }

  @Test func onlyTheLayersOfAMaskAreClippedAndCounted() throws {
    let (before, after) = (layers(1), layers(1))
    // The order of the names does not matter: the layers keep theirs.
    let (_, statistics) = try apply(NormClip(maximumNorm: 0.5), after, names: ["d", "b"])
    let (old, new) = (values(before), values(after))
    #expect(new[0] == old[0] && new[2] == old[2])
    func norm(_ x: [[Float]]) -> Double {
      x.reduce(0) { $0 + $1.reduce(0) { $0 + Double($1 * $1) } }.squareRoot()
    }
    // The norm is taken over the selected layers alone.
    #expect(abs(norm([new[1], new[3]]) - 0.5) <= 1e-6)
    #expect(statistics.map(\.tau) == [0.5, 0.5])
    for (own, place) in zip(statistics, [1, 3]) {
      #expect(abs((own.normBefore ?? .nan) - norm([old[place]])) <= 1e-5 * norm([old[place]]))
      #expect(abs((own.normAfter ?? .nan) - norm([new[place]])) <= 1e-6)
    }
  }

  @Test func aMaskNamesLayersThatExistAndEachOnce() throws {
    let gradients = Gradients(layers(1))
    let known = ["a", "b", "c", "d"]
    #expect(throws: ClippingError.unknownLayer("e", known: known)) {
      try gradients.masked(to: ["a", "e"])
    }
    #expect(throws: ClippingError.duplicateLayer("a")) {
      try gradients.masked(to: ["a", "b", "a"])
    }
    let mask = try gradients.masked(to: ["c", "a"])
    #expect(mask.layers.map(\.name) == ["a", "c"] && mask.statistics.count == 2)
    #expect(mask.workspace === gradients.workspace && mask.pool === gradients.pool)
    #expect(try gradients.masked(to: []).layers.isEmpty)
  }

  @Test func layerwiseClippingChecksTheNamesOfItsLayers() throws {
    #expect(throws: ClippingError.duplicateLayer("b")) {
      try LayerwiseSpectralClip(.constant(1), .exact, layers: ["a", "b", "b"], seed: 0)
    }
    for names in [["a", "b", "c"], ["a", "b", "d", "c"], ["a", "b", "c", "e"]] {
      let before = layers(1)
      let rule = try LayerwiseSpectralClip(.constant(1), .exact, layers: names, seed: 0)
      #expect(throws: ClippingError.differentLayers(rule: names, gradients: ["a", "b", "c", "d"])) {
        try apply(rule, before)
      }
      #expect(values(before) == values(layers(1)), "a refused step must change nothing")
    }
  }

  @Test(arguments: [1, 4])
  func threadsDoNotChangeABitOfLayerwiseClipping(_ rank: Int) throws {
    let operation = rank == 1 ? .exact : try SpectralClip.randomized(rank: rank, powerIterations: 2)
    func run(
      _ threads: Int
    ) throws -> ([[Float]], [ClipStatistics], LayerwiseSpectralClip) {
      let layers = layers(2)
      let clipper = try LayerwiseSpectralClip(
        .ema(coefficient: 0.9, .repository), operation, layers: layers.map(\.name),
        seed: 3)
      let first = try apply(clipper, layers, threads: threads)
      let second = try apply(first.rule, layers, threads: threads)
      return (values(layers), second.statistics, second.rule)
    }
    let (one, three) = (try run(1), try run(3))
    #expect(one.0 == three.0)
    #expect(one.1 == three.1)
    #expect(one.2 == three.2)
  }

  @Test func aGradientWithNaNIsRefusedOnAnyThread() throws {
    for threads in [1, 3] {
      let layers = layers(3)
      layers[2].gradient.base[5] = .nan
      let clipper = try LayerwiseSpectralClip(
        .constant(1), .exact, layers: layers.map(\.name), seed: 0)
      #expect(throws: LinearAlgebraError.self) { try apply(clipper, layers, threads: threads) }
    }
  }
}
