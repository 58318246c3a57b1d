// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Heavy-tailed low-rank gradient noise (§6.4): with some probability a step, every layer's gradient gets
/// an independent term s·u·vᵀ, u and v uniform unit vectors, s = ±Pareto(scale, α).
///
/// One coin decides for all layers. The term counts as part of one sample of the batch, drawn too, so
/// that rules on single samples and micro-batches meet it where a corrupt sample would be.
public struct HeavyTailedNoise: Sendable {
  /// Probability of a step with noise.
  public let probability: Double
  private let law: TwoSidedPareto<Double>
  private let coins: RandomStream
  private let layers: [RandomStream]
  private var u: [Float] = []
  private var v: [Float] = []

  /// Noise for `layers`, drawn from streams of their names below `stream`; α and `scale` are positive.
  public init(
    probability: Double, alpha: Double, scale: Double, layers: [String], stream: RandomStream
  ) {
    self.probability = probability
    law = TwoSidedPareto(shape: alpha, scale: scale)
    coins = stream.child("coin")
    self.layers = layers.map { stream.child($0) }
  }

  /// Adds the noise of `step`, if there is any, to the gradients of a batch of `batchSize` samples.
  @discardableResult
  public mutating func add(
    to gradients: [LayerGradient], step: Int, batchSize: Int
  ) -> Bool {
    precondition(gradients.count == layers.count, "\(gradients.count) of \(layers.count) layers")
    let coin = coins.at(step: step)
    guard probability > 0, coin.uniform(at: 0, as: Double.self) < probability else { return false }
    let sample = coin.integer(below: batchSize, at: 1)
    for (gradient, stream) in zip(gradients, layers) {
      let own = stream.at(step: step)
      let scale = Float(own.draw(law, at: 0))
      u = own.normals(gradient.rows)
      v = own.normals(gradient.columns, from: gradient.rows)
      normalize(&u)
      normalize(&v)
      u.withUnsafeBufferPointer { u in
        v.withUnsafeBufferPointer { v in
          guard let u = u.baseAddress, let v = v.baseAddress else { return }
          gradient.addRankOne(scale, u, v, sample: sample)
        }
      }
    }
    return true
  }

  private func normalize(_ vector: inout [Float]) {
    var square = 0.0
    for value in vector { square.addProduct(Double(value), Double(value)) }
    let inverse = Float(1 / square.squareRoot())
    for i in vector.indices { vector[i] *= inverse }
  }
}
