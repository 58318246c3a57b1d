// SPDX-License-Identifier: Apache-2.0

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
  /// Whether processes can share its layers out: it changes and looks at those of `Gradients.own` only, each by itself, but
  /// for the joint norm.
  var isShareable: Bool { get }
  /// Takes over what `other` has come to know of these layers, by number.
  mutating func take(_ layers: [Int], from other: Self)
  /// About how many multiplications a gradient[rows, columns] costs; shares out layers, and changes no result.
  func cost(rows: Int, columns: Int) -> Double
}

extension GradientTransform {
  /// Most rules never look at singular values.
  public var reportsSigmaMax: Bool { false }
  /// Who does not know of shares sees everything.
  public var isShareable: Bool { false }
  /// Most rules know nothing of single layers.
  public mutating func take(_ layers: [Int], from other: Self) {}
  /// Most rules pass over the entries.
  public func cost(rows: Int, columns: Int) -> Double { passCost * Double(rows * columns) }

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

  /// Takes over what the rule that `data` holds has come to know of these layers.
  package mutating func take(_ layers: [Int], from data: Data) throws {
    take(layers, from: try PropertyListDecoder().decode(Self.self, from: data))
  }
}

/// What passing over an entry costs, in multiplications of a matrix product: some ten bytes at 10 GB/s against 20 to 50
/// multiplications a nanosecond.
private let passCost = 20.0

/// No clipping at all.
public struct NoClip: GradientTransform {
  /// The rule that does nothing.
  public init() {}

  /// Does nothing, and the statistics stay empty.
  public func apply(to gradients: Gradients) {}

  /// It does nothing to any layer.
  public var isShareable: Bool { true }
  /// Nothing.
  public func cost(rows: Int, columns: Int) -> Double { 0 }
}

extension Gradients {
  /// √Σ‖G_l‖² over all layers, which are materialized for it; each layer's own square is left in `squares`.
  ///
  /// Throws `LinearAlgebraError.notFinite`, which names the first entry that is not.
  func jointNorm() throws -> Double {
    for index in own where layers[index].gradient.isSum { layers[index].gradient.materialize() }
    squares.withUnsafeMutableBufferPointer { squares in
      pool.forEach(pieces: own.count) { (piece: Int) in
        let (index, gradient) = (own[piece], layers[own[piece]].gradient)
        squares[index] = Float._sumOfSquares(gradient.materialized.base, gradient.count)
      }
    }
    complete(&squares)
    let sum = squares.reduce(0, +)
    if !sum.isFinite {
      for index in own { try layers[index].gradient.entries.readOnly.checkFinite() }
    }
    return sum.squareRoot()
  }

  /// Multiplies all layers, whose joint norm has just been taken, by `factor`, and reports it.
  func scaleAll(by factor: Double, tau: Double, isClipped: Bool) {
    if factor != 1 {
      pool.forEach(pieces: own.count) { (piece: Int) in
        layers[own[piece]].gradient.entries.scale(to: factor, from: 1)
      }
    }
    for index in own {
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
