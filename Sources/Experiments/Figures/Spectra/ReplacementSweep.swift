// SPDX-License-Identifier: Apache-2.0

import Lab
import Autodiff
import Clipping
import Foundation
import LinearAlgebra
import Models

/// The gradients of one mini-batch while its good tokens are replaced by bad ones, sample by sample.
///
/// The loss is the mean of -log p(token | context) over the B samples, so the gradient of a layer is the mean
/// of its samples' gradients. Replacing sample i adds (bad gradient - good gradient) to their sum, so the
/// whole sweep b = 0, …, B takes 3B passes over single samples and B + 1 spectra a layer.
final class ReplacementSweep {
  /// The matrices whose gradients are looked at.
  var names: [String] { matrices.map(\.name) }
  private let matrices: [Parameter]
  private let top: Int
  private let pool: WorkerPool
  private let tape: Tape
  private let tokens: Indices, target: Indices, loss: Tensor
  /// Sums over the mini-batch's samples, and over the bad ones among them; one buffer a matrix.
  private let total: [Buffer], bad: [Buffer]

  init(_ model: GPT, context: Int, top: Int, pool: WorkerPool) {
    (self.top, self.pool) = (top, pool)
    matrices = model.matrices
    total = matrices.map { Buffer(count: $0.count) }
    bad = matrices.map { Buffer(count: $0.count) }
    tape = Tape(pool: pool)
    tokens = tape.indices([1, context])
    target = tape.indices([1])
    loss = model.nextLoss(tape, tokens, target)
  }

  /// What is measured of all layers and all b = 0, …, B, in this order of axes.
  struct Result: Codable, Equatable {
    /// The largest singular values, [b, layer, top]; zeros behind the numerical rank.
    var sigma: [Float] = []
    /// The median of the singular values within the numerical rank, [b, layer].
    var median: [Float] = []
    /// ‖G‖_F, [b, layer].
    var norm: [Float] = []
    /// exp of the entropy of σ²/Σσ², [b, layer].
    var effectiveRank: [Float] = []
    /// u_1ᵀ G_bad v_1 / σ_1: the bad samples' share of the largest singular value, [b, layer].
    var badShare: [Float] = []
    /// cos between u_1 and G_bad v_1, and between v_1 and G_badᵀ u_1, [b, layer]; NaN for b = 0.
    var leftAlignment: [Float] = []
    var rightAlignment: [Float] = []
    /// All singular values of those b that `spectrumCounts` names, [·, layer, k]; empty if not kept.
    var spectra: [Float] = []
    /// The share of ‖G_bad‖² that a rule removes, [b - 1, layer, rule], and of the other samples' gradient.
    var removedBad: [Float] = []
    var removedRest: [Float] = []
  }

  /// Values below this share of σ_1 are rounding errors of Float gradients: only B samples at one position
  /// reach some matrices of the last block, so their gradients have rank B at most.
  static let rankTolerance = 1e-6

  /// The numbers of bad samples whose whole spectra are kept.
  static func spectrumCounts(_ batchSize: Int) -> [Int] {
    Set([0, 1, batchSize / 2, batchSize]).sorted()
  }

  /// Norm and largest singular value of every layer's gradient of a mini-batch of good tokens.
  func measureGood(_ samples: [TokenSample]) throws -> [(norm: Double, sigmaMax: Double)] {
    sumGood(samples)
    return try layers { layer in
      let spectrum = try GramSpectrum(of: self.view(self.total, layer))
      let scale = 1 / Double(samples.count)
      return (scale * euclideanNorm(spectrum.sigma), scale * (spectrum.sigma.first ?? 0))
    }
  }

  /// The whole sweep; with `thresholds` also what the rules remove.
  func measure(
    _ samples: [TokenSample], thresholds: [LayerThresholds]?, keepingSpectra: Bool
  ) throws -> Result {
    var result = Result()
    sumGood(samples)
    for buffer in bad { buffer.fill(0) }
    for count in 0...samples.count {
      if count > 0 { replace(samples[count - 1]) }
      let keeps = keepingSpectra && Self.spectrumCounts(samples.count).contains(count)
      let rows = try layers { layer in
        try self.measure(
          layer, bad: count, of: samples.count, thresholds: thresholds?[layer])
      }
      for row in rows {
        let within = row.sigma.filter { $0 > Self.rankTolerance * row.sigma[0] }
        result.median.append(Float(within.isEmpty ? 0 : Statistics.median(within)))
        result.sigma += (0..<top).map { $0 < within.count ? Float(within[$0]) : 0 }
        result.norm.append(Float(euclideanNorm(row.sigma)))
        result.effectiveRank.append(Float(effectiveRank(ofSingularValues: row.sigma)))
        result.badShare.append(Float(row.badShare))
        result.leftAlignment.append(Float(row.left))
        result.rightAlignment.append(Float(row.right))
        if keeps {
          result.spectra += row.sigma.indices.map { $0 < within.count ? Float(within[$0]) : 0 }
        }
        result.removedBad += row.removed.map { Float($0.bad) }
        result.removedRest += row.removed.map { Float($0.rest) }
      }
    }
    return result
  }

  // MARK: - Gradients

  /// Leaves the gradient of -log p(`next` | `context`) in the model's parameters.
  func differentiate(_ context: [Int32], next: Int32) {
    tokens.assign(context)
    target.assign([next])
    tape.forward()
    tape.backward(from: loss)
  }

  private func sumGood(_ samples: [TokenSample]) {
    for (i, sample) in samples.enumerated() {
      differentiate(sample.context, next: sample.good)
      add(1, to: total, replacing: i == 0)
    }
  }

  private func replace(_ sample: TokenSample) {
    differentiate(sample.context, next: sample.good)
    add(-1, to: total)
    differentiate(sample.context, next: sample.bad)
    add(1, to: total)
    add(1, to: bad)
  }

  private func add(_ factor: Float, to sums: [Buffer], replacing: Bool = false) {
    for (parameter, sum) in zip(matrices, sums) {
      let gradient = parameter.gradient.materialized.base
      pool.forRanges(of: sum.count, size: 1 << 16) { range in
        for i in range {
          sum.base[i] = replacing ? factor * gradient[i] : sum.base[i] + factor * gradient[i]
        }
      }
    }
  }

  private func view(_ sums: [Buffer], _ layer: Int) -> MatrixView<Float> {
    let shape = matrices[layer].gradient
    return MatrixView(
      rows: shape.rows, columns: shape.columns, base: UnsafePointer(sums[layer].base))
  }

  // MARK: - Spectra

  private struct Row {
    var sigma: [Double]
    var badShare = 0.0, left = Double.nan, right = Double.nan
    var removed: [(bad: Double, rest: Double)] = []
  }

  private func measure(
    _ layer: Int, bad count: Int, of size: Int, thresholds: LayerThresholds?
  ) throws -> Row {
    let scale = 1 / Double(size)
    let spectrum = try GramSpectrum(
      of: view(total, layer), vectorsAbove: thresholds.map { $0.leastTau / scale } ?? .infinity)
    var row = Row(sigma: spectrum.sigma.map { scale * $0 })
    if count > 0 && thresholds != nil {
      row.removed = LayerThresholds.Rule.allCases.map { _ in (.nan, .nan) }
    }
    guard count > 0, let first = spectrum.sigma.first, first > 0 else { return row }
    let badGradient = view(bad, layer)
    let image = product(badGradient, spectrum.right.row(0))
    let coimage = product(spectrum.left.row(0), badGradient)
    let along = zip(spectrum.left.row(0), image).reduce(0) { $0 + $1.0 * $1.1 }
    row.badShare = along / first
    row.left = abs(along) / euclideanNorm(image)
    row.right = abs(along) / euclideanNorm(coimage)
    if let thresholds {
      row.removed = thresholds.removed(
        from: view(total, layer), spectrum, scale, bad: badGradient)
    }
    return row
  }

  /// One result a matrix, side by side.
  private func layers<T>(_ body: (Int) throws -> T) throws -> [T] {
    try sideBySide(matrices.count, pool, body)
  }
}

/// The spectra of the gradients of all of a GPT's matrices.
func matrixSpectra(_ model: GPT, _ pool: WorkerPool) throws -> [GramSpectrum] {
  let matrices = model.matrices
  return try sideBySide(matrices.count, pool) {
    try GramSpectrum(of: matrices[$0].gradient.materialized.readOnly)
  }
}

/// body(0), …, body(count - 1), shared out among the threads of `pool`.
private func sideBySide<T>(
  _ count: Int, _ pool: WorkerPool, _ body: (Int) throws -> T
) throws -> [T] {
  let board = LayerBoard<T>(count: count)
  pool.forEach(pieces: count) { (layer: Int) in
    board.put(Swift.Result { try body(layer) }, at: layer)
  }
  return try board.results()
}

/// Where the threads leave what they find.
private final class LayerBoard<T>: @unchecked Sendable {
  private let lock = NSLock()
  private var found: [Result<T, any Error>?]

  init(count: Int) { found = Array(repeating: nil, count: count) }

  func put(_ result: Result<T, any Error>, at index: Int) {
    lock.withLock { found[index] = result }
  }

  func results() throws -> [T] {
    try lock.withLock { try found.compactMap { try $0?.get() } }
  }
}

/// The square root of the sum of squares.
func euclideanNorm(_ values: [Double]) -> Double {
  values.reduce(0) { $0 + $1 * $1 }.squareRoot()
}
