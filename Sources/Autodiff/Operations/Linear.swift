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
  /// Whether the weight's gradient stays factored: few enough samples that its rank is far below full.
  private let keepsFactors: Bool
  /// Rows that one thread takes at a time.
  private let pieceRows: Int

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
    // A BLAS packs larger weights, which pays from here on.
    let isSmall = out * width <= 12_800
    transposed = isSmall ? tape.scratch(out * width) : nil
    keepsFactors =
      switch tape.weightGradients {
      case .formed: false
      case .thinFactors: min(out, width) == 1 || 4 * x.rows <= 3 * min(out, width)
      case .factors: true
      }
    pieceRows =
      isSmall
      ? max(16, (1 << 20) / max(1, out * width) & ~15) : max(192, (x.rows + 15) / 16 & ~7)
  }

  var lendsOutputGradient: Bool { keepsFactors }

  /// a · weight, or a · weightᵀ, of whole rows; `isForward` says which side of the layer a comes from.
  private func multiply(
    _ a: MatrixView<Float>, isForward: Bool, beta: Float, into c: MutableMatrixView<Float>
  ) {
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

  func forward(_ pool: WorkerPool) {
    if let transposed {
      transpose(
        weight.base, rows: weight.shape[0], columns: weight.shape[1], into: transposed.base)
    }
    pool.forRanges(of: x.rows, size: pieceRows) { range in
      let y = output.matrix.rows(range)
      if let bias {
        for i in 0..<y.rows { (y.base + i * out).update(from: bias.base, count: out) }
      }
      multiply(
        x.matrix.rows(range).readOnly, isForward: true, beta: bias == nil ? 0 : 1, into: y)
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dy = output.gradient else { return }
    let dOutput = MatrixView(rows: x.rows, columns: out, base: UnsafePointer(dy.base))
    if let dx = x.gradient {
      pool.forRanges(of: x.rows, size: pieceRows) { range in
        multiply(
          dOutput.rows(range), isForward: false, beta: beta[0],
          into: MutableMatrixView(rows: x.rows, columns: width, base: dx.base).rows(range))
      }
    }
    let (left, right) =
      layout == .outIn ? (dOutput, x.matrix.readOnly) : (x.matrix.readOnly, dOutput)
    if keepsFactors {
      precondition(beta[1] == 0, "\(weight.name) is used twice on a tape that keeps factors")
      weight.gradient.setProduct(left: left, right: right)
    } else {
      weight.gradient.setFormed()
      // Rows of the weight are shared out; each is one product over all samples, in order.
      let size = left.columns >= 1024 ? 256 : max(64, (left.columns / 4 + 7) & ~7)
      pool.forRanges(of: left.columns, size: size) { range in
        gemm(
          left, columns: range, transposedTimes: right, beta: beta[1],
          into: weight.gradient.entries.rows(range))
      }
    }
    if let bias {
      bias.gradient.setFormed()
      addRows(dOutput, to: bias.gradient.base, beta: beta[2], pool)
    }
  }
}

/// sum[columns] = beta · sum + Σ rows of x, in order.
func addRows(
  _ x: MatrixView<Float>, to sum: UnsafeMutablePointer<Float>, beta: Float, _ pool: WorkerPool
) {
  pool.forRanges(of: x.columns, size: max(64, (1 << 16) / max(1, x.rows))) { range in
    if beta == 0 { (sum + range.lowerBound).update(repeating: 0, count: range.count) }
    for i in 0..<x.rows {
      let row = x.base + i &* x.columns
      for j in range { sum[j] += row[j] }
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
