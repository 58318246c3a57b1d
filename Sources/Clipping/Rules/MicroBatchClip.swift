// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Clipping each micro-batch before accumulation, G = Σ (n_p/n) clip(g_p), instead of clipping the
/// accumulated gradient (Nobile & Grohs, arXiv 2605.02701: clip before accumulating).
///
/// The micro-batches are consecutive samples, n_p = ⌈n/microBatches⌉ each but the last.
public struct MicroBatchClip: GradientTransform {
  /// How a micro-batch's gradient is clipped.
  public enum Inner: Codable, Sendable {
    /// By its norm over all layers, at most `limit`.
    case norm(limit: Double)
    /// Layer by layer, every singular value at most `tau`.
    case spectral(tau: Double)
  }

  /// How many micro-batches a batch is cut into, at most.
  public let microBatches: Int
  /// How each is clipped.
  public let inner: Inner

  /// Throws `ClippingError` for fewer than one micro-batch or a negative or NaN threshold.
  public init(microBatches: Int, inner: Inner) throws {
    try require("microBatches", Double(microBatches), microBatches >= 1, "a whole number >= 1")
    switch inner {
    case .norm(let limit), .spectral(let limit):
      guard limit >= 0 else { throw ClippingError.invalidThreshold(limit) }
    }
    self.microBatches = microBatches
    self.inner = inner
  }

  /// Clips the micro-batches and adds them up.
  ///
  /// Throws `ClippingError.needsFactors` where a gradient is materialized already, `ClippingError.otherSamples` where one has
  /// other samples than the first, `LinearAlgebraError.notFinite`
  /// for a NaN or an infinity.
  public func apply(to gradients: Gradients) throws {
    for layer in gradients.layers where layer.gradient.factors == nil {
      throw ClippingError.needsFactors(layer: layer.name)
    }
    let count = try sampleCount(of: gradients.layers)
    let size = max(1, (count - 1) / microBatches + 1)
    switch inner {
    case .norm(let limit): try clipNorms(gradients, count: count, size: size, limit: limit)
    case .spectral(let tau): try clipSpectra(gradients, count: count, size: size, tau: tau)
    }
  }

  private func clipNorms(_ gradients: Gradients, count: Int, size: Int, limit: Double) throws {
    let workspace = gradients.workspace
    var weights = [Double](repeating: 1, count: count)
    var clipped = 0
    for start in stride(from: 0, to: count, by: size) {
      let range = start..<min(count, start + size)
      var square = 0.0
      for (index, layer) in gradients.layers.enumerated() {
        gradients.microBatchScratch[index].withFactors(of: layer.gradient, range, of: count) {
          workspace.load(left: $0, right: $1)
        }
        square += workspace.frobeniusNorm * workspace.frobeniusNorm
      }
      if !square.isFinite { try checkFactorsFinite(of: gradients.layers) }
      let norm = square.squareRoot()
      if norm > limit {
        for sample in range { weights[sample] = limit / norm }
        clipped += range.count
      }
    }
    if clipped > 0 {
      for layer in gradients.layers { layer.gradient.scaleSamples(by: weights) }
    }
    gradients.reportSamples(.microBatches, tau: limit, clipped: clipped, of: count)
  }

  private func clipSpectra(_ gradients: Gradients, count: Int, size: Int, tau: Double) throws {
    for (index, layer) in gradients.layers.enumerated() {
      let scratch = gradients.microBatchScratch[index]
      let (own, sum) = (scratch.own, scratch.sum.entries)
      var statistics = ClipStatistics(route: .microBatches, tau: tau)
      for i in 0..<sum.count { sum.base[i] = 0 }
      for start in stride(from: 0, to: count, by: size) {
        let range = start..<min(count, start + size)
        try scratch.withFactors(of: layer.gradient, range, of: count) { left, right in
          own.setProduct(left: left, right: right)
          let clipped = try SpectralClip.exact.clip(
            own, at: .fixed(tau), workspace: gradients.workspace)
          statistics.clippedCount += clipped.clippedCount
          statistics.valueCount += clipped.valueCount
        }
        let weight = Float(range.count) / Float(count)
        for i in 0..<sum.count { sum.base[i].addProduct(weight, own.base[i]) }
      }
      layer.gradient.setMaterialized()
      layer.gradient.base.update(from: sum.base, count: sum.count)
      gradients.statistics[index] = statistics
    }
  }
}

/// Buffers for the micro-batches of one layer, kept from step to step.
final class MicroBatchScratch {
  /// One micro-batch's gradient[m,n].
  let own: LayerGradient
  /// The sum[m,n] over micro-batches.
  let sum: LayerGradient
  private var left: [Float] = []
  private var right: [Float] = []

  init(for layer: Layer) {
    own = LayerGradient(rows: layer.gradient.rows, columns: layer.gradient.columns)
    sum = LayerGradient(rows: layer.gradient.rows, columns: layer.gradient.columns)
  }

  /// Lends the factors of the mean gradient of the samples in `range`: their rows of the factors of `gradient`,
  /// the mean over `count` samples, times count/n_p.
  func withFactors<R>(
    of gradient: LayerGradient, _ range: Range<Int>, of count: Int,
    _ body: (MatrixView<Float>, MatrixView<Float>) throws -> R
  ) rethrows -> R {
    guard let factors = gradient.factors else {
      preconditionFailure("the micro-batches of a gradient that is materialized")
    }
    let (m, n) = (factors.left.columns, factors.right.columns)
    let scale = Float(count) / Float(range.count)
    left.removeAll(keepingCapacity: true)
    right.removeAll(keepingCapacity: true)
    var rows = 0
    for (row, sample) in gradient.samples.enumerated() where range.contains(sample) {
      for i in 0..<m { left.append(scale * factors.left.base[row &* m &+ i]) }
      for j in 0..<n { right.append(factors.right.base[row &* n &+ j]) }
      rows += 1
    }
    return try left.withUnsafeBufferPointer { left in
      try right.withUnsafeBufferPointer { right in
        guard let leftBase = left.baseAddress, let rightBase = right.baseAddress else {
          preconditionFailure("no factors of the samples \(range)")
        }
        return try body(
          MatrixView(rows: rows, columns: m, base: leftBase),
          MatrixView(rows: rows, columns: n, base: rightBase))
      }
    }
  }
}
