// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Models
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// `ReplacementSweep` against PyTorch in float64 (Goldens/make_spectra_goldens.py).
@Suite struct SpectraGoldenTests {
  init() { _ = BLASEnvironment.pinned() }

  private static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()

  /// The goldens, and how far off our gradients may be.
  private struct Golden {
    let file: SafetensorsFile
    let batch = 4, layers = 8

    init() throws {
      file = try SafetensorsFile(
        SpectraGoldenTests.tests.appendingPathComponent(
          "ExperimentsTests/Goldens/spectra.safetensors"
        ).path)
    }

    func samples() throws -> [TokenSample] {
      let (good, bad) = (try file.ints("good"), try file.ints("bad"))
      let contexts = try file.ints("context")
      return (0..<batch).map { i in
        let context = contexts[(10 * i)..<(10 * i + 10)].map(Int32.init)
        return TokenSample(
          context: context, good: Int32(good[i]), bad: Int32(bad[i]), goodProbability: .nan,
          badProbability: .nan)
      }
    }

    func thresholds() throws -> [LayerThresholds] {
      let all = try file.doubles("threshold")
      return (0..<layers).map {
        LayerThresholds(norm: all[3 * $0], spectral: all[3 * $0 + 1], quantile: all[3 * $0 + 2])
      }
    }

    /// Bounds on ‖E‖_F, [b][layer]: a gradient of one sample is within 1e-6 of its norm (GPTTests), and the sums
    /// of those that are added and subtracted, B + 2b ≤ 12 of them, round each time.
    func slack() throws -> [Double] {
      try file.doubles("size").map { (1e-6 + 12 * 0x1p-24) * $0 }
    }
  }

  private static func sweep(top: Int, threads: Int) throws -> ReplacementSweep {
    let weights = tests.appendingPathComponent("ModelsTests/Goldens/gpt2-weights.safetensors").path
    return ReplacementSweep(
      try GPT(loading: weights, form: .gpt2, heads: 4), context: 10, top: top,
      pool: WorkerPool(threads: threads))
  }

  /// A Float that stores `want`.
  private static func rounding(_ want: Double) -> Double { 0x1p-24 * abs(want) }

  @Test func singularValuesArePyTorchs() throws {
    let golden = try Golden()
    let sweep = try Self.sweep(top: 32, threads: 1)
    #expect(sweep.names.count == golden.layers && sweep.names[0] == "h.0.attn.c_attn.weight")
    let result = try sweep.measure(golden.samples(), thresholds: nil, keepingSpectra: true)
    let (want, slack) = (try golden.file.doubles("sigma"), try golden.slack())
    let ranks = try golden.file.doubles("effective_rank")
    #expect(result.sigma.count == want.count && result.norm.count == slack.count)
    for cell in slack.indices {
      let place = "b = \(cell / 8), \(sweep.names[cell % 8])"
      let range = (32 * cell)..<(32 * cell + 32)
      let (got, golden) = (result.sigma[range].map(Double.init), Array(want[range]))
      let (top, slack) = (golden[0], slack[cell])
      let cut = ReplacementSweep.rankTolerance * top
      for i in 0..<32 {
        // Weyl: no singular value moves by more than ‖E‖; those behind the numerical rank are left out.
        let limit = slack + Self.rounding(golden[i]) + (got[i] == 0 ? cut : 0)
        #expect(abs(got[i] - golden[i]) <= limit, "\(place): σ_\(i + 1) \(got[i]), \(golden[i])")
      }
      let rank = got.count { $0 > 0 }
      let certain = golden.count { $0 > cut + 2 * slack }
      let possible = golden.count { $0 > cut - 2 * slack && $0 > 1e-12 * top }
      #expect(rank >= certain && rank <= possible, "\(place): rank \(rank)")
      // Behind the last attention only B samples at one position are left.
      if cell % 8 > 4 { #expect(rank == 4, "\(place)") }
      let median = Statistics.median(golden.prefix(rank))
      #expect(
        abs(Double(result.median[cell]) - median) <= slack + Self.rounding(median), "\(place)")
      let norm = golden.reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(abs(Double(result.norm[cell]) - norm) <= slack + Self.rounding(norm), "\(place)")
      // Σ|Δp_i| ≤ 4 √k ‖E‖/‖G‖ for p = σ²/Σσ², times |1 + log p| of what counts.
      let change = 4 * 32.0.squareRoot() * slack / norm
      let limit = change * (1 - 2 * log(slack / norm)) * ranks[cell]
      #expect(abs(Double(result.effectiveRank[cell]) - ranks[cell]) <= limit, "\(place)")
    }
    // Whole spectra of b = 0, 1, 2, 4.
    let kept = [0, 1, 2, 4].flatMap { (count: Int) -> ArraySlice<Float> in
      result.sigma[(256 * count)..<(256 * (count + 1))]
    }
    #expect(result.spectra == kept)
    #expect(result.removedBad.isEmpty && result.removedRest.isEmpty)
  }

  @Test func sharesAndAlignmentsArePyTorchs() throws {
    let golden = try Golden()
    let sweep = try Self.sweep(top: 3, threads: 2)
    let result = try sweep.measure(golden.samples(), thresholds: nil, keepingSpectra: false)
    #expect(result.spectra.isEmpty && result.sigma.count == 5 * 8 * 3)
    let (sigma, gap) = (try golden.file.doubles("sigma"), try golden.file.doubles("gap"))
    let (bad, slack) = (try golden.file.doubles("bad_norm"), try golden.slack())
    let share = try golden.file.doubles("bad_fraction")
    for cell in slack.indices {
      let place = "b = \(cell / 8), \(sweep.names[cell % 8])"
      if cell < 8 {
        #expect(result.badShare[cell] == 0, "\(place)")
        #expect(result.leftAlignment[cell].isNaN && result.rightAlignment[cell].isNaN, "\(place)")
        continue
      }
      // Wedin: u_1 and v_1 turn by at most 2 ‖E‖/(σ_1 - σ_2 - ‖E‖) each.
      let turn = 2 * slack[cell] / (gap[cell] - slack[cell])
      let along = 2 * turn * bad[cell] + slack[cell]
      let top = sigma[32 * cell]
      let limit = (along + share[cell] * slack[cell]) / top
      let error = abs(Double(result.badShare[cell]) - share[cell])
      #expect(error <= limit + Self.rounding(share[cell]), "\(place): share off by \(error)")
      for (name, got) in [("left", result.leftAlignment), ("right", result.rightAlignment)] {
        let want = try golden.file.doubles(name)[cell]
        // cos(u, w), ‖w‖ = u_1ᵀ G_bad v_1/cos, w off by turn ‖G_bad‖ + ‖E‖.
        let length = share[cell] * top / want
        let limit = turn + 2 * (turn * bad[cell] + slack[cell]) / length
        let error = abs(Double(got[cell]) - want)
        #expect(error <= limit + 0x1p-24, "\(place): \(name) alignment off by \(error)")
        #expect(limit < 0.01, "\(place): a limit of \(limit) tests nothing")
      }
    }
  }

  @Test func whatTheRulesRemoveIsPyTorchs() throws {
    let golden = try Golden()
    let thresholds = try golden.thresholds()
    let result = try Self.sweep(top: 1, threads: 2).measure(
      golden.samples(), thresholds: thresholds, keepingSpectra: false)
    let want = try golden.file.doubles("removed")
    let (bad, rest) = (try golden.file.doubles("bad_norm"), try golden.file.doubles("rest_norm"))
    let slack = try golden.slack()
    #expect(result.removedBad.count == 4 * 8 * 3 && result.removedRest.count == 4 * 8 * 3)
    var worst = 0.0
    for count in 1...4 {
      for layer in 0..<8 {
        let cell = 8 * count + layer
        for (rule, tau) in [
          thresholds[layer].norm, thresholds[layer].spectral, thresholds[layer].quantile,
        ].enumerated() {
          let i = (8 * (count - 1) + layer) * 3 + rule
          for (got, want, part, what) in [
            (result.removedBad[i], want[2 * i], bad[cell], "bad"),
            (result.removedRest[i], want[2 * i + 1], rest[cell], "rest"),
          ] {
            let place =
              "b = \(count), layer \(layer), \(LayerThresholds.Rule.allCases[rule]), \(what)"
            guard want.isFinite else {
              #expect(got.isNaN && count == 4 && what == "rest", "\(place): \(got)")
              continue
            }
            // min(1, τ/x) is 1/τ-Lipschitz and |G| moves by √2 ‖E‖: ‖ΔP‖ ≤ √2 ‖E‖/τ; X is off by ‖E‖ too.
            let limit = (2 * 2.0.squareRoot() / tau + 4 / part) * slack[cell]
            let error = abs(Double(got) - want)
            worst = max(worst, limit)
            #expect(error <= limit + Self.rounding(want), "\(place): \(got), want \(want)")
          }
        }
      }
    }
    #expect(worst < 1e-3)
  }

  @Test func goodMiniBatchesAreTheSweepsStart() throws {
    let golden = try Golden()
    let sweep = try Self.sweep(top: 1, threads: 2)
    let good = try sweep.measureGood(golden.samples())
    let start = try sweep.measure(golden.samples(), thresholds: nil, keepingSpectra: false)
    for layer in 0..<8 {
      #expect(Float(good[layer].norm) == start.norm[layer])
      #expect(Float(good[layer].sigmaMax) == start.sigma[layer])
    }
    let other = [[(norm: 3.0, sigmaMax: 2.0)], [(norm: 1, sigmaMax: 1)], [(norm: 2, sigmaMax: 5)]]
    #expect(
      LayerThresholds.all(from: other, quantile: 0.75)
        == [LayerThresholds(norm: 2.5, spectral: 5, quantile: 3.5)])
    #expect(LayerThresholds.all(from: [], quantile: 0.5).isEmpty)
  }

  /// Beyond what gradients can be: no gradient, a gradient of bad samples alone, thresholds that clip nothing.
  @Test func rulesAtTheirEnds() throws {
    let g: [Float] = [3, 0, 0, 0, 1, 0]
    func removed(_ thresholds: LayerThresholds, bad: [Float]) throws -> [(Double, Double)] {
      try g.withUnsafeBufferPointer { whole in
        try bad.withUnsafeBufferPointer { part in
          let view = MatrixView(rows: 2, columns: 3, base: try #require(whole.baseAddress))
          let spectrum = try GramSpectrum(of: view, vectorsAbove: 2 * thresholds.leastTau)
          return thresholds.removed(
            from: view, spectrum, 0.5,
            bad: MatrixView(rows: 2, columns: 3, base: try #require(part.baseAddress))
          ).map { ($0.bad, $0.rest) }
        }
      }
    }
    func expect(_ got: [(Double, Double)], _ want: [(Double, Double)]) {
      #expect(got.count == 3)
      for (a, b) in zip(got, want) {
        for (x, y) in [(a.0, b.0), (a.1, b.1)] {
          #expect(y.isNaN ? x.isNaN : abs(x - y) <= 1e-14, "\(got), want \(want)")
        }
      }
    }
    let loose = LayerThresholds(norm: 9, spectral: 9, quantile: 9)
    try expect(removed(loose, bad: [1, 0, 0, 0, 0, 0]), [(0, 0), (0, 0), (0, 0)])
    // G/2 = diag(1.5, 0.5): the norm √2.5 is halved, σ_1 goes to 0.75 and to 0.15 with σ_2 to 0.15.
    let tight = LayerThresholds(norm: 2.5.squareRoot() / 2, spectral: 0.75, quantile: 0.15)
    let (first, second) = (1 - 0.01, 1 - 0.09)
    try expect(
      removed(tight, bad: [3, 0, 0, 0, 0, 0]), [(0.75, 0.75), (0.75, 0), (first, second)])
    try expect(
      removed(tight, bad: [0, 0, 0, 0, 1, 0]), [(0.75, 0.75), (0, 0.75), (second, first)])
    // All of it bad, and nothing.
    let all = (9 * first + second) / 10
    try expect(removed(tight, bad: g), [(0.75, .nan), (0.675, .nan), (all, .nan)])
    try expect(
      removed(tight, bad: [0, 0, 0, 0, 0, 0]), [(.nan, 0.75), (.nan, 0.675), (.nan, all)])
    // In a column where G has nothing: P acts from the left, on rows.
    try expect(
      removed(tight, bad: [0, 0, 3, 0, 0, 0]),
      [(0.75, 0.75), (0.75, 0.75 * 18 / 19), (first, (18 * first + second) / 19)])
  }
}
