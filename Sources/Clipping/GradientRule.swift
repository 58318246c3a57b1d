import Foundation
import LinearAlgebra

/// One layer on its way from differentiation to the optimizer.
public struct Layer {
  /// The parameter's name.
  public let name: String
  /// Its gradient; a rule changes it in place.
  public let gradient: FactoredMatrix
  /// Its values, for rules that compare the gradient with them.
  public let weights: MatrixView<Float>

  /// A layer.
  public init(name: String, gradient: FactoredMatrix, weights: MatrixView<Float>) {
    self.name = name
    self.gradient = gradient
    self.weights = weights
  }
}

/// What a rule did in one step, layer by layer; the arrays are reused from step to step.
public struct RuleReport {
  /// The threshold of each layer; infinite where there is none.
  public var tau: [Double]
  /// The share of singular values (samples, rows, entries: what the rule clips) that it changed.
  public var clippedShare: [Double]

  /// A report on `layers` layers.
  public init(layers: Int) {
    tau = [Double](repeating: .infinity, count: layers)
    clippedShare = [Double](repeating: 0, count: layers)
  }

  mutating func set(tau newTau: Double, share: Double) {
    for i in tau.indices {
      tau[i] = newTau
      clippedShare[i] = share
    }
  }
}

/// What happens to the gradients between differentiation and the optimizer: clipping rules.
///
/// A rule is a value that holds its state. `apply` may leave a gradient in factors; whoever needs the
/// entries multiplies them out.
public protocol GradientRule: Codable, Sendable {
  /// Changes the gradients of all layers in place; results do not depend on the threads of `pool`.
  mutating func apply(
    to layers: [Layer], workspace: FactoredSpectrum, pool: WorkerPool, report: inout RuleReport
  ) throws
}

extension GradientRule {
  /// The rule with its state, for a checkpoint.
  public func encoded() throws -> Data {
    let encoder = PropertyListEncoder()
    encoder.outputFormat = .binary
    return try encoder.encode(self)
  }

  /// Takes over what `encoded()` saved.
  public mutating func restore(_ data: Data) throws {
    self = try PropertyListDecoder().decode(Self.self, from: data)
  }
}

/// No clipping at all.
public struct NoClip: GradientRule {
  /// The rule that does nothing.
  public init() {}

  /// Does nothing.
  public func apply(
    to layers: [Layer], workspace: FactoredSpectrum, pool: WorkerPool, report: inout RuleReport
  ) {}
}

extension NormClip: GradientRule {
  /// Scales all layers by their joint norm.
  public func apply(
    to layers: [Layer], workspace: FactoredSpectrum, pool: WorkerPool, report: inout RuleReport
  ) throws {
    let norm = try jointNorm(of: layers, pool)
    let factor = factor(norm: norm)
    if factor < 1 {
      pool.forEach(pieces: layers.count) { (index: Int) in
        layers[index].gradient.formed.scale(by: Float(factor))
      }
    }
    report.set(tau: maximumNorm, share: factor < 1 ? 1 : 0)
  }
}

/// √Σ‖G_l‖² over all layers, which are multiplied out for it; names the first entry that is not finite.
func jointNorm(of layers: [Layer], _ pool: WorkerPool) throws -> Double {
  var squares = [Double](repeating: 0, count: layers.count)
  squares.withUnsafeMutableBufferPointer { squares in
    pool.forEach(pieces: layers.count) { (index: Int) in
      let gradient = layers[index].gradient
      squares[index] = Float._sumOfSquares(gradient.formed.base, gradient.count)
    }
  }
  let sum = squares.reduce(0, +)
  if !sum.isFinite {
    for layer in layers { try layer.gradient.entries.readOnly.checkFinite() }
  }
  return sum.squareRoot()
}

extension LayerClipper: GradientRule {
  /// Clips each layer's singular values at its own threshold.
  public mutating func apply(
    to layers: [Layer], workspace: FactoredSpectrum, pool: WorkerPool, report: inout RuleReport
  ) throws {
    precondition(layers.count == self.layers.count, "\(layers.count) of \(self.layers) layers")
    for (index, clipped) in try clip(
      layers.map(\.gradient), workspace: workspace, pool: pool
    ).enumerated() {
      report.tau[index] = clipped.tau
      report.clippedShare[index] = clipped.clippedShare
    }
  }
}
