// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y[rows, out] = x[rows, in] · weight (+ bias[out]); leading axes of x count as rows.
final class Linear: Operation {
  /// How the weight is stored.
  enum Layout {
    /// weight[out, in], torch.nn.Linear.
    case outIn
    /// weight[in, out], the Conv1D of GPT-2.
    case inOut
  }

  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let weight: Parameter
  private let bias: Parameter?
  private let layout: Layout
  private let width: Int, out: Int
  /// The weight transposed, where products are so small that reading it in place pays.
  private let transposed: Buffer?
  /// Where the weight is packed, if it is larger; a very large one is left to the BLAS, which packs it piecewise.
  private let packing: Workspace?
  /// Whether the weight's gradient stays factored: few enough samples that its rank is far below full.
  private let keepsFactors: Bool
  /// A one for every row, where the bias's gradient stays factored, too: Σ rows of dy · 1.
  private let ones: Buffer?
  /// Rows that one thread takes at a time.
  private let pieceRows: Int
  /// Where both factors of a product in bfloat16 are packed, if that is how it multiplies.
  private let halves: Workspace?

  init(_ x: Tensor, _ weight: Parameter, _ bias: Parameter?, layout: Layout, on tape: Tape) {
    precondition(weight.shape.count == 2, "linear: weight\(weight.shape)")
    let (out, width) =
      layout == .outIn
      ? (weight.shape[0], weight.shape[1]) : (weight.shape[1], weight.shape[0])
    precondition(
      x.columns == width && bias.map { $0.shape == [out] } ?? true,
      "linear: x\(x.shape), weight\(weight.shape), bias\(bias?.shape ?? [])")
    self.x = x
    self.weight = weight
    self.bias = bias
    (self.layout, self.out, self.width) = (layout, out, width)
    inputs = [x, weight.tensor] + (bias.map { [$0.tensor] } ?? [])
    output = tape.output(x.shape.dropLast() + [out], of: inputs)
    halves = tape.precision == .bf16 ? tape.workspace : nil
    if let halves {
      let (n, size) = (x.rows, BFloat16.size)
      halves.reserve(
        max(
          size(.right, out, width) + BFloat16.blockSize(width, tape.pool),
          size(.right, width, out) + BFloat16.blockSize(out, tape.pool),
          size(.right, weight.shape[1], n) + size(.left, weight.shape[0], n)))
    }
    let isSmall = halves == nil && out * width <= 12_800
    transposed = isSmall ? tape.scratch(out * width) : nil
    packing = halves == nil && !isSmall && out * width <= 1 << 20 ? tape.workspace : nil
    packing?.reserve(max(PackedMatrix.size(out, width), PackedMatrix.size(width, out)))
    keepsFactors =
      switch tape.weightGradients {
      case .dense: false
      case .lowRank:
        min(out, width) == 1 || LayerGradient.isThin(rank: x.rows, rows: out, columns: width)
      case .perSample: true
      }
    ones = bias != nil && tape.weightGradients == .perSample ? tape.scratch(x.rows) : nil
    ones?.fill(1)
    pieceRows =
      isSmall
      ? max(16, (1 << 20) / max(1, out * width) & ~15)
      : evenPieces(of: x.rows, about: max(192, x.rows / 16))
  }

  var lendsOutputGradient: Bool { keepsFactors }

  /// The weight or its transpose, whichever leads forward or backward, if it is one that is packed.
  private func packed(isForward: Bool, _ pool: WorkerPool) -> PackedMatrix? {
    packing.map {
      PackedMatrix(
        packing: weight.matrix.readOnly, transposed: isForward == (layout == .outIn),
        into: $0.base, pool)
    }
  }

  /// a · weight or a · weightᵀ, whichever leads forward or backward, for some rows; sums begin with the
  /// bias if beta is 0.
  private func multiply(
    _ a: MatrixView<Float>, _ packed: PackedMatrix?, isForward: Bool,
    bias: UnsafePointer<Float>? = nil, beta: Float, into c: MutableMatrixView<Float>
  ) {
    if let packed { return packed.multiply(a, bias: bias, beta: beta, into: c) }
    var beta = beta
    if let bias {
      for i in 0..<c.rows { (c.base + i * c.columns).update(from: bias, count: c.columns) }
      beta = 1
    }
    if isForward == (layout == .inOut) {
      gemm(a, .no, weight.matrix.readOnly, .no, beta: beta, into: c)
    } else if let transposed {
      let right = MatrixView(
        rows: weight.shape[1], columns: weight.shape[0], base: UnsafePointer(transposed.base))
      gemm(a, .no, right, .no, beta: beta, into: c)
    } else {
      gemm(a, .no, weight.matrix.readOnly, .yes, beta: beta, into: c)
    }
  }

  /// c = left · rightᵀ + bias or beta · c, with the factors rounded and packed in `room`.
  private func multiply(
    _ left: MatrixView<Float>, transposed isLeft: Bool, _ right: MatrixView<Float>,
    transposed isRight: Bool, bias: UnsafePointer<Float>? = nil, beta: Float, in room: Workspace,
    into c: UnsafeMutablePointer<Float>, _ pool: WorkerPool
  ) {
    let (columns, depth) = isRight ? (right.columns, right.rows) : (right.rows, right.columns)
    let b = BFloat16.pack(.right, right, transposed: isRight, into: room.base, pool)
    let rest = room.base + BFloat16.size(.right, columns, depth)
    if isLeft {
      let a = BFloat16.pack(.left, left, transposed: true, into: rest, pool)
      BFloat16.multiply(a, b, bias: bias, beta: beta, into: c, ldc: columns, pool)
    } else {
      BFloat16.multiply(left, b, bias: bias, beta: beta, in: rest, into: c, ldc: columns, pool)
    }
  }

  func forward(_ pool: WorkerPool) {
    if let halves {
      return multiply(
        x.matrix.readOnly, transposed: false, weight.matrix.readOnly,
        transposed: layout == .inOut, bias: bias.map { UnsafePointer($0.base) }, beta: 0,
        in: halves, into: output.value.base, pool)
    }
    if let transposed {
      transpose(
        weight.base, rows: weight.shape[0], columns: weight.shape[1], into: transposed.base)
    }
    let packed = packed(isForward: true, pool)
    pool.forRanges(of: x.rows, size: pieceRows) { range in
      multiply(
        x.matrix.rows(range).readOnly, packed, isForward: true,
        bias: bias.map { UnsafePointer($0.base) }, beta: 0, into: output.matrix.rows(range))
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dy = output.gradient else { return }
    let dOutput = MatrixView(rows: x.rows, columns: out, base: UnsafePointer(dy.base))
    if let dx = x.gradient, let halves {
      multiply(
        dOutput, transposed: false, weight.matrix.readOnly, transposed: layout == .outIn,
        beta: beta[0], in: halves, into: dx.base, pool)
    } else if let dx = x.gradient {
      let packed = packed(isForward: false, pool)
      pool.forRanges(of: x.rows, size: pieceRows) { range in
        multiply(
          dOutput.rows(range), packed, isForward: false, beta: beta[0],
          into: MutableMatrixView(rows: x.rows, columns: width, base: dx.base).rows(range))
      }
    }
    if weight.tensor.needsGradient { differentiateWeight(dOutput, beta: beta[1], pool) }
    guard let bias, bias.tensor.needsGradient else { return }
    if let ones {
      precondition(beta[2] == 0, "\(bias.name) is used twice on a tape that keeps factors")
      bias.gradient.setProduct(
        left: dOutput, right: MatrixView(rows: x.rows, columns: 1, base: UnsafePointer(ones.base)))
    } else {
      bias.gradient.setMaterialized()
      addRows(dOutput, to: bias.gradient.base, beta: beta[2], pool)
    }
  }

  private func differentiateWeight(
    _ dOutput: MatrixView<Float>, beta: Float, _ pool: WorkerPool
  ) {
    let (left, right) =
      layout == .outIn ? (dOutput, x.matrix.readOnly) : (x.matrix.readOnly, dOutput)
    if keepsFactors {
      precondition(beta == 0, "\(weight.name) is used twice on a tape that keeps factors")
      weight.gradient.setProduct(left: left, right: right)
    } else if let halves {
      weight.gradient.setMaterialized()
      multiply(
        left, transposed: true, right, transposed: true, beta: beta, in: halves,
        into: weight.gradient.base, pool)
    } else {
      weight.gradient.setMaterialized()
      // Rows of the weight are shared out; each is one product over all samples, in order.
      let size = evenPieces(
        of: left.columns, about: left.columns >= 1024 ? 256 : max(64, left.columns / 4))
      pool.forRanges(of: left.columns, size: size) { range in
        gemm(
          left, columns: range, transposedTimes: right, beta: beta,
          into: weight.gradient.entries.rows(range))
      }
    }
  }
}

/// How large the pieces are that `count` rows are cut into, whatever the number of threads: about `size`, at least 32, a multiple of 8,
/// and an even number of them, so that of two threads none waits for the other's last one.
private func evenPieces(of count: Int, about size: Int) -> Int {
  let pieces = max(1, (count + size / 2) / max(size, 1))
  let even = count < 64 ? 1 : (pieces + 1) & ~1
  return max(32, ((count + even - 1) / even + 7) & ~7)
}

/// sum[columns] = beta · sum + Σ rows of x, in order.
func addRows(
  _ x: MatrixView<Float>, to sum: UnsafeMutablePointer<Float>, beta: Float, _ pool: WorkerPool
) {
  pool.forRanges(of: x.columns, size: 64) { range in
    var column = range.lowerBound
    while column &+ 16 <= range.upperBound {
      var total = beta == 0 ? VectorMath.Vector(repeating: 0) : VectorMath.load(sum + column)
      for i in 0..<x.rows { total += VectorMath.load(x.base + (i &* x.columns &+ column)) }
      VectorMath.store(total, sum + column)
      column &+= 16
    }
    for j in column..<range.upperBound {
      var total = beta == 0 ? 0 : sum[j]
      for i in 0..<x.rows { total += x.base[i &* x.columns &+ j] }
      sum[j] = total
    }
  }
}

extension Tape {
  /// y[…, out] = x[…, in] · weight[out, in]ᵀ + bias[out], torch.nn.functional.linear.
  public func linear(_ x: Tensor, _ weight: Parameter, bias: Parameter? = nil) -> Tensor {
    record(Linear(x, weight, bias, layout: .outIn, on: self))
  }

  /// y[…, out] = x[…, in] · weight[in, out] + bias[out], the Conv1D of GPT-2.
  public func conv1D(_ x: Tensor, _ weight: Parameter, bias: Parameter? = nil) -> Tensor {
    record(Linear(x, weight, bias, layout: .inOut, on: self))
  }
}
