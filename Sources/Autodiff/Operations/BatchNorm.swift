import LinearAlgebra

/// The averages over batches that a batch norm uses in place of a batch's own statistics once training is over, as
/// in torch.nn.BatchNorm2d: average ← (1 - momentum) · average + momentum · batch's, the variance being the unbiased
/// one (the batch itself is normalised by the biased one).
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
/// (two passes), pieces are joined in Double, in order.
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
  private let pieceRows: Int
  /// Of each channel: mean, 1/√(variance + ε), weight/√(variance + ε), bias; then two sums of the backward pass.
  private let table: Buffer
  /// Two sums of each piece and channel.
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
    pieceRows = min(256, max(16, (1 << 14) / c))
    table = tape.scratch(6 * c)
    partial = tape.scratch((x.rows + pieceRows - 1) / pieceRows * 2 * c)
  }

  private typealias Vector = VectorMath.Vector

  func forward(_ pool: WorkerPool) {
    let c = x.columns
    if isTraining { measure(pool) }
    for j in 0..<c {
      let mean = isTraining ? table.base[j] : statistics.mean.base[j]
      let variance = isTraining ? table.base[c + j] : statistics.variance.base[j]
      let scale = 1 / (Double(variance) + epsilon).squareRoot()
      table.base[j] = mean
      table.base[c + j] = Float(scale)
      table.base[2 * c + j] = Float(scale * Double(weight.base[j]))
      table.base[3 * c + j] = bias.base[j]
    }
    let (source, target, added) = (x.value.base, output.value.base, residual?.value.base)
    pool.forRanges(of: x.rows, size: pieceRows) { range in
      forVectors(range) { i, j, count in
        VectorMath.store(
          apply(normal(source, added, i, j, count)), target + i, first: count)
      }
    }
  }

  /// Calls body(place of the first element, its channel, elements) for every row of `range`, 16 channels at a time.
  @inline(__always)
  private func forVectors(_ range: Range<Int>, _ body: (Int, Int, Int) -> Void) {
    let c = x.columns
    for row in range {
      var j = 0
      while j < c {
        body(row &* c &+ j, j, min(16, c &- j))
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
    let c = x.columns
    let mean = VectorMath.loadPadded(table.base + j, count)
    let scale = VectorMath.loadPadded(table.base + (2 &* c &+ j), count)
    var shift = VectorMath.loadPadded(table.base + (3 &* c &+ j), count)
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
    let c = x.columns
    let source = x.value.base
    pool.forRanges(of: x.rows, size: pieceRows) { range in
      let sums = partial.base + range.lowerBound / pieceRows &* 2 &* c
      let squares = sums + c
      sums.update(repeating: 0, count: 2 &* c)
      for row in range {
        let values = source + row &* c
        for j in 0..<c { sums[j] += values[j] }
      }
      let inverse = 1 / Float(range.count)
      for j in 0..<c { sums[j] *= inverse }
      for row in range {
        let values = source + row &* c
        for j in 0..<c {
          let d = values[j] - sums[j]
          squares[j].addProduct(d, d)
        }
      }
    }
    let pieces = (x.rows + pieceRows - 1) / pieceRows
    func rows(_ piece: Int) -> Double { Double(min(pieceRows, x.rows - piece * pieceRows)) }
    let n = Double(x.rows)
    for j in 0..<c {
      var (mean, squares) = (0.0, 0.0)
      for piece in 0..<pieces { mean += rows(piece) * Double(partial.base[2 * piece * c + j]) }
      mean /= n
      // Deviations from the pieces' means, and of those from the mean of all.
      for piece in 0..<pieces {
        let d = Double(partial.base[2 * piece * c + j]) - mean
        squares += Double(partial.base[(2 * piece + 1) * c + j]) + rows(piece) * d * d
      }
      table.base[j] = Float(mean)
      table.base[c + j] = Float(squares / n)
      let share = statistics.momentum
      let (oldMean, oldVariance) = (statistics.mean.base[j], statistics.variance.base[j])
      statistics.mean.base[j] = Float((1 - share) * Double(oldMean) + share * mean)
      statistics.variance.base[j] = Float(
        (1 - share) * Double(oldVariance) + share * squares / (n - 1))
    }
    statistics.batches += 1
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dy = output.gradient?.base else { return }
    let (source, result) = (x.value.base, output.value.base)
    let added = residual?.value.base
    let (dResidual, dx) = (residual?.gradient?.base, x.gradient?.base)
    let c = x.columns
    // dz replaces dy, which nobody reads afterwards.
    pool.forRanges(of: x.rows, size: pieceRows) { range in
      let first = partial.base + range.lowerBound / pieceRows &* 2 &* c
      first.update(repeating: 0, count: 2 &* c)
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
        let scale = VectorMath.loadPadded(table.base + (c &+ j), count)
        let normalised = (VectorMath.loadPadded(source + i, count) - mean) * scale
        let sum = VectorMath.loadPadded(first + j, count)
        let product = VectorMath.loadPadded(first + (c &+ j), count)
        VectorMath.store(sum + dz, first + j, first: count)
        VectorMath.store(product + dz * normalised, first + (c &+ j), first: count)
      }
    }
    joinSums(beta)
    guard let dx else { return }
    pool.forRanges(of: x.rows, size: pieceRows) { range in
      forVectors(range) { i, j, count in
        let mean = VectorMath.loadPadded(table.base + j, count)
        let inverse = VectorMath.loadPadded(table.base + (c &+ j), count)
        let scale = VectorMath.loadPadded(table.base + (2 &* c &+ j), count)
        var d = VectorMath.loadPadded(dy + i, count)
        if isTraining {
          let normalised = (VectorMath.loadPadded(source + i, count) - mean) * inverse
          d -= VectorMath.loadPadded(table.base + (4 &* c &+ j), count)
          d -= normalised * VectorMath.loadPadded(table.base + (5 &* c &+ j), count)
        }
        let old = beta[0] == 0 ? Vector(repeating: 0) : VectorMath.loadPadded(dx + i, count)
        VectorMath.store(old + d * scale, dx + i, first: count)
      }
    }
  }

  /// The sums of dz and dz·x̂ over all pieces: gradients of bias and weight, and their means for dx.
  private func joinSums(_ beta: [Float]) {
    let c = x.columns
    let pieces = (x.rows + pieceRows - 1) / pieceRows
    for parameter in [weight, bias] { parameter.gradient.setFormed() }
    for j in 0..<c {
      var (sum, product) = (0.0, 0.0)
      for piece in 0..<pieces {
        sum += Double(partial.base[2 * piece * c + j])
        product += Double(partial.base[(2 * piece + 1) * c + j])
      }
      table.base[4 * c + j] = Float(sum / Double(x.rows))
      table.base[5 * c + j] = Float(product / Double(x.rows))
      for (parameter, value, beta) in [(weight, product, beta[1]), (bias, sum, beta[2])]
      where parameter.tensor.needsGradient {
        let target = parameter.gradient.base + j
        target.pointee = (beta == 0 ? 0 : target.pointee) + Float(value)
      }
    }
  }
}

extension Tape {
  /// Batch normalisation over all axes but the last, with the batch's statistics on a tape that trains (which updates
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
