import LinearAlgebra

/// Clipping each micro-batch before accumulation, G = Σ (n_p/n) clip(g_p), instead of clipping the
/// accumulated gradient (Nobile & Grohs, arXiv 2605.02701: clip before accumulating).
///
/// The micro-batches are consecutive samples, n_p = ⌈n/parts⌉ each but the last.
public struct MicroBatchClip: GradientTransform {
  /// How a micro-batch's gradient is clipped.
  public enum Inner: Codable, Sendable {
    /// By its norm over all layers, at most `limit`.
    case norm(limit: Double)
    /// Layer by layer, every singular value at most `tau`.
    case spectral(tau: Double)
  }

  /// How many micro-batches a batch is cut into.
  public let parts: Int
  /// How each is clipped.
  public let inner: Inner

  /// Throws `ClippingError` for parts < 1 or a negative threshold.
  public init(parts: Int, inner: Inner) throws {
    try require("parts", Double(parts), parts >= 1, "a whole number >= 1")
    switch inner {
    case .norm(let limit), .spectral(let limit):
      guard limit >= 0 else { throw ClippingError.invalidThreshold(limit) }
    }
    self.parts = parts
    self.inner = inner
  }

  /// Clips the micro-batches and adds them up.
  ///
  /// Throws `ClippingError.needsFactors` where a gradient is multiplied out already.
  public func apply(to gradients: Gradients) throws {
    let layers = gradients.layers
    for layer in layers where layer.gradient.factors == nil {
      throw ClippingError.needsFactors(layer: layer.name)
    }
    let count = 1 + (layers.first?.gradient.samples.max() ?? 0)
    let size = (count + parts - 1) / parts
    switch inner {
    case .norm(let limit):
      try clipNorms(gradients, count: count, size: size, limit: limit)
    case .spectral(let tau):
      try clipSpectra(gradients, count: count, size: size, tau: tau)
    }
  }

  private func clipNorms(
    _ gradients: Gradients, count: Int, size: Int, limit: Double
  ) throws {
    let (layers, workspace) = (gradients.layers, gradients.workspace)
    var weights = [Float](repeating: 1, count: count)
    var clipped = 0
    for start in stride(from: 0, to: count, by: size) {
      let range = start..<min(count, start + size)
      var square = 0.0
      for layer in layers {
        let part = try Part(layer, range, count)
        part.withFactors { workspace.load(left: $0, right: $1) }
        square += workspace.frobeniusNorm * workspace.frobeniusNorm
      }
      let norm = square.squareRoot()
      if norm > limit {
        for sample in range { weights[sample] = Float(limit / norm) }
        clipped += range.count
      }
    }
    if clipped > 0 {
      for layer in layers { layer.gradient.scaleSamples(by: weights) }
    }
    gradients.reportSamples(.microBatches, tau: limit, clipped: clipped, of: count)
  }

  private func clipSpectra(
    _ gradients: Gradients, count: Int, size: Int, tau: Double
  ) throws {
    let exact = try SpectralClip(.exactSVD)
    for (index, layer) in gradients.layers.enumerated() {
      let own = LayerGradient(rows: layer.gradient.rows, columns: layer.gradient.columns)
      var sum = Matrix<Float>(rows: own.rows, columns: own.columns)
      var (clipped, values) = (0, 0)
      for start in stride(from: 0, to: count, by: size) {
        let range = start..<min(count, start + size)
        let part = try Part(layer, range, count)
        try part.withFactors { left, right in
          own.setProduct(left: left, right: right)
          let result = try exact.clip(own, at: .fixed(tau), workspace: gradients.workspace)
          let weight = Float(range.count) / Float(count)
          sum.withMutableView { sum in
            for i in 0..<sum.count { sum.base[i].addProduct(weight, own.base[i]) }
          }
          clipped += result.clippedCount
          values += result.valueCount
        }
      }
      layer.gradient.setMaterialized()
      sum.withView { layer.gradient.base.update(from: $0.base, count: $0.count) }
      gradients.statistics[index] = ClipStatistics(
        route: .microBatches, tau: tau, clippedCount: clipped, valueCount: values)
    }
  }
}

/// The factors of one micro-batch's own gradient: its rows, times n/n_p.
private struct Part {
  let left: Matrix<Float>
  let right: Matrix<Float>

  init(_ layer: Layer, _ range: Range<Int>, _ count: Int) throws {
    guard let factors = layer.gradient.factors else {
      throw ClippingError.needsFactors(layer: layer.name)
    }
    let rows = layer.gradient.samples.indices.filter { range.contains(layer.gradient.samples[$0]) }
    let scale = Float(count) / Float(range.count)
    let (m, n) = (factors.left.columns, factors.right.columns)
    left = Matrix(rows: rows.count, columns: m) { scale * factors.left.base[rows[$0] * m + $1] }
    right = Matrix(rows: rows.count, columns: n) { factors.right.base[rows[$0] * n + $1] }
  }

  func withFactors<R>(_ body: (MatrixView<Float>, MatrixView<Float>) throws -> R) rethrows -> R {
    try left.withView { left in try right.withView { try body(left, $0) } }
  }
}
