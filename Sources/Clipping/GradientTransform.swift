import Foundation
import LinearAlgebra

/// What happens to the gradients between differentiation and the optimizer: a clipping rule.
///
/// A rule is a value that holds its state.
public protocol GradientTransform: Codable, Sendable {
  /// Changes the gradients of all layers in place and reports on each in `gradients.statistics`.
  ///
  /// It may leave a gradient in factors; whoever needs the entries materializes them. Throws
  /// `LinearAlgebraError.notFinite` for a NaN or an infinity that it meets.
  mutating func apply(to gradients: Gradients) throws
  /// Whether it reports σ_1 of every layer where `Gradients.measuresSigmaMax` asks for it.
  var reportsSigmaMax: Bool { get }
}

extension GradientTransform {
  /// Most rules never look at singular values.
  public var reportsSigmaMax: Bool { false }

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
public struct NoClip: GradientTransform {
  /// The rule that does nothing.
  public init() {}

  /// Does nothing, and the statistics stay empty.
  public func apply(to gradients: Gradients) {}
}

extension Gradients {
  /// √Σ‖G_l‖² over all layers, which are materialized for it; each layer's own square is left in `squares`.
  ///
  /// Throws `LinearAlgebraError.notFinite`, which names the first entry that is not.
  func jointNorm() throws -> Double {
    for layer in layers where layer.gradient.isSum { layer.gradient.materialize() }
    squares.withUnsafeMutableBufferPointer { squares in
      pool.forEach(pieces: layers.count) { (index: Int) in
        let gradient = layers[index].gradient
        squares[index] = Float._sumOfSquares(gradient.materialized.base, gradient.count)
      }
    }
    let sum = squares.reduce(0, +)
    if !sum.isFinite {
      for layer in layers { try layer.gradient.entries.readOnly.checkFinite() }
    }
    return sum.squareRoot()
  }

  /// Multiplies all layers, whose joint norm has just been taken, by `factor`, and reports it.
  func scaleAll(by factor: Double, tau: Double, isClipped: Bool) {
    if factor != 1 {
      pool.forEach(pieces: layers.count) { (index: Int) in
        layers[index].gradient.entries.scale(to: factor, from: 1)
      }
    }
    for index in statistics.indices {
      let norm = squares[index].squareRoot()
      statistics[index] = ClipStatistics(
        route: .norm, sigmaMaxBound: norm, tau: tau, clippedCount: isClipped ? 1 : 0,
        valueCount: 1, normBefore: norm,
        normAfter: layers[index].gradient.entries.readOnly.norm(
          expecting: factor.isNormal ? norm * factor : 0))
    }
  }

  /// Reports that `clipped` of `count` samples were, the same for all layers.
  func reportSamples(_ route: ClipStatistics.Route, tau: Double, clipped: Int, of count: Int) {
    for index in statistics.indices {
      statistics[index] = ClipStatistics(
        route: route, tau: tau, clippedCount: clipped, valueCount: count)
    }
  }
}
