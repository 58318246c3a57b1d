// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// The weights of a layer of long short-term memory as torch.nn.LSTM holds them; the gates stand in the order input,
/// forget, candidate, output.
public struct LSTMWeights: Sendable {
  /// [4H, I]
  public let inputWeight: Parameter
  /// [4H, H]
  public let hiddenWeight: Parameter
  /// [4H], both of them added.
  public let inputBias: Parameter, hiddenBias: Parameter

  /// Precondition: the shapes above.
  public init(
    inputWeight: Parameter, hiddenWeight: Parameter, inputBias: Parameter, hiddenBias: Parameter
  ) {
    (self.inputWeight, self.hiddenWeight) = (inputWeight, hiddenWeight)
    (self.inputBias, self.hiddenBias) = (inputBias, hiddenBias)
    precondition(
      inputWeight.shape.count == 2 && hiddenWeight.shape == [4 * width, width]
        && [inputWeight.shape[0], inputBias.count, hiddenBias.count].allSatisfy { $0 == 4 * width },
      "LSTM: \(parameters.map(\.shape))")
  }

  /// H, the number of units.
  public var width: Int { hiddenWeight.shape.last ?? 0 }
  /// All four, in PyTorch's order.
  public var parameters: [Parameter] { [inputWeight, hiddenWeight, inputBias, hiddenBias] }
}

/// What a recurrent layer remembers of the sequences before, [B, H] each. It is no part of what is differentiated.
public final class RecurrentState: @unchecked Sendable {
  /// Where the next forward pass begins: hidden values and cells.
  public let hidden: Buffer, cell: Buffer
  /// Where the last one ended.
  public let lastHidden: Buffer, lastCell: Buffer

  /// Zeros for `count` sequences of a layer of `width` units.
  public init(count: Int, width: Int) {
    (hidden, cell) = (Buffer(count: count * width), Buffer(count: count * width))
    (lastHidden, lastCell) = (Buffer(count: count * width), Buffer(count: count * width))
  }

  /// The next pass begins where the last one ended.
  public func carry() {
    hidden.base.update(from: lastHidden.base, count: hidden.count)
    cell.base.update(from: lastCell.base, count: cell.count)
  }

  /// The next pass begins at zero.
  public func reset() {
    hidden.fill(0)
    cell.fill(0)
  }
}

/// y[T, B, H] of x[T, B, I], a whole sequence as one operation (Hochreiter and Schmidhuber 1997, with forget gates):
///
///     i, f, g, o = σ, σ, tanh, σ of x_t · W_ihᵀ + b_ih + y_{t-1} · W_hhᵀ + b_hh
///     c_t = f ∘ c_{t-1} + i ∘ g        y_t = o ∘ tanh(c_t)
///
/// The inputs' part is one product over all T·B rows, and so is each gradient of a weight. What is recurrent is independent
/// from one sequence of the batch to the other, so a thread takes some of them through all of time. The backward pass ends
/// at the first step: nothing goes back into the initial state.
final class LSTM: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let weights: LSTMWeights
  private let state: RecurrentState
  private let length: Int, batch: Int, width: Int, inputWidth: Int
  /// y and c with the initial state before them, [T + 1, B, H].
  private let hidden: Buffer, cells: Buffer
  /// The gates [T, B, 4H]; after the backward pass their gradients.
  private let gates: Buffer
  private let bias: Buffer
  /// Gradients of y_t and c_t that come from the step after, [B, H].
  private let dHidden: Buffer, dCell: Buffer
  private let packing: Workspace
  /// Sequences that a thread takes at a time.
  private let pieceSequences: Int

  init(_ x: Tensor, _ weights: LSTMWeights, _ state: RecurrentState, on tape: Tape) {
    precondition(
      x.shape.count == 3 && x.shape[0] >= 1 && x.columns == weights.inputWeight.shape[1]
        && state.hidden.count == x.shape[1] * weights.width,
      "LSTM: x\(x.shape), weight\(weights.inputWeight.shape), a state of \(state.hidden.count)")
    (self.x, self.weights, self.state) = (x, weights, state)
    (length, batch, inputWidth) = (x.shape[0], x.shape[1], x.shape[2])
    width = weights.width
    inputs = [x] + weights.parameters.map(\.tensor)
    let step = batch * width
    hidden = tape.scratch((length + 1) * step)
    cells = tape.scratch((length + 1) * step)
    output = Tensor(
      shape: [length, batch, width],
      value: Buffer(borrowing: hidden.base + step, count: length * step, owner: hidden),
      needsGradient: inputs.contains { $0.needsGradient })
    gates = tape.scratch(4 * length * step)
    bias = tape.scratch(4 * width)
    (dHidden, dCell) = (tape.scratch(step), tape.scratch(step))
    packing = tape.workspace
    for columns in [inputWidth, width] {
      packing.reserve(
        max(PackedMatrix.size(columns, 4 * width), PackedMatrix.size(4 * width, columns)))
    }
    pieceSequences = min(32, max(6, (batch + 3) / 4))
  }

  private func packed(_ weight: Parameter, transposed: Bool, _ pool: WorkerPool) -> PackedMatrix {
    PackedMatrix(
      packing: weight.matrix.readOnly, transposed: transposed, into: packing.base, pool)
  }

  /// Rows that a thread takes at a time in products over all T·B rows.
  private var pieceRows: Int { max(48, (length * batch + 15) / 16 & ~7) }

  // MARK: - Forward

  func forward(_ pool: WorkerPool) {
    let step = batch * width
    hidden.base.update(from: state.hidden.base, count: step)
    cells.base.update(from: state.cell.base, count: step)
    for j in 0..<(4 * width) {
      bias.base[j] = weights.inputBias.base[j] + weights.hiddenBias.base[j]
    }
    let all = MutableMatrixView(rows: length * batch, columns: 4 * width, base: gates.base)
    let inputPart = packed(weights.inputWeight, transposed: true, pool)
    pool.forRanges(of: length * batch, size: pieceRows) { rows in
      inputPart.multiply(
        x.matrix.rows(rows).readOnly, bias: UnsafePointer(bias.base), into: all.rows(rows))
    }
    let recurrent = packed(weights.hiddenWeight, transposed: true, pool)
    pool.forRanges(of: batch, size: pieceSequences) { sequences in
      for t in 0..<length {
        let first = t &* batch &+ sequences.lowerBound
        recurrent.multiply(
          sequences.count, hidden.base + first &* width, rowStride: width, columnStride: 1,
          depth: width, count: 4 &* width, accumulate: true, into: gates.base + 4 &* first &* width,
          ldc: 4 &* width)
        for row in first..<(first &+ sequences.count) { activate(row) }
      }
    }
    state.lastHidden.base.update(from: hidden.base + length * step, count: step)
    state.lastCell.base.update(from: cells.base + length * step, count: step)
  }

  /// Gates, cell and output of one row of [T, B].
  private func activate(_ row: Int) {
    let n = width
    let gate = gates.base + 4 &* row &* n
    let before = cells.base + row &* n
    let (cell, y) = (before + batch &* n, hidden.base + (row &+ batch) &* n)
    for j in stride(from: 0, to: n, by: 16) {
      let count = n &- j
      func load(_ p: UnsafePointer<Float>) -> VectorMath.Vector {
        VectorMath.loadPadded(p + j, count)
      }
      let i = VectorMath.sigmoid(load(gate))
      let f = VectorMath.sigmoid(load(gate + n))
      let g = VectorMath.tanh(load(gate + 2 &* n))
      let o = VectorMath.sigmoid(load(gate + 3 &* n))
      let c = (f * load(before)).addingProduct(i, g)
      VectorMath.store(i, gate + j, first: count)
      VectorMath.store(f, gate + (n &+ j), first: count)
      VectorMath.store(g, gate + (2 &* n &+ j), first: count)
      VectorMath.store(o, gate + (3 &* n &+ j), first: count)
      VectorMath.store(c, cell + j, first: count)
      VectorMath.store(VectorMath.flushed(o * VectorMath.tanh(c)), y + j, first: count)
    }
  }

  // MARK: - Backward

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dy = output.gradient?.base else { return }
    let recurrent = packed(weights.hiddenWeight, transposed: false, pool)
    pool.forRanges(of: batch, size: pieceSequences) { sequences in
      let start = sequences.lowerBound &* width
      (dHidden.base + start).update(repeating: 0, count: sequences.count &* width)
      (dCell.base + start).update(repeating: 0, count: sequences.count &* width)
      for t in (0..<length).reversed() {
        let first = t &* batch
        for sequence in sequences { differentiate(first &+ sequence, sequence, dy) }
        guard t > 0 else { break }
        recurrent.multiply(
          sequences.count, gates.base + 4 &* (first &* width &+ start), rowStride: 4 &* width,
          columnStride: 1, depth: 4 &* width, count: width, accumulate: false,
          into: dHidden.base + start, ldc: width)
      }
    }
    let dGates = MatrixView(
      rows: length * batch, columns: 4 * width, base: UnsafePointer(gates.base))
    if let dx = x.gradient {
      let inputPart = packed(weights.inputWeight, transposed: false, pool)
      let all = MutableMatrixView(rows: length * batch, columns: inputWidth, base: dx.base)
      pool.forRanges(of: length * batch, size: pieceRows) { rows in
        inputPart.multiply(dGates.rows(rows), beta: beta[0], into: all.rows(rows))
      }
    }
    // y_{t-1} of every row: the hidden values from the initial ones on.
    let before = MatrixView(
      rows: length * batch, columns: width, base: UnsafePointer(hidden.base))
    let pieceGates = max(64, (width + 7) & ~7)
    for (weight, right, beta) in [
      (weights.inputWeight, x.matrix.readOnly, beta[1]), (weights.hiddenWeight, before, beta[2]),
    ] where weight.tensor.needsGradient {
      weight.gradient.setMaterialized()
      pool.forRanges(of: 4 * width, size: pieceGates) { range in
        gemm(
          dGates, columns: range, transposedTimes: right, beta: beta,
          into: weight.gradient.entries.rows(range))
      }
    }
    for (bias, beta) in [(weights.inputBias, beta[3]), (weights.hiddenBias, beta[4])]
    where bias.tensor.needsGradient {
      bias.gradient.setMaterialized()
      addRows(dGates, to: bias.gradient.base, beta: beta, pool)
    }
  }

  /// The gradients of one row's gates in their place, and that of the cell before.
  private func differentiate(_ row: Int, _ sequence: Int, _ dy: UnsafePointer<Float>) {
    let n = width
    let gate = gates.base + 4 &* row &* n
    let before = cells.base + row &* n
    let (cell, given) = (before + batch &* n, dy + row &* n)
    let (later, laterCell) = (dHidden.base + sequence &* n, dCell.base + sequence &* n)
    for j in stride(from: 0, to: n, by: 16) {
      let count = n &- j
      func load(_ p: UnsafePointer<Float>) -> VectorMath.Vector {
        VectorMath.loadPadded(p + j, count)
      }
      let (i, f) = (load(gate), load(gate + n))
      let (g, o) = (load(gate + 2 &* n), load(gate + 3 &* n))
      let dh = load(given) + load(later)
      let u = VectorMath.tanh(load(cell))
      let dc = load(laterCell).addingProduct(dh * o, 1 - u * u)
      VectorMath.store(VectorMath.flushed(dc * g * i * (1 - i)), gate + j, first: count)
      VectorMath.store(
        VectorMath.flushed(dc * load(before) * f * (1 - f)), gate + (n &+ j), first: count)
      VectorMath.store(VectorMath.flushed(dc * i * (1 - g * g)), gate + (2 &* n &+ j), first: count)
      VectorMath.store(VectorMath.flushed(dh * u * o * (1 - o)), gate + (3 &* n &+ j), first: count)
      VectorMath.store(dc * f, laterCell + j, first: count)
    }
  }
}

extension Tape {
  /// A layer of long short-term memory: y[T, B, H] of x[T, B, I], from the state's hidden values and cells on; the state
  /// says afterwards where the pass ended.
  public func lstm(_ x: Tensor, _ weights: LSTMWeights, _ state: RecurrentState) -> Tensor {
    record(LSTM(x, weights, state, on: self))
  }
}
