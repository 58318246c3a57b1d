import LinearAlgebra

/// Layer-wise adaptive spectral clipping (§5.3): one operator, one threshold for each named layer.
///
/// It is a value: encoding it saves every layer's state, decoding it resumes bit for bit. The sketches
/// of a randomized method are keyed by (seed, layer, step), so they do not depend on the order of calls.
public struct LayerClipper: Codable, Equatable, Sendable {
  /// The operator.
  public let operation: SpectralClip
  /// The layers, in the order they were given.
  public let layers: [String]
  /// One threshold a layer, in the order of `layers`.
  public private(set) var thresholds: [Threshold]
  private let sketches: RandomStream

  /// A clipper for `layers`, each starting with the rule `rule`. Throws `ClippingError` for invalid parameters.
  public init(
    _ rule: ThresholdRule, _ operation: SpectralClip, layers: [String], seed: UInt64
  ) throws {
    self.operation = operation
    self.layers = layers
    thresholds = try layers.map { _ in try Threshold(rule) }
    sketches = RandomStream(seed: seed, name: "sketch")
  }

  /// Clips the gradient[m,n] of `layer` in place and updates that layer's threshold.
  @discardableResult
  public mutating func clip<Scalar>(
    _ gradient: MutableMatrixView<Scalar>, layer: String
  ) throws -> ClipReport {
    guard let index = layers.firstIndex(of: layer) else {
      throw ClippingError.unknownLayer(layer, known: layers)
    }
    let report = try operation.clip(gradient, at: level(index), sketch: sketch(index))
    observe(report, index)
    return report
  }

  /// Clips the gradient of layer number `index`, which may be in factors, and updates its threshold.
  @discardableResult
  public mutating func clip(
    _ gradient: FactoredMatrix, at index: Int, workspace: FactoredSpectrum
  ) throws -> ClipReport {
    let report = try operation.clip(
      gradient, at: level(index), sketch: sketch(index), workspace: workspace)
    observe(report, index)
    return report
  }

  /// Clips the gradients of all layers and updates their thresholds; those that are multiplied out are
  /// shared out among the threads of `pool`.
  mutating func clip(
    _ gradients: [FactoredMatrix], workspace: FactoredSpectrum, pool: WorkerPool
  ) throws -> [ClipReport] {
    if pool.threads == 1 || gradients.contains(where: { $0.factors != nil }) {
      return try gradients.indices.map {
        try clip(gradients[$0], at: $0, workspace: workspace)
      }
    }
    var results = [Result<ClipReport, any Error>?](repeating: nil, count: gradients.count)
    // The largest first, so that no thread is left with it at the end.
    let order = gradients.indices.sorted { gradients[$0].count > gradients[$1].count }
    results.withUnsafeMutableBufferPointer { results in
      pool.forEach(pieces: order.count) { (piece: Int) in
        let index = order[piece]
        results[index] = Result {
          try operation.clip(
            gradients[index].entries, at: level(index), sketch: sketch(index))
        }
      }
    }
    return try results.enumerated().compactMap { index, result in
      guard let report = try result?.get() else { return nil }
      observe(report, index)
      return report
    }
  }

  private func level(_ index: Int) -> SpectralClip.Level {
    let threshold = thresholds[index]
    return threshold.rule.includesPresentValue
      ? .fromSigmaMax { threshold.tau(sigmaMax: $0) }
      : .fixed(threshold.tau(sigmaMax: .nan), measuringSigmaMax: threshold.rule.isAdaptive)
  }

  /// Only a randomized method draws numbers.
  private func sketch(_ index: Int) -> RandomStream {
    operation.method == .exactSVD
      ? sketches : sketches.child(layers[index]).at(step: thresholds[index].step)
  }

  /// Only a constant rule may lack σ_1, and it does not look at it.
  private mutating func observe(_ report: ClipReport, _ index: Int) {
    thresholds[index].observe(sigmaMax: report.sigmaMax ?? report.sigmaMaxBound)
  }

  /// Clips a matrix of `layer` in place; see above.
  @discardableResult
  public mutating func clip<Scalar>(
    _ gradient: inout Matrix<Scalar>, layer: String
  ) throws -> ClipReport {
    try gradient.withMutableView { try clip($0, layer: layer) }
  }
}
