// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// The cross-entropy of a linear classifier, Σ -log softmax(x · weightᵀ + bias)[target] / total, without ever
/// holding all logits.
///
/// Rows are taken in blocks of at most 256 (and never all), and the vocabulary of a block in chunks that the
/// threads share out; a training tape makes the gradients of a block while its logits are there, so they are
/// not computed a second time.
final class LinearCrossEntropy: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let weight: Parameter
  private let bias: Parameter?
  private let targets: Indices
  private let total: Int
  private let classes: Int, width: Int
  private let blockRows: Int
  /// The logits of a block, then their gradients, [blockRows, classes].
  private let logits: Buffer
  private let losses: Buffer
  /// Gradients at dloss = 1, made in the forward pass of a training tape.
  private let dx: Buffer?
  private let dWeight: Buffer?
  private let dBias: Buffer?
  /// For products in bfloat16: the weight packed for the scores and for dx, and room for a block's factors.
  private let halves: (scores: Buffer, dx: Buffer?, room: Workspace)?

  init(
    _ x: Tensor, _ weight: Parameter, bias: Parameter?, _ targets: Indices, total: Int,
    on tape: Tape
  ) {
    precondition(
      weight.shape.count == 2 && weight.shape[1] == x.columns && targets.count == x.rows
        && bias.map { $0.shape == [weight.shape[0]] } ?? true,
      "cross-entropy: x\(x.shape), weight\(weight.shape), targets\(targets.shape)")
    self.x = x
    self.weight = weight
    self.bias = bias
    self.targets = targets
    self.total = total
    (classes, width) = (weight.shape[0], weight.shape[1])
    inputs = [x, weight.tensor] + (bias.map { [$0.tensor] } ?? [])
    output = tape.output([1], of: inputs)
    blockRows = min(256, max(1, x.rows / 2))
    logits = tape.scratch(blockRows * classes)
    losses = tape.scratch(x.rows)
    dx = tape.isTraining ? tape.scratch(x.count) : nil
    dWeight = tape.isTraining ? tape.scratch(weight.count) : nil
    dBias = tape.isTraining && bias != nil ? tape.scratch(classes) : nil
    guard tape.precision == .bf16 else {
      halves = nil
      return
    }
    let size = BFloat16.size
    tape.workspace.reserve(
      max(
        size(.left, blockRows, width), size(.left, blockRows, classes),
        size(.left, classes, blockRows) + size(.right, width, blockRows)))
    halves = (
      tape.scratch(size(.right, classes, width)),
      tape.isTraining ? tape.scratch(size(.right, width, classes)) : nil, tape.workspace
    )
  }

  /// Classes of a chunk.
  private static let chunk = 1024

  func forward(_ pool: WorkerPool) {
    let packed = halves.map { halves in
      let pack = { (buffer: Buffer, transposed: Bool) in
        BFloat16.pack(
          .right, self.weight.matrix.readOnly, transposed: transposed, into: buffer.base, pool)
      }
      return HalfWeight(
        scores: pack(halves.scores, false), dx: halves.dx.map { pack($0, true) }, room: halves.room)
    }
    for start in stride(from: 0, to: x.rows, by: blockRows) {
      let rows = start..<min(x.rows, start + blockRows)
      if let packed { scores(rows, packed, pool) } else { scores(rows, pool) }
      pool.forRanges(of: rows.count, size: max(1, pieceSize / classes)) { range in
        for i in range { softmax(i, row: start + i) }
      }
      if let dx, let dWeight {
        if let packed {
          gradients(rows, packed, dx.base, dWeight.base, pool)
        } else {
          gradients(rows, dx.base, dWeight.base, pool)
        }
      }
      if let dBias {
        addRows(
          MatrixView(rows: rows.count, columns: classes, base: UnsafePointer(logits.base)),
          to: dBias.base, beta: start == 0 ? 0 : 1, pool)
      }
    }
    var sum = 0.0
    for i in 0..<x.rows { sum += Double(losses.base[i]) }
    output.value.base[0] = Float(sum / Double(total))
  }

  /// The logits of some rows.
  private func scores(_ rows: Range<Int>, _ pool: WorkerPool) {
    let source = x.value.base + rows.lowerBound * width
    // Many classes are shared out among the threads, or else the rows.
    let (rowSize, chunk) =
      classes > Self.chunk ? (rows.count, Self.chunk) : (32, classes)
    let chunks = (classes + chunk - 1) / chunk
    let rowPieces = (rows.count + rowSize - 1) / rowSize
    pool.forEach(pieces: chunks * rowPieces) { (piece: Int) in
      let (i, j) = (piece / chunks * rowSize, piece % chunks * chunk)
      let (m, n) = (min(rowSize, rows.count - i), min(chunk, classes - j))
      let block = logits.base + (i * classes + j)
      if let bias {
        for row in 0..<m { (block + row * classes).update(from: bias.base + j, count: n) }
      }
      gemmBlock(
        m, n, width, source + i * width, lda: width, weight.base + j * width, ldb: width,
        transposeB: .yes, beta: bias == nil ? 0 : 1, into: block, ldc: classes)
    }
  }

  /// The weight as a factor in bfloat16, and room for others.
  private struct HalfWeight {
    let scores: BFloat16.Operand
    let dx: BFloat16.Operand?
    let room: Workspace
  }

  private func block(_ rows: Range<Int>) -> MatrixView<Float> { x.matrix.rows(rows).readOnly }

  private func scores(_ rows: Range<Int>, _ packed: HalfWeight, _ pool: WorkerPool) {
    let left = BFloat16.pack(
      .left, block(rows), transposed: false, into: packed.room.base, pool)
    BFloat16.multiply(
      left, packed.scores, bias: bias.map { UnsafePointer($0.base) }, into: logits.base,
      ldc: classes, pool)
  }

  private func gradients(
    _ rows: Range<Int>, _ packed: HalfWeight, _ dx: UnsafeMutablePointer<Float>,
    _ dWeight: UnsafeMutablePointer<Float>, _ pool: WorkerPool
  ) {
    let room = packed.room.base
    let d = MatrixView(rows: rows.count, columns: classes, base: UnsafePointer(logits.base))
    if let weight = packed.dx {
      BFloat16.multiply(
        BFloat16.pack(.left, d, transposed: false, into: room, pool), weight,
        into: dx + rows.lowerBound * width, ldc: width, pool)
    }
    let left = BFloat16.pack(.left, d, transposed: true, into: room, pool)
    let right = BFloat16.pack(
      .right, block(rows), transposed: true,
      into: room + BFloat16.size(.left, classes, rows.count), pool)
    BFloat16.multiply(
      left, right, beta: rows.lowerBound == 0 ? 0 : 1, into: dWeight, ldc: width, pool)
  }

  /// The loss of one row, and on a training tape its logits' gradients in their place.
  private func softmax(_ i: Int, row: Int) {
    let z = logits.base + i * classes
    let target = Int(targets.base[row])
    precondition(target >= 0 && target < classes, "target \(target) of \(classes) classes")
    let score = z[target]
    let logSum = VectorMath.logSumExp(z, count: classes, scale: 1)
    losses.base[row] = logSum - score
    guard dx != nil else { return }
    let factor = 1 / Float(total)
    VectorMath.map(z, classes, into: z) { VectorMath.flushed(VectorMath.exp($0 - logSum) * factor) }
    z[target] -= factor
  }

  private func gradients(
    _ rows: Range<Int>, _ dx: UnsafeMutablePointer<Float>, _ dWeight: UnsafeMutablePointer<Float>,
    _ pool: WorkerPool
  ) {
    let (n, start) = (rows.count, rows.lowerBound)
    let columns = classes > Self.chunk ? 192 : width
    let rowSize = classes > Self.chunk ? n : 32
    let columnPieces = (width + columns - 1) / columns
    let rowPieces = (n + rowSize - 1) / rowSize
    pool.forEach(pieces: columnPieces * rowPieces) { (piece: Int) in
      let (i, j) = (piece / columnPieces * rowSize, piece % columnPieces * columns)
      gemmBlock(
        min(rowSize, n - i), min(columns, width - j), classes, logits.base + i * classes,
        lda: classes, weight.base + j, ldb: width, beta: 0, into: dx + ((start + i) * width + j),
        ldc: width)
    }
    pool.forRanges(of: classes, size: min(Self.chunk, max(32, (classes / 4 + 7) & ~7))) { range in
      gemmBlock(
        range.count, width, n, logits.base + range.lowerBound, lda: classes,
        x.value.base + start * width, ldb: width, transposeA: .yes, beta: start == 0 ? 0 : 1,
        into: dWeight + range.lowerBound * width,
        ldc: width)
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx, let dWeight else {
      preconditionFailure("the gradient of a linear cross-entropy on a tape that does not train")
    }
    guard let seed = output.gradient?.base[0] else { return }
    var parts = x.gradient.map { [(dx, $0.base, beta[0])] } ?? []
    func add(_ source: Buffer, to parameter: Parameter, _ beta: Float) {
      guard parameter.tensor.needsGradient else { return }
      parameter.gradient.setMaterialized()
      parts.append((source, parameter.gradient.base, beta))
    }
    add(dWeight, to: weight, beta[1])
    if let bias, let dBias { add(dBias, to: bias, beta[2]) }
    for (source, target, beta) in parts {
      pool.forRanges(of: source.count, size: pieceSize) { range in
        if beta == 0 {
          for i in range { target[i] = seed * source.base[i] }
        } else {
          for i in range { target[i].addProduct(seed, source.base[i]) }
        }
      }
    }
  }
}

extension Tape {
  /// The cross-entropy of softmax(x[…, C] · weight[V, C]ᵀ + bias[V]) against targets[…] in 0 ..< V, summed over
  /// all rows and divided by `total` (the number of rows unless a batch is accumulated in parts): a scalar, which has
  /// gradients on a tape that trains.
  public func linearCrossEntropy(
    _ x: Tensor, _ weight: Parameter, bias: Parameter? = nil, _ targets: Indices,
    total: Int? = nil
  ) -> Tensor {
    record(
      LinearCrossEntropy(
        x, weight, bias: bias, targets, total: total ?? targets.count, on: self))
  }
}
