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
    let threshold = thresholds[index]
    let level: SpectralClip.Level =
      threshold.rule.includesPresentValue
      ? .fromSigmaMax { threshold.tau(sigmaMax: $0) }
      : .fixed(
        threshold.tau(sigmaMax: .nan), measuringSigmaMax: threshold.rule.isAdaptive)
    let report = try operation.clip(
      gradient, at: level, sketch: sketches.child(layer).at(step: threshold.step))
    // Only a constant rule may lack σ_1, and it does not look at it.
    thresholds[index].observe(sigmaMax: report.sigmaMax ?? report.sigmaMaxBound)
    return report
  }

  /// Clips a matrix of `layer` in place; see above.
  @discardableResult
  public mutating func clip<Scalar>(
    _ gradient: inout Matrix<Scalar>, layer: String
  ) throws -> ClipReport {
    try gradient.withMutableView { try clip($0, layer: layer) }
  }
}
