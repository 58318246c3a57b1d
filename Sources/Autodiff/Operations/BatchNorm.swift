// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// The averages over batches that a batch norm uses in place of a batch's own statistics once training is over, as
/// in torch.nn.BatchNorm2d: average ← (1 - momentum) · average + momentum · batch's, the variance being the unbiased
/// one (the batch itself is normalized by the biased one).
public final class RunningStatistics: @unchecked Sendable {
  /// Share of the newest batch.
  public let momentum: Double
  /// Averages of each channel, 0 and 1 at first.
  public let mean: Buffer, variance: Buffer
  /// How many batches there were.
  public var batches = 0

  /// Those of `channels` channels before the first batch.
  public init(channels: Int, momentum: Double = 0.1) {
    self.momentum = momentum
    (mean, variance) = (Buffer(count: channels), Buffer(count: channels))
    variance.fill(1)
  }
}

/// What a batch norm does with its result in the same operation.
public enum Activation: Sendable {
  /// Nothing.
  case none
  /// max(z, 0).
  case relu
  /// z·Φ(z).
  case gelu
}

/// y[…, C] = f(x̂ · weight[C] + bias[C] (+ residual[…, C])) with x̂ = (x - mean)/√(variance + ε), statistics of each
/// channel over all other axes (Ioffe & Szegedy 2015).
///
/// Sums and products are not fused: in a loop this long, fused ones are taken apart into single lanes.
/// Rows are taken in pieces that fit a cache; a piece's mean and sum of squared deviations are exact to rounding
/// (two passes), pieces are joined in Double, in order. Where 2, 4, 8 or 16 rows fill a vector of 16, they are taken as one
/// row of so many more columns (`lanes`), with every table repeated.
final class BatchNorm: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let weight: Parameter
  private let bias: Parameter
  private let residual: Tensor?
  private let statistics: RunningStatistics
  private let epsilon: Double
  private let activation: Activation
  private let isTraining: Bool
  /// Columns that a row is taken to have, a multiple of the channels; how many such rows there are, and in a piece.
  private let lanes: Int, rows: Int, pieceRows: Int
  /// Of each lane: mean, 1/√(variance + ε), weight/√(variance + ε), bias; then two sums of the backward pass.
  private let table: Buffer
  /// Two sums of each piece and lane.
  private let partial: Buffer

  init(
    _ x: Tensor, _ weight: Parameter, _ bias: Parameter, _ statistics: RunningStatistics,
    epsilon: Double, adding residual: Tensor?, then activation: Activation, on tape: Tape
  ) {
    let c = x.columns
    precondition(
      weight.shape == [c] && bias.shape == [c] && statistics.mean.count == c
        && residual.map { $0.shape == x.shape } ?? true,
      "batch norm: x\(x.shape), weight\(weight.shape), bias\(bias.shape), residual\(residual?.shape ?? [])"
    )
    precondition(residual !== x, "batch norm of x added to x: its gradient would overwrite itself")
    precondition(
      !tape.isTraining || x.rows >= 2, "batch norm of \(x.rows) value a channel, x\(x.shape)")
    self.x = x
    self.weight = weight
    self.bias = bias
    self.residual = residual
    self.statistics = statistics
    self.epsilon = epsilon
    self.activation = activation
    isTraining = tape.isTraining
    inputs = [x, weight.tensor, bias.tensor] + (residual.map { [$0] } ?? [])
    output = tape.output(x.shape, of: inputs)
    lanes = 16 % c == 0 && x.rows % (16 / c) == 0 ? 16 : c
    rows = x.rows * c / lanes
    pieceRows = min(256, max(16, (1 << 14) / lanes))
    table = tape.scratch(6 * lanes)
    partial = tape.scratch((rows + pieceRows - 1) / pieceRows * 2 * lanes)
  }

  private typealias Vector = VectorMath.Vector

  func forward(_ pool: WorkerPool) {
    let c = x.columns
    if isTraining { measure(pool) }
    for j in 0..<lanes {
      let channel = j % c
      let mean = isTraining ? table.base[j] : statistics.mean.base[channel]
      let variance = isTraining ? table.base[lanes + j] : statistics.variance.base[channel]
      let scale = 1 / (Double(variance) + epsilon).squareRoot()
      table.base[j] = mean
      table.base[lanes + j] = Float(scale)
      table.base[2 * lanes + j] = Float(scale * Double(weight.base[channel]))
      table.base[3 * lanes + j] = bias.base[channel]
    }
    let (source, target, added) = (x.value.base, output.value.base, residual?.value.base)
    pool.forRanges(of: rows, size: pieceRows) { range in
      forVectors(range) { i, j, count in
        VectorMath.store(
          apply(normal(source, added, i, j, count)), target + i, first: count)
      }
    }
  }

  /// Calls body(place of the first element, its lane, elements) for every row of `range`, 16 lanes at a time.
  @inline(__always)
  private func forVectors(_ range: Range<Int>, _ body: (Int, Int, Int) -> Void) {
    for row in range {
      var j = 0
      while j < lanes {
        body(row &* lanes &+ j, j, min(16, lanes &- j))
        j &+= 16
      }
    }
  }

  /// What the activation is applied to.
  @inline(__always)
  private func normal(
    _ source: UnsafePointer<Float>, _ added: UnsafePointer<Float>?, _ i: Int, _ j: Int,
    _ count: Int
  ) -> Vector {
    let mean = VectorMath.loadPadded(table.base + j, count)
    let scale = VectorMath.loadPadded(table.base + (2 &* lanes &+ j), count)
    var shift = VectorMath.loadPadded(table.base + (3 &* lanes &+ j), count)
    if let added { shift += VectorMath.loadPadded(added + i, count) }
    return (VectorMath.loadPadded(source + i, count) - mean) * scale + shift
  }

  @inline(__always)
  private func apply(_ z: Vector) -> Vector {
    switch activation {
    case .none: z
    // Written so that NaN stays NaN.
    case .relu: z.replacing(with: 0, where: z .< 0)
    case .gelu: z * VectorMath.normal(z).distribution
    }
  }

  /// Mean and biased variance of each channel into the table, and on into the running averages.
  private func measure(_ pool: WorkerPool) {
    let source = x.value.base
    pool.forRanges(of: rows, size: pieceRows) { range in
      let sums = partial.base + range.lowerBound / pieceRows &* 2 &* lanes
      let squares = sums + lanes
      sums.update(repeating: 0, count: 2 &* lanes)
      for row in range {
        let values = source + row &* lanes
        for j in 0..<lanes { sums[j] += values[j] }
      }
      let inverse = 1 / Float(range.count)
      for j in 0..<lanes { sums[j] *= inverse }
      for row in range {
        let values = source + row &* lanes
        for j in 0..<lanes {
          let d = values[j] - sums[j]
          squares[j].addProduct(d, d)
        }
      }
    }
    let n = Double(x.rows)
    for channel in 0..<x.columns {
      var (mean, squares) = (0.0, 0.0)
      forPartials(channel) { count, own, _ in mean += Double(count) * Double(own) }
      mean /= n
      // Deviations from the pieces' means, and of those from the mean of all.
      forPartials(channel) { count, own, square in
        let d = Double(own) - mean
        squares += Double(square) + Double(count) * d * d
      }
      for j in stride(from: channel, to: lanes, by: x.columns) {
        table.base[j] = Float(mean)
        table.base[lanes + j] = Float(squares / n)
      }
      let share = statistics.momentum
      let (oldMean, oldVariance) = (
        statistics.mean.base[channel], statistics.variance.base[channel]
      )
      statistics.mean.base[channel] = Float((1 - share) * Double(oldMean) + share * mean)
      statistics.variance.base[channel] = Float(
        (1 - share) * Double(oldVariance) + share * squares / (n - 1))
    }
    statistics.batches += 1
  }

  /// Calls body(rows, first sum, second sum) for the pieces and lanes of a channel, in order.
  private func forPartials(_ channel: Int, _ body: (Int, Float, Float) -> Void) {
    for (piece, start) in stride(from: 0, to: rows, by: pieceRows).enumerated() {
      let sums = partial.base + piece * 2 * lanes
      for j in stride(from: channel, to: lanes, by: x.columns) {
        body(min(pieceRows, rows - start), sums[j], sums[lanes + j])
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dy = output.gradient?.base else { return }
    let (source, result) = (x.value.base, output.value.base)
    let added = residual?.value.base
    let (dResidual, dx) = (residual?.gradient?.base, x.gradient?.base)
    // dz replaces dy, which nobody reads afterwards.
    pool.forRanges(of: rows, size: pieceRows) { range in
      let first = partial.base + range.lowerBound / pieceRows &* 2 &* lanes
      first.update(repeating: 0, count: 2 &* lanes)
      forVectors(range) { i, j, count in
        var dz = VectorMath.loadPadded(dy + i, count)
        switch activation {
        case .none: break
        case .relu:
          dz.replace(with: 0, where: VectorMath.loadPadded(result + i, count) .<= 0)
        case .gelu:
          let z = normal(source, added, i, j, count)
          let (distribution, density) = VectorMath.normal(z)
          dz *= distribution + z * density
        }
        if activation != .none { VectorMath.store(dz, dy + i, first: count) }
        if let dResidual {
          let old =
            beta[3] == 0
            ? Vector(repeating: 0) : VectorMath.loadPadded(dResidual + i, count)
          VectorMath.store(old + dz, dResidual + i, first: count)
        }
        let mean = VectorMath.loadPadded(table.base + j, count)
        let scale = VectorMath.loadPadded(table.base + (lanes &+ j), count)
        let normalized = (VectorMath.loadPadded(source + i, count) - mean) * scale
        let sum = VectorMath.loadPadded(first + j, count)
        let product = VectorMath.loadPadded(first + (lanes &+ j), count)
        VectorMath.store(sum + dz, first + j, first: count)
        VectorMath.store(product + dz * normalized, first + (lanes &+ j), first: count)
      }
    }
    joinSums(beta)
    guard let dx else { return }
    pool.forRanges(of: rows, size: pieceRows) { range in
      forVectors(range) { i, j, count in
        let mean = VectorMath.loadPadded(table.base + j, count)
        let inverse = VectorMath.loadPadded(table.base + (lanes &+ j), count)
        let scale = VectorMath.loadPadded(table.base + (2 &* lanes &+ j), count)
        var d = VectorMath.loadPadded(dy + i, count)
        if isTraining {
          let normalized = (VectorMath.loadPadded(source + i, count) - mean) * inverse
          d -= VectorMath.loadPadded(table.base + (4 &* lanes &+ j), count)
          d -= normalized * VectorMath.loadPadded(table.base + (5 &* lanes &+ j), count)
        }
        let old = beta[0] == 0 ? Vector(repeating: 0) : VectorMath.loadPadded(dx + i, count)
        VectorMath.store(old + d * scale, dx + i, first: count)
      }
    }
  }

  /// The sums of dz and dz·x̂ over all pieces: gradients of bias and weight, and their means for dx.
  private func joinSums(_ beta: [Float]) {
    for parameter in [weight, bias] { parameter.gradient.setMaterialized() }
    for channel in 0..<x.columns {
      var (sum, product) = (0.0, 0.0)
      forPartials(channel) { _, own, other in
        sum += Double(own)
        product += Double(other)
      }
      for j in stride(from: channel, to: lanes, by: x.columns) {
        table.base[4 * lanes + j] = Float(sum / Double(x.rows))
        table.base[5 * lanes + j] = Float(product / Double(x.rows))
      }
      for (parameter, value, beta) in [(weight, product, beta[1]), (bias, sum, beta[2])]
      where parameter.tensor.needsGradient {
        let target = parameter.gradient.base + channel
        target.pointee = (beta == 0 ? 0 : target.pointee) + Float(value)
      }
    }
  }
}

extension Tape {
  /// Batch normalization over all axes but the last, with the batch's statistics on a tape that trains (which updates
  /// `statistics` in every forward pass) and the running averages on one that does not; then + residual, then the
  /// activation. A weight that is not trained gets no gradient.
  public func batchNorm(
    _ x: Tensor, _ weight: Parameter, _ bias: Parameter, _ statistics: RunningStatistics,
    epsilon: Double = 1e-5, adding residual: Tensor? = nil, then activation: Activation = .none
  ) -> Tensor {
    record(
      BatchNorm(
        x, weight, bias, statistics, epsilon: epsilon, adding: residual, then: activation,
        on: self))
  }
}
