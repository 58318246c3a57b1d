// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// One layer on its way from differentiation to the optimizer.
public struct Layer {
  /// The parameter's name.
  public let name: String
  /// Its gradient[m,n]; a rule changes it in place.
  public let gradient: LayerGradient
  /// Its values[m,n], for rules that compare the gradient with them.
  public let weights: MatrixView<Float>

  /// The layer `name`; `gradient` and `weights` have one shape, and `weights` must outlive the layer.
  public init(name: String, gradient: LayerGradient, weights: MatrixView<Float>) {
    precondition(
      gradient.rows == weights.rows && gradient.columns == weights.columns,
      "layer '\(name)': gradient[\(gradient.rows), \(gradient.columns)], "
        + "weights[\(weights.rows), \(weights.columns)]")
    self.name = name
    self.gradient = gradient
    self.weights = weights
  }
}

/// The gradients of a model's layers, what the last rule did to each, and the scratch that rules work in.
///
/// Made once and used at every step: a rule changes the layers' gradients in place and overwrites
/// `statistics`.
public final class Gradients {
  /// The layers, in the order of the model.
  public let layers: [Layer]
  /// What the last rule did to each layer, in the order of `layers`.
  public internal(set) var statistics: [ClipStatistics]
  /// Scratch for gradients that are still products of factors.
  package let workspace: FactoredSpectrum
  /// The threads that layers are shared out to.
  package let pool: WorkerPool
  /// Whether rules that find singular values are to report σ_1 even where a bound would do; changes no result.
  package var measuresSigmaMax = false
  /// The layers that a rule is to change here, by number: all, unless processes share them out. What the others hold then is
  /// anything, and nobody may look at it.
  public internal(set) var own: [Int]
  /// Fills in one number a layer, known for those of `own`, for the others; set where processes share layers out.
  var complete: (inout [Double]) -> Void = { _ in }
  /// One number a layer: scratch of rules that need a joint norm.
  var squares: [Double]
  /// For the one rule that clips micro-batches, made when it first asks.
  private(set) lazy var microBatchScratch = layers.map { MicroBatchScratch(for: $0) }

  /// The gradients of `layers`, whose names must differ; results do not depend on the threads of `pool`.
  public convenience init(_ layers: [Layer], pool: WorkerPool = .single) {
    self.init(layers, FactoredSpectrum(), pool)
  }

  private init(_ layers: [Layer], _ workspace: FactoredSpectrum, _ pool: WorkerPool) {
    let names = layers.map(\.name)
    precondition(Set(names).count == names.count, "two layers of one name among \(names)")
    self.layers = layers
    self.workspace = workspace
    self.pool = pool
    statistics = [ClipStatistics](repeating: ClipStatistics(), count: layers.count)
    squares = [Double](repeating: 0, count: layers.count)
    own = Array(layers.indices)
  }

  /// Leaves rules the layers `own` alone, by number; `complete` gets one number a layer, known for those, from the processes that
  /// have the others.
  package func share(_ own: [Int], complete: @escaping (inout [Double]) -> Void) {
    (self.own, self.complete) = (own, complete)
  }

  /// The layers called `names` alone, in the order of `layers`, for a rule that is to see no others. Scratch and
  /// threads are shared; the statistics are the mask's own.
  ///
  /// Throws `ClippingError.unknownLayer` for a name that no layer has, `.duplicateLayer` for one given twice.
  public func masked(to names: [String]) throws -> Gradients {
    let known = layers.map(\.name)
    for (index, name) in names.enumerated() {
      guard known.contains(name) else { throw ClippingError.unknownLayer(name, known: known) }
      guard !names[..<index].contains(name) else { throw ClippingError.duplicateLayer(name) }
    }
    let chosen = Set(names)
    return Gradients(layers.filter { chosen.contains($0.name) }, workspace, pool)
  }
}
