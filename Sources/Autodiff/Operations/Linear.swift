import LinearAlgebra

/// y[rows, out] = x[rows, in] · weight[out, in]ᵀ (+ bias[out]); leading axes of x count as rows.
final class Linear: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let weight: Parameter
  private let bias: Parameter?
  private let transposed: Buffer
  /// Whether the weight's gradient stays factored: few enough samples that its rank is far below full.
  private let keepsFactors: Bool
  /// Rows that one thread takes at a time.
  private let pieceRows: Int

  init(_ x: Tensor, _ weight: Parameter, _ bias: Parameter?, on tape: Tape) {
    let (out, width) = (weight.shape[0], weight.shape[1])
    precondition(
      x.columns == width && weight.shape.count == 2 && bias.map { $0.shape == [out] } ?? true,
      "linear: x\(x.shape), weight\(weight.shape), bias\(bias?.shape ?? [])")
    self.x = x
    self.weight = weight
    self.bias = bias
    inputs = [x, weight.tensor] + (bias.map { [$0.tensor] } ?? [])
    output = tape.output(x.shape.dropLast() + [out], of: inputs)
    transposed = tape.scratch(out * width)
    keepsFactors =
      switch tape.weightGradients {
      case .formed: false
      case .thinFactors: min(out, width) == 1 || 4 * x.rows <= 3 * min(out, width)
      case .factors: true
      }
    pieceRows = max(16, (1 << 20) / max(1, out * width) & ~15)
  }

  var lendsOutputGradient: Bool { keepsFactors }

  func forward(_ pool: WorkerPool) {
    let (out, width) = (weight.shape[0], weight.shape[1])
    transpose(weight.base, rows: out, columns: width, into: transposed.base)
    let right = MatrixView(rows: width, columns: out, base: UnsafePointer(transposed.base))
    pool.forRanges(of: x.rows, size: pieceRows) { range in
      let y = output.matrix.rows(range)
      if let bias {
        for i in 0..<y.rows { (y.base + i * out).update(from: bias.base, count: out) }
      }
      gemm(x.matrix.rows(range).readOnly, .no, right, .no, beta: bias == nil ? 0 : 1, into: y)
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dy = output.gradient else { return }
    let (out, width) = (weight.shape[0], weight.shape[1])
    let dOutput = MatrixView(rows: x.rows, columns: out, base: UnsafePointer(dy.base))
    if let dx = x.gradient {
      pool.forRanges(of: x.rows, size: pieceRows) { range in
        gemm(
          dOutput.rows(range), .no, weight.matrix.readOnly, .no, beta: beta[0],
          into: MutableMatrixView(rows: x.rows, columns: width, base: dx.base).rows(range))
      }
    }
    if keepsFactors {
      precondition(beta[1] == 0, "\(weight.name) is used twice on a tape that keeps factors")
      weight.gradient.setProduct(left: dOutput, right: x.matrix.readOnly)
    } else {
      weight.gradient.setFormed()
      // Rows of the weight are shared out; each is one product over all samples, in order.
      pool.forRanges(of: out, size: max(8, (1 << 22) / max(1, x.rows * width) & ~7)) { range in
        gemm(
          dOutput, columns: range, transposedTimes: x.matrix.readOnly, beta: beta[1],
          into: weight.gradient.entries.rows(range))
      }
    }
    if let bias {
      bias.gradient.setFormed()
      let target = bias.gradient.base
      if beta[2] == 0 { target.update(repeating: 0, count: out) }
      for i in 0..<x.rows {
        let row = dy.base + i &* out
        for j in 0..<out { target[j] += row[j] }
      }
    }
  }
}

extension Tape {
  /// y[…, out] = x[…, in] · weight[out, in]ᵀ + bias[out], torch.nn.functional.linear.
  public func linear(_ x: Tensor, _ weight: Parameter, bias: Parameter? = nil) -> Tensor {
    record(Linear(x, weight, bias, on: self))
  }
}
