// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Layer-wise adaptive spectral clipping (§5.3): one operator, one threshold for each named layer.
///
/// It is a value: encoding it saves every layer's state, decoding it resumes bit for bit. The sketches
/// of a randomized method are keyed by (seed, layer, step), so they do not depend on the order of calls. With
/// `SketchStart.lastBasis` each layer also keeps the directions that its next sketch starts from.
public struct LayerwiseSpectralClip: Codable, Equatable, Sendable {
  /// The operator.
  public let operation: SpectralClip
  /// The layers, in the order they were given.
  public let layers: [String]
  /// One threshold a layer, in the order of `layers`.
  public private(set) var thresholds: [Threshold]
  private let sketches: RandomStream
  /// Where each layer's next sketch starts; nil where every one starts from normal vectors.
  private var starts: [WarmStart]?

  /// A clip of `layers`, each starting with the rule `rule`; `start` is for randomized methods only.
  ///
  /// Throws `ClippingError` for parameters out of range and for a layer named twice.
  public init(
    _ rule: ThresholdRule, _ operation: SpectralClip, layers: [String], seed: UInt64,
    start: SketchStart = .normal
  ) throws {
    for (index, name) in layers.enumerated() where layers[..<index].contains(name) {
      throw ClippingError.duplicateLayer(name)
    }
    self.operation = operation
    self.layers = layers
    thresholds = try layers.map { _ in try Threshold(rule) }
    sketches = RandomStream(seed: seed, name: "sketch")
    if start == .lastBasis && operation.method != .exact {
      starts = layers.map { _ in WarmStart() }
    }
  }

  /// Clips `gradient`[m,n], that of `layer`, in place and updates the layer's threshold.
  ///
  /// Throws `ClippingError.unknownLayer`, and what `SpectralClip` throws; nothing is changed then.
  @discardableResult
  public mutating func clip<Scalar>(
    _ gradient: inout Matrix<Scalar>, layer: String
  ) throws -> ClipStatistics {
    try gradient.withMutableView { try clip($0, layer: layer) }
  }

  /// The same for a borrowed matrix.
  @discardableResult
  public mutating func clip<Scalar>(
    _ gradient: MutableMatrixView<Scalar>, layer: String
  ) throws -> ClipStatistics {
    guard let index = layers.firstIndex(of: layer) else {
      throw ClippingError.unknownLayer(layer, known: layers)
    }
    var start = starts?[index]
    let statistics = try operation.clip(
      gradient, at: threshold(index), sketch: sketch(index), from: &start)
    observe(statistics, index, start)
    return statistics
  }

  /// Whether this has the layers, the rules, the operator and the seed of `other`, whatever each has seen.
  package func isContinuation(of other: LayerwiseSpectralClip) -> Bool {
    operation == other.operation && layers == other.layers && sketches == other.sketches
      && thresholds.map(\.rule) == other.thresholds.map(\.rule)
  }

  private func threshold(_ index: Int, measuring: Bool = false) -> ThresholdSource {
    let threshold = thresholds[index]
    if threshold.rule.includesPresentValue { return .fromSigmaMax { threshold.tau(sigmaMax: $0) } }
    let tau = threshold.tau(sigmaMax: .nan)
    return threshold.rule.isAdaptive || measuring ? .fixedMeasuringSigmaMax(tau) : .fixed(tau)
  }

  /// Only a randomized method draws numbers.
  private func sketch(_ index: Int) -> RandomStream {
    operation.method == .exact
      ? sketches : sketches.child(layers[index]).at(step: thresholds[index].step)
  }

  /// Only a constant rule may lack σ_1, and it does not look at it.
  private mutating func observe(_ statistics: ClipStatistics, _ index: Int, _ start: WarmStart?) {
    // A step inside the ball is sketched only where someone looks at it, and looking changes no result.
    if let start, thresholds[index].rule.isAdaptive || statistics.sigmaMaxBound > statistics.tau {
      starts?[index] = start
    }
    thresholds[index].observe(sigmaMax: statistics.sigmaMax ?? statistics.sigmaMaxBound)
  }
}

extension LayerwiseSpectralClip: GradientTransform {
  /// It finds σ_1 on its way, or an estimate from below by Algorithm 2.
  public var reportsSigmaMax: Bool { true }

  /// Each layer by itself.
  public var isShareable: Bool { true }
  /// Thresholds and starts of sketches.
  public mutating func take(_ layers: [Int], from other: Self) {
    for index in layers {
      thresholds[index] = other.thresholds[index]
      if let start = other.starts?[index] { starts?[index] = start }
    }
  }
  /// The operator's.
  public func cost(rows: Int, columns: Int) -> Double {
    operation.cost(rows: rows, columns: columns)
  }

  /// Clips the singular values of each layer at the layer's own threshold, and updates the thresholds.
  ///
  /// Throws `ClippingError.differentLayers` unless the layers' names are those of `layers`, in their order. After an error of a
  /// layer it is open which others are clipped and observed.
  public mutating func apply(to gradients: Gradients) throws {
    let found = gradients.layers
    guard found.count == layers.count, thresholds.count == layers.count,
      starts?.count ?? layers.count == layers.count,
      zip(layers, found).allSatisfy({ $0 == $1.name })
    else {
      throw ClippingError.differentLayers(rule: layers, gradients: found.map(\.name))
    }
    // A gradient in factors needs the one workspace, and a sum the threads, so those layers are clipped one after another.
    if gradients.pool.threads == 1
      || gradients.own.contains(where: {
        found[$0].gradient.factors != nil || found[$0].gradient.isSum
      })
    {
      for index in gradients.own {
        var start = starts?[index]
        let clipped = try operation.clip(
          found[index].gradient, at: threshold(index, measuring: gradients.measuresSigmaMax),
          sketch: sketch(index), from: &start, workspace: gradients.workspace)
        observe(clipped, index, start)
        gradients.statistics[index] = clipped
      }
    } else {
      try applySideBySide(to: gradients)
    }
  }

  private mutating func applySideBySide(to gradients: Gradients) throws {
    let found = gradients.layers
    var results = [Result<(ClipStatistics, WarmStart?), any Error>?](
      repeating: nil, count: found.count)
    // The largest first, so that no thread is left with it at the end.
    let order = gradients.own.sorted { found[$0].gradient.count > found[$1].gradient.count }
    results.withUnsafeMutableBufferPointer { results in
      gradients.pool.forEach(pieces: order.count) { (piece: Int) in
        let index = order[piece]
        results[index] = Result {
          var start = starts?[index]
          let clipped = try operation.clip(
            found[index].gradient.entries,
            at: threshold(index, measuring: gradients.measuresSigmaMax), sketch: sketch(index),
            from: &start)
          return (clipped, start)
        }
      }
    }
    for (index, result) in results.enumerated() {
      guard let (clipped, start) = try result?.get() else { continue }
      observe(clipped, index, start)
      gradients.statistics[index] = clipped
    }
  }
}
